/* SPDX-License-Identifier: Apache-2.0 */
/* The text of tokenizer.json, for the metadata of a GGUF file. */
#include <inttypes.h>
#include <string.h>

#include "hf/gguf_tokenizer.h"

void gguf_put_added(struct buf *b, const struct gguf_vocab *v, int64_t id, const char *indent)
{
    buf_printf(b, "%s\"content\": ", indent);
    buf_json(b, v->text[id]);
    buf_printf(b, ",%s\"single_word\": false,%s\"lstrip\": false,%s\"rstrip\": false,", indent,
               indent, indent);
    buf_printf(b, "%s\"normalized\": false,%s\"special\": %s", indent, indent,
               v->type[id] == GGUF_TOKEN_USER ? "false" : "true");
}

static void put_added_tokens(struct buf *b, const struct gguf_vocab *v)
{
    const char *sep = "";
    buf_puts(b, "  \"added_tokens\": [");
    for (int64_t id = 0; id < v->count; id++) {
        if (!gguf_is_added(v, id)) continue;
        buf_printf(b, "%s\n    {\n      \"id\": %" PRId64 ",", sep, id);
        gguf_put_added(b, v, id, "\n      ");
        buf_puts(b, "\n    }");
        sep = ",";
    }
    buf_puts(b, "\n  ],\n");
}

/* Lists added tokens in the vocabulary too, as the files of most models do. */
static void put_vocab(struct buf *b, const struct gguf_tokenizer *t)
{
    const struct gguf_vocab *v = &t->vocab;
    const char *sep = "";
    buf_puts(b, "    \"vocab\": {");
    for (int64_t id = 0; id < v->count; id++) {
        if (t->spm ? gguf_is_filler(v, id) : v->type[id] == GGUF_TOKEN_UNUSED) continue;
        buf_printf(b, "%s\n      ", sep);
        buf_json(b, v->text[id]);
        buf_printf(b, ": %" PRId64, id);
        sep = ",";
    }
    buf_puts(b, "\n    },\n");
}

static int put_listed_merges(struct buf *b, const struct gguf *g, struct err *e)
{
    const struct gguf_value *merges = gguf_need_array(g, "tokenizer.ggml.merges", GGUF_STRING, e);
    if (!merges) return -1;
    const unsigned char *at = merges->items;
    struct gguf_value m;
    const char *sep = "";
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
    return 0;
}

static int put_merges(struct buf *b, const struct gguf_tokenizer *t, struct gguf_converted *done,
                      struct err *e)
{
    buf_puts(b, "    \"merges\": [");
    const int rc = t->spm ? gguf_put_scored_merges(b, t, done, e) : put_listed_merges(b, t->g, e);
    buf_puts(b, "\n    ]\n");
    return rc;
}

/* ---- the tokens around a text ---- */
/* Appends a special token of the template, if there is one. */
static void put_special(struct buf *b, const struct gguf_tokenizer *t, int64_t id, int sequence,
                        const char *ahead, const char *after)
{
    if (id < 0) return;
    buf_printf(b, "%s{\"SpecialToken\": {\"id\": ", ahead);
    buf_json(b, t->vocab.text[id]);
    buf_printf(b, ", \"type_id\": %d}}%s", sequence, after);
}

static void put_sequence(struct buf *b, const struct gguf_tokenizer *t, int sequence)
{
    put_special(b, t, t->before, sequence, "", ", ");
    buf_printf(b, "{\"Sequence\": {\"id\": \"%c\", \"type_id\": %d}}", 'A' + sequence, sequence);
    put_special(b, t, t->behind, sequence, ", ", "");
}

static void put_definition(struct buf *b, const struct gguf_tokenizer *t, int64_t id)
{
    const struct str text = t->vocab.text[id];
    buf_json(b, text);
    buf_puts(b, ": {\"id\": ");
    buf_json(b, text);
    buf_printf(b, ", \"ids\": [%" PRId64 "], \"tokens\": [", id);
    buf_json(b, text);
    buf_puts(b, "]}");
}

/* Appends a post-processor that makes "<bos> text <eos>" of the tokens that every text gets. */
static void put_post_processor(struct buf *b, const struct gguf_tokenizer *t)
{
    if (t->before < 0 && t->behind < 0) {
        buf_puts(b, t->spm ? "null"
                           : "{\"type\": \"ByteLevel\", \"add_prefix_space\": true, "
                             "\"trim_offsets\": false, \"use_regex\": true}");
        return;
    }
    buf_puts(b, "{\"type\": \"TemplateProcessing\", \"single\": [");
    put_sequence(b, t, 0);
    buf_puts(b, "], \"pair\": [");
    put_sequence(b, t, 0);
    buf_puts(b, ", ");
    put_sequence(b, t, 1);
    buf_puts(b, "], \"special_tokens\": {");
    if (t->before >= 0) put_definition(b, t, t->before);
    if (t->before >= 0 && t->behind >= 0 && t->behind != t->before) buf_puts(b, ", ");
    if (t->behind >= 0 && t->behind != t->before) put_definition(b, t, t->behind);
    buf_puts(b, "}}");
}

/* ---- the model ---- */
/* The space that comes before a text is not part of it. */
static void put_decoder(struct buf *b, const struct gguf_tokenizer *t)
{
    if (!t->spm) {
        buf_puts(b, "{\"type\": \"ByteLevel\", \"add_prefix_space\": true, "
                    "\"trim_offsets\": true, \"use_regex\": true}");
        return;
    }
    buf_puts(b, "{\"type\": \"Sequence\", \"decoders\": [{\"type\": \"Replace\", \"pattern\": "
                "{\"String\": \"\u2581\"}, \"content\": \" \"}, {\"type\": \"ByteFallback\"}, "
                "{\"type\": \"Fuse\"}");
    if (t->spm->space == GGUF_SPM_EACH)
        buf_puts(b, ", {\"type\": \"Strip\", \"content\": \" \", \"start\": 1, \"stop\": 0}");
    buf_puts(b, "]}");
}

/* The members of "model" before its tokens. */
static void put_settings(struct buf *b, const struct gguf_tokenizer *t)
{
    const char *affix = t->spm ? "null" : "\"\"";
    const int64_t unk = t->spm ? t->special[GGUF_UNK] : HF_NO_TOKEN;
    buf_puts(b, "    \"type\": \"BPE\",\n    \"dropout\": null,\n    \"unk_token\": ");
    if (unk >= 0)
        buf_json(b, t->vocab.text[unk]);
    else
        buf_puts(b, "null");
    buf_printf(b,
               ",\n    \"continuing_subword_prefix\": %s,\n    \"end_of_word_suffix\": %s,\n"
               "    \"fuse_unk\": %s,\n    \"byte_fallback\": %s,\n    \"ignore_merges\": %s,\n",
               affix, affix, t->spm ? "true" : "false", t->bytes ? "true" : "false",
               t->pre && t->pre->ignore_merges ? "true" : "false");
}

int gguf_put_tokenizer(struct buf *b, const struct gguf_tokenizer *t, struct gguf_converted *done,
                       struct err *e)
{
    buf_puts(b, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n");
    put_added_tokens(b, &t->vocab);
    buf_printf(b, "  \"normalizer\": %s,\n  \"pre_tokenizer\": %s,\n  \"post_processor\": ",
               t->spm ? t->spm->normalizer : t->pre->normalizer,
               t->spm ? t->spm->pre_tokenizer : t->pre->pre_tokenizer);
    put_post_processor(b, t);
    buf_puts(b, ",\n  \"decoder\": ");
    put_decoder(b, t);
    buf_puts(b, ",\n  \"model\": {\n");
    put_settings(b, t);
    put_vocab(b, t);
    if (put_merges(b, t, done, e)) return -1;
    buf_puts(b, "  }\n}\n");
    return buf_check(b, e);
}
