/* SPDX-License-Identifier: Apache-2.0 */
/* Regular expressions of tokenizers: a subset of Oniguruma's default syntax over valid UTF-8. The
 * leftmost match wins, and of its alternatives the first. */
#ifndef SFT_REGEX_H
#define SFT_REGEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

struct regex; /* immutable: threads share it */

/* Compiles a pattern; regex_free() releases it. NULL with ERR_DATA, which names a construct outside
 * the subset, or ERR_MEMORY. */
struct regex *regex_compile(struct str pattern, struct err *e);
/* Compiles a pattern of this project, which may contain \p{rust:space}, \p{rust:numeric},
 * \p{rust:punct} and \p{rust:word}. */
struct regex *regex_compile_builtin(struct str pattern, struct err *e);
/* Compiles a pattern that matches the text itself. */
struct regex *regex_literal(struct str text, struct err *e);
void regex_free(struct regex *r);

/* Working memory of a thread, and the steps that are left to the iterators that use it;
 * zero-initialise it. */
struct regex_mem {
    struct regex_frame *frames; /* of the backtracking matcher */
    size_t cap;
    uint64_t budget;
};
void regex_mem_free(struct regex_mem *m);
/* Grants the steps for a text of n bytes, in place of those that are left. All searches in the
 * parts of that text share them. Must run before the first search. */
void regex_allow(struct regex_mem *m, size_t n);

/* Successive matches in a text, as find_iter of the Rust crate onig returns them: it skips an empty
 * match right behind the previous match. */
struct regex_iter {
    const struct regex *r;
    struct regex_mem *mem;
    const char *text;
    size_t n;
    size_t at;       /* where the next search begins */
    size_t last_end; /* the end of the previous match, or SIZE_MAX */
};
void regex_iter_init(struct regex_iter *it, const struct regex *r, struct regex_mem *mem,
                     const char *text, size_t n);
/* Finds the next match. 1 with its bytes [*begin, *end); 0: there is none; -1 with ERR_DATA (too
 * many steps) or ERR_MEMORY. */
int regex_next(struct regex_iter *it, size_t *begin, size_t *end, struct err *e);

#endif
