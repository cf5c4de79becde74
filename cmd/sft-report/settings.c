/* SPDX-License-Identifier: Apache-2.0 */
/* The settings of several runs beside each other. */
#include <string.h>

#include "report.h"

enum { MAX_KEY = 512 };

static struct setting *find(struct settings *s, const char *key, struct err *e)
{
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->list[i].key, key) == 0) return &s->list[i];
    if (mem_grow(&s->list, &s->cap, s->count + 1, sizeof *s->list, e)) return NULL;
    struct setting *new = &s->list[s->count];
    *new = (struct setting){.key = mem_strndup(key, strlen(key), e)};
    new->value = new->key ? mem_alloc(s->runs, sizeof *new->value, e) : NULL;
    if (!new->value) {
        mem_free(new->key);
        return NULL;
    }
    s->count++;
    return new;
}

/* Adds the members of an object, and of those in it, of run r; key has `used` bytes. */
static int flatten(struct settings *s, const struct json *object, char key[MAX_KEY], size_t used,
                   size_t r, struct err *e)
{
    for (size_t i = 0; i < object->count; i++) {
        const struct json *v = &object->items[i];
        const struct str k = object->keys[i];
        const size_t end = used + (used > 0) + k.n;
        if (end >= MAX_KEY) continue; /* no key of a configuration is that long */
        if (used) key[used] = '.';
        memcpy(key + end - k.n, k.p, k.n);
        key[end] = 0;
        if (v->kind == JSON_OBJECT) {
            if (flatten(s, v, key, end, r, e)) return -1;
            continue;
        }
        struct buf text = {0};
        json_write(v, &text);
        struct setting *to = buf_check(&text, e) ? NULL : find(s, key, e);
        if (to) to->value[r] = mem_strndup(text.data, text.len, e);
        buf_free(&text);
        if (!to || !to->value[r]) return -1;
    }
    return 0;
}

static bool differs(const struct setting *s, size_t n)
{
    for (size_t r = 1; r < n; r++)
        if (strcmp(s->value[r] ? s->value[r] : "", s->value[0] ? s->value[0] : "") != 0)
            return true;
    return false;
}

int settings_of(struct settings *s, const struct run *runs, size_t n, struct err *e)
{
    char key[MAX_KEY];
    *s = (struct settings){.runs = n};
    for (size_t r = 0; r < n; r++)
        if (runs[r].settings && flatten(s, runs[r].settings, key, 0, r, e)) return -1;
    for (size_t i = 0; i < s->count; i++) s->list[i].differs = differs(&s->list[i], n);
    return 0;
}

void settings_free(struct settings *s)
{
    for (size_t i = 0; i < s->count; i++) {
        for (size_t r = 0; r < s->runs; r++) mem_free(s->list[i].value[r]);
        mem_free(s->list[i].value);
        mem_free(s->list[i].key);
    }
    mem_free(s->list);
}
