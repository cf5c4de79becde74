/* SPDX-License-Identifier: Apache-2.0 */
/* A backward against central differences of its forward, in double on "ref64": d/dx of sum_i c_i
 * y_i for random c, with relative error below 1e-6. */
#ifndef SFT_TESTS_OPS_GRAD_H
#define SFT_TESTS_OPS_GRAD_H

#include "ops_list.h"

static struct device *dev;
static const enum dtype t = DT_F64;

/* A forward case, the contents of its buffers, and what each output weighs in the sum. */
struct problem {
    struct test_case fwd;
    void *in[BUFS];
    double *weight[BUFS]; /* outputs only */
    struct outcome out;
};

static void problem_make(struct problem *p)
{
    case_seed = 31;
    for (int i = 0; i < p->fwd.bufs; i++) {
        const struct buf *b = &p->fwd.buf[i];
        p->in[i] = host_content(b);
        p->weight[i] = calloc((size_t)b->n + 1, sizeof(double));
        for (int64_t j = 0; b->out && j < b->n; j++) p->weight[i][j] = 2 * case_random() - 1;
    }
    p->out = case_run(&p->fwd, dev, 0, p->in);
}

static void problem_free(struct problem *p)
{
    for (int i = 0; i < p->fwd.bufs; i++) free(p->in[i]), free(p->weight[i]);
    outcome_free(&p->out);
}

static double weighted_sum(const struct problem *p)
{
    struct outcome o = case_run(&p->fwd, dev, 0, p->in);
    double sum = 0;
    for (int i = 0; i < p->fwd.bufs; i++)
        for (int64_t j = 0; p->fwd.buf[i].out && j < p->fwd.buf[i].n; j++)
            if (p->weight[i][j] != 0) sum += p->weight[i][j] * value_at(o.bytes[i], j, t);
    outcome_free(&o);
    return sum;
}

/* True if `grad` is the derivative by input `which`. */
static bool is_gradient(struct problem *p, int which, const double *grad)
{
    const double h = 1e-5;
    double *x = p->in[which], error = 0, size = 0;
    for (int64_t j = 0; j < p->fwd.buf[which].n; j++) {
        const double was = x[j];
        x[j] = was + h;
        double up = weighted_sum(p);
        x[j] = was - h;
        double slope = (up - weighted_sum(p)) / (2 * h);
        x[j] = was;
        error += (grad[j] - slope) * (grad[j] - slope);
        size += slope * slope;
    }
    if (!(error <= 1e-12 * size && size > 0))
        fprintf(stderr, "%s: relative error %g\n", p->fwd.name, sqrt(error / size));
    return error <= 1e-12 * size && size > 0;
}

/* Runs a backward case whose buffers hold `contents`. */
static struct outcome run_grad(const struct test_case *c, void *const *contents)
{
    return case_run(c, dev, 0, contents);
}

static double *zeros(int64_t n) { return calloc((size_t)n + 1, sizeof(double)); }

#endif
