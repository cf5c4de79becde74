/* SPDX-License-Identifier: Apache-2.0 */
/* Writes tokenizer.json, tokenizer_config.json and special_tokens_map.json from the metadata of a
 * GGUF file. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "base/json.h"
#include "hf/gguf_convert.h"
#include "hf/gguf_pre.h"

struct vocab {
    struct str *text;
    unsigned char *type;
    size_t count;
};

static const struct gguf_value *need_array(const struct gguf *g, const char *key,
                                           enum gguf_kind item, struct err *e)
{
    const struct gguf_value *v = gguf_get(g, key);
    if (v && v->kind == GGUF_ARRAY && v->item == item) return v;
    err_set(e, ERR_DATA, "%s: metadata \"%s\": missing or of another type", gguf_name(g), key);
    return NULL;
}

static int read_vocab(const struct gguf *g, const struct hf_config *c, struct vocab *v,
                      struct err *e)
{
    const struct gguf_value *tokens = need_array(g, "tokenizer.ggml.tokens", GGUF_STRING, e);
    if (!tokens) return -1;
    const struct gguf_value *types = need_array(g, "tokenizer.ggml.token_type", GGUF_I32, e);
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
    while (gguf_next(tokens, &at, &text) && gguf_next(types, &type_at, &type)) {
        if (type.i < GGUF_TOKEN_NORMAL || type.i > GGUF_TOKEN_BYTE)
            return err_set(e, ERR_DATA, "%s: token %zu: unknown type %" PRId64, gguf_name(g),
                           v->count, type.i);
        v->text[v->count] = text.s;
        v->type[v->count++] = (unsigned char)type.i;
    }
    return 0;
}

static bool is_added(const struct vocab *v, size_t id)
{
    return v->type[id] == GGUF_TOKEN_CONTROL || v->type[id] == GGUF_TOKEN_USER;
}

/* Appends the members of an added token that are common to tokenizer.json and
 * tokenizer_config.json.
 */
static void put_added(struct buf *b, const struct vocab *v, size_t id, const char *indent)
{
    buf_printf(b, "%s\"content\": ", indent);
    buf_json(b, v->text[id]);
    buf_printf(b, ",%s\"single_word\": false,%s\"lstrip\": false,%s\"rstrip\": false,", indent,
               indent, indent);
    buf_printf(b, "%s\"normalized\": false,%s\"special\": %s", indent, indent,
               v->type[id] == GGUF_TOKEN_CONTROL ? "true" : "false");
}

static void put_added_tokens(struct buf *b, const struct vocab *v)
{
    const char *sep = "";
    buf_puts(b, "  \"added_tokens\": [");
    for (size_t id = 0; id < v->count; id++) {
        if (!is_added(v, id)) continue;
        buf_printf(b, "%s\n    {\n      \"id\": %zu,", sep, id);
        put_added(b, v, id, "\n      ");
        buf_puts(b, "\n    }");
        sep = ",";
    }
    buf_puts(b, "\n  ],\n");
}

/* Lists added tokens in the vocabulary too, as the files of most models do. */
static void put_vocab(struct buf *b, const struct vocab *v)
{
    const char *sep = "";
    buf_puts(b, "    \"vocab\": {");
    for (size_t id = 0; id < v->count; id++) {
        if (v->type[id] == GGUF_TOKEN_UNUSED) continue;
        buf_printf(b, "%s\n      ", sep);
        buf_json(b, v->text[id]);
        buf_printf(b, ": %zu", id);
        sep = ",";
    }
    buf_puts(b, "\n    },\n");
}

static int put_merges(struct buf *b, const struct gguf *g, struct err *e)
{
    const struct gguf_value *merges = need_array(g, "tokenizer.ggml.merges", GGUF_STRING, e);
    if (!merges) return -1;
    const unsigned char *at = merges->items;
    struct gguf_value m;
    const char *sep = "";
    buf_puts(b, "    \"merges\": [");
    for (uint64_t i = 0; gguf_next(merges, &at, &m); i++) {
        const char *space = memchr(m.s.p, ' ', m.s.n);
        size_t first = space ? (size_t)(space - m.s.p) : 0;
        if (!space || first == 0 || first + 1 == m.s.n || memchr(space + 1, ' ', m.s.n - first - 1))
            return err_set(e, ERR_DATA,
                           "%s: merge %" PRIu64 ": must be two parts and one space between them",
                           gguf_name(g), i);
        buf_printf(b, "%s\n      ", sep);
        buf_json(b, m.s);
        sep = ",";
    }
    buf_puts(b, "\n    ]\n");
    return 0;
}

/* Appends a post-processor that makes "<bos> text", if the tokenizer of the model adds a BOS. */
static void put_post_processor(struct buf *b, const struct vocab *v, int64_t bos)
{
    if (bos < 0) {
        buf_puts(b, "{\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": "
                    "false, \"use_regex\": true}");
        return;
    }
    struct buf id = {0};
    buf_json(&id, v->text[bos]);
    const char *t = id.data ? id.data : "\"\"";
    buf_printf(b,
               "{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": %s, "
               "\"type_id\": 0}}, {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}], ",
               t);
    buf_printf(b,
               "\"pair\": [{\"SpecialToken\": {\"id\": %s, \"type_id\": 0}}, {\"Sequence\": "
               "{\"id\": \"A\", \"type_id\": 0}}, {\"SpecialToken\": {\"id\": %s, \"type_id\": "
               "1}}, {\"Sequence\": {\"id\": \"B\", \"type_id\": 1}}], ",
               t, t);
    buf_printf(b,
               "\"special_tokens\": {%s: {\"id\": %s, \"ids\": [%" PRId64 "], \"tokens\": [%s]}}}",
               t, t, bos, t);
    b->failed |= id.failed;
    buf_free(&id);
}

static int format_tokenizer(struct buf *b, const struct gguf *g, const struct vocab *v,
                            const struct gguf_pre *pre, int64_t bos, struct err *e)
{
    buf_puts(b, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n");
    put_added_tokens(b, v);
    buf_printf(b, "  \"normalizer\": %s,\n  \"pre_tokenizer\": %s,\n  \"post_processor\": ",
               pre->normalizer, pre->pre_tokenizer);
    put_post_processor(b, v, bos);
    buf_puts(b, ",\n  \"decoder\": {\"type\": \"ByteLevel\", \"add_prefix_space\": true, "
                "\"trim_offsets\": true, \"use_regex\": true},\n");
    buf_puts(b, "  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n"
                "    \"unk_token\": null,\n    \"continuing_subword_prefix\": \"\",\n"
                "    \"end_of_word_suffix\": \"\",\n    \"fuse_unk\": false,\n"
                "    \"byte_fallback\": false,\n");
    buf_printf(b, "    \"ignore_merges\": %s,\n", pre->ignore_merges ? "true" : "false");
    put_vocab(b, v);
    if (put_merges(b, g, e)) return -1;
    buf_puts(b, "  }\n}\n");
    return buf_check(b, e);
}

/* Appends "bos_token": "<|im_start|>" and so on for the special tokens in the metadata. */
static int put_specials(struct buf *b, const struct gguf *g, const struct vocab *v, struct err *e)
{
    static const char *const names[][2] = {{"bos_token", "tokenizer.ggml.bos_token_id"},
                                           {"eos_token", "tokenizer.ggml.eos_token_id"},
                                           {"pad_token", "tokenizer.ggml.padding_token_id"},
                                           {"unk_token", "tokenizer.ggml.unknown_token_id"}};
    const char *sep = "";
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        int64_t id;
        int rc = gguf_get_int(g, names[i][1], 0, (int64_t)v->count - 1, &id, e);
        if (rc < 0) return -1;
        if (rc == 0) continue;
        buf_printf(b, "%s\n  \"%s\": ", sep, names[i][0]);
        buf_json(b, v->text[id]);
        sep = ",";
    }
    return 0;
}

static int format_config(struct buf *b, const struct gguf *g, const struct hf_config *c,
                         const struct vocab *v, bool add_bos, struct err *e)
{
    const char *sep = "";
    buf_puts(b, "{\n  \"added_tokens_decoder\": {");
    for (size_t id = 0; id < v->count; id++) {
        if (!is_added(v, id)) continue;
        buf_printf(b, "%s\n    \"%zu\": {", sep, id);
        put_added(b, v, id, "\n      ");
        buf_puts(b, "\n    }");
        sep = ",";
    }
    buf_puts(b, "\n  },");
    size_t before = b->len;
    if (put_specials(b, g, v, e)) return -1;
    if (b->len > before) buf_putc(b, ',');
    if (gguf_put_templates(g, b, e)) return -1;
    buf_printf(b,
               "\n  \"add_bos_token\": %s,\n  \"add_prefix_space\": false,\n"
               "  \"clean_up_tokenization_spaces\": false,\n  \"model_max_length\": %" PRId64 ",\n"
               "  \"tokenizer_class\": \"PreTrainedTokenizerFast\"\n}\n",
               add_bos ? "true" : "false", c->max_position_embeddings);
    return buf_check(b, e);
}

/* Writes a file after parsing it once, which finds bytes that are not UTF-8 and duplicate tokens.
 */
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

static int write_files(const struct gguf *g, const struct hf_config *c, const struct vocab *v,
                       const struct gguf_pre *pre, const char *dir, struct err *e)
{
    bool add_bos = false;
    struct buf b = {0};
    if (gguf_get_bool(g, "tokenizer.ggml.add_bos_token", &add_bos, e) < 0) return -1;
    int64_t bos = add_bos && c->bos_token_id < (int64_t)v->count ? c->bos_token_id : HF_NO_TOKEN;
    int rc = format_tokenizer(&b, g, v, pre, bos, e);
    if (rc == 0) rc = put_checked(g, dir, "tokenizer.json", &b, e);
    buf_reset(&b);
    if (rc == 0) rc = format_config(&b, g, c, v, add_bos, e);
    if (rc == 0) rc = put_checked(g, dir, "tokenizer_config.json", &b, e);
    buf_reset(&b);
    buf_putc(&b, '{');
    if (rc == 0) rc = put_specials(&b, g, v, e);
    buf_puts(&b, "\n}\n");
    if (rc == 0) rc = buf_check(&b, e);
    if (rc == 0) rc = put_checked(g, dir, "special_tokens_map.json", &b, e);
    buf_free(&b);
    return rc;
}

int gguf_write_tokenizer(const struct gguf *g, const struct hf_config *c, const char *dir,
                         struct err *e)
{
    struct vocab v = {0};
    const struct gguf_pre *pre = gguf_pre_find(g, e);
    int rc = pre ? read_vocab(g, c, &v, e) : -1;
    if (rc == 0) rc = write_files(g, c, &v, pre, dir, e);
    mem_free(v.text);
    mem_free(v.type);
    return rc;
}
