/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of samples' losses: those of a stream, and those of groups of its samples. */
#ifndef SFT_CMD_EVAL_SUMS_H
#define SFT_CMD_EVAL_SUMS_H

#include "data/feed.h"
#include "eval.h"

struct sums {
    double loss, weight; /* sum(w * NLL), sum(w) */
    uint64_t label_tokens, samples, tokens;
    uint64_t bad;                /* samples whose loss is not finite */
    struct stream_source source; /* of the first of them */
    uint32_t token;              /* its first one with such a loss */
};

void sums_add(struct sums *to, const struct sums *from);
/* Appends the members loss, perplexity, label_tokens and samples of a JSON object. The loss has all
 * of its digits; the perplexity of a finite loss may be too large for a number, and no trained
 * token has a loss: these are null. */
void sums_put(const struct sums *s, struct buf *b);

/* Samples by the value of a field, in the order of the values. */
struct group {
    uint64_t value;
    struct sums sums;
};
struct groups {
    enum eval_by by;
    struct group *v;
    size_t n, cap;
};
/* Adds the sums of sample x to those of its group. */
int groups_add(struct groups *g, const struct feed_sample *x, const struct sums *one,
               struct err *e);
/* Appends an object in a line of its own for each group. */
void groups_put(const struct groups *g, struct buf *b);

#endif
