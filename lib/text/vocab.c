/* SPDX-License-Identifier: Apache-2.0 */
/* Strings and their ids: an array by id and a hash table by string. */
#include "text/vocab.h"

#include <string.h>

#include "base/hash.h"

void vocab_free(struct vocab *v)
{
    mem_free(v->token);
    mem_free(v->key);
    mem_free(v->value);
    arena_free(&v->strings);
    *v = (struct vocab){0};
}

static size_t slot_of(const struct vocab *v, struct str s)
{
    size_t i = hash_key(s.p, s.n) & (v->slots - 1);
    while (v->key[i].p && !str_eq(v->key[i], s)) i = (i + 1) & (v->slots - 1);
    return i;
}

static int resize(struct vocab *v, size_t slots, struct err *e)
{
    struct str *key = v->key;
    uint32_t *value = v->value;
    size_t old = v->slots;
    struct str *bigger = mem_alloc(slots, sizeof *bigger, e);
    uint32_t *values = bigger ? mem_alloc(slots, sizeof *values, e) : NULL;
    if (!values) return mem_free(bigger), -1;
    v->key = bigger;
    v->value = values;
    v->slots = slots;
    for (size_t i = 0; i < old; i++) {
        if (!key[i].p) continue;
        size_t at = slot_of(v, key[i]);
        v->key[at] = key[i];
        v->value[at] = value[i];
    }
    mem_free(key);
    mem_free(value);
    return 0;
}

int vocab_reserve(struct vocab *v, size_t count, struct err *e)
{
    size_t slots = 64;
    while (slots < 2 * count) slots *= 2;
    return slots > v->slots ? resize(v, slots, e) : 0;
}

int vocab_add(struct vocab *v, struct str s, uint32_t id, struct err *e)
{
    size_t at;
    char *copy;
    if (id > VOCAB_MAX_ID)
        return err_set(e, ERR_DATA, "token \"%.*s\": id %u is too large", STR_FMT(s), id);
    if (vocab_reserve(v, (size_t)v->count + 1, e)) return -1;
    if (id >= v->cap) {
        size_t cap = v->cap;
        if (mem_grow(&v->token, &v->cap, id + 1, sizeof *v->token, e)) return -1;
        memset(v->token + cap, 0, (v->cap - cap) * sizeof *v->token);
    }
    at = slot_of(v, s);
    if (!v->key[at].p) {
        copy = arena_copy(&v->strings, s.p, s.n, e);
        if (!copy) return -1;
        v->key[at] = (struct str){copy, s.n};
        v->count++;
    }
    v->value[at] = id;
    v->token[id] = v->key[at];
    if (id >= v->n) v->n = id + 1;
    return 0;
}

uint32_t vocab_find(const struct vocab *v, struct str s)
{
    size_t at;
    if (v->slots == 0) return VOCAB_NONE;
    at = slot_of(v, s);
    return !v->key[at].p ? VOCAB_NONE : v->value[at];
}

struct str vocab_token(const struct vocab *v, uint32_t id)
{
    return id < v->n ? v->token[id] : (struct str){NULL, 0};
}
