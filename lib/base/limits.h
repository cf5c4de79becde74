/* SPDX-License-Identifier: Apache-2.0 */
/* What this process may use of the machine. */
#ifndef SFT_BASE_LIMITS_H
#define SFT_BASE_LIMITS_H

#include <stdint.h>

/* CPUs that affinity and the cgroup allow; at least 1. */
int limits_cpus(void);
/* Bytes that can still be had without swapping: what the system has available, or the cgroup or
 * the resource limits if that is less. UINT64_MAX when nothing tells. */
uint64_t limits_memory(void);

#endif
