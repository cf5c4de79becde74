/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a stream of samples as steps. */
#ifndef SFT_DATA_FEED_H
#define SFT_DATA_FEED_H

#include "data/step.h"
#include "model/model.h"

struct feed;
struct mesh;
/* Opens a packed stream; path "-" is standard input. With `loose` a stream of samples is accepted
 * too: a sample is a row, and 64 rows are a step. Every token must be in the vocabulary, which is
 * copied. */
struct feed *feed_open(const char *path, bool loose, const struct model_vocab *v, struct err *e);
/* The same for all ranks of a job, which call it and feed_next together. Each rank reads a file by
 * itself; rank 0 reads anything else and broadcasts it. */
struct feed *feed_open_broadcast(const char *path, bool loose, const struct model_vocab *v,
                                 const struct mesh *m, struct err *e);
void feed_close(struct feed *f); /* NULL is fine */
const struct stream_header *feed_header(const struct feed *f);
const char *feed_name(const struct feed *f); /* for messages: the path, or "<stdin>" */
/* Sets the longest row; without this call the bound is the stream's own length. */
void feed_limit(struct feed *f, uint64_t length);

/* The most that a step can hold. */
struct feed_room {
    uint64_t tokens, samples, rows;
    bool parts; /* a larger step comes as several */
};
/* A row has `length` tokens, and a step global_batch samples (rows in mode dense, where a sample
 * may be as short as one token). */
struct feed_room feed_room(uint64_t length, uint64_t global_batch, enum pack_mode mode);
/* The bytes of depth + 1 steps: one in training, and `depth` prefetched. SIZE_MAX when it is too
 * large. */
size_t feed_room_bytes(const struct feed_room *r, unsigned depth);
/* Steps now lie in `memory` (feed_room_bytes; NULL: it is allocated), and a thread prefetches up to
 * depth of them until feed_close. The steps, and where a failure shows, are the same for any depth.
 * A step that the room does not hold is ERR_DATA, or comes in parts. */
int feed_prefetch(struct feed *f, const struct feed_room *r, unsigned depth, void *memory,
                  struct err *e);

/* 1 and the next step in *s (arrays are reused), 0 at the end, -1 on failure. */
int feed_next(struct feed *f, struct feed_step *s, struct err *e);
/* The hash of the rows handed out so far, in their order: it identifies the stream when a run is
 * resumed. */
uint64_t feed_checksum(const struct feed *f);
/* Reads f, freshly opened, past its first `step` steps. ERR_CONFIG: the checksum of their rows is
 * another. */
int feed_seek(struct feed *f, uint64_t step, uint64_t checksum, struct err *e);

#endif
