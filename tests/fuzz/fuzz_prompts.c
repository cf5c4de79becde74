/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of prompts, as sft-eval --prompts and sft.sample_prompts read them: each is a conversation
 * that a template can render, or is refused; its members are those of an object. */
#include "base/json.h"
#include "decode/prompt.h"
#include "fuzz/fuzz_chat.h"

static const char plain[] = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
                            "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}"
                            "<|im_start|>assistant\n{% endif %}";

static void check_members(const struct json *row)
{
    static const char *const own[] = {"step", "row"};
    struct buf b = {0};
    struct arena a = {0};
    struct err e = {0};
    buf_putc(&b, '{');
    prompt_members(&b, row, own, sizeof own / sizeof *own);
    buf_puts(&b, "\"answer\":\"\"}");
    const struct json *again = json_parse(b.data, b.len, &a, &e);
    need(again && again->kind == JSON_OBJECT && !json_get(again, "step"));
    arena_free(&a);
    buf_free(&b);
}

static void try_row(struct chat *c, const struct json *row)
{
    static struct prompt p;
    struct err e = {0};
    if (prompt_read(&p, row, "S", &e)) return need_refusal(&e);
    need(p.n > 0 && p.n <= PROMPT_MESSAGES);
    const struct chat_conversation conv = {.messages = p.messages, .nmessages = p.n};
    check_samples(c, &conv);
    check_members(row);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct jinja *jinja;
    struct err e = {0};
    const struct json *row;
    if (!jinja) need((jinja = jinja_compile(STR(plain), &e)) != NULL);
    struct chat c = {.t = {.jinja = jinja, .tok = tiny_tokenizer()}, .has_eos = n % 2 == 0};
    need(tokenizer_id(c.t.tok, STR("<|im_end|>"), &c.eos));
    fuzz_put(fuzz_path("rows"), data, n);
    struct io_in *in = io_open(fuzz_path("rows"), &e);
    struct json_rows *r = in ? json_rows_open(in, &e) : NULL;
    while (r && json_rows_next(r, &row, &e) == 1) try_row(&c, row);
    json_rows_close(r);
    io_close(in);
    return 0;
}
