/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a GGUF file: accepted or refused; accepted tensors expand, metadata convert. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "hf/gguf_convert.h"

enum { MOST = 1 << 16 };

static void walk_array(const struct gguf_value *a)
{
    struct gguf_value v;
    const unsigned char *at = a->items;
    for (uint64_t i = 0; i < MOST && gguf_next(a, &at, &v); i++) {
        if (v.kind == GGUF_ARRAY) walk_array(&v);
        if (v.kind == GGUF_STRING && v.s.n && memchr(v.s.p, 255, v.s.n) == v.s.p + v.s.n) abort();
    }
}

static void walk_tensor(const struct gguf_tensor *t)
{
    static float out[MOST];
    size_t per = 1, bytes = 1;
    gguf_type_block(t->type, &per, &bytes);
    if (t->bytes != t->count / per * bytes) abort();
    gguf_dequant(t->type, t->data, t->count < MOST ? (size_t)t->count : MOST / per * per, out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e = {0};
    struct gguf *g = gguf_parse(data, size, "fuzz", &e);
    if (!g) {
        if (e.code != ERR_DATA && e.code != ERR_MEMORY) abort();
        return 0;
    }
    static const char *const arrays[] = {"tokenizer.ggml.tokens", "tokenizer.ggml.merges", "a"};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        const struct gguf_value *v = gguf_get(g, arrays[i]);
        if (v && v->kind == GGUF_ARRAY) walk_array(v);
    }
    for (size_t i = 0; i < gguf_count(g) && i < 100; i++) walk_tensor(gguf_at(g, i));
    struct hf_config c;
    if (gguf_config(g, &c, &e) == 0) hf_config_free(&c);
    gguf_close(g);
    return 0;
}
