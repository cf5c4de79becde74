/* SPDX-License-Identifier: Apache-2.0 */
/* Answers a prompt: renders the chat template, then computes one token at a time with a cache. */
#include <math.h>
#include <stdio.h>

#include "base/json.h"
#include "base/log.h"
#include "chat/chat.h"
#include "eval.h"

/* Encodes the prompt as a user's message; the assistant's turn comes next. */
static int encode(struct eval *v, struct token_list *ids, struct err *e)
{
    const struct chat_options native = {.name = "native"};
    const struct chat_message user = {.role = STR("user"), .content = str_z(v->prompt)};
    const struct chat_conversation conv = {.messages = &user, .nmessages = 1};
    struct chat_rendering r = {0};
    struct chat *c = chat_new(v->tokenizer, &native, e);
    struct tokenizer_scratch *s = tokenizer_scratch_new(v->tokenizer, e);
    int rc = c && s ? 0 : -1;
    if (rc == 0) rc = chat_render(c, &conv, true, &r, e);
    if (rc == 0 && tokenizer_encode(v->tokenizer, s, (struct str){r.text.data, r.text.len}, ids, e))
        rc = err_prefix(e, "the prompt");
    chat_rendering_free(&r);
    tokenizer_scratch_free(s);
    chat_free(c);
    return rc;
}

/* The tokens that end a turn, from config.json, generation_config.json and the tokenizer. */
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

static int find_stops(struct eval *v, struct stops *s, struct err *e)
{
    uint32_t id;
    for (int i = 0; i < v->hf.eos_count; i++) add_stop(s, v->hf.eos_token_id[i]);
    if (add_generation_stops(v, s, e)) return -1;
    struct str eos = tokenizer_named(v->tokenizer, "eos_token");
    if (eos.p && tokenizer_id(v->tokenizer, eos, &id)) add_stop(s, id);
    return 0;
}

/* Stores the next token's logits in x [vocab], after stage_extend by the first n tokens of a
 * document. Logits that are not finite are an error: no token is the likeliest among them. */
static int next_logits(struct eval *v, int64_t n, float *x, struct err *e)
{
    char what[160];
    int64_t bad = 0, first = 0;
    if (stage_logits(&v->stage, x, e)) return -1;
    for (int64_t i = v->m.vocab; i-- > 0;) {
        if (isfinite(x[i])) continue;
        first = i;
        bad++;
    }
    if (bad == 0) return 0;
    snprintf(
        what, sizeof what,
        "after %lld tokens %lld of the %lld logits are not finite, the first that of token %lld",
        (long long)n, (long long)bad, (long long)v->m.vocab, (long long)first);
    return eval_nonfinite(v, what, e);
}

static int extend(struct eval *v, const struct token_list *prompt, float *logits, struct err *e)
{
    int32_t *ids = mem_alloc(prompt->n, sizeof *ids, e);
    if (!ids) return -1;
    for (size_t i = 0; i < prompt->n; i++) ids[i] = (int32_t)prompt->ids[i];
    progress_doing(&v->progress, "reading the prompt", 0, 0);
    stage_extend(&v->stage, ids, (int64_t)prompt->n, 0);
    mem_free(ids);
    return next_logits(v, (int64_t)prompt->n, logits, e);
}

/* After n tokens of the answer. live NULL: they are printed at the end. */
static int show(struct eval *v, struct live *live, const uint32_t *ids, int64_t n, struct err *e)
{
    if (live) return live_write(live, ids, (size_t)n, false, e);
    if (v->progress.tty) progress_step(&v->progress, (uint64_t)n, "tokens");
    return 0;
}

/* Stores up to `most` tokens in out, after extend. Returns their number, -1 on failure. */
static int64_t decode(struct eval *v, struct live *live, int64_t past, int64_t most, float *logits,
                      uint32_t *out, struct err *e)
{
    struct stops stops = {0};
    int32_t id;
    if (find_stops(v, &stops, e)) return -1;
    for (int64_t n = 0; n < most; n++) {
        if (stage_next(&v->stage, &id, e)) return -1;
        if (is_stop(&stops, id)) return n;
        out[n] = (uint32_t)id;
        if (show(v, live, out, n + 1, e)) return -1;
        if (n + 1 == most) break;
        stage_extend(&v->stage, &id, 1, past + n);
        if (next_logits(v, past + n + 1, logits, e)) return -1;
    }
    return most;
}

/* Warns of ids that only the embedding has and the tokenizer does not: they have no text. */
static void warn_nameless(const struct eval *v, const uint32_t *ids, int64_t n)
{
    const uint32_t size = tokenizer_vocab_size(v->tokenizer);
    int64_t nameless = 0;
    uint32_t first = 0;
    for (int64_t i = n; i-- > 0;) {
        if (ids[i] < size) continue;
        first = ids[i];
        nameless++;
    }
    if (nameless)
        log_line(
            LOG_WARN,
            "%lld of the answer's %lld tokens are not in the tokenizer's vocabulary of %u (the "
            "first is %u): they have no text",
            (long long)nameless, (long long)n, size, first);
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

/* Prints the logits [vocab] of the next token with nine digits each. */
static int print_logits(struct eval *v, const float *logits, struct err *e)
{
    struct buf text = {0};
    for (int64_t i = 0; i < v->m.vocab; i++) {
        buf_putc(&text, i ? ',' : '[');
        buf_json_number(&text, (double)logits[i], 9);
    }
    buf_puts(&text, "]\n");
    int rc = buf_check(&text, e) ? -1 : io_write(v->out, text.data, text.len, e);
    buf_free(&text);
    return rc;
}

/* On a terminal the answer is written token by token. A failure ends its line. */
static int answer(struct eval *v, int64_t past, int64_t most, float *logits, struct err *e)
{
    struct live live = {.v = v}, *to = io_out_is_tty(v->out) ? &live : NULL;
    uint32_t *out = mem_alloc((size_t)most, sizeof *out, e);
    if (to) progress_erase(&v->progress);
    int64_t n = out ? decode(v, to, past, most, logits, out, e) : -1;
    progress_erase(&v->progress);
    int rc = n < 0 ? -1 : 0;
    if (n < 0 && live.to) io_write(v->out, "\n", 1, NULL);
    if (n >= 0 && to) rc = live_write(to, out, (size_t)n, true, e);
    if (n > 0) warn_nameless(v, out, n);
    if (n >= 0 && !to) rc = print(v, out, n, e);
    mem_free(out);
    return rc;
}

/* Checks that the model has the prompt's tokens and room for one more. */
static int check_prompt(struct eval *v, const struct token_list *prompt, struct err *e)
{
    const struct model_vocab vocab = eval_vocab(v);
    const int64_t reach = rope_reach(&v->m, (int64_t)prompt->n);
    if (prompt->n == 0 || (int64_t)prompt->n >= reach)
        return err_set(e, ERR_DATA, "the prompt has %zu tokens; the model takes 1 to %lld",
                       prompt->n, (long long)reach - 1);
    for (size_t i = 0; i < prompt->n; i++)
        if (model_check_id(&vocab, prompt->ids[i], e)) return err_prefix(e, "the prompt");
    return 0;
}

static int complete(struct eval *v, const struct token_list *prompt, int64_t most, struct err *e)
{
    const int64_t n = (int64_t)prompt->n;
    const struct stage_options o = {.tokens = n, .chunk = 1, .cache = true};
    float *logits = mem_alloc((size_t)v->m.vocab, sizeof *logits, e);
    int rc = logits ? eval_open(v, &o, n + most, e) : -1;
    if (rc == 0) rc = extend(v, prompt, logits, e);
    if (v->logits) progress_erase(&v->progress);
    if (rc == 0) rc = v->logits ? print_logits(v, logits, e) : answer(v, n, most, logits, e);
    mem_free(logits);
    return rc;
}

int eval_complete(struct eval *v, struct err *e)
{
    struct token_list prompt = {0};
    int rc = encode(v, &prompt, e) || check_prompt(v, &prompt, e) ? -1 : 0;
    if (rc == 0) {
        int64_t most = rope_reach(&v->m, (int64_t)prompt.n) - (int64_t)prompt.n;
        rc = complete(v, &prompt, most < v->max_tokens ? most : v->max_tokens, e);
    }
    token_list_free(&prompt);
    return rc;
}
