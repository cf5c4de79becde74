/* SPDX-License-Identifier: Apache-2.0 */
/* One parameter: its name, the blocks of its file tensor that this rank has, and its adapter. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "model/params_impl.h"

/* Adds a block of the whole tensor to p, below the earlier blocks. */
static void add_block(struct param *p, const struct shard_block *b)
{
    struct shard_block *last = p->blocks ? &p->block[p->blocks - 1] : NULL;
    if (last && last->row + last->rows == b->row)
        last->rows += b->rows;
    else
        p->block[p->blocks++] = *b;
    p->shape[0] += b->rows;
    if (p->rank > 1) p->shape[1] = b->columns;
}

/* Returns the experts that this rank has, from *first on. */
static uint64_t own_experts(const struct params_options *o, uint64_t experts, uint64_t *first)
{
    const uint64_t own = o->ep > 1 ? experts / (uint64_t)o->ep : experts;
    *first = o->ep > 1 ? (uint64_t)o->ep_at * own : 0;
    return own;
}

/* Makes p, the matrix of one expert, the stacked ones of so many, of which this rank may have a
 * range. Blocks of all rows of an expert are one. */
static void stack(struct param *p, const struct params_options *o, uint64_t experts)
{
    uint64_t first;
    const uint64_t own = own_experts(o, experts, &first);
    p->rank = 3;
    p->whole[2] = p->whole[1];
    p->whole[1] = p->each = p->whole[0];
    p->whole[0] = experts;
    p->shape[0] *= own;
    for (int i = 0; i < p->blocks; i++) p->block[i].row += first * p->each;
    if (p->blocks == 1 && p->block[0].rows == p->each)
        p->block[0].rows *= own;
    else
        p->stacked = (int)own;
}

static int count_elements(struct param *p, struct err *e)
{
    if (mem_mul((size_t)p->shape[0], p->rank > 1 ? (size_t)p->shape[1] : 1, &p->n))
        return err_set(e, ERR_DATA, "tensor %s is too large", p->name);
    return 0;
}

bool param_is_matrix(const struct hf_role_info *x)
{
    return x->kind == HF_PARAM_MATRIX || x->kind == HF_PARAM_EMBEDDING;
}

/* Returns how the parameter of a role is cut. A parameter that is replicated acts on the rows of
 * the residual stream, as norms do, or is added to them. */
static enum shard shard_of(const struct params_options *o, const struct hf_role_info *x)
{
    return o->sequence && x->shard == SHARD_REPLICATED ? SHARD_PARTIAL : x->shard;
}

/* Each role in a tensor is cut separately. */
int param_describe(const struct params_options *o, const struct hf_sizes *s,
                   const struct hf_row *row, enum hf_names names, int layer, int expert,
                   struct param *p, struct err *e)
{
    const struct hf_role_info *x = hf_row_info(row);
    const uint64_t columns = hf_row_columns(row, s);
    char own[HF_TENSOR_NAME];
    *p = (struct param){.rank = x->columns == HF_DIM_ONE ? 1 : 2,
                        .shard = shard_of(o, x),
                        .decay = param_is_matrix(x)};
    hf_row_name(row->name, layer, expert, own, sizeof own);
    hf_name_in(names, own, p->name, sizeof p->name);
    for (const enum hf_role *role = row->roles; *role; role++) {
        const uint64_t rows = s->dim[hf_roles[*role].rows];
        struct shard_block b;
        shard_cut(x->shard, rows, columns, o->tp, o->at, &b); /* model_local has checked this */
        b.row += p->whole[0];
        p->whole[0] += rows;
        add_block(p, &b);
    }
    if (p->rank == 2) p->whole[1] = columns;
    if (hf_row_is_stacked(row)) stack(p, o, s->dim[HF_DIM_EXPERTS]);
    p->trained = !o->frozen || !o->frozen(o->arg, p->name);
    return count_elements(p, e);
}

int param_module(const struct param *p) { return (int)(strlen(p->name) - strlen(".weight")); }

/* whole[2] of the result is the number of matrices that are one below the other. */
int param_describe_routed(const struct param *p, int n, uint64_t experts, const char *name,
                          struct param *all, struct err *e)
{
    *all = (struct param){.rank = 2,
                          .shard = p->shard,
                          .routed = true,
                          .experts = experts,
                          .whole = {0, p->whole[1], (uint64_t)n}};
    if ((size_t)snprintf(all->name, sizeof all->name, "%s", name) >= sizeof all->name)
        return err_set(e, ERR_DATA, "the name %s is too long", name);
    for (int i = 0; i < n; i++) {
        struct shard_block b = p[i].block[0]; /* a matrix of one role */
        b.row += all->whole[0];
        all->whole[0] += p[i].whole[0];
        add_block(all, &b);
    }
    return 0;
}

uint64_t param_adapter_rank(const struct params_options *o, const struct param *base)
{
    const uint64_t r = (uint64_t)o->lora.rank;
    return base->experts && !o->lora.single ? r * base->whole[2] : r;
}

static struct param adapter(const struct param *base, const char *factor)
{
    struct param p = {.rank = 2,
                      .decay = true,
                      .trained = true,
                      .adapter = true,
                      .routed = base->routed,
                      .experts = base->experts};
    snprintf(p.name, sizeof p.name, "%.*s.%s.weight", param_module(base), base->name, factor);
    return p;
}

/* Describes A. The columns of A are cut like the columns of the layer. If the rows of B are cut
 * instead, each rank has the gradient through its rows of B. */
int param_describe_a(const struct params_options *o, const struct param *base, struct param *p,
                     struct err *e)
{
    const uint64_t r = param_adapter_rank(o, base), experts = base->experts ? base->experts : 1;
    uint64_t first = 0;
    const uint64_t own = base->experts ? own_experts(o, experts, &first) : 1;
    *p = adapter(base, "lora_A");
    p->shard = base->shard == SHARD_COLUMNS ? SHARD_COLUMNS : SHARD_PARTIAL;
    p->whole[0] = experts * r;
    p->whole[1] = base->whole[1];
    add_block(p, &(struct shard_block){.row = first * r,
                                       .rows = own * r,
                                       .column = base->block[0].column,
                                       .columns = base->block[0].columns});
    return count_elements(p, e);
}

/* Describes B. The rows of B are cut like the rows of the layer. If the columns of A are cut
 * instead, each rank has the gradient through its part of x A^T. */
int param_describe_b(const struct params_options *o, const struct param *base, struct param *p,
                     struct err *e)
{
    const uint64_t r = param_adapter_rank(o, base);
    *p = adapter(base, "lora_B");
    p->shard = base->shard == SHARD_COLUMNS ? SHARD_PARTIAL : base->shard;
    p->whole[0] = base->whole[0];
    p->whole[1] = r;
    for (int i = 0; i < base->blocks; i++)
        add_block(p, &(struct shard_block){
                         .row = base->block[i].row, .rows = base->block[i].rows, .columns = r});
    if (base->experts) stack(p, o, base->experts);
    return count_elements(p, e);
}
