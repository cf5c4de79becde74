/* SPDX-License-Identifier: Apache-2.0 */
/* Writes tokenizer.json, tokenizer_config.json and special_tokens_map.json from the metadata of a
 * GGUF file. */
#include "hf/gguf_tokenizer.h"

#include <inttypes.h>
#include <string.h>

#include "base/io.h"
#include "base/json.h"

/* ---- the metadata ---- */
static int add_token(struct gguf_vocab *v, const struct gguf *g, struct str text, int64_t type,
                     struct err *e)
{
    if (type < GGUF_TOKEN_NORMAL || type > GGUF_TOKEN_BYTE)
        return err_set(e, ERR_DATA, "%s: token %" PRId64 ": unknown type %" PRId64, gguf_name(g),
                       v->count, type);
    if (!json_is_text(text))
        return err_set(e, ERR_DATA, "%s: tokenizer.ggml.tokens: token %" PRId64 " is not UTF-8",
                       gguf_name(g), v->count);
    v->text[v->count] = text;
    v->type[v->count++] = (unsigned char)type;
    return 0;
}

static int read_vocab(struct gguf_vocab *v, const struct gguf *g, const struct hf_config *c,
                      struct err *e)
{
    const struct gguf_value *tokens = gguf_need_array(g, "tokenizer.ggml.tokens", GGUF_STRING, e);
    if (!tokens) return -1;
    const struct gguf_value *types = gguf_need_array(g, "tokenizer.ggml.token_type", GGUF_I32, e);
    if (!types) return -1;
    if (tokens->count > (uint64_t)c->vocab_size || types->count != tokens->count)
        return err_set(e, ERR_DATA,
                       "%s: tokenizer.ggml.tokens, token_type and the embedding have "
                       "different numbers of tokens",
                       gguf_name(g));
    v->text = mem_alloc((size_t)tokens->count, sizeof *v->text, e);
    v->type = mem_alloc((size_t)tokens->count, 1, e);
    if (!v->text || !v->type) return -1;
    const unsigned char *at = tokens->items, *type_at = types->items;
    struct gguf_value text, type;
    while (gguf_next(tokens, &at, &text) && gguf_next(types, &type_at, &type))
        if (add_token(v, g, text.s, type.i, e)) return -1;
    return 0;
}

/* A file of SentencePiece's form says neither the pre-tokenizer nor the merges. */
static int find_form(struct gguf_tokenizer *t, struct err *e)
{
    bool space = true;
    if (!gguf_has_spm(t->g)) return (t->pre = gguf_pre_find(t->g, e)) ? 0 : -1;
    if (gguf_get_bool(t->g, "tokenizer.ggml.add_space_prefix", &space, e) < 0) return -1;
    t->spm = gguf_spm_form(space);
    return 0;
}

static int find_bytes(struct gguf_tokenizer *t, struct err *e)
{
    const struct gguf_vocab *v = &t->vocab;
    int64_t bytes = 0;
    for (int64_t i = 0; i < v->count; i++) {
        const bool is_byte = gguf_is_byte(v->text[i]);
        if (v->type[i] == GGUF_TOKEN_BYTE && !is_byte)
            return err_set(e, ERR_DATA,
                           "%s: token %" PRId64 " has the type of a byte; its text must be one of "
                           "<0x00> to <0xFF>",
                           gguf_name(t->g), i);
        bytes += is_byte;
    }
    t->bytes = bytes == GGUF_BYTES;
    if (bytes == 0 || t->bytes) return 0;
    return err_set(e, ERR_DATA,
                   "%s: tokenizer.ggml.tokens: has %" PRId64 " of the tokens <0x00> to <0xFF>; all "
                   "256 or none must be there",
                   gguf_name(t->g), bytes);
}

static int find_specials(struct gguf_tokenizer *t, struct err *e)
{
    const struct gguf_vocab *v = &t->vocab;
    bool add_bos = t->spm, add_eos = false;
    for (int i = 0; i < GGUF_SPECIALS; i++)
        if (gguf_get_special(t->g, (enum gguf_special)i, v->count - 1, &t->special[i], e))
            return -1;
    for (int64_t i = 0; t->spm && t->special[GGUF_UNK] < 0 && i < v->count; i++)
        if (v->type[i] == GGUF_TOKEN_UNKNOWN) t->special[GGUF_UNK] = i;
    if (gguf_get_bool(t->g, "tokenizer.ggml.add_bos_token", &add_bos, e) < 0 ||
        gguf_get_bool(t->g, "tokenizer.ggml.add_eos_token", &add_eos, e) < 0)
        return -1;
    t->before = add_bos ? t->special[GGUF_BOS] : HF_NO_TOKEN;
    t->behind = add_eos ? t->special[GGUF_EOS] : HF_NO_TOKEN;
    return 0;
}

/* ---- the files ---- */
/* Appends "bos_token": "<|im_start|>" and so on; sep comes before the next of them. */
static void put_specials(struct buf *b, const struct gguf_tokenizer *t, const char *sep)
{
    static const char *const names[GGUF_SPECIALS] = {[GGUF_BOS] = "bos_token",
                                                     [GGUF_EOS] = "eos_token",
                                                     [GGUF_PAD] = "pad_token",
                                                     [GGUF_UNK] = "unk_token"};
    for (size_t i = 0; i < GGUF_SPECIALS; i++) {
        if (t->special[i] < 0) continue;
        buf_printf(b, "%s\n  \"%s\": ", sep, names[i]);
        buf_json(b, t->vocab.text[t->special[i]]);
        sep = ",";
    }
}

static int put_config(struct buf *b, const struct gguf_tokenizer *t, const struct hf_config *c,
                      struct err *e)
{
    const char *sep = "";
    buf_puts(b, "{\n  \"added_tokens_decoder\": {");
    for (int64_t id = 0; id < t->vocab.count; id++) {
        if (!gguf_is_added(&t->vocab, id)) continue;
        buf_printf(b, "%s\n    \"%" PRId64 "\": {", sep, id);
        gguf_put_added(b, &t->vocab, id, "\n      ");
        buf_puts(b, "\n    }");
        sep = ",";
    }
    buf_puts(b, "\n  }");
    put_specials(b, t, ",");
    buf_putc(b, ',');
    if (gguf_put_templates(t->g, b, e)) return -1;
    buf_printf(b,
               "\n  \"add_bos_token\": %s,\n  \"add_eos_token\": %s,\n"
               "  \"add_prefix_space\": false,\n  \"clean_up_tokenization_spaces\": false,\n"
               "  \"model_max_length\": %" PRId64 ",\n"
               "  \"tokenizer_class\": \"PreTrainedTokenizerFast\"\n}\n",
               t->before >= 0 ? "true" : "false", t->behind >= 0 ? "true" : "false",
               c->max_position_embeddings);
    return buf_check(b, e);
}

/* Writes a file after parsing it once, which finds duplicate tokens. */
static int put_checked(const struct gguf *g, const char *dir, const char *name, const struct buf *b,
                       struct err *e)
{
    struct arena a = {0};
    bool good = json_parse(b->data, b->len, &a, e);
    arena_free(&a);
    if (!good) return err_prefix(e, "%s: tokenizer: %s made from it", gguf_name(g), name);
    char *path = io_path(dir, name, e);
    int rc = path ? io_put(path, b->data, b->len, e) : -1;
    mem_free(path);
    return rc;
}

static int write_files(const struct gguf_tokenizer *t, const struct hf_config *c, const char *dir,
                       struct gguf_converted *done, struct err *e)
{
    struct buf b = {0};
    int rc = gguf_put_tokenizer(&b, t, done, e);
    if (rc == 0) rc = put_checked(t->g, dir, "tokenizer.json", &b, e);
    buf_reset(&b);
    if (rc == 0) rc = put_config(&b, t, c, e);
    if (rc == 0) rc = put_checked(t->g, dir, "tokenizer_config.json", &b, e);
    buf_reset(&b);
    buf_putc(&b, '{');
    put_specials(&b, t, "");
    buf_puts(&b, "\n}\n");
    if (rc == 0) rc = buf_check(&b, e);
    if (rc == 0) rc = put_checked(t->g, dir, "special_tokens_map.json", &b, e);
    buf_free(&b);
    return rc;
}

int gguf_write_tokenizer(const struct gguf *g, const struct hf_config *c, const char *dir,
                         struct gguf_converted *done, struct err *e)
{
    struct gguf_tokenizer t = {.g = g};
    int rc = find_form(&t, e);
    if (rc == 0) rc = read_vocab(&t.vocab, g, c, e);
    if (rc == 0 && t.spm) rc = find_bytes(&t, e);
    if (rc == 0) rc = find_specials(&t, e);
    if (rc == 0) rc = write_files(&t, c, dir, done, e);
    mem_free(t.vocab.text);
    mem_free(t.vocab.type);
    return rc;
}
