/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the key that an unknown one was meant to be. Only a key that has an effect and takes other
 * values than its default is suggested; where another is nearer, its reason is told. */
#include <stdio.h>
#include <string.h>

#include "base/opt.h"
#include "config/keys.h"

/* Names that other trainers have for the settings of a key. */
static const struct {
    const char *word, *path;
} others[] = {
    {"save_total_limit", "max_ckpt_to_keep"},
    {"max_seq_length", "sequence_length"},
    {"max_length", "sequence_length"},
    {"cutoff_len", "sequence_length"},
    {"packing", "sft_train.use_sequence_packing"},
    {"bf16", "sft_train.model_args.dtype"},
    {"fp16", "sft_train.model_args.dtype"},
    {"torch_dtype", "sft_train.model_args.dtype"},
    {"gradient_checkpointing", "sft.recompute"},
    {"per_device_eval_batch_size", "sft_train.infer_batch_size"},
    {"clip_grad", "max_grad_norm"},
    {"lora_r", "sft_train.model_args.lora_rank"},
    {"target_modules", "sft_train.model_args.lora_target"},
    {"lora_target_modules", "sft_train.model_args.lora_target"},
    {"report_to", "track_with"},
    {"num_epochs", "sft_train.training_args.num_train_epochs"},
    {"early_stopping_steps", "sft_train.training_args.early_stopping_patience"},
    {"train_file", "sft_train.data_args.file_name"},
    {"validation_file", "validation.data_args.file_name"},
};

/* The search: a path whose key is unknown, and the strategy of the configuration. */
struct search {
    const char *path;
    enum key_scope scope;
};

static bool helps(const struct search *s, const struct config_key *k)
{
    return k->effect == KEY_USED && (k->scope == KEY_ALWAYS || k->scope == s->scope);
}

static const char *reason(const struct config_key *k)
{
    if (k->effect != KEY_USED) return k->doc;
    return k->scope == KEY_FSDP2      ? "only fsdp2_train reads it"
           : k->scope == KEY_MEGATRON ? "only megatron_train reads it"
                                      : "only deepspeed_train reads it";
}

static enum config_near suggest(const char *path, char *out, size_t size)
{
    snprintf(out, size, "%s", path);
    return CONFIG_NEAR_KEY;
}

static enum config_near dissuade(const struct config_key *k, char *out, size_t size)
{
    snprintf(out, size, "%s", reason(k));
    return CONFIG_NEAR_USELESS;
}

/* The last word of a path. */
static const char *leaf(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot ? dot + 1 : path;
}

/* Counts the equal bytes at the beginning of two paths. Below validation most keys are ignored, so
 * a key there is the last choice for one elsewhere. */
static int kinship(const char *a, const char *b)
{
    int n = 0;
    while (a[n] && a[n] == b[n]) n++;
    return n == 0 && strncmp(b, "validation.", 11) == 0 ? -1 : n;
}

/* Returns the key with this last word, of those that help or of the others, that shares the longest
 * beginning with the path. */
static const struct config_key *with_leaf(const struct search *s, const char *word, bool helpful)
{
    const struct config_key *best = NULL, *k;
    for (size_t i = 0; (k = config_key_at(i)); i++)
        if (helps(s, k) == helpful && strcmp(leaf(k->path), word) == 0 &&
            (!best || kinship(s->path, k->path) > kinship(s->path, best->path)))
            best = k;
    return best;
}

static enum config_near same_leaf(const struct search *s, const char *word, char *out, size_t size)
{
    const struct config_key *k = with_leaf(s, word, true);
    if (k) return suggest(k->path, out, size);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(others[i].word, word) == 0) return suggest(others[i].path, out, size);
    k = with_leaf(s, word, false);
    return k ? dissuade(k, out, size) : CONFIG_NEAR_NONE;
}

/* Finds the nearest to `word` among the words at byte `from` of the keys that begin with the first
 * `from` bytes of the path, or among the last words of all keys (anywhere). Keys that help come
 * first, and so win a tie. The word is in *a. */
static const char *nearest(const struct search *s, const char *word, size_t from, bool anywhere,
                           struct arena *a)
{
    const struct config_key *k;
    size_t count = 0, n = 0;
    while (config_key_at(n)) n++;
    const char **words = arena_alloc(a, (n + 1) * sizeof *words, NULL);
    for (int helpful = 1; words && helpful >= 0; helpful--)
        for (size_t i = 0; (k = config_key_at(i)); i++) {
            if (helps(s, k) != helpful || (!anywhere && strncmp(k->path, s->path, from) != 0))
                continue;
            const char *rest = anywhere ? leaf(k->path) : k->path + from;
            char *w = arena_copy(a, rest, strcspn(rest, "."), NULL);
            if (w) words[count++] = w;
        }
    return words ? opt_nearest(word, words) : NULL;
}

/* The key or the group whose path is the first n bytes of s->path and then the word. */
static enum config_near beside(const struct search *s, size_t n, const char *word, char *out,
                               size_t size)
{
    const struct config_key *k, *useless = NULL;
    const size_t len = strlen(word);
    for (size_t i = 0; (k = config_key_at(i)); i++) {
        if (strncmp(k->path, s->path, n) != 0 || strncmp(k->path + n, word, len) != 0 ||
            (k->path[n + len] && k->path[n + len] != '.'))
            continue;
        if (helps(s, k)) {
            snprintf(out, size, "%.*s%s", (int)n, s->path, word);
            return CONFIG_NEAR_KEY;
        }
        if (!useless) useless = k;
    }
    return useless ? dissuade(useless, out, size) : CONFIG_NEAR_NONE;
}

enum config_near config_key_nearest(const char *path, enum key_scope scope, char *out, size_t size)
{
    const struct search s = {path, scope};
    const char *word = leaf(path);
    const size_t n = (size_t)(word - path);
    struct arena a = {0};
    char other[300];
    enum config_near found = same_leaf(&s, word, out, size);
    if (found) return found;
    const char *near = nearest(&s, word, n, false, &a);
    if (near) found = beside(&s, n, near, out, size);
    near = found == CONFIG_NEAR_KEY ? NULL : nearest(&s, word, 0, true, &a);
    const enum config_near far = near ? same_leaf(&s, near, other, sizeof other) : CONFIG_NEAR_NONE;
    if (far == CONFIG_NEAR_KEY || found == CONFIG_NEAR_NONE) {
        if (far) snprintf(out, size, "%s", other);
        found = far;
    }
    arena_free(&a);
    return found;
}
