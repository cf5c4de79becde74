/* SPDX-License-Identifier: Apache-2.0 */
/* Edits of a GGUF file with a small model: its tokenizer and its weights are converted or refused,
 * and a folder that is written can be read. */
#include "fuzz/fuzz.h"
#include "hf/gguf_convert.h"
#include "hf/safetensors.h"
#include "text/tokenizer.h"
#include "unit/gguf_model.h"

enum { BASES = 8 };
static const struct buf *base(unsigned i)
{
    static struct buf models[BASES];
    static const struct variant variants[BASES] = {
        {.bos = true},
        {.arch = "qwen2", .pre = "qwen2", .bias = true, .head = true},
        {.pre = "llama-bpe", .named = "tool_use"},
        {.no_template = true, .longrope = true},
        {.spm = true, .bos = true, .eos = true},
        {.spm = true, .text = {[2] = "aa", [3] = "aaa", [4] = "aaaa"}, .type = {[4] = 1}},
        {.spm = true, .no_space = true, .text = {[2] = "\u2581", [3] = "a\u2581"}},
        {.spm = true, .bare = true},
    };
    if (!models[i].data) models[i] = model(&variants[i]);
    return &models[i];
}

static void convert(const struct gguf *g)
{
    struct err e = {0};
    struct hf_config c;
    struct gguf_converted done = {0};
    char id[HASH128_HEX];
    if (gguf_config(g, &c, &e)) return need_refusal(&e);
    if (gguf_write_weights(g, &c, fuzz_folder(), &e) == 0) {
        struct safetensors *s = safetensors_open(fuzz_folder(), &e);
        need(s && safetensors_count(s) == gguf_count(g));
        safetensors_close(s);
    } else {
        need_refusal(&e);
    }
    if (gguf_write_tokenizer(g, &c, fuzz_folder(), &done, &e) == 0) {
        struct tokenizer *t = tokenizer_load(fuzz_folder(), &e);
        if (t)
            need(tokenizer_identity(t, id, &e) == 0);
        else
            need_refusal(&e);
        tokenizer_free(t);
    } else {
        need_refusal(&e);
    }
    hf_config_free(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct buf file;
    struct err e = {0};
    if (size == 0) return 0;
    const struct buf *from = base(data[0] % BASES);
    fuzz_edit(&file, from->data, from->len, data + 1, size - 1);
    struct gguf *g = gguf_parse(file.data, file.len, "fuzz", &e);
    if (g)
        convert(g);
    else
        need_refusal(&e);
    gguf_close(g);
    return 0;
}
