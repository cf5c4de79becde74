/* SPDX-License-Identifier: Apache-2.0 */
/* Text on its way through normalizers and pre-tokenizers: its bytes, the range of the original text
 * that each byte comes from, and the pieces that it has been cut into. */
#ifndef SFT_TEXT_NTEXT_H
#define SFT_TEXT_NTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

struct ntext_range {
    uint32_t begin, end; /* bytes of the original text */
};

/* Zero-initialise. Either a view of the original text (align NULL: byte i comes from the character
 * around byte i), or text of its own with align[n]. */
struct ntext {
    const char *p;
    size_t n;
    struct ntext_range *align;
    char *own;
    size_t own_cap;
    struct ntext_range *ranges;
    size_t ranges_cap;
};
void ntext_free(struct ntext *t);
void ntext_view(struct ntext *t, struct str original);
void ntext_clear(struct ntext *t); /* empty text of its own */
/* The range of the original for bytes [begin, end) of t, begin < end. */
struct ntext_range ntext_origin(const struct ntext *t, size_t begin, size_t end);
/* Appends bytes [begin, end) of from. t must have text of its own. */
int ntext_copy(struct ntext *t, const struct ntext *from, size_t begin, size_t end, struct err *e);
/* Appends n bytes that all come from the same range. */
int ntext_put(struct ntext *t, const char *p, size_t n, struct ntext_range r, struct err *e);

enum { PIECE_TEXT = UINT32_MAX };
struct piece {
    uint32_t begin, end; /* bytes of the ntext */
    uint32_t origin;     /* where in the original the piece began when it was cut */
    uint32_t id;         /* PIECE_TEXT, or the added token that it is */
};
struct pieces {
    struct piece *v;
    size_t n, cap;
};
void pieces_free(struct pieces *l);
/* Adds a piece of t unless it is empty. */
int pieces_add(struct pieces *l, const struct ntext *t, size_t begin, size_t end, uint32_t id,
               struct err *e);

#endif
