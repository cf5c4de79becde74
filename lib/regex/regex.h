/* SPDX-License-Identifier: Apache-2.0 */
/* Regular expressions as Oniguruma's default syntax has them (the subset that tokenizers use), over
 * valid UTF-8, leftmost and first alternative first. */
#ifndef SFT_REGEX_H
#define SFT_REGEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

struct regex; /* immutable: threads share it */

/* A construct outside the subset is refused by name (ERR_DATA). regex_literal matches the text
 * itself. */
struct regex *regex_compile(struct str pattern, struct err *e);
/* For patterns of this project: \p{rust:space}, rust:numeric, rust:punct and rust:word are known.
 */
struct regex *regex_compile_own(struct str pattern, struct err *e);
struct regex *regex_literal(struct str text, struct err *e);
void regex_free(struct regex *r);

/* Working memory of the backtracking matcher; zero-initialise, one a thread. */
struct regex_mem {
    struct regex_frame *frames;
    size_t cap;
};
void regex_mem_free(struct regex_mem *m);

/* Successive matches in a text, as onig's find_iter gives them: an empty match right after the
 * match before it is passed over. Steps are bounded in proportion to the text. */
struct regex_iter {
    const struct regex *r;
    struct regex_mem *mem;
    const char *text;
    size_t n;
    size_t at;       /* where the next search begins */
    size_t last_end; /* of the last match, or SIZE_MAX */
    uint64_t budget; /* steps left */
};
void regex_iter_init(struct regex_iter *it, const struct regex *r, struct regex_mem *mem,
                     const char *text, size_t n);
/* 1 with the match, 0 when there is none left, -1 with ERR_DATA (too many steps) or ERR_MEMORY. */
int regex_next(struct regex_iter *it, size_t *begin, size_t *end, struct err *e);

#endif
