/* SPDX-License-Identifier: Apache-2.0 */
/* Tensor parallelism: the part of a model and of each of its tensors that one rank has. */
#include "model/model.h"

#include <stdio.h>

uint64_t shard_begin(uint64_t n, int parts, int at)
{
    const uint64_t each = n / (uint64_t)parts, more = n % (uint64_t)parts, i = (uint64_t)at;
    return each * i + (i < more ? i : more);
}

int shard_cut(enum shard shard, uint64_t rows, uint64_t columns, int tp, int at,
              struct shard_block *b)
{
    *b = (struct shard_block){.rows = rows, .columns = columns};
    if (tp <= 1 || !shard_is_cut(shard)) return 0;
    const uint64_t n = shard == SHARD_COLUMNS ? columns : rows;
    const uint64_t begin = shard_begin(n, tp, at), end = shard_begin(n, tp, at + 1);
    *(shard == SHARD_COLUMNS ? &b->column : &b->row) = begin;
    *(shard == SHARD_COLUMNS ? &b->columns : &b->rows) = end - begin;
    return shard == SHARD_VOCAB || n % (uint64_t)tp == 0 ? 0 : -1;
}

/* Fails with a message that names every size which is cut and is not divisible by tp. */
static int check_sizes(const struct model *m, int tp, struct err *e)
{
    const int sparse = model_sparse_layers(m);
    const char *inner = hf_family_key(m->family, HF_FIELD_EXPERT_SIZE, "intermediate_size");
    const char *shared = hf_family_key(m->family, HF_FIELD_SHARED_SIZE, "");
    const struct {
        const char *name;
        int64_t n;
    } cut[] = {{"num_attention_heads", m->heads},
               {"num_key_value_heads", m->kv_heads},
               {"intermediate_size", sparse < m->layers ? m->inter : 0},
               {inner, sparse ? m->expert_inter : 0},
               {shared, sparse ? m->shared_inter : 0}};
    char text[300];
    int used = 0;
    for (size_t i = 0; i < sizeof cut / sizeof *cut; i++)
        if (cut[i].n % tp)
            used += snprintf(text + used, sizeof text - (size_t)used, "%s%s, which is %lld",
                             used ? ", and " : "", cut[i].name, (long long)cut[i].n);
    if (!used) return 0;
    return err_set(e, ERR_CONFIG,
                   "tensor_model_parallel_size %d does not divide the model's %s; choose a divisor",
                   tp, text);
}

int model_local(const struct model *m, int tp, int at, struct model *local, struct err *e)
{
    *local = *m;
    if (tp <= 1) return 0;
    if (check_sizes(m, tp, e)) return -1;
    if (m->vocab < tp)
        return err_set(e, ERR_CONFIG,
                       "tensor_model_parallel_size %d is more than the model's vocab_size, which "
                       "is %lld; choose a smaller one",
                       tp, (long long)m->vocab);
    local->heads /= tp;
    local->kv_heads /= tp;
    local->inter /= tp;
    local->expert_inter /= tp;
    local->shared_inter /= tp;
    local->vocab_first = (int64_t)shard_begin((uint64_t)m->vocab, tp, at);
    local->vocab = (int64_t)shard_begin((uint64_t)m->vocab, tp, at + 1) - local->vocab_first;
    return 0;
}

uint64_t param_whole(const struct param *p)
{
    uint64_t n = 1;
    for (int i = 0; i < p->rank; i++) n *= p->whole[i];
    return n;
}

/* Finds the block with element *i of the parameter, which becomes the index in the block. Returns
 * false if there is none. */
static bool find_block(const struct param *p, uint64_t *i, struct shard_block *b)
{
    const int blocks = param_blocks(p);
    const uint64_t expert = p->n / (uint64_t)(blocks / p->blocks);
    if (*i >= p->n) return false;
    int k = (int)(*i / expert) * p->blocks;
    *i %= expert;
    for (; k < blocks; k++) {
        *b = param_block(p, k);
        if (*i < b->rows * b->columns) return true;
        *i -= b->rows * b->columns;
    }
    return false;
}

bool param_next(const struct param *p, size_t most, struct param_run *r)
{
    const uint64_t width = param_width(p);
    struct shard_block b;
    uint64_t i = r->at + r->n, left;
    r->at = (size_t)i;
    if (!find_block(p, &i, &b)) return false;
    if (b.columns == width) { /* the rows are adjacent */
        left = b.rows * b.columns - i;
        r->whole = b.row * width + i;
    } else {
        left = b.columns - i % b.columns;
        r->whole = (b.row + i / b.columns) * width + b.column + i % b.columns;
    }
    r->n = left < most ? (size_t)left : most;
    return true;
}
