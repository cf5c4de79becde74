/* SPDX-License-Identifier: Apache-2.0 */
/* Low-rank adapters (LoRA, Hu et al. 2021): a linear layer y = x W^T becomes y = x W^T + scale *
 * drop(x) A^T B^T with trained A [r, in] and B [out, r]. The parameter table lists A and B. Layers
 * that are computed as one product (q|k|v, gate|up) form a block, which stores the A of its members
 * one below the other.
 *
 * The experts of a layer have adapters as peft's target_parameters have: of gate and up together,
 * y = (W + scale * B A) x with B [2 inner, r] and A [r, hidden] of each expert, and of down. A lies
 * as [experts, r, in] in memory and in peft's file, as its [experts * r, in]. B is [experts, out,
 * r], but [out, r * experts] in peft's file, the expert's number running fastest. They have no
 * dropout, and neither has the adapter of a router. */
#ifndef SFT_MODEL_LORA_H
#define SFT_MODEL_LORA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "hf/peft.h"

struct lora_options {
    int64_t rank; /* 0: no adapter */
    double scale, dropout;
    bool single;   /* the rank of gate and up of experts, which have one adapter, is `rank`; else it
                      is twice that, as peft has it where their layers are named */
    uint64_t seed; /* seed of dropout */
    /* Returns true if the linear layer of this name has an adapter:
     * "model.layers.0.self_attn.q_proj"; or a router, "model.layers.0.mlp.gate"; or the experts of
     * a layer, "model.layers.0.mlp.experts.gate_up_proj" and "...down_proj". */
    bool (*target)(void *arg, const char *module);
    void *arg;
};

/* One member of a block. It computes columns [column, column + out) of the block's result. */
struct lora_part {
    int64_t column, out;
    size_t b; /* offset of B [out, r] */
};
enum { LORA_PARTS = HF_BLOCK_ROWS };
struct lora_block {
    size_t weight;   /* offset of the block's weight [out, in] */
    size_t a;        /* offset of A [parts * r, in] */
    int64_t in, out; /* widths of the block */
    int64_t first;   /* its first column in the whole model's block */
    uint32_t site;   /* dropout site of part 0; part i has site + i */
    int parts;
    struct lora_part part[LORA_PARTS];
    int64_t rank;    /* of each part */
    int32_t experts; /* this rank's, each of which has an A and a B; 0: no block of experts */
};

struct param;
/* Returns true for B of experts, whose elements have another order in peft's file; and the place in
 * that file of the parameter's element i. */
bool lora_is_permuted(const struct param *p);
uint64_t lora_file_element(const struct param *p, uint64_t i);

struct weights;
struct weights_state;
struct stage;
/* Turns dropout on for this step, or turns it off. */
void lora_drop(struct stage *s, bool on, uint64_t step);
/* Initialises A uniformly in +-1/sqrt(in), as PEFT does (kaiming_uniform with a = sqrt(5)), and B
 * to zero. Writes the values to the weights and, unless master is NULL, to the master weights. */
int lora_start(struct weights *w, uint64_t seed, const struct weights_state *master, struct err *e);
/* Returns the options of weights that have the adapter's matrices, without dropout. p must outlive
 * them. */
struct lora_options lora_of_peft(const struct peft *p);
/* Loads the values of an adapter that peft_check has accepted: A, B, and modules that are trained
 * as a whole. Fails with ERR_DATA if its matrices are not those of the weights. */
int lora_load(struct weights *w, const struct peft *p, const struct weights_state *master,
              struct err *e);

#endif
