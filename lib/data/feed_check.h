/* SPDX-License-Identifier: Apache-2.0 */
/* Checks a stream before anything is trained on it. */
#ifndef SFT_DATA_FEED_CHECK_H
#define SFT_DATA_FEED_CHECK_H

#include "data/feed.h"

/* The stream that a configuration asks for. */
struct feed_wanted {
    const char *tokenizer; /* identity */
    uint64_t length, global_batch;
    double epochs;
    enum pack_mode mode;
    bool plan; /* global batch, epochs and mode matter: a training stream */
};
/* ERR_CONFIG names what differs and the command that makes the right stream; ERR_DATA is for
 * another tokenizer, and for a plan without a trained token. */
int feed_check(const struct feed *f, const struct feed_wanted *w, struct err *e);
/* Reads the file of a plan: one of its first `steps` steps must have a trained token and, where its
 * tokenizer has more tokens than the model, all ids of these steps must be the model's. It stops as
 * soon as that is known, after the first row of most plans. ERR_DATA. */
int feed_survey(const char *path, const struct model_vocab *v, uint64_t steps, struct err *e);

#endif
