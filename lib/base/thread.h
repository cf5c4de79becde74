/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that work for a program beside the one that handles its signals. */
#ifndef SFT_BASE_THREAD_H
#define SFT_BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>

/* Starts a thread that takes no signal: other threads handle them. Returns false if it cannot be
 * started. The caller joins it. */
bool thread_start(pthread_t *thread, void *(*work)(void *arg), void *arg);

#endif
