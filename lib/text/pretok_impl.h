/* SPDX-License-Identifier: Apache-2.0 */
/* Private to the pre-tokenizer: its steps. */
#ifndef SFT_TEXT_PRETOK_IMPL_H
#define SFT_TEXT_PRETOK_IMPL_H

#include "text/pretok.h"

enum pretok_kind {
    PRETOK_SPLIT,
    PRETOK_PREFIX_SPACE, /* adds a space in front of a piece that does not begin with one */
    PRETOK_METASPACE,    /* replaces spaces by a mark and adds one in front */
    PRETOK_BYTES         /* replaces each byte by its character of the byte-level alphabet */
};
enum split_rule { /* "behavior" of a match, in the order of the names in read_rule() */
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
    bool invert;  /* text between matches counts as match, and matches as text between */
    char mark[4]; /* PRETOK_METASPACE */
    unsigned mark_n;
    enum prepend_scheme scheme;
};
struct pretok {
    struct pretok_step *step;
    size_t n, cap;
};

#endif
