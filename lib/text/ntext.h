/* SPDX-License-Identifier: Apache-2.0 */
/* Text between the stages of a tokenizer: its bytes, the range of the original text that each byte
 * comes from, and its pieces. */
#ifndef SFT_TEXT_NTEXT_H
#define SFT_TEXT_NTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

struct ntext_range {
    uint32_t begin, end; /* bytes of the original text */
};

/* A text; zero-initialise it. Either a view of the original text (align is NULL, byte i comes from
 * the character that contains byte i), or an own text with align[n] and a bound on n. */
struct ntext {
    const char *p;
    size_t n, max;
    struct ntext_range *align;
    char *own;
    size_t own_cap;
    struct ntext_range *ranges;
    size_t ranges_cap;
};
void ntext_free(struct ntext *t);
void ntext_view(struct ntext *t, struct str original);
/* Makes it an empty own text of at most `max` bytes. */
void ntext_clear(struct ntext *t, size_t max);
/* The most bytes that normalizer and pre-tokenizer may make of a text of n bytes: no form of
 * Unicode and no alphabet of bytes makes more than 33 of one. */
static inline size_t ntext_most(size_t n) { return 1024 + 64 * n; }
/* Returns the range of the original text for bytes [begin, end) of t, begin < end. */
struct ntext_range ntext_origin(const struct ntext *t, size_t begin, size_t end);
/* Appends bytes [begin, end) of `from` to t, which has an own text. 0, or -1 with the error set. */
int ntext_copy(struct ntext *t, const struct ntext *from, size_t begin, size_t end, struct err *e);
/* Appends n bytes that come from the range r. */
int ntext_put(struct ntext *t, const char *p, size_t n, struct ntext_range r, struct err *e);

enum { PIECE_TEXT = UINT32_MAX };
struct piece {
    uint32_t begin, end; /* bytes of the ntext */
    uint32_t origin; /* byte of the original text at which the piece began when it was split off */
    uint32_t id;     /* PIECE_TEXT, or the id of an added token */
};
struct pieces {
    struct piece *v;
    size_t n, cap;
};
void pieces_free(struct pieces *l);
/* Appends the piece [begin, end) of t, unless it is empty. */
int pieces_add(struct pieces *l, const struct ntext *t, size_t begin, size_t end, uint32_t id,
               struct err *e);

#endif
