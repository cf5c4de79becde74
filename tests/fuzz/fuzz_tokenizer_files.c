/* SPDX-License-Identifier: Apache-2.0 */
/* The tokenizer files older than tokenizer.json, and those of templates, one after the other with a
 * NUL byte between them: vocab.json, merges.txt, added_tokens.json, tokenizer_config.json,
 * chat_template.jinja, additional_chat_templates/other.jinja. An empty one of the last four is left
 * out. What loads encodes, and has the texts of the files as templates. */
#include "fuzz/fuzz.h"
#include "text/tokenizer.h"

enum { FILES = 6, NEEDED = 2 };
static const char *const names[FILES] = {
    "vocab.json",          "merges.txt",
    "added_tokens.json",   "tokenizer_config.json",
    "chat_template.jinja", "additional_chat_templates/other.jinja"};

static void check(struct tokenizer *t, const struct str part[FILES])
{
    static const char text[] = "a ab  <s> Ab\xc3\xa9\n1 2";
    struct err e = {0};
    struct token_list list = {0};
    struct buf b = {0};
    char id[HASH128_HEX];
    struct tokenizer_scratch *s = tokenizer_scratch_new(t, &e);
    need(s && tokenizer_identity(t, id, &e) == 0);
    if (tokenizer_encode(t, s, STR(text), &list, &e) == 0)
        need(tokenizer_decode(t, list.ids, list.n, true, &b, &e) == 0);
    else
        need_refusal(&e);
    if (part[4].n) need(str_eq(tokenizer_template(t, "default"), part[4]));
    if (part[5].n) need(str_eq(tokenizer_template(t, "other"), part[5]));
    buf_free(&b);
    token_list_free(&list);
    tokenizer_scratch_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e = {0};
    struct str part[FILES];
    if (!fuzz_root[0]) need(io_mkdirs(fuzz_path("additional_chat_templates"), &e) == 0);
    for (int i = 0; i < FILES; i++) {
        part[i] = fuzz_part(&data, &size);
        if (part[i].n || i < NEEDED)
            fuzz_put(fuzz_path(names[i]), part[i].p, part[i].n);
        else
            unlink(fuzz_path(names[i]));
    }
    struct tokenizer *t = tokenizer_load(fuzz_folder(), &e);
    if (t)
        check(t, part);
    else
        need_refusal(&e);
    tokenizer_free(t);
    return 0;
}
