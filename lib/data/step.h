/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of one optimizer step, or of a part of one. */
#ifndef SFT_DATA_STEP_H
#define SFT_DATA_STEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stream/stream.h"

struct feed_sample {
    struct stream_source source;
    size_t first; /* of its tokens in feed_step.ids */
    uint32_t n;
    uint32_t messages; /* up to the last of those that a token is from */
};
struct feed_row {
    size_t first; /* of its samples in feed_step.samples */
    uint32_t samples;
    uint64_t tokens;
};
/* Rows in the stream's order. weights[t] is the weight of token t as a target: that of a sample's
 * first token is 0. */
struct feed_step {
    uint64_t step; /* from 0 */
    uint32_t *ids;
    float *weights;
    struct feed_sample *samples;
    struct feed_row *rows;
    size_t tokens, nsamples, nrows;
    size_t ids_cap, weights_cap, samples_cap, rows_cap;
    double weight;         /* sum of weights */
    uint64_t label_tokens; /* weights above 0 */
    uint64_t checksum;     /* of the stream's rows up to and with this step */
    double squares;        /* sum of the samples' lengths squared */
    bool fixed;            /* the arrays belong to the feed and have their last size */
};
/* Frees the arrays, unless they belong to the feed. */
void feed_step_free(struct feed_step *s);

#endif
