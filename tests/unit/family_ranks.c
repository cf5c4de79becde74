/* SPDX-License-Identifier: Apache-2.0 */
/* A model of every family cut among the ranks by tensors, by tensors and rows, and by layers: the
 * losses of five steps, the gradients of the first and the weights after the last are those of one
 * rank within 1e-6; the norms of all gradients, which have the roundings of the steps before,
 * within 1.5e-6: 6e-7 is the worst, 1.1e-6 with the plainest instruction set.
 * tests/cli/ranks_families.sh starts it as two ranks; alone it is one.
 *
 * usage: family_ranks [DEVICE [FAMILY]]  only those whose name has this text */
#include "family.h"
#include "job.h"

/* One rank alone, with its gradients of the first step. */
struct reference {
    struct job job;
    float *gradients;
    double all; /* the length of them all */
};

static float *get(struct job *j, const void *flat, enum dtype t, size_t at, size_t n)
{
    struct err e;
    float *v = malloc((n + 1) * sizeof *v);
    if (weights_get(&j->t.weights, flat, t, at, n, v, &e)) v[0] = NAN;
    return v;
}

static double length(const float *v, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)v[i] * (double)v[i];
    return sqrt(sum);
}

static bool reference_open(struct reference *r, const struct form *f)
{
    const struct weights *of = &r->job.t.weights;
    *r = (struct reference){.gradients = NULL};
    if (!job_open(&r->job, f, NULL, "cpu") || !job_step(&r->job, 0)) return false;
    r->gradients = get(&r->job, of->gradients, of->gradient, 0, of->params.trained);
    r->all = length(r->gradients, of->params.trained);
    for (int k = 1; k < JOB_STEPS; k++)
        if (!job_step(&r->job, k)) return false;
    return true;
}

static void reference_close(struct reference *r)
{
    free(r->gradients);
    job_close(&r->job);
}

/* The distance of this rank's part of a parameter, v, from that of the whole one. */
static double part_off(const struct param *p, const float *v, const float *whole)
{
    double sum = 0;
    for (struct param_run r = {0}; param_next(p, SIZE_MAX, &r);)
        for (size_t k = 0; k < r.n; k++) {
            const double d = (double)v[r.at + k] - (double)whole[r.whole + k];
            sum += d * d;
        }
    return sqrt(sum);
}

/* The worst distance of a gradient from one rank's, relative to its length and a tenth of that of
 * all: |dg| <= 1e-6 |g| + 1e-7 |all g|, as a short one has the roundings of long ones. Or that of
 * this rank's gradients together, relative to all. */
static double gradients_off(struct job *j, const struct reference *one)
{
    double worst = 0, squares = 0;
    const struct weights *of = &j->t.weights;
    for (size_t i = 0; i < of->params.count; i++) {
        const struct param *p = &of->params.p[i];
        const struct param *q = params_find(&one->job.t.weights.params, p->name, strlen(p->name));
        const float *whole = one->gradients + q->offset;
        float *v = get(j, of->gradients, of->gradient, p->offset, p->n);
        const double distance = part_off(p, v, whole);
        const double off = distance / (length(whole, q->n) + 0.1 * one->all);
        if (!(off <= 1e-6)) printf("# gradient of %s: %.1e\n", p->name, off);
        worst = worse(worst, off);
        squares += distance * distance;
        free(v);
    }
    return worse(worst, sqrt(squares) / one->all);
}

static double weights_off(struct job *j, struct reference *one)
{
    double worst = 0;
    const struct weights *of = &j->t.weights, *all = &one->job.t.weights;
    for (size_t i = 0; i < of->params.count; i++) {
        const struct param *p = &of->params.p[i];
        const struct param *q = params_find(&all->params, p->name, strlen(p->name));
        float *whole = get(&one->job, all->values, all->compute, q->offset, q->n);
        float *v = get(j, of->values, of->compute, p->offset, p->n);
        const double off = part_off(p, v, whole) / length(whole, q->n);
        if (!(off <= 1e-6)) printf("# %s: %.1e\n", p->name, off);
        worst = worse(worst, off);
        free(v);
        free(whole);
    }
    return worst;
}

/* The elements that all ranks have; those in several places count several times. */
static size_t elements(const struct job *j)
{
    struct err e;
    size_t mine = 0, n = 0;
    for (size_t i = 0; i < j->t.weights.params.count; i++) mine += j->t.weights.params.p[i].n;
    const size_t *all = world_notes(w, &mine, sizeof mine, &e);
    for (int r = 0; all && r < w->place.size; r++) n += all[r];
    return n;
}

static void cut(const struct form *f, struct reference *one, bool ok, const char *how,
                const struct job_layout *l)
{
    static struct job j;
    char name[160];
    double gradient = INFINITY, weight = INFINITY;
    bool ran = job_open(&j, f, l, device_name) && job_step(&j, 0);
    if (ran && ok) gradient = gradients_off(&j, one);
    for (int k = 1; ran && k < JOB_STEPS; k++) ran = job_step(&j, k);
    if (ran && ok) weight = weights_off(&j, one);
    const double loss = job_off(j.loss, one->job.loss), norm = job_off(j.norm, one->job.norm);
    const size_t all = elements(&j), whole = elements(&one->job) / (size_t)w->place.size;
    snprintf(name, sizeof name, "%s, %s: training is that of one rank", f->name, how);
    if (!w->place.rank)
        printf("# %s: losses %.1e, norms %.1e, gradients %.1e, weights %.1e\n", name, loss, norm,
               gradient, weight);
    all_agree(name, ran && loss <= 1e-6 && norm <= 1.5e-6 && gradient <= 1e-6 && weight <= 1e-6 &&
                        all >= whole && all < 2 * whole);
    job_close(&j);
}

static void check(struct family *f, const char *arg)
{
    static struct reference one;
    const int n = w->place.size;
    const struct form form = {.name = f->name,
                              .m = f->m,
                              .rows = 4,
                              .batches = 1,
                              .rate = f->rate,
                              .epsilon = f->adamw.epsilon,
                              .max_norm = f->adamw.max_norm};
    (void)arg;
    const bool ok = reference_open(&one, &form) && one.job.loss[JOB_STEPS - 1] < one.job.loss[0];
    cut(&form, &one, ok, "tensor parallel", &(struct job_layout){.sizes = {.axis = {n, 1, 1, 1}}});
    cut(&form, &one, ok, "sequence parallel",
        &(struct job_layout){.sizes = {.axis = {n, 1, 1, 1}}, .sequence = true});
    cut(&form, &one, ok, "pipeline parallel",
        &(struct job_layout){.sizes = {.axis = {1, 1, 1, n}}});
    reference_close(&one);
}

int main(int argc, char **argv)
{
    if (argc > 1) device_name = argv[1];
    if (!join()) return test_failed;
    families_check(check, NULL, argc > 2 ? argv[2] : NULL);
    world_leave(w, 1);
    return test_failed;
}
