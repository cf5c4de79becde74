/* SPDX-License-Identifier: Apache-2.0 */
/* The rate of this device's matrix products, to set a run's rate against. */
#include "base/log.h"
#include "train/trainer.h"

double trainer_peak(struct trainer *t, struct err *e)
{
    struct net *n = &t->net;
    const struct net_acts a = net_layer(n, 0);
    const struct op_matmul p = {.c = a.gate_up,
                                .a = a.h2,
                                .b = net_weight(n, n->params.layers[0].gate_up),
                                .m = n->o.tokens,
                                .n = 2 * n->m.inter,
                                .k = n->m.hidden,
                                .tb = true,
                                .ab_dtype = n->o.compute,
                                .c_dtype = n->o.compute};
    double start = 0;
    for (int i = 0; i < 2; i++) { /* the first is not timed: it warms up */
        start = log_clock();
        op_matmul(n->device, &p);
        if (n->device->ops->sync(n->device, e)) return -1;
    }
    return 2 * (double)p.m * (double)p.n * (double)p.k / (log_clock() - start);
}
