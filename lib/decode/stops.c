/* SPDX-License-Identifier: Apache-2.0 */
/* The tokens that end a turn, from config.json, generation_config.json and the tokenizer. */
#include "base/doc.h"
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

/* Adds "eos_token_id", a number or a list of numbers. */
static void add_listed(struct stops *s, const struct json *eos)
{
    int64_t id;
    if (json_int(eos, &id) == 0) add_stop(s, id);
    for (size_t i = 0; eos && eos->kind == JSON_ARRAY && i < eos->count; i++)
        if (json_int(&eos->items[i], &id) == 0) add_stop(s, id);
}

/* A folder without the file is fine. */
static int add_generation_stops(struct stops *s, const char *dir, struct err *e)
{
    enum { MOST = 1 << 20 };
    struct buf text = {0};
    struct arena a = {0};
    char *path = io_path(dir, "generation_config.json", e);
    const int there = path ? io_exists(path, e) : -1;
    int rc = there > 0 ? io_slurp(path, MOST, &text, e) : there;
    if (there > 0 && rc == 0) {
        const struct json *root = doc_parse(text.data, text.len, &a, e);
        rc = root ? 0 : err_prefix(e, "%s", path);
        if (root) add_listed(s, json_get(root, "eos_token_id"));
    }
    arena_free(&a);
    buf_free(&text);
    mem_free(path);
    return rc;
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
