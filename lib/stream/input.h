/* SPDX-License-Identifier: Apache-2.0 */
/* Internal declarations of the reader: the bytes of a stream, hashed as they are consumed. */
#ifndef SFT_STREAM_INPUT_H
#define SFT_STREAM_INPUT_H

#include "base/io.h"
#include "stream/format.h"

enum { STREAM_RAW = 64 << 10 };

struct stream_input {
    struct io_in *in;
    bool pipe;           /* the previous stage causes an early end */
    struct hash64 *hash; /* of every byte consumed so far */
    unsigned char raw[STREAM_RAW];
    size_t at, end;  /* raw[at, end) is not yet consumed */
    uint64_t offset; /* of raw[at] in the file */
};

/* Opens a file; "-" is standard input, where a terminal is ERR_USAGE. The caller calls input_close
 * in any case. The messages of the other functions name no file, except those of ERR_IO. */
int input_open(struct stream_input *in, const char *path, struct err *e);
void input_close(struct stream_input *in);

/* Makes at least n bytes (n <= STREAM_RAW) available, fewer only at the end. -1 on a read error. */
int input_fill(struct stream_input *in, size_t n, struct err *e);
/* Makes at least n bytes available; ERR_DATA when the input ends before. */
int input_need(struct stream_input *in, size_t n, struct err *e);
static inline const unsigned char *input_next(const struct stream_input *in)
{
    return in->raw + in->at;
}
static inline size_t input_has(const struct stream_input *in) { return in->end - in->at; }
/* Consumes n of the available bytes. */
void input_take(struct stream_input *in, size_t n);
/* Sets the error of an input that ends too early. Returns -1. */
int input_cut_short(const struct stream_input *in, struct err *e);

/* Reads the payload of the next skippable frame, which has at most max bytes, into b, and checks
 * and removes its last 8 bytes: the XXH64 of every byte of the file before them. `what` names the
 * frame in messages. */
int input_sealed(struct stream_input *in, const char *what, size_t max, struct buf *b,
                 struct err *e);

#endif
