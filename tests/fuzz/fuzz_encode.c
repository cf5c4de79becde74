/* SPDX-License-Identifier: Apache-2.0 */
/* Texts through the tiny tokenizers (run from the root of the repository): tokens cover the text in
 * order, and decoding gives it back where nothing was normalized. */
#include <string.h>

#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct tokenizer *t, struct tokenizer_scratch *s, struct str text,
                  bool exact)
{
    static struct token_list list;
    struct buf out = {0};
    struct err e;
    uint32_t last = 0;
    if (tokenizer_encode(t, s, text, &list, &e) != 0) return;
    for (size_t i = 0; i < list.n; i++) {
        if (list.begin[i] > list.end[i] || list.end[i] > text.n) __builtin_trap();
        if (exact && list.end[i] < last) __builtin_trap();
        last = list.end[i];
    }
    if (exact && list.n > 0 && (list.begin[0] != 0 || last != text.n)) __builtin_trap();
    if (tokenizer_decode(t, list.ids, list.n, false, &out, &e) != 0) __builtin_trap();
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct tokenizer *tiny, *meta;
    static struct tokenizer_scratch *a, *b;
    struct err e;
    if (tiny == NULL) {
        tiny = tokenizer_load("share/tiny-tokenizer", &e);
        meta = tokenizer_load("tests/golden/tokenizer/meta", &e);
        if (tiny == NULL || meta == NULL) __builtin_trap();
        a = tokenizer_scratch_new(tiny, &e);
        b = tokenizer_scratch_new(meta, &e);
    }
    check(tiny, a, (struct str){(const char *)data, size}, false);
    check(meta, b, (struct str){(const char *)data, size}, true);
    return 0;
}
