/* SPDX-License-Identifier: Apache-2.0 */
/* Applies key=value from a command line to the tree. A missing value is an error and never a
 * default, because a shell expands an unset variable to nothing. */
#include <string.h>
#include <yaml.h>

#include "config/load.h"

bool config_is_override(const char *arg)
{
    static const char word[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    for (const char *p = arg;;) {
        size_t n = strspn(p, word);
        if (!n || (p[n] != '.' && p[n] != '=')) return false;
        if (p[n] == '=') return true;
        p += n + 1;
    }
}

/* True when n, or a node below it, is a scalar without text and quotes. */
static bool has_gap(const struct node *n)
{
    if (n->kind == NODE_SCALAR) return !n->quoted && !*n->text;
    for (size_t i = 0; i < n->count; i++)
        if (has_gap(n->items[i])) return true;
    return false;
}

/* Finds a comma before a closing bracket, as in [a.jsonl,] and {a: 1,}, which YAML ignores. Returns
 * 1, 0, or -1 with ERR_MEMORY. */
static int ends_in_comma(const char *text, struct err *e)
{
    yaml_parser_t parser;
    yaml_token_t token;
    bool found = false, comma = false, more = true;
    if (!yaml_parser_initialize(&parser)) return err_set(e, ERR_MEMORY, "out of memory");
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, strlen(text));
    while (more && yaml_parser_scan(&parser, &token)) {
        const yaml_token_type_t type = token.type;
        found |=
            comma && (type == YAML_FLOW_SEQUENCE_END_TOKEN || type == YAML_FLOW_MAPPING_END_TOKEN);
        comma = type == YAML_FLOW_ENTRY_TOKEN;
        more = type != YAML_STREAM_END_TOKEN;
        yaml_token_delete(&token);
    }
    const bool memory = parser.error == YAML_MEMORY_ERROR;
    yaml_parser_delete(&parser);
    return memory ? err_set(e, ERR_MEMORY, "%s: out of memory", text) : found;
}

/* Checks an override for missing values; `value` is the parsed text. */
static int check_written(const struct node *value, const char *path, const char *text,
                         struct err *e)
{
    if (has_gap(value))
        return node_fail(value, NULL, e,
                         "a value is missing; is a variable not set? An empty string is "
                         "%.200s='\"\"', the default %.200s=null",
                         path, path);
    const int comma = ends_in_comma(text, e);
    if (comma < 0) return -1;
    if (comma)
        return node_fail(value, NULL, e,
                         "nothing stands between the last comma and the bracket; is a variable "
                         "not set? Leave the comma out if not");
    return 0;
}

int override_apply(struct loaded *l, const char *arg, struct err *e)
{
    struct tree *t = &l->tree;
    if (!config_is_override(arg))
        return err_set(e, ERR_USAGE,
                       "'%.300s': not an override; write key=value, as in "
                       "sft_train.training_args.learning_rate=1e-5",
                       arg);
    const char *own = arena_copy(&t->arena, arg, strlen(arg), e);
    if (!own) return -1;
    const char *text = strchr(own, '=') + 1;
    char *path = arena_copy(&t->arena, own, (size_t)(text - 1 - own), e);
    struct node *value = path ? yaml_read(t, text, strlen(text), own, false, e) : NULL;
    if (!value || check_written(value, path, text, e)) return -1;
    return node_put(t, t->root, path, value, e);
}
