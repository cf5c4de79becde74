/* SPDX-License-Identifier: Apache-2.0 */
/* Low-rank adapters (LoRA, Hu et al. 2021): a linear layer y = x W^T gets + scale * drop(x) A^T B^T
 * with trained A [r, in] and B [out, r]. They belong to the parameter table; a block of layers that
 * are computed as one product (q|k|v, gate|up) has the A of its members side by side. */
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
    uint64_t seed; /* of dropout */
    /* True if a linear layer of this name has an adapter: "model.layers.0.self_attn.q_proj". */
    bool (*target)(void *arg, const char *module);
    void *arg;
};

/* One member's: its columns [column, column + out) of the block's result. */
struct lora_part {
    int64_t column, out;
    size_t b; /* offset of B [out, r] */
};
enum { LORA_PARTS = HF_BLOCK_ROWS };
struct lora_block {
    size_t weight;   /* offset of the block's weight [out, in] */
    size_t a;        /* of A [parts * r, in] */
    int64_t in, out; /* of the block */
    uint32_t site;   /* of dropout: part i has site + i */
    int parts;
    struct lora_part part[LORA_PARTS];
};

struct weights;
struct weights_state;
struct stage;
/* From now on elements are dropped as in this step; or, not on, none is. */
void lora_drop(struct stage *s, bool on, uint64_t step);
/* A is uniform in +-1/sqrt(in), as peft begins (kaiming_uniform with a = sqrt(5)); B is zero. Into
 * the weights and, unless NULL, into master. */
int lora_start(struct weights *w, uint64_t seed, const struct weights_state *master, struct err *e);
/* The options of weights that have the adapter's matrices; without dropout. p must outlive them. */
struct lora_options lora_of_peft(const struct peft *p);
/* Values of an adapter that peft_check has seen: A, B, and modules trained as a whole. ERR_DATA
 * when its matrices are not those of the weights. */
int lora_load(struct weights *w, const struct peft *p, const struct weights_state *master,
              struct err *e);

#endif
