/* SPDX-License-Identifier: Apache-2.0 */
/* Properties, case and decompositions of code points, as in Hugging Face `tokenizers`. */
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
UNICODE_TABLE(uint32_t, unicode_alphabetic); /* first, last of each range, like the next ones */
UNICODE_TABLE(uint32_t, unicode_lowercase);
UNICODE_TABLE(uint32_t, unicode_uppercase);
UNICODE_TABLE(uint32_t, unicode_space);        /* \s of Oniguruma */
UNICODE_TABLE(uint32_t, unicode_word);         /* \w of Oniguruma */
UNICODE_TABLE(uint32_t, unicode_rust_space);   /* char::is_whitespace */
UNICODE_TABLE(uint32_t, unicode_rust_numeric); /* char::is_numeric */
UNICODE_TABLE(uint32_t, unicode_rust_punct);   /* of the pre-tokenizer Punctuation */
UNICODE_TABLE(uint32_t, unicode_rust_word);    /* \w of the regex crate */
UNICODE_TABLE(uint32_t, unicode_nfc_care);     /* NFC may change or move it */
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
/* Puts the code points of the property (a category, script, POSIX class, ... as in \p{name}) into
 * the empty set. Case, spaces, - and _ in the name are ignored; names that begin with "rust:" are
 * the tables of Rust above. 0; 1: there is no such property; -1 with ERR_MEMORY. */
int unicode_property(struct str name, struct cpset *set, struct err *e);
/* Adds c and the characters that equal it without case. 0, or -1 with ERR_MEMORY. */
int unicode_add_folds(uint32_t c, struct cpset *set, struct err *e);
uint32_t unicode_fold_least(uint32_t c); /* the least character that equals c without case */
/* Writes the lower case of c to out and returns the number of characters. */
unsigned unicode_to_lower(uint32_t c, uint32_t out[3]);
unsigned unicode_combining(uint32_t c); /* the canonical combining class */
/* The general category of c, numbered as in unicode_category: ranges of it are the letters (L), the
 * numbers (N) and what is neither printed nor assigned. */
enum {
    UNICODE_UNASSIGNED = 0,
    UNICODE_LETTER_FIRST = 1,
    UNICODE_LETTER_LAST = 5,
    UNICODE_DECIMAL = 9,
    UNICODE_NUMBER_LAST = 11,
    UNICODE_SEPARATOR_FIRST = 23, /* separators, controls, formats, surrogates, private use */
};
unsigned unicode_category_of(uint32_t c);
/* Writes the full decomposition of c, also of Hangul, to out and returns its length. */
#define UNICODE_DECOMPOSED_MAX 18
unsigned unicode_decompose(uint32_t c, bool compat, uint32_t out[UNICODE_DECOMPOSED_MAX]);
/* Returns the composite of two characters, or 0. */
uint32_t unicode_composite(uint32_t a, uint32_t b);

/* A map from each code point to a byte, in two stages; immutable once built. */
struct cpmap {
    uint8_t ascii[128];
    uint16_t block[0x1100]; /* of 256 code points: index into data */
    uint8_t (*data)[256];
    size_t n, cap;
};
/* Builds the map: code points from at[i] to before at[i + 1] have value[i]; at is ascending, at[0]
 * is 0. 0, or -1 with ERR_MEMORY; cpmap_free() releases the map. */
int cpmap_build(struct cpmap *m, const uint32_t *at, const uint8_t *value, size_t n, struct err *e);
void cpmap_free(struct cpmap *m);
static inline uint8_t cpmap_get(const struct cpmap *m, uint32_t c)
{
    return c < 128 ? m->ascii[c] : m->data[m->block[c >> 8]][c & 0xff];
}

#endif
