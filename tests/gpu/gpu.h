/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers of the programs that measure the GPU 0 through the installed plugin. CHECK_GPU_TINY=1
 * makes their sizes small enough for the emulated device. A failure ends the program. */
#ifndef SFT_TESTS_GPU_H
#define SFT_TESTS_GPU_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ops.h"

static struct device *gpu;

static bool tiny(void)
{
    const char *set = getenv("CHECK_GPU_TINY");
    return set && *set && strcmp(set, "0") != 0;
}

static void gpu_need(bool ok, const struct err *e)
{
    if (ok) return;
    fprintf(stderr, "%s\n", e->msg);
    exit(1);
}

static void gpu_open(void)
{
    struct err e;
    gpu = device_open("cuda:0", 1, &e);
    gpu_need(gpu, &e);
}

static void *gpu_room(size_t bytes)
{
    struct err e;
    void *p = gpu->ops->alloc(gpu, bytes, &e);
    gpu_need(p, &e);
    return p;
}

/* Memory with random numbers between 0.007 and 0.04, in fp32 as in bf16: products of equal numbers
 * take less power, and so run faster, than those of a model. */
static inline void *gpu_filled(size_t bytes)
{
    static uint32_t block[1 << 18];
    uint32_t seed = 1;
    char *p = gpu_room(bytes);
    for (size_t i = 0; i < sizeof block / sizeof *block; i++) {
        seed = seed * 1664525 + 1013904223;
        block[i] = (seed >> 7 & 0x01ff01ff) | 0x3c003c00;
    }
    for (size_t at = 0; at < bytes; at += sizeof block) {
        const size_t left = bytes - at;
        device_upload(gpu, p + at, block, left < sizeof block ? left : sizeof block);
    }
    return p;
}

static inline void gpu_sync(void)
{
    struct err e;
    gpu_need(gpu->ops->sync(gpu, &e) == 0, &e);
}

/* Gives the operation the scratch that it asks for. */
static inline void gpu_scratch(enum op_id op, const void *args)
{
    struct device_work *work = &gpu->work[QUEUE_COMPUTE];
    const size_t bytes = gpu->ops->work(gpu, op, args);
    if (bytes <= work->bytes) return;
    if (work->p) gpu->ops->free(gpu, work->p, work->bytes);
    *work = (struct device_work){.p = gpu_room(bytes), .bytes = bytes};
}

/* Seconds of one run: the mean of several after a first. */
static inline double gpu_seconds(enum op_id op, const void *args, size_t size)
{
    const int rounds = tiny() ? 1 : 20;
    gpu_scratch(op, args);
    gpu->ops->run(gpu, op, args, size);
    gpu_sync();
    gpu->ops->mark(gpu, 0);
    for (int i = 0; i < rounds; i++) gpu->ops->run(gpu, op, args, size);
    gpu->ops->mark(gpu, 1);
    gpu_sync();
    return gpu->ops->between(gpu, 0, 1) / rounds;
}

#endif
