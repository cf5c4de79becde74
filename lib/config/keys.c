/* SPDX-License-Identifier: Apache-2.0 */
/* Finds keys in the tables. */
#include "config/keys.h"

#include <string.h>

struct part {
    const struct config_key *keys;
    const size_t *count;
};
static const struct part parts[] = {
    {config_keys_top, &config_keys_top_count},
    {config_keys_train, &config_keys_train_count},
    {config_keys_megatron, &config_keys_megatron_count},
    {config_keys_fsdp2, &config_keys_fsdp2_count},
    {config_keys_deepspeed, &config_keys_deepspeed_count},
    {config_keys_sft, &config_keys_sft_count},
};

static const char *const strategies[] = {[KEY_MEGATRON] = "megatron_train",
                                         [KEY_FSDP2] = "fsdp2_train",
                                         [KEY_DEEPSPEED] = "deepspeed_train"};

enum key_scope config_scope_of(const char *strategy)
{
    for (enum key_scope s = KEY_MEGATRON; s <= KEY_DEEPSPEED; s++)
        if (strcmp(strategies[s], strategy) == 0) return s;
    return KEY_ALWAYS;
}

const char *config_scope_name(enum key_scope scope) { return strategies[scope]; }

const struct config_key *config_key_at(size_t i)
{
    for (size_t p = 0; p < sizeof parts / sizeof *parts; p++) {
        if (i < *parts[p].count) return &parts[p].keys[i];
        i -= *parts[p].count;
    }
    return NULL;
}

/* True for the first row of a path, which several strategies may have. */
static bool is_first(const struct config_key *k)
{
    const struct config_key *other;
    size_t i = 0;
    while ((other = config_key_at(i)) != k && strcmp(other->path, k->path) != 0) i++;
    return other == k;
}

const char *config_key_used(size_t i)
{
    const struct config_key *k;
    for (size_t at = 0; (k = config_key_at(at)); at++)
        if (k->effect == KEY_USED && !strchr(k->path, '*') && is_first(k) && i-- == 0)
            return k->path;
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
