/* SPDX-License-Identifier: Apache-2.0 */
/* The host's backends: the reference in double and in float, and each instruction set. */
#ifndef SFT_TESTS_OPS_BACKENDS_H
#define SFT_TESTS_OPS_BACKENDS_H

#include "ops/ops.h"
#include "test.h"

static const char *const backends[] = {"ref64", "ref", "cpu-base", "cpu-v3", "cpu-v4"};
enum { BACKENDS = sizeof backends / sizeof *backends };

/* NULL, and a skip, where this CPU lacks the instruction set. */
static struct device *backend_open(int i, int threads)
{
    struct err e;
    struct device *d = device_open(backends[i], threads, &e);
    if (!d) SKIP(backends[i], "this CPU lacks the instruction set");
    return d;
}

#endif
