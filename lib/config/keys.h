/* SPDX-License-Identifier: Apache-2.0 */
/* The table of all configuration keys. It drives reading, checks, suggestions, the resolved
 * configuration, the list of keys without effect, and docs/config.md. */
#ifndef SFT_CONFIG_KEYS_H
#define SFT_CONFIG_KEYS_H

#include <stddef.h>

#include "config/config.h"

enum key_type {
    KEY_BOOL,
    KEY_INT,     /* int64_t between lo and hi */
    KEY_REAL,    /* double between lo and hi */
    KEY_STR,     /* const char *; a number is taken as it is written */
    KEY_WORD,    /* a word of `words`; stored as const char * */
    KEY_DTYPE,   /* a word of `words`; stored as enum dtype */
    KEY_PATH,    /* const char *, a file or folder: a leading ~ is the home folder */
    KEY_STRS,    /* struct config_strings; one string is a list of one */
    KEY_PATHS,   /* struct config_strings of paths */
    KEY_DEVICES, /* struct config_ints; a YAML list or a Python expression of ROLL */
    KEY_RESUME,  /* bool or path; stored as const char * */
    KEY_ANY      /* any value, including nested ones; not stored */
};
enum key_effect {
    KEY_USED,
    KEY_IDLE, /* no effect here; doc gives the reason */
    KEY_LIMIT /* sft-train accepts only the values in `only` */
};
/* The strategy whose strategy_config has the key. */
enum key_scope { KEY_ALWAYS, KEY_MEGATRON, KEY_FSDP2, KEY_DEEPSPEED };

struct config_key {
    const char *path; /* "a.b.c" */
    enum key_type type;
    enum key_effect effect;
    enum key_scope scope;
    const char *dflt;  /* as written in YAML; NULL: none */
    const char *words; /* KEY_WORD, KEY_DTYPE: "a|b|c" */
    double lo, hi;     /* both 0: any */
    const char *only;  /* "a|b": what sft-train takes (null always); "": only when empty */
    size_t to;         /* offset in struct config plus 1; 0: not stored */
    bool unshown;      /* not part of the resolved configuration */
    const char *as;    /* path of another key under which the value is shown */
    const char *doc;   /* one line: what it does, why it has no effect, or what is missing */
};

/* Return the scope of a strategy, KEY_ALWAYS if it has no keys here, and the strategy of a scope.
 */
enum key_scope config_scope_of(const char *strategy);
const char *config_scope_name(enum key_scope scope);

const struct config_key *config_key_at(size_t i); /* NULL after the last */
/* Returns the path of the i-th key that has an effect here and no "*"; NULL after the last. */
const char *config_key_used(size_t i);
/* Returns the row for path, or NULL. Prefers an exact row of the given strategy, then one of
 * another strategy or a row "a.*". */
const struct config_key *config_key_find(const char *path, enum key_scope scope);
bool config_key_is_group(const char *path); /* true when a key lies below path */
/* Looks for the key that was probably meant: the same last word elsewhere, else another trainer's
 * name for a setting, else a similar word in the same group, else a similar word anywhere. */
enum config_near {
    CONFIG_NEAR_NONE,
    CONFIG_NEAR_KEY,    /* out is its path */
    CONFIG_NEAR_USELESS /* it is refused or has no effect; out is the reason */
};
enum config_near config_key_nearest(const char *path, enum key_scope scope, char *out, size_t size);
bool config_word_in(const char *word, const char *words); /* words: "a|b|c" */

/* The tables, in the order of the resolved configuration. */
extern const struct config_key config_keys_top[], config_keys_train[], config_keys_megatron[],
    config_keys_fsdp2[], config_keys_deepspeed[], config_keys_sft[];
extern const size_t config_keys_top_count, config_keys_train_count, config_keys_megatron_count,
    config_keys_fsdp2_count, config_keys_deepspeed_count, config_keys_sft_count;

/* Rows of the tables. */
#define TO(field) .to = offsetof(struct config, field) + 1
#define MAX_COUNT 1e15
#define USED(p, t, ...)                                                                            \
    {                                                                                              \
        .path = p, .type = t, .effect = KEY_USED, __VA_ARGS__                                      \
    }
#define IDLE(p, t, why)                                                                            \
    {                                                                                              \
        .path = p, .type = t, .effect = KEY_IDLE, .doc = why                                       \
    }
#define LIMIT(p, t, ok, why)                                                                       \
    {                                                                                              \
        .path = p, .type = t, .effect = KEY_LIMIT, .only = ok, .doc = why                          \
    }

#endif
