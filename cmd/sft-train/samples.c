/* SPDX-License-Identifier: Apache-2.0 */
/* The prompts of sft.sample_prompts, read and encoded before work begins. */
#include "samples.h"

#include <string.h>

#include "base/io.h"

enum { TOGETHER = 4096 }; /* tokens in the cache, or as many as the longest conversation has */

void samples_block(struct buf *b, struct str text)
{
    buf_puts(b, "\n\n    ");
    for (size_t i = 0; i < text.n; i++) {
        buf_putc(b, text.p[i]);
        if (text.p[i] == '\n') buf_puts(b, "    ");
    }
    buf_puts(b, "\n\n");
}

static int check_length(const struct run *r, size_t n, struct err *e)
{
    const long long length = r->config->sequence_length, most = r->config->sft.sample_tokens;
    if ((long long)n + most <= length) return 0;
    return err_set(e, ERR_CONFIG,
                   "the prompt has %zu tokens, which leave no room for sft.sample_tokens %lld in "
                   "sequence_length %lld; shorten the prompt, or set sft.sample_tokens to less",
                   n, most, length);
}

/* Encodes a row of the file as the next prompt. */
static int add(struct run *r, const struct json *row, struct err *e)
{
    static const char *const own[] = {"step", "row"};
    struct samples *s = r->samples;
    struct talk *t = &s->talk;
    struct sample *to = &s->of[s->n];
    struct buf text = {0};
    if (prompt_read(&s->prompt, row, NULL, e)) return -1;
    const struct chat_conversation c = {.messages = s->prompt.messages, .nmessages = s->prompt.n};
    if (talk_encode(t, &c, e) || talk_check(t, r->config->sequence_length, e) ||
        check_length(r, t->prompt.n, e))
        return -1;
    prompt_members(&to->members, row, own, sizeof own / sizeof *own);
    int rc = tokenizer_decode(s->tokenizer, t->prompt.ids, t->prompt.n, false, &text, e);
    buf_printf(&to->shown, "**prompt** (%zu tokens)", t->prompt.n);
    samples_block(&to->shown, (struct str){text.data, text.len});
    buf_free(&text);
    to->tokens = t->prompt;
    t->prompt = (struct token_list){0};
    s->n++;
    return rc || buf_check(&to->members, e) || buf_check(&to->shown, e) ? -1 : 0;
}

static int add_all(struct run *r, struct json_rows *rows, struct err *e)
{
    const char *path = r->config->sft.sample_prompts;
    const struct json *row;
    int rc;
    while ((rc = json_rows_next(rows, &row, e)) == 1) {
        if (r->samples->n == PROMPTS_MOST)
            return err_set(e, ERR_CONFIG,
                           "sft.sample_prompts: %s: more than %d prompts, which are answered at "
                           "each validation; keep a part of them",
                           path, PROMPTS_MOST);
        if (add(r, row, e))
            return err_prefix(e, "sft.sample_prompts: %s:%llu", path,
                              (unsigned long long)json_rows_line(rows));
    }
    if (rc) return err_prefix(e, "sft.sample_prompts");
    if (r->samples->n) return 0;
    return err_set(e, ERR_DATA, "sft.sample_prompts: %s: has no prompt", path);
}

static int read_file(struct run *r, struct err *e)
{
    struct io_in *in = io_open(r->config->sft.sample_prompts, e);
    struct json_rows *rows = in ? json_rows_open(in, e) : NULL;
    const int rc = rows ? add_all(r, rows, e) : err_prefix(e, "sft.sample_prompts");
    json_rows_close(rows);
    io_close(in);
    return rc;
}

/* Loads the template that the training data are rendered by. */
static int begin(struct run *r, struct err *e)
{
    struct samples *s = r->samples;
    const char *vars = r->config->sft.template_vars;
    const struct json *v = vars ? json_parse(vars, strlen(vars), &s->memory, e) : NULL;
    if (vars && (!v || v->kind != JSON_OBJECT))
        return v ? err_set(e, ERR_CONFIG, "sft.template_vars: is not a JSON object")
                 : err_prefix(e, "sft.template_vars");
    const struct chat_options o = {.name = r->config->run.template,
                                   .keep_arguments = strcmp(r->config->sft.arguments, "text") == 0,
                                   .vars = v};
    const struct talk_with with = {
        .dir = r->model_dir, .hf = &r->hf, .tokenizer = s->tokenizer, .vocab = run_vocab(r)};
    return talk_begin(&s->talk, &with, &o, e);
}

static int64_t room_of_one(const struct run *r, int32_t i)
{
    return (int64_t)r->samples->of[i].tokens.n + r->config->sft.sample_tokens;
}

static struct talk_room room_of(const struct run *r)
{
    const int32_t docs = r->samples->n;
    struct talk_room room = {
        .docs = docs, .held = docs, .pass = docs, .most = r->config->sft.sample_tokens};
    for (int32_t i = 0; i < docs; i++) {
        const int64_t n = room_of_one(r, i), prompt = n - r->config->sft.sample_tokens;
        room.cache += n;
        if (n > room.length) room.length = n;
        if (prompt > room.pass) room.pass = prompt < TALK_PASS ? prompt : TALK_PASS;
    }
    const int64_t most = room.length > TOGETHER ? room.length : TOGETHER;
    if (room.cache > most) room.cache = most;
    return room;
}

/* Allocates what an answer needs, so that little is allocated while the run is sealed. */
static int open_answers(struct run *r, struct err *e)
{
    const struct sampling greedy = {.top_p = 1, .repetition = 1};
    const struct talk_room room = room_of(r);
    return talk_open(&r->samples->talk, &room, &greedy, e);
}

int run_samples(struct run *r, struct err *e)
{
    const bool together = trainer_answers_together(&r->mesh, (int)r->config->run.zero_stage);
    if (!r->config->sft.sample_prompts || (r->silent && !together)) return 0;
    if (!(r->samples = mem_alloc(1, sizeof *r->samples, e))) return -1;
    r->samples->tokenizer = tokenizer_load(r->model_dir, e);
    return r->samples->tokenizer && begin(r, e) == 0 && read_file(r, e) == 0 ? open_answers(r, e)
                                                                             : -1;
}

void run_samples_options(const struct run *r, struct trainer_options *o)
{
    enum { TOKEN = 256, REST = 64 << 10 }; /* bytes of a token's text, which buffers grow to hold */
    size_t longest = 0;
    if (!r->samples) return;
    const struct talk_room room = room_of(r);
    for (int32_t i = 0; i < r->samples->n; i++) {
        const struct sample *s = &r->samples->of[i];
        const size_t n = s->members.len + s->shown.len;
        if (n > longest) longest = n;
    }
    o->answers = talk_stage(&room);
    o->answering = REST + 4 * (longest + TOKEN * (size_t)r->config->sft.sample_tokens);
}

void run_samples_close(struct run *r)
{
    struct samples *s = r->samples;
    for (int32_t i = 0; s && i < PROMPTS_MOST; i++) {
        token_list_free(&s->of[i].tokens);
        buf_free(&s->of[i].members);
        buf_free(&s->of[i].shown);
    }
    if (!s) return;
    talk_close(&s->talk);
    tokenizer_free(s->tokenizer);
    arena_free(&s->memory);
    mem_free(s);
}
