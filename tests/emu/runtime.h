/* SPDX-License-Identifier: Apache-2.0 */
/* Internals of the emulated CUDA runtime: kernels by their host functions, and streams of work. */
#ifndef EMU_RUNTIME_H
#define EMU_RUNTIME_H

#include <cuda_runtime_api.h>
#include <pthread.h>

#include "emu.h"

/* One lock for the whole runtime; every entry point holds it. */
extern pthread_mutex_t runtime_lock;
/* Returns the failure, which persists until the process ends, as on a device. */
cudaError_t runtime_error(void);
cudaError_t runtime_fail(cudaError_t e);
/* Keeps an error for cudaGetLastError, and returns it. */
cudaError_t runtime_told(cudaError_t e);

/* ---- registration (fatbin.c) ---- */
struct kernel *fatbin_kernel(const void *host_function);

/* ---- work (stream.c) ---- */
enum work_kind { WORK_LAUNCH, WORK_COPY, WORK_SET, WORK_RECORD, WORK_WAIT, WORK_CALL, WORK_ASK };
struct work {
    struct work *next;
    enum work_kind kind;
    struct launch launch;
    void *to;
    const void *from;
    size_t n;
    int value;
    cudaEvent_t event;
    uint64_t version;       /* version of the event that this work records or waits for */
    bool (*ask)(void *arg); /* WORK_ASK: advances it; returns true when it is complete, and may be
                             * called again then; `call` follows */
    void (*call)(void *arg);
    void *arg;
};
/* Appends a copy of the work to a stream; NULL: the default stream. */
cudaError_t stream_add(cudaStream_t s, const struct work *w);
/* Runs work of randomly chosen streams until this one is empty; NULL: until all are. */
cudaError_t stream_drain(cudaStream_t s);
/* Runs one piece of ready work. Returns false if there is none. The caller holds the lock. */
bool stream_step(void);
/* Returns the device that this thread has chosen. */
int runtime_device(void);

#endif
