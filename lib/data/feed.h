/* SPDX-License-Identifier: Apache-2.0 */
/* What to train on: a stream of rows, gathered into steps. */
#ifndef SFT_DATA_FEED_H
#define SFT_DATA_FEED_H

#include <stddef.h>
#include <stdint.h>

#include "model/model.h"
#include "stream/stream.h"

struct feed_sample {
    struct stream_source source;
    size_t first; /* of its tokens in feed_step.ids */
    uint32_t n;
};
struct feed_row {
    size_t first; /* of its samples in feed_step.samples */
    uint32_t samples;
    uint64_t tokens;
};
/* The rows of one optimizer step, in order. weights[t] is the weight of token t as a target: that
 * of a sample's first token is 0. */
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

struct feed;
struct mesh;
/* path "-": standard input. A packed stream; or, with `loose`, a stream of samples too, which gives
 * a row a sample and steps of 64 rows. Tokens must be in the vocabulary, which is copied. */
struct feed *feed_open(const char *path, bool loose, const struct model_vocab *v, struct err *e);
/* For all ranks of a job, which call it and feed_next together: each reads a file by itself; what
 * is not a file is read by rank 0, which tells the others. A packed stream only. */
struct feed *feed_open_shared(const char *path, const struct model_vocab *v, const struct mesh *m,
                              struct err *e);
const struct stream_header *feed_header(const struct feed *f);
const char *feed_name(const struct feed *f); /* for messages: the path, or "<stdin>" */
/* No row may be longer; without this call the stream's own length is the bound. */
void feed_limit(struct feed *f, uint64_t length);
/* The most that a step of a plan can hold. */
struct feed_room {
    uint64_t tokens, samples, rows;
    bool parts; /* a step that is larger comes as several */
};
/* A row has `length` tokens, and a step global_batch samples (rows in mode dense, where a sample
 * may be as short as one token). */
struct feed_room feed_room(uint64_t length, uint64_t global_batch, enum pack_mode mode);
/* Of depth + 1 steps: one in training, and `depth` prefetched. SIZE_MAX when it is too large. */
size_t feed_room_bytes(const struct feed_room *r, unsigned depth);
/* From now on steps are kept in `memory` (feed_room_bytes; NULL: it is allocated), a step that the
 * room does not hold is ERR_DATA (or comes in parts, see there), and a thread reads up to depth
 * steps ahead: the steps, and where a failure shows, are the same for any depth. f stays in use by
 * that thread until feed_close. */
int feed_prefetch(struct feed *f, const struct feed_room *r, unsigned depth, void *memory,
                  struct err *e);
/* 1 and the next step in *s (arrays are reused), 0 at the end, -1 on failure. */
int feed_next(struct feed *f, struct feed_step *s, struct err *e);
/* Hash of the rows of the steps given so far, in their order: to recognise a stream when a run is
 * resumed. */
uint64_t feed_checksum(const struct feed *f);
/* Reads f, freshly opened, past its first `step` steps; ERR_CONFIG when the checksum of their rows
 * is another. */
int feed_seek(struct feed *f, uint64_t step, uint64_t checksum, struct err *e);
void feed_close(struct feed *f); /* NULL is fine */
void feed_step_free(struct feed_step *s);

/* feed_check.c: */
/* What a configuration says of the stream it wants; ERR_CONFIG naming what differs and the
 * command line that makes the right one. ERR_DATA for another tokenizer, and for a plan in which no
 * token is trained. */
struct feed_wanted {
    const char *tokenizer; /* identity */
    uint64_t length, global_batch;
    double epochs;
    enum pack_mode mode;
    bool plan; /* global batch, epochs and mode matter: a training stream */
};
int feed_check(const struct feed *f, const struct feed_wanted *w, struct err *e);
/* Looks into the file of a plan before anything is trained on it: that one of its first `steps`
 * steps has a trained token and, where its tokenizer has more tokens than the model, that all ids
 * of these steps are the model's. It reads no further than that takes, which is the first row of
 * most plans. ERR_DATA. */
int feed_survey(const char *path, const struct model_vocab *v, uint64_t steps, struct err *e);

#endif
