/* SPDX-License-Identifier: Apache-2.0 */
/* Private to the decoder: its steps. */
#ifndef SFT_TEXT_DECODER_IMPL_H
#define SFT_TEXT_DECODER_IMPL_H

#include "regex/regex.h"
#include "text/decoder.h"

enum decoder_kind {
    DECODE_BYTES,
    DECODE_REPLACE,
    DECODE_FALLBACK,
    DECODE_FUSE,
    DECODE_STRIP,
    DECODE_METASPACE
};
struct decoder_part {
    enum decoder_kind kind;
    struct regex *pattern; /* DECODE_REPLACE */
    char *content;
    size_t content_n;
    uint32_t c; /* DECODE_STRIP, DECODE_METASPACE */
    int64_t start, stop;
    bool never; /* DECODE_METASPACE: the pre-tokenizer adds no mark in front */
};
struct decoder {
    struct decoder_part *step;
    size_t n, cap;
    bool join; /* there is no decoder: join tokens with spaces */
};

/* The most bytes that a decoder may make of n bytes of tokens. */
static inline size_t decoder_most(size_t n) { return 1024 + 64 * n; }
/* Applies a step to a list of strings. */
int decoder_step(const struct decoder_part *s, struct decoder_list *in, struct decoder_list *out,
                 struct err *e);
/* ---- steps on one string ---- */
void decoder_put_bytes(struct str s, struct buf *out);
int decoder_put_replaced(const struct decoder_part *s, struct regex_mem *mem, struct str t,
                         struct buf *out, struct err *e);
/* Returns the byte of "<0xNN>", or -1. Like Rust's from_str_radix, it accepts a sign. */
int decoder_fallback_byte(struct str s);
void decoder_put_spaced(const struct decoder_part *s, struct str t, bool first, struct buf *out);

#endif
