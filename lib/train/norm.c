/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of squares over the runs of this rank's parts, bucket by bucket and group by group. */
#include "train/norm.h"

#include "parallel/collect.h"

/* A pass over the runs of a bucket in canonical order, which counts the groups in `edges` or
 * computes the sums. */
struct pass {
    struct norm *n;
    bool counts;
    double *sum;          /* of the bucket */
    size_t groups;        /* in `edges` so far */
    size_t origin, group; /* the last group: its number, counted from position `origin` */
};

/* Elements [begin, end) of the gradients that one rank owns. The first element has position
 * `place`; groups are counted from position `origin`. */
struct piece {
    size_t begin, end, place, origin, bucket;
    bool own;
};

static char *at(void *base, size_t element, enum dtype t)
{
    return (char *)base + element * dtype_size(t);
}

static void add_squares(const struct norm *n, double *sum, const void *x, size_t count)
{
    const struct weights *w = n->weights;
    op_sum(w->device,
           &(struct op_sum){
               .sum = sum, .x = x, .n = (int64_t)count, .squares = true, .dtype = w->gradient});
}

/* Copies elements [from, to) of a piece, a part of one group, to that group in `edges`. */
static void put_edge(struct pass *p, const struct piece *x, size_t from, size_t to)
{
    const struct norm *n = p->n;
    const struct weights *w = n->weights;
    const size_t position = x->place + (from - x->begin) - x->origin;
    const size_t group = position / NORM_GROUP, bytes = (to - from) * dtype_size(w->gradient);
    if (from == to) return;
    if (p->groups == 0 || p->origin != x->origin || p->group != group) p->groups++;
    p->origin = x->origin;
    p->group = group;
    if (p->counts || !x->own) return;
    const size_t slot = (p->groups - 1) * NORM_GROUP + position % NORM_GROUP;
    op_copy_rows(w->device, &(struct op_copy_rows){.y = at(n->edges, slot, w->gradient),
                                                   .x = weights_own_gradient(w, x->bucket, from),
                                                   .rows = 1,
                                                   .bytes = bytes,
                                                   .y_stride = bytes,
                                                   .x_stride = bytes});
}

/* Sums the whole groups of a piece in place, and copies its ends to `edges`. */
static void sum_piece(struct pass *p, const struct piece *x)
{
    const struct weights *w = p->n->weights;
    const size_t count = x->end - x->begin, off = (x->place - x->origin) % NORM_GROUP;
    size_t head = (NORM_GROUP - off) % NORM_GROUP;
    if (head > count) head = count;
    const size_t body = (count - head) / NORM_GROUP * NORM_GROUP;
    put_edge(p, x, x->begin, x->begin + head);
    if (body && x->own && !p->counts)
        add_squares(p->n, p->sum, weights_own_gradient(w, x->bucket, x->begin + head), body);
    put_edge(p, x, x->begin + head + body, x->end);
}

/* Processes the elements of a run that are in the parts of a rank. */
static void sum_run(struct pass *p, const struct params_run *r, int rank)
{
    const struct zero *z = p->n->zero;
    const struct params_part part = params_part(z->params, r->bucket, z->ranks, rank);
    struct piece x = {.origin = r->range, .bucket = r->bucket};
    size_t begin = r->begin, end = r->end;
    params_clip(&begin, &end, part.begin, part.end);
    for (; begin < end; begin = x.end) {
        x.begin = begin;
        x.end = end;
        x.place = r->place + (begin - r->begin);
        x.own = weights_counted(p->n->weights, begin, &x.end) && rank == zero_at(z, r->bucket);
        sum_piece(p, &x);
    }
}

/* Returns the number of groups in `edges` after those of the bucket; `groups` are before them. */
static size_t pass(struct norm *n, size_t bucket, size_t groups, bool counts)
{
    const struct params *t = &n->weights->params;
    struct pass p = {.n = n, .counts = counts, .groups = groups, .origin = SIZE_MAX};
    p.sum = counts ? NULL : n->sums + t->buckets[bucket].layer + 1;
    for (size_t i = 0; i < t->nruns; i++)
        for (int rank = 0; rank < n->zero->ranks && t->runs[i].bucket == bucket; rank++)
            if (params_shares(t, bucket, rank)) sum_run(&p, &t->runs[i], rank);
    return p.groups;
}

/* Runs the passes of all buckets of experts, or of all others, and returns as `pass` does. */
static size_t passes(struct norm *n, bool experts, size_t groups, bool counts)
{
    const struct params *t = &n->weights->params;
    for (size_t b = 0; b < t->nbuckets; b++)
        if (t->buckets[b].experts == experts) groups = pass(n, b, groups, counts);
    return groups;
}

static size_t edge_bytes(const struct norm *n, size_t groups)
{
    return groups * NORM_GROUP * dtype_size(n->weights->gradient);
}

size_t norm_buckets(const struct norm *n) { return (size_t)n->weights->whole.layers + 2; }

size_t norm_plan(struct norm *n, struct weights *w, const struct zero *z, struct plan *plan,
                 size_t *experts)
{
    *n = (struct norm){.weights = w, .zero = z};
    const size_t buckets = norm_buckets(n), bytes = buckets * sizeof(double);
    const size_t others = passes(n, false, 0, true);
    n->groups = passes(n, true, others, true);
    n->experts = n->groups - others;
    *experts = edge_bytes(n, n->experts);
    plan_add(plan, PLAN_DATA, "gradient norm", -1, buckets, sizeof(double), PLAN_ALWAYS, 0,
             (void **)&n->sums);
    plan_add(plan, PLAN_DATA, "gradient norm", -1, 1, sizeof(double), PLAN_ALWAYS, 0,
             (void **)&n->sumsq);
    plan_add_host(plan, PLAN_DATA, "gradient norm", bytes, (void **)&n->total);
    const int then = plan_after(plan); /* a time without a pass in flight */
    if (n->groups)
        plan_add(plan, PLAN_DATA, "gradient norm's edges", -1, edge_bytes(n, n->groups), 1, then,
                 then, &n->edges);
    return edge_bytes(n, others) > bytes ? edge_bytes(n, others) : bytes;
}

static void zero_bytes(const struct norm *n, void *y, size_t bytes)
{
    if (bytes) op_zero(n->weights->device, &(struct op_zero){.y = y, .bytes = bytes});
}

/* Adds the squares of the edges of all buckets of experts, or of all others. */
static void add_edges(struct norm *n, bool experts)
{
    const struct params *t = &n->weights->params;
    size_t from = experts ? n->groups - n->experts : 0, to;
    for (size_t b = 0; b < t->nbuckets; b++, from = to) {
        to = t->buckets[b].experts == experts ? pass(n, b, from, true) : from;
        if (to > from)
            add_squares(n, n->sums + t->buckets[b].layer + 1,
                        at(n->edges, from * NORM_GROUP, n->weights->gradient),
                        (to - from) * NORM_GROUP);
    }
}

/* Sums edges over the ranks of a group: each rank has its own elements and zeros elsewhere. The
 * first rank adds their squares. */
static void sum_edges(struct norm *n, bool experts, struct comm *group, size_t first, size_t groups)
{
    const struct weights *w = n->weights;
    if (groups)
        collect_sum(w->device, group, at(n->edges, first * NORM_GROUP, w->gradient),
                    groups * NORM_GROUP, w->gradient);
    collect_join(w->device, group);
    if (collect_rank(group) == 0) add_edges(n, experts);
}

void norm_sum(struct norm *n)
{
    const struct weights *w = n->weights;
    const struct zero *z = n->zero;
    const size_t others = n->groups - n->experts;
    zero_bytes(n, n->sums, norm_buckets(n) * sizeof(double));
    zero_bytes(n, n->edges, edge_bytes(n, n->groups));
    passes(n, true, passes(n, false, 0, false), false);
    sum_edges(n, false, z->dp, 0, others);
    if (w->params.ep > 1) sum_edges(n, true, z->experts, others, n->experts);
    collect_sum(w->device, n->zero->dp, n->sums, norm_buckets(n), DT_F64);
    collect_join(w->device, n->zero->dp);
}

int norm_total(struct norm *n, double *sumsq, struct err *e)
{
    struct device *d = n->weights->device;
    const size_t buckets = norm_buckets(n);
    if (d->ops->download(d, n->total, n->sums, buckets * sizeof(double), e)) return -1;
    for (size_t i = 1; i < buckets; i++) n->total[0] += n->total[i];
    *sumsq = n->total[0];
    device_upload(d, n->sumsq, n->total, sizeof(double));
    return 0;
}
