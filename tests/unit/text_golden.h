/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the tests of lib/text: golden files and the hash in them. */
#ifndef SFT_TEST_TEXT_GOLDEN_H
#define SFT_TEST_TEXT_GOLDEN_H

#include "base/io.h"
#include "base/json.h"
#include "test.h"
#include "text/tokenizer.h"

#define GOLDEN    "tests/golden/tokenizer/"
#define REAL_DATA "../shared/data/"

struct golden {
    struct io_map map;
    struct arena arena;
    struct json *doc;
};

static inline bool golden_open(struct golden *g, const char *path)
{
    struct err e = {0};
    *g = (struct golden){0};
    if (io_map(path, &g->map, &e) != 0) {
        printf("not ok %s: %s\n", path, e.msg);
        return test_failed = 1, false;
    }
    g->doc = json_parse((const char *)g->map.p, g->map.n, &g->arena, &e);
    if (g->doc == NULL) printf("not ok %s: %s\n", path, e.msg), test_failed = 1;
    return g->doc != NULL;
}

static inline void golden_close(struct golden *g)
{
    arena_free(&g->arena);
    io_unmap(&g->map);
}

static inline int64_t golden_int(const struct json *v)
{
    int64_t x = -1;
    json_int(v, &x);
    return x;
}

/* FNV-1a over 32-bit words. */
#define HASH_START 0xcbf29ce484222325u
static inline uint64_t hash_word(uint64_t h, uint32_t w) { return (h ^ w) * 0x100000001b3u; }

static inline uint64_t hash_list(uint64_t h, const struct token_list *l, bool ranges)
{
    for (size_t i = 0; i < l->n; i++) h = hash_word(h, l->ids[i]);
    for (size_t i = 0; ranges && i < l->n; i++) {
        h = hash_word(h, l->begin[i]);
        h = hash_word(h, l->end[i]);
    }
    return h;
}

static inline bool hash_is(uint64_t h, struct str hex)
{
    char text[17];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)h);
    return str_is(hex, text);
}

struct session { /* a tokenizer with what one thread needs */
    struct tokenizer *t;
    struct tokenizer_scratch *s;
    struct token_list list;
    struct err e;
};

static inline bool session_open(struct session *x, const char *dir)
{
    *x = (struct session){0};
    x->t = tokenizer_load(dir, &x->e);
    x->s = x->t == NULL ? NULL : tokenizer_scratch_new(x->t, &x->e);
    if (x->s == NULL) printf("not ok load %s: %s\n", dir, x->e.msg), test_failed = 1;
    return x->s != NULL;
}

static inline void session_close(struct session *x)
{
    tokenizer_scratch_free(x->s);
    tokenizer_free(x->t);
    token_list_free(&x->list);
}

#endif
