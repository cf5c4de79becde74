/* SPDX-License-Identifier: Apache-2.0 */
/* A template and, after a NUL byte, rows of data (run from the root of the repository): each row is
 * read in every format, and what is read is rendered, tokenized and weighed, as by sft-tokenize and
 * sft-template. Where the template is empty a plain one is used. */
#include "fuzz/fuzz_chat.h"
#include "rows/rows.h"
#include "rows/turns.h"

static const char plain[] =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.thinking %}<think>{{ m.thinking }}"
    "</think>{% endif %}{{ m.content }}{% for c in m.tool_calls %}{{ c.function|tojson }}"
    "{% endfor %}<|im_end|>\n{% endfor %}{{ tools|tojson if tools }}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

static void try_row(struct chat *c, enum row_format format, const struct json *row)
{
    static const struct row_keys keys = {.prompt = "instruction",
                                         .query = "input",
                                         .response = "output",
                                         .system = "system",
                                         .history = "history",
                                         .text = "text"};
    struct err e = {0};
    struct arena a = {0};
    struct row_box box;
    struct stream_record rec = {.kind = STREAM_TURNS}, copy;
    struct chat_conversation conv;
    const char *empty = NULL;
    const struct json *object = row_object(&keys, row, &box);
    if (format == ROW_AUTO) format = row_format_of(&keys, object);
    if (row_convert(format, &keys, object, &a, &rec, &empty, &e) == 0) {
        need(rec.nmessages > 0 && rec.messages);
        need(turns_copy(&rec, &a, &copy, &e) == 0);
        need(turns_chat(&copy, &a, &conv, &e) == 0);
        if (c->t.jinja) check_samples(c, &conv);
    } else {
        need_refusal(&e);
    }
    arena_free(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct err e = {0};
    struct str text = fuzz_part(&data, &n);
    const struct json *row;
    if (text.n == 0) text = STR(plain);
    struct chat c = {.t = {.jinja = jinja_compile(text, &e), .tok = tiny_tokenizer()},
                     .has_eos = n % 2 == 0};
    need(tokenizer_id(c.t.tok, STR("<|im_end|>"), &c.eos));
    fuzz_put(fuzz_path("rows"), data, n);
    struct io_in *in = io_open(fuzz_path("rows"), &e);
    struct json_rows *r = in ? json_rows_open(in, &e) : NULL;
    while (r && json_rows_next(r, &row, &e) == 1)
        for (int f = ROW_ALPACA; f <= ROW_AUTO; f++) try_row(&c, (enum row_format)f, row);
    json_rows_close(r);
    io_close(in);
    jinja_free(c.t.jinja);
    return 0;
}
