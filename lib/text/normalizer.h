/* SPDX-License-Identifier: Apache-2.0 */
/* The "normalizer" of tokenizer.json. */
#ifndef SFT_TEXT_NORMALIZER_H
#define SFT_TEXT_NORMALIZER_H

#include "base/json.h"
#include "regex/regex.h"
#include "text/ntext.h"

struct normalizer; /* a list of steps, maybe empty; immutable */
struct normalizer *normalizer_load(const struct json *o, struct err *e); /* o NULL or null: none */
void normalizer_free(struct normalizer *n);

struct normalizer_scratch {
    struct ntext a, b;
    struct regex_mem mem;
    void *list; /* of normal forms */
    size_t list_cap;
};
void normalizer_scratch_free(struct normalizer_scratch *s);

/* True when the steps certainly leave this text as it is. */
bool normalizer_keeps(const struct normalizer *n, struct str text);
/* Appends the normalized form of bytes [begin, end) of from to the text that `to` owns. */
int normalizer_apply(const struct normalizer *n, struct normalizer_scratch *s,
                     const struct ntext *from, size_t begin, size_t end, struct ntext *to,
                     struct err *e);

/* ---- steps on a whole text (normal_form.c); each appends to `to`, which is empty ---- */
struct transform { /* replaces characters one after the other, keeping their origins */
    const struct ntext *from;
    size_t at;
    struct ntext *to;
};
/* Appends c. change > 0: inserted, it has the origin of the character before; else it takes the
 * place of the next character and of -change more after that. */
int transform_put(struct transform *t, uint32_t c, int change, struct err *e);
/* NFC, NFD, NFKC or NFKD. */
int normal_form(struct normalizer_scratch *s, const struct ntext *from, struct ntext *to,
                bool compose, bool compat, struct err *e);
/* NFC, leaving alone what lies between characters that it may touch. */
int normal_form_nfc(struct normalizer_scratch *s, const struct ntext *from, struct ntext *to,
                    struct err *e);
/* Length of a prefix that NFC certainly leaves as it is, whatever follows. */
size_t normal_form_nfc_prefix(struct str text);

#endif
