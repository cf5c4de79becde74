/* SPDX-License-Identifier: Apache-2.0 */
/* The seconds that parts of a step take on the device's own clock, without waiting for them. */
#ifndef SFT_TRAIN_SPAN_H
#define SFT_TRAIN_SPAN_H

#include "ops/ops.h"

enum { SPANS = MARK_TIMES / 2 };
struct spans {
    struct device *device;
    int count;
    double *to[SPANS]; /* where the seconds are added */
};

/* A part begins with what the device is given from now on and ends with what it has been given at
 * span_end; *seconds grows by its time in spans_add, or earlier when there are SPANS others. Parts
 * do not overlap. */
void span_begin(struct spans *s, double *seconds);
void span_end(struct spans *s);
/* Waits until the device has done all parts and adds their times. */
void spans_add(struct spans *s);

#endif
