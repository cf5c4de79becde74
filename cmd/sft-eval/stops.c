/* SPDX-License-Identifier: Apache-2.0 */
/* The tokens that end a turn, from config.json, generation_config.json and the tokenizer. */
#include "base/json.h"
#include "talk.h"

static void add_stop(struct stops *s, int64_t id)
{
    if (s->n < (int)(sizeof s->id / sizeof *s->id)) s->id[s->n++] = id;
}
bool talk_stops_at(const struct stops *s, int64_t id)
{
    for (int i = 0; i < s->n; i++)
        if (s->id[i] == id) return true;
    return false;
}

/* Reads "eos_token_id", a number or a list of numbers. A folder without the file is fine. */
static int add_generation_stops(struct eval *v, struct stops *s, struct err *e)
{
    struct buf text = {0};
    struct arena a = {0};
    struct err why = {0};
    char *path = io_path(v->dir, "generation_config.json", &why);
    const struct json *root = NULL, *eos = NULL;
    if (path && io_exists(path, &why) > 0 && io_slurp(path, 1 << 20, &text, &why) == 0)
        root = json_parse(text.data, text.len, &a, &why);
    if (root && root->kind == JSON_OBJECT) eos = json_get(root, "eos_token_id");
    int64_t id;
    if (eos && json_int(eos, &id) == 0) add_stop(s, id);
    for (size_t i = 0; eos && eos->kind == JSON_ARRAY && i < eos->count; i++)
        if (json_int(&eos->items[i], &id) == 0) add_stop(s, id);
    mem_free(path);
    arena_free(&a);
    buf_free(&text);
    return why.code == ERR_MEMORY ? err_set(e, why.code, "%s", why.msg) : 0;
}

int talk_find_stops(struct eval *v, struct stops *s, struct err *e)
{
    uint32_t id;
    for (int i = 0; i < v->hf.eos_count; i++) add_stop(s, v->hf.eos_token_id[i]);
    if (add_generation_stops(v, s, e)) return -1;
    struct str eos = tokenizer_named(v->tokenizer, "eos_token");
    if (eos.p && tokenizer_id(v->tokenizer, eos, &id)) add_stop(s, id);
    return 0;
}
