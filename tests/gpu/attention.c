/* SPDX-License-Identifier: Apache-2.0 */
/* The rate of attention on a GPU. A line for each shape, fields separated by tabs: model,
 * documents, then milliseconds and TF of the causal count, forward and backward. */
#include <math.h>

#include "gpu.h"

struct shape {
    const char *model, *what;
    int32_t heads, kv_heads, dim, docs;
    const int32_t *lengths;
};
struct arrays {
    struct op_attention forward;
    struct op_attention_grad backward;
    double pairs; /* of a query and a key, half of those in each square */
};

static int32_t *cumulated(const struct shape *s, struct arrays *x)
{
    int32_t host[64] = {0}, *p = gpu_room(sizeof host);
    for (int i = 0; i < s->docs; i++) {
        const int32_t n = s->lengths[i];
        host[i + 1] = host[i] + n;
        x->pairs += 0.5 * n * n;
        if (n > x->forward.max_len) x->forward.max_len = n;
    }
    x->forward.Tq = x->forward.Tk = host[s->docs];
    device_upload(gpu, p, host, sizeof host);
    return p;
}

static void open_arrays(const struct shape *s, struct arrays *x)
{
    struct op_attention *f = &x->forward;
    *x = (struct arrays){.pairs = 0};
    f->cu_q = f->cu_k = cumulated(s, x);
    f->docs = s->docs, f->heads = s->heads, f->kv_heads = s->kv_heads, f->dim = s->dim;
    f->q_stride = f->o_stride = (int64_t)s->heads * s->dim;
    f->kv_stride = (int64_t)s->kv_heads * s->dim;
    f->scale = 1 / sqrt((double)s->dim), f->dtype = DT_BF16;
    const size_t q = (size_t)(f->Tq * f->q_stride) * 2, kv = (size_t)(f->Tk * f->kv_stride) * 2;
    const size_t lse = (size_t)(f->Tq * s->heads) * 4;
    f->q = gpu_filled(q), f->k = gpu_filled(kv), f->v = gpu_filled(kv);
    f->o = gpu_room(q), f->lse = gpu_room(lse);
    x->backward = (struct op_attention_grad){.dq = gpu_room(q),
                                             .dk = gpu_room(kv),
                                             .dv = gpu_room(kv),
                                             .dout = gpu_filled(q),
                                             .o = f->o,
                                             .lse = f->lse,
                                             .fwd = *f};
}

static void close_arrays(const struct arrays *x)
{
    const struct op_attention_grad *g = &x->backward;
    const struct op_attention *f = &x->forward;
    const void *p[] = {f->q, f->k, f->v, f->o, f->lse, f->cu_q, g->dq, g->dk, g->dv, g->dout};
    for (size_t i = 0; i < sizeof p / sizeof *p; i++)
        gpu->ops->free(gpu, (void *)(uintptr_t)p[i], 0);
}

static void measure(const struct shape *s)
{
    struct arrays x;
    open_arrays(s, &x);
    const double flops = 4 * x.pairs * s->dim * s->heads;
    const double forward = gpu_seconds(OP_attention, &x.forward, sizeof x.forward);
    const double backward = gpu_seconds(OP_attention_grad, &x.backward, sizeof x.backward);
    printf("%s\t%s\t%.3f\t%.4g\t%.3f\t%.4g\n", s->model, s->what, forward * 1e3,
           1e-12 * flops / forward, backward * 1e3, 2.5e-12 * flops / backward);
    fflush(stdout);
    close_arrays(&x);
}

int main(void)
{
    static const int32_t eight[] = {1024, 1024, 1024, 1024, 1024, 1024, 1024, 1024};
    static const int32_t one[] = {8192}, small[] = {40, 24};
    /* lengths(8192, 1) of tests/bench/gpu/bench.py */
    static const int32_t mixed[] = {413, 267, 640, 550, 213, 634, 150, 233, 178, 144, 674,
                                    333, 136, 679, 669, 899, 152, 274, 129, 497, 113, 215};
    const int32_t count = sizeof mixed / sizeof *mixed;
    static const struct {
        const char *name;
        int32_t heads, kv_heads, dim;
    } models[] = {{"7B", 28, 4, 128}, {"1.5B", 12, 2, 128}, {"0.5B", 14, 2, 64}};
    gpu_open();
    if (tiny()) measure(&(struct shape){"tiny", "2 documents", 2, 1, 64, 2, small});
    for (size_t i = 0; i < 3 && !tiny(); i++) {
        const int32_t h = models[i].heads, kv = models[i].kv_heads, dim = models[i].dim;
        measure(&(struct shape){models[i].name, "8 x 1024", h, kv, dim, 8, eight});
        measure(&(struct shape){models[i].name, "1 x 8192", h, kv, dim, 1, one});
        measure(&(struct shape){models[i].name, "~350-token documents", h, kv, dim, count, mixed});
    }
    device_close(gpu);
    return 0;
}
