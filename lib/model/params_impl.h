/* SPDX-License-Identifier: Apache-2.0 */
/* Inside lib/model: describing the parameters that params_make puts in their places. */
#ifndef SFT_MODEL_PARAMS_IMPL_H
#define SFT_MODEL_PARAMS_IMPL_H

#include "model/model.h"

/* Fills p but for its place and offset: the tensor of a row of the family's table, in a model of
 * sizes s. ERR_DATA when its elements cannot be counted; after model_local with the same o->tp. */
int param_describe(const struct params_options *o, const struct hf_sizes *s,
                   const struct hf_row *row, int layer, struct param *p, struct err *e);
/* The same of the adapter's A [r, in] and B [out, r] of a linear layer. */
int param_describe_a(const struct params_options *o, const struct param *base, struct param *p,
                     struct err *e);
int param_describe_b(const struct params_options *o, const struct param *base, struct param *p,
                     struct err *e);
/* The length of the name of the tensor's module, which is the name without ".weight". */
int param_module(const struct param *p);
/* Matrices decay, and so does the embedding; vectors do not. */
bool param_is_matrix(const struct hf_role_info *x);

/* ---- params_arrange.c: from places to offsets ---- */
/* Tensors that lie side by side in memory. */
struct params_block {
    size_t place, first; /* its first element; its first tensor in params.p */
    int n;               /* tensors */
    int layer;           /* -1: the embedding; the number of layers: what follows the last one */
    bool trained, decay;
    size_t offset;
};
struct params_blocks {
    struct params_block *b; /* rising by place */
    size_t n, cap;
};
/* Rounds n up to a multiple. multiple 0: of 64, so that a matrix starts on a cache line in any
 * type.
 */
size_t params_aligned(size_t n, size_t multiple);
/* The field of the table that has the offset of a block. */
size_t *params_slot(struct params *t, int layer, enum hf_block block);
/* Lays out the trained blocks in buckets and the frozen ones behind them, gives the tensors their
 * offsets, and makes the runs. layers: of the model. */
int params_arrange(struct params *t, int layers, struct params_blocks *blocks, size_t multiple,
                   struct err *e);

#endif
