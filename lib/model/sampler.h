/* SPDX-License-Identifier: Apache-2.0 */
/* Draws the next token from logits, with the filters of transformers in its order: repetition
 * penalty, temperature, top_k, top_p, min_p. */
#ifndef SFT_MODEL_SAMPLER_H
#define SFT_MODEL_SAMPLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct sampling {
    double temperature; /* 0: the largest logit is taken */
    int64_t top_k;      /* 0: all tokens */
    double top_p;       /* 1: all tokens */
    double min_p;       /* of the largest probability; 0: all tokens */
    double repetition;  /* penalty of the tokens before; 1: none */
    uint64_t seed;
};

struct sampler_token {
    float logit;
    int32_t id;
};

struct sampler {
    struct sampling how;
    int64_t vocab;
    struct sampler_token *all; /* [vocab]: those that are kept come first */
    double *prob;              /* [vocab] */
    bool *seen;                /* [vocab] */
    int64_t popped;            /* internal: tokens that have left the heap */
};

/* Allocates the memory; sampler_free() releases it. */
int sampler_init(struct sampler *s, const struct sampling *how, int64_t vocab, struct err *e);
void sampler_free(struct sampler *s);

/* True if the next token is that of the largest logit as it is: no filter changes it. */
bool sampler_greedy(const struct sampler *s);

/* Keeps the tokens that the filters leave, in s->all[0, n), by logit from the largest and by id,
 * and their probabilities in s->prob; returns n >= 1. logits [vocab] are finite; before: the
 * nbefore tokens of the document, which the penalty is for. With temperature 0 one token is kept.
 */
int64_t sampler_filter(struct sampler *s, const float *logits, const uint32_t *before,
                       size_t nbefore);

/* Returns a token that is drawn from those. The draw is that of (seed, conversation, nbefore): the
 * same call returns the same token. */
int32_t sampler_next(struct sampler *s, const float *logits, const uint32_t *before, size_t nbefore,
                     uint64_t conversation);

#endif
