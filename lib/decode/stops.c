/* SPDX-License-Identifier: Apache-2.0 */
/* The tokens that end a turn, from config.json, generation_config.json and the tokenizer. */
#include "base/io.h"
#include "base/json.h"
#include "decode/talk_impl.h"

static void add_stop(struct stops *s, int64_t id)
{
    if (s->n < (int)(sizeof s->id / sizeof *s->id)) s->id[s->n++] = id;
}
bool stops_at(const struct stops *s, int64_t id)
{
    for (int i = 0; i < s->n; i++)
        if (s->id[i] == id) return true;
    return false;
}

/* Reads "eos_token_id", a number or a list of numbers. A folder without the file is fine. */
static int add_generation_stops(struct stops *s, const char *dir, struct err *e)
{
    struct buf text = {0};
    struct arena a = {0};
    struct err why = {0};
    char *path = io_path(dir, "generation_config.json", &why);
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

int stops_find(struct stops *s, const struct talk_with *with, struct err *e)
{
    uint32_t id;
    for (int i = 0; i < with->hf->eos_count; i++) add_stop(s, with->hf->eos_token_id[i]);
    if (add_generation_stops(s, with->dir, e)) return -1;
    struct str eos = tokenizer_named(with->tokenizer, "eos_token");
    if (eos.p && tokenizer_id(with->tokenizer, eos, &id)) add_stop(s, id);
    return 0;
}
