/* SPDX-License-Identifier: Apache-2.0 */
/* Properties, case and decompositions of code points, as Hugging Face `tokenizers` has them. */
#ifndef SFT_UNICODE_H
#define SFT_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "unicode/cpset.h"

/* ---- tables (data.c) ---- */
struct unicode_run { /* code points first, first + step, ..., last map to themselves + delta */
    uint32_t first, last;
    unsigned step;
    int32_t delta;
};
#define UNICODE_TABLE(type, name)                                                                  \
    extern const type name[];                                                                      \
    extern const unsigned name##_n
UNICODE_TABLE(uint32_t, unicode_category); /* start << 8 | general category */
UNICODE_TABLE(uint32_t, unicode_script);   /* start << 8 | index of the script's name */
UNICODE_TABLE(char *const, unicode_script_name);
UNICODE_TABLE(uint32_t, unicode_alphabetic); /* first, last of each range; so the next ones */
UNICODE_TABLE(uint32_t, unicode_lowercase);
UNICODE_TABLE(uint32_t, unicode_uppercase);
UNICODE_TABLE(uint32_t, unicode_space);        /* \s of Oniguruma */
UNICODE_TABLE(uint32_t, unicode_word);         /* \w of Oniguruma */
UNICODE_TABLE(uint32_t, unicode_rust_space);   /* char::is_whitespace */
UNICODE_TABLE(uint32_t, unicode_rust_numeric); /* char::is_numeric */
UNICODE_TABLE(uint32_t, unicode_rust_punct);   /* as pre-tokenizer Punctuation has it */
UNICODE_TABLE(uint32_t, unicode_rust_word);    /* \w of the regex crate */
UNICODE_TABLE(uint32_t, unicode_nfc_care);     /* may change or move under NFC */
UNICODE_TABLE(struct unicode_run, unicode_lower);
UNICODE_TABLE(struct unicode_run, unicode_fold); /* to the least character equal under (?i) */
UNICODE_TABLE(uint32_t, unicode_lower_special);  /* code point, pool offset << 8 | length; ... */
UNICODE_TABLE(uint32_t, unicode_lower_special_pool);
UNICODE_TABLE(uint32_t, unicode_fold_special);
UNICODE_TABLE(uint32_t, unicode_fold_special_pool);
UNICODE_TABLE(uint32_t, unicode_nfd);
UNICODE_TABLE(uint32_t, unicode_nfd_pool);
UNICODE_TABLE(uint32_t, unicode_nfkd);
UNICODE_TABLE(uint32_t, unicode_nfkd_pool);
UNICODE_TABLE(uint32_t, unicode_ccc);     /* start << 8 | canonical combining class */
UNICODE_TABLE(uint32_t, unicode_compose); /* first, second, result; sorted */

/* ---- functions (unicode.c) ---- */
/* The property of that name (\p{name}: category, script, POSIX class, ...; case, spaces, - and _
 * do not count) put into the empty set: 0, -1 without memory, 1 when there is no such property.
 * Names that start with "rust:" are the sets of Rust above. */
int unicode_property(struct str name, struct cpset *set, struct err *e);
/* Characters that are equal to c without case, added to the set (c too). */
int unicode_add_folds(uint32_t c, struct cpset *set, struct err *e);
uint32_t unicode_fold_least(uint32_t c);
/* Lower case of c in out[3]; the count is returned. */
unsigned unicode_to_lower(uint32_t c, uint32_t out[3]);
unsigned unicode_combining(uint32_t c);
/* Full decomposition (of Hangul too) in out[18]; the count is returned. */
#define UNICODE_DECOMPOSED_MAX 18
unsigned unicode_decompose(uint32_t c, bool compat, uint32_t out[UNICODE_DECOMPOSED_MAX]);
/* The composite of two, or 0. */
uint32_t unicode_composite(uint32_t a, uint32_t b);

/* A map from each code point to a byte, in two stages; immutable once built. */
struct cpmap {
    uint8_t ascii[128];
    uint16_t block[0x1100]; /* of 256 code points: index into data */
    uint8_t (*data)[256];
    size_t n, cap;
};
/* From ascending boundaries: code points from at[i] on have value[i]; at[0] is 0. */
int cpmap_build(struct cpmap *m, const uint32_t *at, const uint8_t *value, size_t n, struct err *e);
void cpmap_free(struct cpmap *m);
static inline uint8_t cpmap_get(const struct cpmap *m, uint32_t c)
{
    return c < 128 ? m->ascii[c] : m->data[m->block[c >> 8]][c & 0xff];
}

#endif
