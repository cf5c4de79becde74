/* SPDX-License-Identifier: Apache-2.0 */
/* Measures the rate of this device's matrix products, of which a run's rate is a part. */
#include "base/log.h"
#include "train/trainer.h"

double trainer_peak(struct trainer *t, struct err *e)
{
    struct device *d = t->weights.device;
    double start = 0, flops = 0;
    for (int i = 0; i < 2; i++) { /* the first is not timed: it warms up */
        start = log_clock();
        flops = stage_product(&t->stage);
        if (d->ops->sync(d, e)) return -1;
    }
    return flops / (log_clock() - start);
}
