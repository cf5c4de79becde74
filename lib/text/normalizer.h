/* SPDX-License-Identifier: Apache-2.0 */
/* The "normalizer" of tokenizer.json. */
#ifndef SFT_TEXT_NORMALIZER_H
#define SFT_TEXT_NORMALIZER_H

#include "base/json.h"
#include "regex/regex.h"
#include "text/ntext.h"

struct normalizer; /* a list of steps; immutable */
/* Loads the normalizer; o NULL or null: it has no steps. NULL with ERR_DATA or ERR_MEMORY. */
struct normalizer *normalizer_load(const struct json *o, struct err *e);
void normalizer_free(struct normalizer *n);

struct normalizer_scratch {
    struct ntext a, b;
    struct regex_mem mem;
    void *list; /* characters of normal_form.c */
    size_t list_cap;
};
void normalizer_scratch_free(struct normalizer_scratch *s);

/* True only when the steps do not change the text. */
bool normalizer_is_identity(const struct normalizer *n, struct str text);
/* Normalizes bytes [begin, end) of `from` and appends the result to `to`, which owns its text. No
 * step makes more bytes than fit into `to`. ERR_DATA when it would, or a pattern takes too many
 * steps: regex_allow(&s->mem, ...) grants them. */
int normalizer_apply(const struct normalizer *n, struct normalizer_scratch *s,
                     const struct ntext *from, size_t begin, size_t end, struct ntext *to,
                     struct err *e);

/* ---- normal forms (normal_form.c); each appends to `to` and keeps the origins ---- */
struct transform { /* replaces the characters of `from`, in order */
    const struct ntext *from;
    size_t at;
    struct ntext *to;
};
/* Appends c. change > 0: c is inserted and has the origin of the previous character. Otherwise c
 * replaces the next 1 - change characters and has the origin of the first. */
int transform_put(struct transform *t, uint32_t c, int change, struct err *e);
/* NFC, NFD, NFKC or NFKD. */
int normal_form(struct normalizer_scratch *s, const struct ntext *from, struct ntext *to,
                bool compose, bool compat, struct err *e);
/* NFC that copies the text between the characters that NFC can change. */
int normal_form_nfc(struct normalizer_scratch *s, const struct ntext *from, struct ntext *to,
                    struct err *e);
/* Returns the length of a prefix that NFC does not change, whatever follows it. */
size_t normal_form_nfc_prefix(struct str text);

#endif
