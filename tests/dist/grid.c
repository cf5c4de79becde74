/* SPDX-License-Identifier: Apache-2.0 */
/* A table of layouts of ranks. Five steps of the trainer in each of them give the losses, norms and
 * first gradients of one rank; memory and bytes that are sent are those of docs/parallel.md.
 * tests/dist/grid.sh starts it as 1 to 8 ranks; it runs the layouts of so many ranks. For each run
 * in fp32 it prints a line "bits<tab>KEY<tab>HASH": runs with the same key have the same losses and
 * norms, bit by bit, also in processes of other numbers of ranks.
 * usage: grid [DEVICE [FORM [LAYOUT]]]  only those whose name contains that text */
#include "loads.h"
#include "wire.h"

enum { LAYERS = 6, WINDOW = 4 };

/* The forms beside llama, which runs in all layouts. */
enum {
    QWEN2 = 1,
    QWEN3 = 2,
    MISTRAL = 4,
    LORA = 8,
    MODES = 16,  /* llama in each mode of recomputation */
    OVER_2 = 32, /* hybrid: so many ranks share one copy of what ZeRO has in parts */
    OVER_4 = 64,
    SEQUENCE = 128, /* sequence parallelism */
    SMOLLM3 = 256,
    GRANITE = 512,
    GLM = 1024,
    PHI3 = 2048,
    MINISTRAL3 = 4096,
    ARCEE = 8192,
    HUNYUAN = 16384,
    GEMMA = 32768,
    OLMO3 = 65536,
    EXPERTS = 131072,  /* all layers are sparse */
    SHARED = 262144,   /* with an expert of all tokens */
    MIXED = 524288,    /* some layers are dense */
    STACKED = 1048576, /* experts in one tensor, an expert of all tokens without a weight */
    SHARE_2 = 2097152, /* so many ranks share out the experts, in the forms of a row alone */
    SHARE_4 = 4194304,
    MIXTRAL = 8388608,
    MIXTRAL_LORA = 16777216,
    RANKS_FIRST = 33554432, /* stages 0 and 1 of ZeRO sum over the ranks in each micro-batch */
    BALANCED = 67108864,    /* with an auxiliary loss */
    FIRST = QWEN2 | QWEN3 | MISTRAL,
    ROTATED = GLM | PHI3 | MINISTRAL3
};
/* A row of the table: the ranks of each axis, the chunks of each stage of the pipeline, the level
 * of ZeRO, the forms. To add a layout is to add a line here. */
struct row {
    int tp, cp, dp, pp, chunks, zero;
    unsigned forms;
};
static const struct row table[] = {
    /* tp cp dp pp chunks zero */
    {1, 1, 1, 1, 1, 0, MODES | QWEN2 | QWEN3 | MISTRAL | LORA | OLMO3 | EXPERTS},
    {1, 1, 2, 1, 1, 0, QWEN2},
    {1, 1, 2, 1, 1, 1, MODES | QWEN3 | LORA},
    {1, 1, 2, 1, 1, 2, QWEN2 | LORA},
    {1, 1, 2, 1, 1, 3, MODES | QWEN2 | QWEN3 | LORA | GRANITE | EXPERTS | MIXED | BALANCED},
    {1, 1, 3, 1, 1, 1, 0},
    {1, 1, 3, 1, 1, 3, QWEN2},
    {1, 1, 4, 1, 1, 0, 0},
    {1, 1, 4, 1, 1, 1, 0},
    {1, 1, 4, 1, 1, 2, 0},
    {1, 1, 4, 1, 1, 3, MISTRAL},
    {1, 1, 4, 1, 1, 2, LORA | OVER_2},
    {1, 1, 4, 1, 1, 3, QWEN2 | LORA | OVER_2},
    {1, 1, 8, 1, 1, 1, MISTRAL},
    {1, 1, 8, 1, 1, 3, 0},
    {1, 1, 8, 1, 1, 3, OVER_4},
    {2, 1, 1, 1, 1, 0,
     MODES | FIRST | LORA | SMOLLM3 | GRANITE | ROTATED | ARCEE | HUNYUAN | GEMMA | OLMO3 |
         EXPERTS | SHARED | MIXED | STACKED | BALANCED},
    {1, 2, 1, 1, 1, 0,
     MODES | FIRST | LORA | SMOLLM3 | PHI3 | MINISTRAL3 | HUNYUAN | OLMO3 | EXPERTS},
    {1, 2, 1, 1, 1, 1, QWEN2},
    {1, 2, 1, 1, 1, 3, QWEN3},
    {1, 3, 1, 1, 1, 1, MISTRAL},
    {1, 4, 1, 1, 1, 0, MODES | QWEN3 | MISTRAL | LORA},
    {1, 8, 1, 1, 1, 1, 0},
    {2, 2, 1, 1, 1, 0, QWEN2 | QWEN3},
    {1, 2, 2, 1, 1, 0, 0},
    {1, 2, 2, 1, 1, 1, LORA},
    {1, 2, 2, 1, 1, 3, 0},
    {1, 2, 1, 2, 1, 0, 0},
    {2, 2, 1, 2, 1, 1, MODES | QWEN2 | QWEN3 | MISTRAL | LORA},
    {2, 2, 2, 1, 1, 1, 0},
    {1, 1, 1, 2, 1, 0,
     MODES | QWEN2 | MISTRAL | LORA | SMOLLM3 | GRANITE | ROTATED | ARCEE | HUNYUAN | GEMMA |
         OLMO3 | EXPERTS | SHARED | MIXED | STACKED | BALANCED},
    {1, 1, 1, 3, 1, 0, 0},
    {1, 1, 1, 4, 1, 0, QWEN2},
    {1, 1, 1, 6, 1, 0, 0},
    {2, 1, 2, 1, 1, 0, MISTRAL},
    {2, 1, 2, 1, 1, 1, QWEN3},
    {2, 1, 2, 1, 1, 2, QWEN3},
    {2, 1, 2, 1, 1, 3, QWEN3 | LORA | STACKED},
    {2, 1, 1, 2, 1, 0, QWEN3 | LORA},
    {1, 1, 2, 2, 1, 0, 0},
    {1, 1, 2, 2, 1, 1, LORA | BALANCED},
    {1, 1, 2, 2, 1, 2, QWEN2},
    {1, 1, 2, 2, 1, 3, QWEN2 | LORA},
    {1, 1, 4, 2, 1, 1, 0},
    {1, 1, 4, 2, 1, 3, QWEN2 | OVER_2},
    {1, 1, 2, 4, 1, 1, 0},
    {2, 1, 4, 1, 1, 1, 0},
    {2, 1, 1, 4, 1, 0, 0},
    {2, 1, 2, 2, 1, 0, 0},
    {2, 1, 2, 2, 1, 1, MODES | QWEN2 | QWEN3 | MISTRAL | LORA | MIXTRAL_LORA},
    {2, 1, 2, 2, 1, 3, QWEN2 | QWEN3 | OLMO3},
    {1, 1, 1, 2, 2, 0, MODES | QWEN2 | QWEN3 | LORA},
    {1, 1, 1, 2, 3, 0, EXPERTS | BALANCED},
    {1, 1, 1, 3, 2, 0, 0},
    {1, 1, 2, 2, 2, 1, QWEN2},
    {2, 1, 1, 2, 3, 0, QWEN3},
    {2, 1, 2, 2, 2, 1, MISTRAL},
    {1, 1, 2, 2, 2, 3, QWEN2 | BALANCED},
    {1, 1, 2, 2, 3, 2, QWEN2},
    {1, 2, 1, 2, 2, 1, QWEN2 | MISTRAL},
    {2, 1, 1, 1, 1, 0,
     SEQUENCE | MODES | QWEN2 | QWEN3 | LORA | GRANITE | ARCEE | HUNYUAN | GEMMA | OLMO3 | EXPERTS |
         SHARED | BALANCED},
    {2, 2, 1, 1, 1, 0, SEQUENCE | QWEN2 | QWEN3},
    {2, 1, 1, 2, 1, 0, SEQUENCE | QWEN2 | BALANCED},
    {2, 1, 2, 1, 1, 1, SEQUENCE | MISTRAL},
    {2, 1, 2, 2, 1, 1, SEQUENCE | QWEN3 | LORA},
    {2, 1, 2, 1, 1, 3, SEQUENCE | QWEN3 | LORA | MIXTRAL_LORA},
    {2, 1, 1, 2, 2, 0, SEQUENCE | QWEN3 | GRANITE},
    /* the same bits in all stages of ZeRO */
    {1, 1, 2, 1, 1, 0, RANKS_FIRST | MODES | QWEN2 | LORA},
    {1, 1, 2, 1, 1, 1, RANKS_FIRST | QWEN2 | QWEN3 | LORA | MIXED},
    {1, 1, 3, 1, 1, 0, RANKS_FIRST},
    {1, 2, 1, 1, 1, 0, RANKS_FIRST | QWEN3},
    {1, 2, 2, 1, 1, 1, RANKS_FIRST},
    {2, 1, 2, 1, 1, 0, RANKS_FIRST | QWEN3},
    {2, 1, 2, 1, 1, 1, RANKS_FIRST | QWEN3},
    {2, 1, 2, 1, 1, 0, RANKS_FIRST | SEQUENCE | QWEN3},
    {1, 1, 2, 2, 1, 0, RANKS_FIRST | QWEN2 | LORA},
    {1, 1, 2, 2, 1, 1, RANKS_FIRST | QWEN2},
    {2, 1, 2, 2, 1, 0, RANKS_FIRST},
    {1, 1, 4, 1, 1, 0, RANKS_FIRST | SHARE_2 | MIXTRAL},
    {1, 1, 4, 1, 1, 1, RANKS_FIRST | SHARE_2 | MIXTRAL},
    /* the experts are shared out */
    {1, 1, 2, 1, 1, 0, SHARE_2 | MIXTRAL | MIXTRAL_LORA | MODES},
    {1, 1, 2, 1, 1, 1, SHARE_2 | MIXTRAL | SHARED | MIXED | STACKED},
    {1, 1, 2, 1, 1, 3, SHARE_2 | MIXTRAL | MODES | BALANCED},
    {2, 1, 2, 1, 1, 0, SHARE_2 | MIXTRAL | SHARED | STACKED},
    {2, 1, 2, 1, 1, 1, SHARE_2 | MIXTRAL | MIXTRAL_LORA | SEQUENCE | BALANCED},
    {1, 2, 1, 1, 1, 0, SHARE_2 | MIXTRAL | MODES},
    {1, 2, 1, 1, 1, 1, SHARE_2 | SHARED | MIXED},
    {1, 2, 1, 1, 1, 3, SHARE_2 | MIXTRAL | MIXTRAL_LORA | STACKED},
    {1, 2, 2, 1, 1, 0, SHARE_2 | MIXTRAL},
    {1, 2, 2, 1, 1, 1, SHARE_2 | MIXTRAL},
    {1, 2, 2, 1, 1, 3, SHARE_4 | MIXTRAL},
    {1, 3, 2, 1, 1, 1, SHARE_2 | MIXTRAL},
    {1, 3, 2, 1, 1, 3, SHARE_2 | MIXTRAL},
    {2, 2, 1, 1, 1, 1, SHARE_2 | MIXTRAL | SEQUENCE},
    {1, 2, 1, 2, 1, 1, SHARE_2 | MIXTRAL},
    {1, 1, 2, 2, 1, 1, SHARE_2 | MIXTRAL | BALANCED},
    {1, 1, 2, 2, 2, 2, SHARE_2 | MIXTRAL | BALANCED},
    {1, 1, 4, 1, 1, 0, SHARE_2 | MIXTRAL},
    {1, 1, 4, 1, 1, 1, SHARE_2 | MIXTRAL},
    {1, 1, 4, 1, 1, 2, SHARE_2 | MIXTRAL},
    {1, 1, 4, 1, 1, 3, SHARE_2 | MIXTRAL | MIXTRAL_LORA | SHARED | MIXED | STACKED},
    {1, 1, 4, 1, 1, 1, SHARE_4 | MIXTRAL},
    {2, 1, 2, 2, 1, 3, SHARE_2 | MIXTRAL | MIXTRAL_LORA},
    {1, 2, 4, 1, 1, 3, SHARE_2 | MIXTRAL},
    {1, 2, 4, 1, 1, 3, SHARE_4 | MIXTRAL},
    {2, 2, 2, 1, 1, 1, SHARE_4 | MIXTRAL},
    /* and each copy is on some of the ranks */
    {1, 1, 4, 1, 1, 2, SHARE_2 | OVER_2 | MIXTRAL},
    {1, 1, 4, 1, 1, 3, SHARE_2 | OVER_2 | MIXTRAL | MODES | STACKED | BALANCED},
    {1, 2, 2, 1, 1, 3, SHARE_2 | OVER_2 | MIXTRAL | MIXTRAL_LORA},
    {1, 1, 8, 1, 1, 2, SHARE_2 | OVER_4 | MIXTRAL},
    {1, 1, 8, 1, 1, 3, SHARE_2 | OVER_4 | MIXTRAL | MIXTRAL_LORA | STACKED},
    {1, 2, 4, 1, 1, 3, SHARE_4 | OVER_4 | MIXTRAL},
    {1, 1, 4, 2, 1, 3, SHARE_2 | OVER_2 | MIXTRAL | BALANCED},
    {2, 1, 4, 1, 1, 3, SHARE_2 | OVER_2 | MIXTRAL | MIXTRAL_LORA},
};

static int shard_of(const struct row *r)
{
    return r->forms & OVER_2 ? 2 : r->forms & OVER_4 ? 4 : 0;
}

static int experts_of(const struct row *r)
{
    return r->forms & SHARE_2 ? 2 : r->forms & SHARE_4 ? 4 : 1;
}

static struct job_layout layout_of(const struct row *r)
{
    return (struct job_layout){.sizes = {.axis = {r->tp, r->cp, r->dp, r->pp},
                                         .chunks = r->chunks,
                                         .experts = experts_of(r),
                                         .shard = shard_of(r)},
                               .zero = r->zero,
                               .ranks_first = r->forms & RANKS_FIRST,
                               .sequence = r->forms & SEQUENCE};
}

static void name_of(const struct row *r, char *text, size_t size)
{
    int n = snprintf(text, size, "tp %d%s cp %d dp %d pp %d x %d ZeRO-%d", r->tp,
                     r->forms & SEQUENCE ? " rows" : "", r->cp, r->dp, r->pp, r->chunks, r->zero);
    if (shard_of(r)) n += snprintf(text + n, size - (size_t)n, " over %d", shard_of(r));
    if (experts_of(r) > 1) n += snprintf(text + n, size - (size_t)n, " ep %d", experts_of(r));
    if (r->forms & RANKS_FIRST) snprintf(text + n, size - (size_t)n, " ranks first");
}

/* ---- the run of one rank ---- */
struct reference {
    struct job job;
    float **gradient; /* [parameters] of the first step; NULL: frozen */
    double all;       /* the length of them all */
};

/* The first moment after one step is 0.1 of the gradient. Reads this rank's part of it, elements
 * [*begin, *end) of the parameter. */
enum { TIMES = 10 };
static float *first_gradient(struct job *j, const struct param *p, size_t *begin, size_t *end)
{
    struct err e;
    const struct optimizer *o = &j->t.optimizer;
    const struct params_part held = zero_held(&o->zero, p->bucket);
    size_t from = p->offset, to = p->offset + p->n;
    params_clip(&from, &to, held.begin, held.end);
    float *v = malloc((to - from + 1) * sizeof *v);
    if (weights_get(&j->t.weights, o->m.flat, o->m.type, held.state + (from - held.begin),
                    to - from, v, &e))
        v[0] = NAN;
    *begin = from - p->offset;
    *end = to - p->offset;
    return v;
}

static double square(double x) { return x * x; }

static void keep_gradients(struct reference *r)
{
    const struct params *t = &r->job.t.weights.params;
    double sum = 0;
    size_t begin, end;
    r->gradient = calloc(t->count, sizeof *r->gradient);
    for (size_t i = 0; i < t->count; i++) {
        if (!t->p[i].trained) continue;
        r->gradient[i] = first_gradient(&r->job, &t->p[i], &begin, &end);
        for (size_t k = 0; k < end; k++) sum += square(TIMES * (double)r->gradient[i][k]);
    }
    r->all = sqrt(sum);
}

static bool reference_open(struct reference *r, const struct form *f)
{
    bool ok = job_open(&r->job, f, NULL, "cpu") && job_step(&r->job, 0);
    if (!ok) return false;
    keep_gradients(r);
    for (int k = 1; ok && k < JOB_STEPS; k++) ok = job_step(&r->job, k);
    return ok;
}

static void reference_close(struct reference *r)
{
    for (size_t i = 0; r->gradient && i < r->job.t.weights.params.count; i++) free(r->gradient[i]);
    free(r->gradient);
    job_close(&r->job);
}

/* ---- comparison ---- */
/* The squares of the differences of one parameter's gradient, and how many elements a rank has. */
struct difference {
    double squares;
    uint64_t elements;
};

/* Adds this rank's part of whole->p[i], if it has one. */
static void compare(struct job *j, const struct reference *r, size_t i, struct difference *d)
{
    const struct param *q = &r->job.t.weights.params.p[i];
    const struct param *p = params_find(&j->t.weights.params, q->name, strlen(q->name));
    size_t begin, end;
    if (!p) return;
    float *v = first_gradient(j, p, &begin, &end);
    for (struct param_run run = {0}; param_next(p, SIZE_MAX, &run);)
        for (size_t k = 0; k < run.n; k++) {
            const size_t at = run.at + k;
            if (at < begin || at >= end) continue;
            const double other = (double)r->gradient[i][run.whole + k];
            d->squares += square(TIMES * ((double)v[at - begin] - other));
            d->elements++;
        }
    free(v);
}

/* Checks |dg| <= 1e-5 |g| + 1e-7 |all g| of one parameter, whichever ranks have it. */
static bool near_gradient(struct job *j, const struct reference *r, size_t i)
{
    struct err e;
    const struct param *p = &r->job.t.weights.params.p[i];
    struct difference mine = {0}, sum = {0};
    double g = 0;
    compare(j, r, i, &mine);
    const struct difference *all = world_notes(w, &mine, sizeof mine, &e);
    for (int rank = 0; all && rank < w->place.size; rank++) {
        sum.squares += all[rank].squares;
        sum.elements += all[rank].elements;
    }
    for (size_t k = 0; k < p->n; k++) g += square(TIMES * (double)r->gradient[i][k]);
    const bool ok = sqrt(sum.squares) <= 1e-5 * sqrt(g) + 1e-7 * r->all && sum.elements >= p->n;
    if (!ok && !w->place.rank)
        printf("# %s: off by %.2e of %.2e, %llu elements of %zu\n", p->name, sqrt(sum.squares),
               sqrt(g), (unsigned long long)sum.elements, p->n);
    return ok;
}

static bool near_gradients(struct job *j, const struct reference *r)
{
    bool ok = true;
    for (size_t i = 0; i < r->job.t.weights.params.count; i++)
        if (r->gradient[i]) ok &= near_gradient(j, r, i);
    return ok;
}

/* Adds the squares of this rank's part of whole->p[i], beside the reference, and of the difference.
 */
static void weights_off(struct job *j, struct reference *r, size_t i, double *off, double *all)
{
    struct err e;
    struct weights *a = &j->t.weights, *b = &r->job.t.weights;
    const struct param *q = &b->params.p[i];
    const struct param *p = params_find(&a->params, q->name, strlen(q->name));
    float *v = malloc(q->n * sizeof *v), *one = malloc(q->n * sizeof *one);
    if (p && weights_get(b, b->values, b->compute, q->offset, q->n, one, &e)) *off = NAN;
    for (struct param_run run = {0}; p && param_next(p, SIZE_MAX, &run);) {
        struct param_run own = run;
        if (!weights_clip(a, &a->own, p, &own)) continue;
        const void *from = weights_own_value(a, p->bucket, p->offset + own.at);
        if (weights_get(a, from, a->compute, 0, own.n, v, &e)) *off = NAN;
        for (size_t k = 0; k < own.n; k++) {
            *off += square((double)v[k] - (double)one[own.whole + k]);
            *all += square((double)one[own.whole + k]);
        }
    }
    free(v), free(one);
}

/* Each rank has the weights of one rank after the last step: |dw| <= 1e-4 |w| of each parameter, of
 * which a step changes some 1e-2. */
static bool near_weights(struct job *j, struct reference *r)
{
    bool ok = true;
    for (size_t i = 0; i < r->job.t.weights.params.count; i++) {
        double off = 0, all = 0;
        weights_off(j, r, i, &off, &all);
        const bool near = sqrt(off) <= 1e-4 * sqrt(all);
        if (!near)
            printf("# rank %d: %s: weights off by %.2e of %.2e\n", w->place.rank,
                   r->job.t.weights.params.p[i].name, sqrt(off), sqrt(all));
        ok &= near;
    }
    return ok;
}

static uint64_t hash(const struct job *j)
{
    uint64_t h = 14695981039346656037u;
    const unsigned char *p[] = {(const void *)j->loss, (const void *)j->norm};
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; i < sizeof j->loss; i++) h = (h ^ p[k][i]) * 1099511628211u;
    return h;
}

/* Returns true if the gradients are summed over ranks before micro-batches. */
static bool sums_ranks_first(const struct row *r) { return r->zero >= 2 || r->forms & RANKS_FIRST; }

/* A tied matrix has its gradient summed in another order by the stages at both ends. */
static void print_bits(const struct row *r, const struct job *j, const char *name)
{
    const bool ends = j->f->m.tied && !j->f->frozen && r->pp > 1;
    if (w->place.rank) return;
    printf("bits\t%s,tp%d%s,cp%d,dp%d,ep%d,shard%d%s%s\t%016llx\t%s\n", j->f->name, r->tp,
           r->forms & SEQUENCE ? ",rows" : "", r->cp, r->dp, experts_of(r), shard_of(r),
           ends ? ",ends" : "", sums_ranks_first(r) ? ",ranks-first" : "",
           (unsigned long long)hash(j), name);
}

/* ---- the checks ---- */
static void check(const char *form, const char *layout, const char *what, bool ok)
{
    char name[160];
    snprintf(name, sizeof name, "%s, %s: %s", layout, form, what);
    all_agree(name, ok);
}

/* The counters of the collectives beside the formulas, after all steps. */
static void sends(const char *form, const char *layout, bool ran, const struct job *j)
{
    check(form, layout, "a rank sends the bytes that the formulas say", ran && wire_is_sent(j));
}

/* The first run of a row, and a second one with the same bits. */
static void runs(const struct row *r, const struct form *f, struct reference *one)
{
    char layout[64];
    static struct job first, second;
    const struct job_layout l = layout_of(r);
    name_of(r, layout, sizeof layout);
    bool ran = job_open(&first, f, &l, device_name) && wire_watch(&first) && job_step(&first, 0);
    check(f->name, layout, "the gradients of the first step are those of one rank",
          ran && near_gradients(&first, one));
    for (int k = 1; ran && k < JOB_STEPS; k++) ran = job_step(&first, k);
    check(f->name, layout, "losses are those of one rank",
          ran && job_off(first.loss, one->job.loss) <= 1e-6);
    check(f->name, layout, "norms are those of one rank",
          ran && job_off(first.norm, one->job.norm) <= 1e-6);
    check(f->name, layout, "weights are those of one rank", ran && near_weights(&first, one));
    if (!w->place.rank)
        printf("# %s, %s: loss off by %.1e, norm by %.1e\n", layout, f->name,
               job_off(first.loss, one->job.loss), job_off(first.norm, one->job.norm));
    print_bits(r, &first, layout);
    sends(f->name, layout, ran, &first);
    job_close(&first); /* a GPU is open once */
    const bool again = job_open(&second, f, &l, device_name) && job_run(&second);
    check(f->name, layout, "a second run has the same bits",
          ran && again && job_same(&first, &second));
    job_close(&second);
}

/* ---- memory ---- */
/* The planned bytes of a class are these, up to a fiftieth. */
static bool planned(const struct job *j, enum plan_class class, const char *what, double expected)
{
    const double bytes = (double)tiny_planned(&j->t.memory.plan, class);
    const bool ok = fabs(bytes - expected) <= 0.02 * expected;
    if (!ok)
        printf("# rank %d: %s: %.0f bytes are planned, the formula says %.0f\n", w->place.rank,
               what, bytes, expected);
    return ok;
}

/* The level of ZeRO, which one rank does not have, and the ranks that share one copy. */
struct sharing {
    int stage, ranks;
};
static struct sharing sharing_of(const struct row *r)
{
    const int all = r->dp * r->cp, stage = all > 1 ? r->zero : 0;
    return (struct sharing){stage, stage >= 2 && shard_of(r) ? shard_of(r) : all};
}

/* A rank plans its part of a larger model of the same form, and no more. */
static void memory(const struct row *r, struct form f)
{
    char layout[64];
    static struct job j;
    const struct job_layout l = layout_of(r);
    const struct sharing x = sharing_of(r);
    const int stage = x.stage, ranks = x.ranks;
    const bool first = ranks > 1 && sums_ranks_first(r);
    name_of(r, layout, sizeof layout);
    f.m = memory_model(&f.m);
    f.tokens = MEMORY_TOKENS;
    bool ok = job_plan(&j, &f, &l, device_name);
    const struct memory_sizes s = memory_sizes(&j, &f.m);
    if (ok) { /* all of them, so that each that is wrong is told */
        ok &= planned(&j, PLAN_WEIGHTS, "weights", memory_weights(&s, stage, ranks));
        ok &= planned(&j, PLAN_GRADIENTS, "gradients", memory_gradients(&s, stage, ranks, first));
        ok &= planned(&j, PLAN_MOMENTS, "moments", memory_moments(&s, stage, ranks));
        ok &= f.lora ||
              planned(&j, PLAN_ACTIVATIONS, "activations", memory_activations(&j, &s, l.sequence));
    }
    check(f.name, layout, "a rank plans the memory that the formulas say", ok);
    job_close(&j);
}

/* ---- files ---- */
/* A rank copies its part of a model's file, and no more. */
static void loads(const struct row *r, struct form f, const char *dir)
{
    char layout[64];
    double bytes, expected;
    const struct job_layout l = layout_of(r);
    const struct sharing x = sharing_of(r);
    name_of(r, layout, sizeof layout);
    f.m = loads_model(&f.m);
    bool ok = loads_run(&f, &l, dir, x.stage, x.ranks, &bytes, &expected);
    if (fabs(bytes - expected) > 0.02 * expected) {
        printf("# rank %d: %.0f bytes are copied, the formula says %.0f\n", w->place.rank, bytes,
               expected);
        ok = false;
    }
    check(f.name, layout, "a rank copies the bytes of a file that the formula says", ok);
}

/* Writes the file that all layouts of a form load. */
static bool loads_begin(struct form f, char *dir, size_t size)
{
    snprintf(dir, size, "model-%d", w->place.size);
    f.m = loads_model(&f.m);
    const bool ok = w->place.rank || loads_write(&f, dir);
    check(f.name, "one rank", "the model's file is written", ok); /* all ranks wait for it */
    return ok;
}

/* The other modes of recomputation. */
static void modes(const struct row *r, struct form f)
{
    char layout[64];
    static struct job j;
    static const char *const names[] = {"selective", "full"};
    const struct job_layout l = layout_of(r);
    name_of(r, layout, sizeof layout);
    for (int i = 0; i < 2; i++) {
        char name[100];
        f.recompute = i ? RECOMPUTE_FULL : RECOMPUTE_SELECTIVE;
        const bool ran = job_open(&j, &f, &l, device_name) && wire_watch(&j) && job_run(&j);
        snprintf(name, sizeof name, "%s, recomputed: %s", layout, names[i]);
        sends(f.name, name, ran, &j);
        print_bits(r, &j, name);
        job_close(&j);
    }
}

static void narrow(const struct row *r, struct form f, struct reference *one)
{
    char layout[64];
    static struct job j;
    const struct job_layout l = layout_of(r);
    name_of(r, layout, sizeof layout);
    f.narrow = true;
    const bool ran = job_open(&j, &f, &l, device_name) && wire_watch(&j) && job_run(&j);
    check("bf16", layout, "losses are those of one rank in fp32",
          ran && job_off(j.loss, one->job.loss) <= 5e-3);
    if (!w->place.rank)
        printf("# %s, bf16: loss off by %.1e\n", layout, job_off(j.loss, one->job.loss));
    sends("bf16", layout, ran, &j);
    job_close(&j);
}

static bool matches(const char *name, const char *part) { return !part || strstr(name, part); }

static bool runs_here(const struct row *r, const char *only)
{
    char layout[64];
    name_of(r, layout, sizeof layout);
    return r->tp * r->cp * r->dp * r->pp == w->place.size && matches(layout, only);
}

static void rows(const struct form *f, unsigned bit, const char *only)
{
    struct reference one = {0};
    char dir[32];
    const bool begun = loads_begin(*f, dir, sizeof dir), ok = reference_open(&one, f) && begun;
    const double *loss = one.job.loss;
    check(f->name, "one rank", "the loss falls by a fifth",
          ok && loss[JOB_STEPS - 1] < 0.8 * loss[0]);
    if (!w->place.rank) printf("# %s: loss %.4f to %.4f\n", f->name, loss[0], loss[JOB_STEPS - 1]);
    for (const struct row *r = table; ok && r < table + sizeof table / sizeof *table; r++) {
        const bool shared = experts_of(r) > 1;
        if (!runs_here(r, only) || ((bit || shared) && !(r->forms & bit))) continue;
        runs(r, f, &one);
        memory(r, *f);
        loads(r, *f, dir);
        if (bit && !(shared && bit == MIXTRAL)) continue;
        if (r->forms & MODES) modes(r, *f);
        if (job_has_bf16()) narrow(r, *f, &one);
    }
    reference_close(&one);
}

static struct model model_of(const char *family, bool tied, bool bias)
{
    struct model m = tiny_model(tied, bias);
    m.family = hf_family_find(family);
    m.layers = LAYERS;
    return m;
}

/* Norms of results and of all heads together; other frequencies in the layers with a window. */
static struct model olmo3(void)
{
    struct model m = model_of("olmo3", false, false);
    m.qk_norm = HF_QK_NORM_ROW;
    m.pre_norm = false;
    m.post_norm = true;
    m.eps = 0.1; /* a norm of small results enlarges their rounding from step to step */
    m.window = WINDOW;
    m.window_layers[0] = 0x1b;
    m.window_rope.theta = 20;
    m.two_ropes = true;
    return m;
}

static struct model granite(void)
{
    struct model m = model_of("granite", true, true);
    m.o_bias = m.mlp_bias = true;
    m.embed_scale = 3;
    m.residual_scale = 0.7;
    m.attention_scale = 0.5;
    m.logit_scale = 0.6;
    return m;
}
/* Documents on both sides of its limit. */
static const struct rope longrope = {.type = ROPE_LONGROPE,
                                     .theta = 10000,
                                     .original = 6,
                                     .attention = 1.2,
                                     .short_factor = {1, 1.5F},
                                     .long_factor = {2, 4}};

static struct model arcee(void)
{
    struct model m = model_of("arcee", false, false);
    m.act = ACT_RELU2;
    m.gated = false;
    return m;
}

static struct model hunyuan(void)
{
    struct model m = model_of("hunyuan_v1_dense", false, false);
    m.qk_norm = m.qk_norm_after_rope = true;
    return m;
}

static struct model gemma(void)
{
    struct model m = model_of("gemma", true, false);
    m.act = ACT_GELU_TANH;
    m.gain_offset = true;
    m.embed_scale = sqrt((double)m.hidden);
    m.embed_scale_rounded = true;
    return m;
}

static struct model experts_model(void)
{
    struct model m = model_of("qwen3_moe", false, false);
    m.qk_norm = m.normalise = true;
    m.experts = 6;
    m.chosen = 2;
    m.expert_inter = 24;
    for (int l = 0; l < LAYERS; l++) hf_layer_add(m.sparse_layers, l);
    return m;
}

static struct model shared_model(void)
{
    struct model m = experts_model();
    m.family = hf_family_find("qwen2_moe");
    m.qk_norm = m.normalise = false;
    m.qkv_bias = true;
    m.shared_inter = 56;
    m.shared_router = true;
    return m;
}

static struct model stacked_model(void)
{
    struct model m = experts_model();
    m.family = hf_family_find("granitemoeshared");
    m.qk_norm = false;
    m.shared_inter = 40;
    m.residual_scale = 0.7;
    return m;
}

/* Each stage of two has layers of both kinds, and so have the odd and the even ones. */
static struct model mixed_model(void)
{
    struct model m = experts_model();
    m.sparse_layers[0] = 0x26;
    return m;
}

/* A token chooses more experts than a rank has where four ranks share them out. */
static struct model mixtral(void)
{
    struct model m = model_of("mixtral", false, false);
    m.normalise = true;
    m.experts = 8;
    m.chosen = 3;
    m.expert_inter = 10;
    for (int l = 0; l < LAYERS; l++) hf_layer_add(m.sparse_layers, l);
    return m;
}

static struct model balanced_model(void)
{
    struct model m = experts_model();
    m.router_loss = 0.5;
    return m;
}

int main(int argc, char **argv)
{
    struct {
        struct form f;
        unsigned bit;
    } forms[] = {
        {{.name = "llama", .m = model_of("llama", false, false)}, 0},
        {{.name = "qwen2", .m = model_of("qwen2", true, true)}, QWEN2},
        {{.name = "qwen3", .m = model_of("qwen3", false, false)}, QWEN3},
        {{.name = "mistral with soft caps", .m = model_of("mistral", false, false)}, MISTRAL},
        {{.name = "glm", .m = model_of("glm", false, true)}, GLM},
        {{.name = "phi3", .m = model_of("phi3", true, false)}, PHI3},
        {{.name = "ministral3", .m = model_of("ministral3", false, false)}, MINISTRAL3},
        {{.name = "lora", .m = model_of("qwen3", false, false), .frozen = "model.", .lora = true},
         LORA},
        {{.name = "smollm3", .m = model_of("smollm3", true, false)}, SMOLLM3},
        {{.name = "granite", .m = granite()}, GRANITE},
        {{.name = "arcee", .m = arcee()}, ARCEE},
        {{.name = "hunyuan", .m = hunyuan()}, HUNYUAN},
        {{.name = "gemma", .m = gemma()}, GEMMA},
        {{.name = "olmo3", .m = olmo3()}, OLMO3},
        {{.name = "qwen3_moe", .m = experts_model()}, EXPERTS},
        {{.name = "qwen2_moe", .m = shared_model()}, SHARED},
        {{.name = "mixed", .m = mixed_model()}, MIXED},
        {{.name = "granitemoeshared", .m = stacked_model()}, STACKED},
        {{.name = "balanced", .m = balanced_model()}, BALANCED},
        {{.name = "mixtral", .m = mixtral()}, MIXTRAL},
        {{.name = "mixtral with lora", .m = mixtral(), .frozen = "model.", .lora = true},
         MIXTRAL_LORA},
    };
    if (argc > 1) device_name = argv[1];
    if (!join()) return test_failed;
    forms[2].f.m.qk_norm = forms[7].f.m.qk_norm = true;
    forms[4].f.m.rope_interleaved = true;
    forms[4].f.m.rotary_dim = forms[5].f.m.rotary_dim = 4;
    forms[5].f.m.rope = longrope;
    forms[6].f.m.rope.original = 4;
    forms[6].f.m.rope.q_beta = 0.5;
    forms[3].f.m.window = WINDOW;
    forms[3].f.m.window_layers[0] = (1U << LAYERS) - 1;
    forms[3].f.m.attention_cap = 1;
    forms[3].f.m.logit_cap = 3;
    forms[8].f.m.rope_layers[0] = 0x25; /* other layers of each stage rotate */
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        struct form *f = &forms[i].f;
        f->rows = JOB_ROWS;
        f->batches = 1;
        f->rate = f->lora && f->m.experts ? 1.4e-2
                  : f->lora               ? 1.2e-2
                  : f->m.post_norm        ? 8e-3
                                          : 7e-3; /* as much as lets the loss fall by a fifth */
        f->epsilon = 1e-6;
        f->max_norm = 1;
        if (matches(f->name, argc > 2 ? argv[2] : NULL))
            rows(f, forms[i].bit, argc > 3 ? argv[3] : NULL);
    }
    world_leave(w, 1);
    return test_failed;
}
