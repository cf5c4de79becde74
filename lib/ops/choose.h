/* SPDX-License-Identifier: Apache-2.0 */
/* The device that a program computes on, from what its user asked for. */
#ifndef SFT_OPS_CHOOSE_H
#define SFT_OPS_CHOOSE_H

#include "base/buf.h"
#include "ops/ops.h"

struct device_choice {
    char name[64]; /* for device_open */
    /* "auto" chose the CPU: */
    char why[1000]; /* why, if something of CUDA is there; else empty */
    bool hidden;    /* a GPU or its driver is there, but not what this program needs for it */
};

/* Chooses a device for the process that is number `place` of its node. asked: "auto": a GPU if
 * there is one, else the CPU; "cuda": a GPU, by the place; any other name stands for itself.
 * ERR_DEVICE: "cuda" finds no GPU, or a driver fails, for which "auto" does not take the CPU. */
int device_choose(const char *asked, int place, struct device_choice *c, struct err *e);

/* Appends a line: the instruction sets that are compiled in, worst first, and the one that the
 * device "cpu" takes here. */
void device_built(struct buf *b);

#endif
