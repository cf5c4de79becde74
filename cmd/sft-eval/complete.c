/* SPDX-License-Identifier: Apache-2.0 */
/* What the model answers to a prompt: the chat template, then one token at a time with a cache. */

#include "base/json.h"
#include "chat/chat.h"
#include "eval.h"

/* The ids of TEXT as a user's message, ready for the assistant's turn. */
static int encode(struct eval *v, struct token_list *ids, struct err *e)
{
    const struct chat_options native = {.name = "native"};
    struct buf json = {0};
    struct arena a = {0};
    struct chat_rendering r = {0};
    struct chat *c = chat_new(v->tokenizer, &native, e);
    struct tokenizer_scratch *s = tokenizer_scratch_new(v->tokenizer, e);
    int rc = c && s ? 0 : -1;
    buf_puts(&json, "[{\"role\":\"user\",\"content\":");
    buf_json(&json, str_z(v->prompt));
    buf_puts(&json, "}]");
    if (rc == 0) rc = buf_check(&json, e);
    struct chat_conversation conv = {0};
    if (rc == 0) conv.messages = json_parse(json.data, json.len, &a, e);
    if (!conv.messages) rc = err_prefix(e, "the prompt");
    if (rc == 0) rc = chat_render(c, &conv, true, &r, e);
    if (rc == 0)
        rc = tokenizer_encode(v->tokenizer, s, (struct str){r.text.data, r.text.len}, ids, e);
    chat_rendering_free(&r);
    arena_free(&a);
    buf_free(&json);
    tokenizer_scratch_free(s);
    chat_free(c);
    return rc;
}

/* Tokens that end a turn: of config.json, generation_config.json and the tokenizer. */
struct stops {
    int64_t id[2 * HF_MAX_EOS + 1];
    int n;
};
static void add_stop(struct stops *s, int64_t id)
{
    if (s->n < (int)(sizeof s->id / sizeof *s->id)) s->id[s->n++] = id;
}
static bool is_stop(const struct stops *s, int64_t id)
{
    for (int i = 0; i < s->n; i++)
        if (s->id[i] == id) return true;
    return false;
}

/* "eos_token_id": a number or a list of numbers; a folder without the file is fine. */
static void add_generation_stops(struct eval *v, struct stops *s)
{
    struct buf text = {0};
    struct arena a = {0};
    char *path = io_path(v->dir, "generation_config.json", NULL);
    const struct json *root = NULL, *eos = NULL;
    if (path && io_exists(path) && io_slurp(path, 1 << 20, &text, NULL) == 0)
        root = json_parse(text.data, text.len, &a, NULL);
    if (root && root->kind == JSON_OBJECT) eos = json_get(root, "eos_token_id");
    int64_t id;
    if (eos && json_int(eos, &id) == 0) add_stop(s, id);
    for (size_t i = 0; eos && eos->kind == JSON_ARRAY && i < eos->count; i++)
        if (json_int(&eos->items[i], &id) == 0) add_stop(s, id);
    mem_free(path);
    arena_free(&a);
    buf_free(&text);
}

static struct stops find_stops(struct eval *v)
{
    struct stops s = {0};
    uint32_t id;
    for (int i = 0; i < v->hf.eos_count; i++) add_stop(&s, v->hf.eos_token_id[i]);
    add_generation_stops(v, &s);
    struct str eos = tokenizer_named(v->tokenizer, "eos_token");
    if (eos.p && tokenizer_id(v->tokenizer, eos, &id)) add_stop(&s, id);
    return s;
}

static int extend(struct eval *v, const struct token_list *prompt, struct err *e)
{
    int32_t *ids = mem_alloc(prompt->n, sizeof *ids, e);
    if (!ids) return -1;
    for (size_t i = 0; i < prompt->n; i++) ids[i] = (int32_t)prompt->ids[i];
    net_extend(&v->net, ids, (int64_t)prompt->n, 0);
    mem_free(ids);
    return 0;
}

/* After extend: up to most tokens into out; returns their number, -1 on failure. */
static int64_t decode(struct eval *v, int64_t past, int64_t most, uint32_t *out, struct err *e)
{
    const struct stops stops = find_stops(v);
    int32_t id;
    for (int64_t n = 0; n < most; n++) {
        if (net_next(&v->net, &id, e)) return -1;
        if (is_stop(&stops, id)) return n;
        out[n] = (uint32_t)id;
        if (n + 1 < most) net_extend(&v->net, &id, 1, past + n);
    }
    return most;
}

static int print(struct eval *v, const uint32_t *ids, int64_t n, struct err *e)
{
    struct buf text = {0};
    int rc = tokenizer_decode(v->tokenizer, ids, (size_t)n, true, &text, e);
    buf_putc(&text, '\n');
    if (rc == 0) rc = buf_check(&text, e);
    if (rc == 0) rc = io_write(v->out, text.data, text.len, e);
    buf_free(&text);
    return rc;
}

/* After extend: the logits of the next token, [vocab], nine digits each. */
static int print_logits(struct eval *v, struct err *e)
{
    struct buf text = {0};
    float *x = mem_alloc((size_t)v->m.vocab, sizeof *x, e);
    int rc = x ? net_logits(&v->net, x, e) : -1;
    for (int64_t i = 0; rc == 0 && i < v->m.vocab; i++)
        buf_printf(&text, "%s%.9g", i ? "," : "[", (double)x[i]);
    buf_puts(&text, "]\n");
    if (rc == 0) rc = buf_check(&text, e);
    if (rc == 0) rc = io_write(v->out, text.data, text.len, e);
    buf_free(&text);
    mem_free(x);
    return rc;
}

static int answer(struct eval *v, int64_t past, int64_t most, struct err *e)
{
    uint32_t *out = mem_alloc((size_t)most, sizeof *out, e);
    int64_t n = out ? decode(v, past, most, out, e) : -1;
    int rc = n < 0 ? -1 : print(v, out, n, e);
    mem_free(out);
    return rc;
}

int eval_complete(struct eval *v, struct err *e)
{
    struct token_list prompt = {0};
    const int64_t reach = rope_reach(&v->m, true);
    int rc = encode(v, &prompt, e);
    if (rc == 0 && (prompt.n == 0 || (int64_t)prompt.n >= reach))
        rc = err_set(e, ERR_DATA, "the prompt has %zu tokens; the model takes 1 to %lld", prompt.n,
                     (long long)reach - 1);
    if (rc == 0) {
        int64_t most = reach - (int64_t)prompt.n;
        if (most > v->max_tokens) most = v->max_tokens;
        const struct net_options o = {.compute = v->compute,
                                      .tokens = (int64_t)prompt.n,
                                      .length = (int64_t)prompt.n + most,
                                      .chunk = 1,
                                      .cache = true};
        rc = eval_net(v, &o, e);
        if (rc == 0) rc = extend(v, &prompt, e);
        if (rc == 0) rc = v->logits ? print_logits(v, e) : answer(v, (int64_t)prompt.n, most, e);
    }
    token_list_free(&prompt);
    return rc;
}
