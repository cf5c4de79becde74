/* SPDX-License-Identifier: Apache-2.0 */
/* Builds a GGUF file with a small model and its tokenizer in memory, for tests. */
#ifndef SFT_TEST_GGUF_MODEL_H
#define SFT_TEST_GGUF_MODEL_H

#include <stdbool.h>
#include <stdio.h>

#include "unit/gguf_make.h"

enum { HIDDEN = 32, HEADS = 2, HEAD_DIM = 16, VOCAB = 5 };

/* The change that a test makes to the model. */
struct variant {
    const char *arch, *pre, *model, *token, *merge, *missing, *extra;
    bool bias, norms, head, bos, longrope, experts, one_short, no_template, many;
    const char *named; /* a name in the list of templates; NULL: there is no list */
    /* SentencePiece's form: */
    bool spm, no_space, eos, no_scores, few_scores, bare; /* bare: says nothing of special tokens */
    const char *text[VOCAB];                              /* NULL: the usual one */
    uint32_t type[VOCAB];                                 /* 0: the usual one */
    const float *score;                                   /* [VOCAB] */
    uint32_t bos_id;
};

/* rows x cols (cols 0: a vector of rows elements); every element of a row is the row's number. */
static inline void add(struct make *m, const struct variant *v, const char *name, size_t cols,
                       size_t rows)
{
    static float x[64 * 64];
    size_t n = rows ? rows * cols : cols;
    if (v->missing && strcmp(v->missing, name) == 0) return;
    for (size_t i = 0; i < n; i++) x[i] = (float)(rows ? i / cols : i);
    make_tensor(m, name, GGUF_TYPE_F32, cols, rows, x, n * sizeof *x);
}

static inline void add_layer(struct make *m, const struct variant *v)
{
    size_t keys = HEAD_DIM;
    add(m, v, "blk.0.attn_norm.weight", HIDDEN, 0);
    add(m, v, "blk.0.ffn_norm.weight", HIDDEN, 0);
    add(m, v, "blk.0.attn_q.weight", HIDDEN, HIDDEN);
    add(m, v, "blk.0.attn_k.weight", HIDDEN, v->one_short ? keys - 1 : keys);
    add(m, v, "blk.0.attn_v.weight", HIDDEN, keys);
    add(m, v, "blk.0.attn_output.weight", HIDDEN, HIDDEN);
    add(m, v, "blk.0.ffn_gate.weight", HIDDEN, 48);
    add(m, v, "blk.0.ffn_up.weight", HIDDEN, 48);
    add(m, v, "blk.0.ffn_down.weight", 48, HIDDEN);
    if (v->norms) add(m, v, "blk.0.attn_q_norm.weight", HEAD_DIM, 0);
    if (v->norms) add(m, v, "blk.0.attn_k_norm.weight", HEAD_DIM, 0);
    if (!v->bias) return;
    add(m, v, "blk.0.attn_q.bias", HIDDEN, 0);
    add(m, v, "blk.0.attn_k.bias", keys, 0);
    add(m, v, "blk.0.attn_v.bias", keys, 0);
}

static inline void add_number(struct make *m, const char *arch, const char *key, uint32_t n)
{
    char k[100];
    snprintf(k, sizeof k, "%s.%s", arch, key);
    make_u32(m, k, n);
}

static inline void add_tokenizer(struct make *m, const struct variant *v)
{
    static const uint32_t types[VOCAB] = {3, 1, 1, 1, 5};
    make_text(m, "tokenizer.ggml.model", v->model ? v->model : "gpt2");
    make_text(m, "tokenizer.ggml.pre", v->pre ? v->pre : "smollm");
    make_array(m, "tokenizer.ggml.tokens", GGUF_STRING, VOCAB);
    make_str(&m->pairs, "<|end|>");
    make_str(&m->pairs, "a");
    make_str(&m->pairs, v->token ? v->token : "\"");
    make_str(&m->pairs, "a\"");
    make_str(&m->pairs, "[PAD4]");
    make_array(m, "tokenizer.ggml.token_type", GGUF_I32, VOCAB);
    for (int i = 0; i < VOCAB; i++) buf_u32(&m->pairs, types[i]);
    make_array(m, "tokenizer.ggml.merges", GGUF_STRING, 1);
    make_str(&m->pairs, v->merge ? v->merge : "a \"");
    make_u32(m, "tokenizer.ggml.eos_token_id", 0);
    make_u32(m, "tokenizer.ggml.bos_token_id", 0);
    if (!v->no_template) make_text(m, "tokenizer.chat_template", "{{ 'x\n' }}");
    if (v->named) {
        const int n = v->many ? 64 : 1;
        make_array(m, "tokenizer.chat_templates", GGUF_STRING, (uint64_t)n);
        for (int i = 0; i < n; i++) make_str(&m->pairs, v->named);
        make_text(m, "tokenizer.chat_template.tool_use", "\"T\"");
    }
    make_key(m, "tokenizer.ggml.add_bos_token", GGUF_BOOL);
    buf_putc(&m->pairs, v->bos);
}

static inline void add_scores(struct make *m, const struct variant *v)
{
    static const float usual[VOCAB] = {0, -2, -1, -3, -10000};
    const int n = v->few_scores ? VOCAB - 1 : VOCAB;
    if (v->no_scores) return;
    make_array(m, "tokenizer.ggml.scores", GGUF_F32, (uint64_t)n);
    for (int i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, v->score ? &v->score[i] : &usual[i], sizeof bits);
        buf_u32(&m->pairs, bits);
    }
}

static inline void add_pieces(struct make *m, const struct variant *v)
{
    static const char *const texts[VOCAB] = {"<unk>", "a", "b", "ab", "[PAD4]"};
    static const uint32_t types[VOCAB] = {2, 1, 1, 1, 5};
    make_text(m, "tokenizer.ggml.model", "llama");
    make_array(m, "tokenizer.ggml.tokens", GGUF_STRING, VOCAB);
    for (int i = 0; i < VOCAB; i++) make_str(&m->pairs, v->text[i] ? v->text[i] : texts[i]);
    make_array(m, "tokenizer.ggml.token_type", GGUF_I32, VOCAB);
    for (int i = 0; i < VOCAB; i++) buf_u32(&m->pairs, v->type[i] ? v->type[i] : types[i]);
    add_scores(m, v);
    make_text(m, "tokenizer.chat_template", "{{ 'x\n' }}");
    if (v->bare) return;
    make_u32(m, "tokenizer.ggml.bos_token_id", v->bos_id);
    make_u32(m, "tokenizer.ggml.eos_token_id", 3);
    make_key(m, "tokenizer.ggml.add_bos_token", GGUF_BOOL);
    buf_putc(&m->pairs, v->bos);
    make_key(m, "tokenizer.ggml.add_eos_token", GGUF_BOOL);
    buf_putc(&m->pairs, v->eos);
    make_key(m, "tokenizer.ggml.add_space_prefix", GGUF_BOOL);
    buf_putc(&m->pairs, !v->no_space);
}

static inline struct buf model(const struct variant *v)
{
    struct make m = {0};
    const char *arch = v->arch ? v->arch : "llama";
    char key[100];
    make_text(&m, "general.architecture", arch);
    add_number(&m, arch, "block_count", 1);
    add_number(&m, arch, "context_length", 128);
    add_number(&m, arch, "embedding_length", HIDDEN);
    add_number(&m, arch, "feed_forward_length", 48);
    add_number(&m, arch, "attention.head_count", HEADS);
    add_number(&m, arch, "attention.head_count_kv", 1);
    if (v->experts) add_number(&m, arch, "expert_count", 8);
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", arch);
    make_f32(&m, key, 1e-5f);
    snprintf(key, sizeof key, "%s.rope.scaling.type", arch);
    if (v->longrope) make_text(&m, key, "longrope");
    if (v->spm)
        add_pieces(&m, v);
    else
        add_tokenizer(&m, v);
    add(&m, v, "token_embd.weight", HIDDEN, VOCAB);
    add_layer(&m, v);
    add(&m, v, "output_norm.weight", HIDDEN, 0);
    if (v->head) add(&m, v, "output.weight", HIDDEN, VOCAB);
    if (v->extra) add(&m, v, v->extra, 8, 0);
    return make_file(&m);
}

#endif
