/* SPDX-License-Identifier: Apache-2.0 */
/* sft-config --keys: writes the table of keys as Markdown, which is also the end of docs/config.md.
 */
#include <stdbool.h>
#include <string.h>

#include "config/keys.h"
#include "keys.h"

/* Writes "a|b" as "a, b", because a bar would end the cell. */
static void put_words(struct buf *b, const char *words)
{
    for (; *words; words++)
        if (*words == '|')
            buf_puts(b, ", ");
        else
            buf_putc(b, *words);
}

static void put_used(struct buf *b)
{
    const struct config_key *k;
    buf_puts(b, "## Keys that work\n\n| key | default | what it does |\n|---|---|---|\n");
    for (size_t i = 0; (k = config_key_at(i)); i++) {
        if (k->effect != KEY_USED) continue;
        buf_printf(b, "| `%s` | %s | %s", k->path, k->dflt ? k->dflt : "", k->doc);
        if (k->words) buf_puts(b, ": "), put_words(b, k->words);
        if (k->only) buf_puts(b, ". sft-train takes "), put_words(b, k->only);
        buf_puts(b, " |\n");
    }
}

static void put_limited(struct buf *b)
{
    const struct config_key *k;
    buf_puts(
        b, "\n## Keys that sft-train refuses (78), unless they are left out or have this value\n\n"
           "| key | value | why |\n|---|---|---|\n");
    for (size_t i = 0; (k = config_key_at(i)); i++) {
        if (k->effect != KEY_LIMIT) continue;
        buf_printf(b, "| `%s` | ", k->path);
        put_words(b, k->only);
        buf_printf(b, " | %s |\n", k->doc);
    }
}

/* Shortens the path of a key of strategy_config, where most of these keys are. */
static const char *brief(const char *path)
{
    static const char prefix[] = "sft_train.strategy_args.";
    return strncmp(path, prefix, sizeof prefix - 1) ? path : path + sizeof prefix - 1;
}

/* Writes one item for each reason, in the order of their first keys. */
static void put_idle(struct buf *b)
{
    const struct config_key *k, *other;
    buf_puts(b, "\n## Keys that have no effect\n\n");
    for (size_t i = 0; (k = config_key_at(i)); i++) {
        bool first = k->effect == KEY_IDLE;
        for (size_t j = 0; first && j < i; j++) {
            other = config_key_at(j);
            first = other->effect != KEY_IDLE || strcmp(other->doc, k->doc) != 0;
        }
        if (!first) continue;
        buf_printf(b, "- %s: `%s`", k->doc, brief(k->path));
        for (size_t j = i + 1; (other = config_key_at(j)); j++)
            if (other->effect == KEY_IDLE && !strcmp(other->doc, k->doc))
                buf_printf(b, ", `%s`", brief(other->path));
        buf_putc(b, '\n');
    }
}

void keys_print(struct buf *b)
{
    put_used(b);
    put_limited(b);
    put_idle(b);
}
