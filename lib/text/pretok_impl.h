/* SPDX-License-Identifier: Apache-2.0 */
/* Steps of a pre-tokenizer. */
#ifndef SFT_TEXT_PRETOK_IMPL_H
#define SFT_TEXT_PRETOK_IMPL_H

#include "text/pretok.h"

enum pretok_kind {
    PRETOK_SPLIT,
    PRETOK_PREFIX_SPACE, /* a space before a piece that has none */
    PRETOK_METASPACE,    /* spaces become a mark, and one is put in front */
    PRETOK_BYTES         /* each byte becomes its character of the byte-level alphabet */
};
enum split_rule { /* what becomes of a match; the order of the names in the file */
                  SPLIT_REMOVED,
                  SPLIT_ISOLATED,
                  SPLIT_WITH_PREVIOUS,
                  SPLIT_WITH_NEXT,
                  SPLIT_CONTIGUOUS
};
enum prepend_scheme { PREPEND_ALWAYS, PREPEND_FIRST, PREPEND_NEVER };

struct pretok_step {
    enum pretok_kind kind;
    struct regex *pattern; /* PRETOK_SPLIT */
    enum split_rule rule;
    bool invert;  /* what lies between matches is what matched, and the other way round */
    char mark[4]; /* PRETOK_METASPACE */
    unsigned mark_n;
    enum prepend_scheme scheme;
};
struct pretok {
    struct pretok_step *step;
    size_t n, cap;
};

#endif
