/* SPDX-License-Identifier: Apache-2.0 */
/* Finds keys in the tables. */
#include "config/keys.h"

#include <stdio.h>
#include <string.h>

#include "base/opt.h"

struct part {
    const struct config_key *keys;
    const size_t *count;
};
static const struct part parts[] = {
    {config_keys_top, &config_keys_top_count},
    {config_keys_train, &config_keys_train_count},
    {config_keys_megatron, &config_keys_megatron_count},
    {config_keys_fsdp2, &config_keys_fsdp2_count},
    {config_keys_sft, &config_keys_sft_count},
};

static size_t key_count(void)
{
    size_t n = 0;
    for (size_t p = 0; p < sizeof parts / sizeof *parts; p++) n += *parts[p].count;
    return n;
}

const struct config_key *config_key_at(size_t i)
{
    for (size_t p = 0; p < sizeof parts / sizeof *parts; p++) {
        if (i < *parts[p].count) return &parts[p].keys[i];
        i -= *parts[p].count;
    }
    return NULL;
}

/* True when the row matches path: exactly, or as a row "a.*", which matches every path below a. */
static bool matches(const struct config_key *k, const char *path, bool *exact)
{
    size_t n = strlen(k->path);
    *exact = !strcmp(k->path, path);
    return *exact || (n > 2 && !strcmp(k->path + n - 2, ".*") && !strncmp(k->path, path, n - 1));
}

const struct config_key *config_key_find(const char *path, enum key_scope scope)
{
    const struct config_key *best = NULL, *k;
    for (size_t i = 0; (k = config_key_at(i)); i++) {
        bool exact;
        if (!matches(k, path, &exact)) continue;
        if (exact && (k->scope == KEY_ALWAYS || k->scope == scope)) return k;
        if (!best) best = k;
    }
    return best;
}

bool config_key_is_group(const char *path)
{
    const struct config_key *k;
    size_t n = strlen(path);
    for (size_t i = 0; (k = config_key_at(i)); i++)
        if (!strncmp(k->path, path, n) && k->path[n] == '.') return true;
    return false;
}

/* The last word of a path. */
static const char *leaf(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot ? dot + 1 : path;
}

static bool same_leaf_elsewhere(const char *word, bool used, char *out, size_t size)
{
    const struct config_key *k;
    for (size_t i = 0; (k = config_key_at(i)); i++)
        if ((k->effect == KEY_USED) == used && !strcmp(leaf(k->path), word))
            return snprintf(out, size, "%s", k->path), true;
    return false;
}

/* Finds the nearest word among those that may follow the first n bytes of path. */
static bool near_beside(const char *path, size_t n, char *out, size_t size)
{
    struct arena a = {0};
    const struct config_key *k;
    size_t count = 0;
    const char **words = arena_alloc(&a, (key_count() + 1) * sizeof *words, NULL);
    for (size_t i = 0; words && (k = config_key_at(i)); i++) {
        if (strncmp(k->path, path, n)) continue;
        const char *rest = k->path + n;
        char *w = arena_copy(&a, rest, strcspn(rest, "."), NULL);
        if (w) words[count++] = w;
    }
    const char *near = words ? opt_nearest(path + n, words) : NULL;
    if (near) snprintf(out, size, "%.*s%s", (int)n, path, near);
    arena_free(&a);
    return near;
}

static bool near_anywhere(const char *word, char *out, size_t size)
{
    const struct config_key *k;
    const char **words = mem_alloc(key_count() + 1, sizeof *words, NULL);
    for (size_t i = 0; words && (k = config_key_at(i)); i++) words[i] = leaf(k->path);
    const char *near = words ? opt_nearest(word, words) : NULL;
    mem_free(words);
    return near && (same_leaf_elsewhere(near, true, out, size) ||
                    same_leaf_elsewhere(near, false, out, size));
}

bool config_key_nearest(const char *path, char *out, size_t size)
{
    const char *word = leaf(path);
    return same_leaf_elsewhere(word, true, out, size) ||
           same_leaf_elsewhere(word, false, out, size) ||
           near_beside(path, (size_t)(word - path), out, size) || near_anywhere(word, out, size);
}

bool config_word_in(const char *word, const char *words)
{
    size_t n = strlen(word);
    for (const char *p = words;; p++) {
        size_t len = strcspn(p, "|");
        if (len == n && !memcmp(p, word, n)) return true;
        p += len;
        if (!*p) return false;
    }
}
