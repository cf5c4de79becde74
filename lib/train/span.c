/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of a step as pairs of the device's marks. */
#include "train/span.h"

void span_begin(struct spans *s, double *seconds)
{
    if (s->count == SPANS) spans_add(s);
    s->to[s->count] = seconds;
    s->device->ops->mark(s->device, 2 * s->count);
}

void span_end(struct spans *s)
{
    s->device->ops->mark(s->device, 2 * s->count + 1);
    s->count++;
}

void spans_add(struct spans *s)
{
    for (int i = 0; i < s->count; i++)
        *s->to[i] += s->device->ops->between(s->device, 2 * i, 2 * i + 1);
    s->count = 0;
}
