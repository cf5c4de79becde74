/* SPDX-License-Identifier: Apache-2.0 */
/* Strings and their ids, both ways. */
#ifndef SFT_TEXT_VOCAB_H
#define SFT_TEXT_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

enum { VOCAB_MAX_ID = 1 << 24, VOCAB_NONE = UINT32_MAX };

/* A vocabulary; zero-initialise it. */
struct vocab {
    struct str *token; /* [n] string of each id; p NULL: there is none */
    uint32_t n;        /* 1 + the largest id */
    uint32_t count;    /* number of strings */
    size_t cap;
    struct str *key; /* [slots] hash table with open addressing; p NULL: free */
    uint32_t *value; /* [slots] id of the key */
    size_t slots;
    struct arena strings;
};
void vocab_free(struct vocab *v);
int vocab_reserve(struct vocab *v, size_t count, struct err *e); /* call it before vocab_add() */
/* Adds a string, which is copied. A string that is there already gets the new id. */
int vocab_add(struct vocab *v, struct str s, uint32_t id, struct err *e);
uint32_t vocab_find(const struct vocab *v, struct str s);   /* VOCAB_NONE when absent */
struct str vocab_token(const struct vocab *v, uint32_t id); /* p NULL: there is no such id */

#endif
