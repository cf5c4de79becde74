/* SPDX-License-Identifier: Apache-2.0 */
/* Functions inside lib/model that describe the parameters which params_make places. */
#ifndef SFT_MODEL_PARAMS_IMPL_H
#define SFT_MODEL_PARAMS_IMPL_H

#include "model/model.h"

/* Fills in p, except for its place and offset: the tensor of a row of the family's table, in a
 * model of sizes s; expert: whose tensor, 0 where there are none. Call it after model_local with
 * the same o->tp. Fails with ERR_DATA if the number of elements overflows. */
int param_describe(const struct params_options *o, const struct hf_sizes *s,
                   const struct hf_row *row, enum hf_names names, int layer, int expert,
                   struct param *p, struct err *e);
/* Makes *all the matrix that peft adapts for the router p[1], with experts 0, or for the experts of
 * a layer, from the matrices p[n] of one of them: their rows one below the other. name: that of the
 * result. */
int param_describe_routed(const struct param *p, int n, uint64_t experts, const char *name,
                          struct param *all, struct err *e);
/* Returns the rank of the adapter of base. */
uint64_t param_adapter_rank(const struct params_options *o, const struct param *base);
/* Fill in p in the same way for the adapter's A [r, in] and B [out, r] of a linear layer, or of
 * experts: [experts * r, in] and [experts, out, r]. */
int param_describe_a(const struct params_options *o, const struct param *base, struct param *p,
                     struct err *e);
int param_describe_b(const struct params_options *o, const struct param *base, struct param *p,
                     struct err *e);
/* Returns the length of the name of the tensor's module, which is the name without ".weight". */
int param_module(const struct param *p);
/* Returns true for matrices, which decay, and for the embedding; false for vectors, which do not.
 */
bool param_is_matrix(const struct hf_role_info *x);

/* ---- params_arrange.c: from places to offsets ---- */
/* A block: tensors that are adjacent in memory. */
struct params_block {
    size_t place, first; /* place of its first element; index of its first tensor in params.p */
    int n;               /* number of tensors */
    int layer;           /* -1: the embedding; the number of layers: the norm and head */
    bool trained, decay;
    bool experts; /* a share of the experts, which has a bucket of its own */
    size_t offset;
};
struct params_blocks {
    struct params_block *b; /* in increasing order of place */
    size_t n, cap;
};
/* Rounds n up to a multiple. multiple 0: of 64, so that a matrix starts on a cache line in any
 * type. */
size_t params_aligned(size_t n, size_t multiple);
/* Returns the field of the table that has the offset of a block. */
size_t *params_slot(struct params *t, int layer, enum hf_block block);
/* Places the trained blocks in buckets and the frozen blocks after them, assigns the tensors'
 * offsets, and makes the runs. layers: the number of layers of the model. */
int params_arrange(struct params *t, int layers, struct params_blocks *blocks, size_t multiple,
                   struct err *e);

#endif
