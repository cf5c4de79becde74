/* SPDX-License-Identifier: Apache-2.0 */
/* Adds up the time that a run still takes. */
#include "train/eta.h"

uint64_t eta_times(uint64_t every, uint64_t from, uint64_t total)
{
    if (from >= total) return 0;
    if (every == 0) return 1;
    return total / every - from / every + (total % every != 0);
}

void eta_measure(struct eta *a, enum eta_kind kind, double seconds)
{
    a->of[kind].measured++;
    a->of[kind].seconds += seconds;
}

void eta_done(struct eta *a, enum eta_kind kind)
{
    if (a->of[kind].todo) a->of[kind].todo--;
}

double eta_left(const struct eta *a)
{
    double all = 0;
    for (int k = 0; k < ETA_KINDS; k++)
        if (a->of[k].measured)
            all += (double)a->of[k].todo * a->of[k].seconds / (double)a->of[k].measured;
    return all;
}
