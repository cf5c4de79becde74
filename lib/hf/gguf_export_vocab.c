/* SPDX-License-Identifier: Apache-2.0 */
/* The metadata tokenizer.ggml.* of a tokenizer.json with BPE, byte-level or of SentencePiece's
 * form. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "hf/gguf_export_impl.h"

enum { MAX_TOKENIZER = 1 << 30 };

static bool begins(struct str s, const char *z)
{
    return s.n >= strlen(z) && memcmp(s.p, z, strlen(z)) == 0;
}
static bool ends(struct str s, const char *z)
{
    return s.n >= strlen(z) && memcmp(s.p + s.n - strlen(z), z, strlen(z)) == 0;
}

/* llama.cpp's converter takes tokens of these forms for special ones, even if they are not. */
static bool looks_special(struct str s)
{
    return str_is(s, "<pad>") || str_is(s, "<mask>") || (begins(s, "<|") && ends(s, "|>")) ||
           (begins(s, "<\uff5c") && ends(s, "\uff5c>")) || (begins(s, "<unused") && ends(s, ">"));
}

static int put_token(struct gguf_vocab *v, struct str text, const struct json *id,
                     unsigned char type, struct err *e)
{
    int64_t i;
    if (!id || json_int(id, &i) || i < 0)
        return err_set(e, ERR_DATA, "token \"%.*s\": its id is no number from 0", STR_FMT(text));
    if (i >= v->count)
        return err_set(e, ERR_DATA,
                       "token \"%.*s\": id %" PRId64 " has no row in the embedding, which has "
                       "%" PRId64,
                       STR_FMT(text), i, v->count);
    if (v->text[i].p && !str_eq(v->text[i], text))
        return err_set(e, ERR_DATA, "tokens \"%.*s\" and \"%.*s\" have the same id",
                       STR_FMT(v->text[i]), STR_FMT(text));
    v->text[i] = text;
    v->type[i] = type;
    return 0;
}

static bool is_true(const struct json *o, const char *key)
{
    const struct json *v = json_get(o, key);
    return v && v->kind == JSON_BOOL && v->truth;
}

/* prepends: the normalizer changes the text that normalized tokens are looked for in. */
static int read_added(struct gguf_vocab *v, const struct json *o, bool prepends, size_t *stripped,
                      struct err *e)
{
    const struct json *text = o->kind == JSON_OBJECT ? json_get(o, "content") : NULL;
    if (!text || text->kind != JSON_STRING)
        return err_set(e, ERR_DATA, "added_tokens: each must be an object with a content");
    *stripped += is_true(o, "lstrip") || is_true(o, "rstrip") || is_true(o, "single_word") ||
                 (prepends && is_true(o, "normalized"));
    const bool special = is_true(o, "special") || looks_special(text->s);
    return put_token(v, text->s, json_get(o, "id"), special ? GGUF_TOKEN_CONTROL : GGUF_TOKEN_USER,
                     e);
}

static int read_vocab(struct gguf_vocab *v, const struct json *doc, const struct json *model,
                      bool prepends, size_t *stripped, struct err *e)
{
    const struct json *tokens = json_get(model, "vocab"), *added = json_get(doc, "added_tokens");
    if (!tokens || tokens->kind != JSON_OBJECT)
        return err_set(e, ERR_DATA, "model.vocab: must be an object");
    for (size_t i = 0; i < tokens->count; i++)
        if (put_token(v, tokens->keys[i], &tokens->items[i], GGUF_TOKEN_NORMAL, e)) return -1;
    for (size_t i = 0; added && added->kind == JSON_ARRAY && i < added->count; i++)
        if (read_added(v, &added->items[i], prepends, stripped, e)) return -1;
    return 0;
}

static int name_unused(struct gguf_vocab *v, struct err *e)
{
    char name[32];
    for (int64_t i = 0; i < v->count; i++) {
        if (v->text[i].p) continue;
        const int n = snprintf(name, sizeof name, "[PAD%" PRId64 "]", i);
        const char *text = arena_copy(&v->names, name, (size_t)n, e);
        if (!text) return -1;
        v->text[i] = (struct str){text, (size_t)n};
        v->type[i] = GGUF_TOKEN_UNUSED;
    }
    return 0;
}

static void add_vocab(struct gguf_head *h, const struct gguf_vocab *v)
{
    gguf_add_array(h, "tokenizer.ggml.tokens", GGUF_STRING, (uint64_t)v->count);
    for (int64_t i = 0; i < v->count; i++) gguf_add_item(h, v->text[i]);
    gguf_add_array(h, "tokenizer.ggml.token_type", GGUF_I32, (uint64_t)v->count);
    for (int64_t i = 0; i < v->count; i++) buf_u32(&h->pairs, v->type[i]);
}

/* Makes "a b" of a merge that is ["a", "b"]. */
static int merge_text(const struct json *m, struct buf *b)
{
    buf_reset(b);
    if (m->kind == JSON_STRING) {
        buf_str(b, m->s);
    } else {
        if (m->kind != JSON_ARRAY || m->count != 2 || m->items[0].kind != JSON_STRING ||
            m->items[1].kind != JSON_STRING)
            return -1;
        buf_str(b, m->items[0].s);
        buf_putc(b, ' ');
        buf_str(b, m->items[1].s);
    }
    const char *space = b->len ? memchr(b->data, ' ', b->len) : NULL;
    const size_t at = space ? (size_t)(space - b->data) + 1 : b->len;
    return at < 2 || at >= b->len || memchr(b->data + at, ' ', b->len - at) ? -1 : 0;
}

static int add_merges(struct gguf_head *h, const struct json *model, struct err *e)
{
    const struct json *merges = json_get(model, "merges");
    struct buf b = {0};
    int rc = 0;
    if (!merges || merges->kind != JSON_ARRAY)
        return err_set(e, ERR_DATA, "model.merges: must be a list");
    gguf_add_array(h, "tokenizer.ggml.merges", GGUF_STRING, merges->count);
    for (size_t i = 0; rc == 0 && i < merges->count; i++) {
        const int bad = merge_text(&merges->items[i], &b);
        rc = buf_check(&b, e);
        if (rc == 0 && bad)
            rc = err_set(e, ERR_DATA, "model.merges: merge %zu is not two parts", i);
        gguf_add_item(h, (struct str){b.data, b.len});
    }
    buf_free(&b);
    return rc;
}

/* The token behind every text of a post-processor, or of the last of a sequence that has one. */
static struct str suffix_of(const struct json *p, int depth)
{
    struct str none = {NULL, 0};
    const struct json *type = p && p->kind == JSON_OBJECT ? json_get(p, "type") : NULL;
    if (!type || type->kind != JSON_STRING || depth > 8) return none;
    const struct json *list =
        json_get(p, str_is(type->s, "TemplateProcessing") ? "single" : "processors");
    if (!list || list->kind != JSON_ARRAY || list->count == 0) return none;
    if (str_is(type->s, "TemplateProcessing")) {
        const struct json *last = &list->items[list->count - 1];
        const struct json *token =
            last->kind == JSON_OBJECT ? json_get(last, "SpecialToken") : NULL;
        const struct json *id = token && token->kind == JSON_OBJECT ? json_get(token, "id") : NULL;
        return id && id->kind == JSON_STRING ? id->s : none;
    }
    for (size_t i = list->count; i-- > 0 && !none.p;) none = suffix_of(&list->items[i], depth + 1);
    return none;
}

static int add_specials(struct gguf_head *h, const struct gguf_vocab *v, const struct json *doc,
                        const struct gguf_tokens *t, struct err *e)
{
    const struct {
        const char *key;
        int64_t id;
    } ids[] = {{"tokenizer.ggml.bos_token_id", t->bos},
               {"tokenizer.ggml.eos_token_id", t->eos},
               {"tokenizer.ggml.unknown_token_id", t->unk},
               {"tokenizer.ggml.padding_token_id", t->pad}};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        if (ids[i].id >= 0 && ids[i].id < v->count) gguf_add_u32(h, ids[i].key, ids[i].id);
    const struct str last = suffix_of(json_get(doc, "post_processor"), 0);
    const bool known = t->eos >= 0 && t->eos < v->count;
    const bool add_eos = last.p && known && str_eq(last, v->text[t->eos]);
    if (last.p && !add_eos)
        return err_set(e, ERR_DATA,
                       "post_processor: puts \"%.*s\" behind every text; GGUF can say that only of "
                       "the end-of-sequence token",
                       STR_FMT(last));
    gguf_add_bool(h, "tokenizer.ggml.add_bos_token", t->add_bos);
    gguf_add_bool(h, "tokenizer.ggml.add_eos_token", add_eos);
    return 0;
}

static void add_templates(struct gguf_head *h, const struct gguf_tokens *t)
{
    char key[256];
    size_t others = 0;
    for (size_t i = 0; i < t->ntemplates; i++) {
        const bool named = strcmp(t->names[i], "default") != 0;
        snprintf(key, sizeof key, "tokenizer.chat_template%s%.200s", named ? "." : "",
                 named ? t->names[i] : "");
        gguf_add_str(h, key, t->templates[i]);
        others += named;
    }
    if (others == 0) return;
    gguf_add_array(h, "tokenizer.chat_templates", GGUF_STRING, others);
    for (size_t i = 0; i < t->ntemplates; i++)
        if (strcmp(t->names[i], "default") != 0) gguf_add_item(h, str_z(t->names[i]));
}

/* Adds the tokens and what merges them. */
static int add_model(struct gguf_head *h, const struct json *doc, const struct json *model,
                     struct gguf_vocab *v, const struct gguf_tokens *tokens,
                     struct gguf_exported *done, struct err *e)
{
    const bool is_spm = gguf_is_spm(model);
    const struct gguf_spm *spm = is_spm ? gguf_spm_match(doc, model, e) : NULL;
    const struct gguf_pre *pre = is_spm ? NULL : gguf_pre_match(doc, model, e);
    if (!spm && !pre) return -1;
    const bool prepends = spm && spm->space == GGUF_SPM_EACH;
    if (read_vocab(v, doc, model, prepends, &done->stripped, e) || name_unused(v, e)) return -1;
    if (spm && gguf_spm_types(v, model, e)) return -1;
    gguf_add_str(h, "tokenizer.ggml.model", spm ? STR("llama") : STR("gpt2"));
    gguf_add_str(h, "tokenizer.ggml.pre", str_z(spm ? "default" : pre->name));
    add_vocab(h, v);
    return spm ? gguf_spm_add(h, v, model, spm, tokens, done, e) : add_merges(h, model, e);
}

static int add_document(struct gguf_head *h, const struct json *doc, struct gguf_vocab *v,
                        const struct gguf_tokens *tokens, struct gguf_exported *done, struct err *e)
{
    const struct json *model = doc->kind == JSON_OBJECT ? json_get(doc, "model") : NULL;
    if (!model || model->kind != JSON_OBJECT)
        return err_set(e, ERR_DATA, "model: must be an object");
    if (add_model(h, doc, model, v, tokens, done, e) || add_specials(h, v, doc, tokens, e))
        return -1;
    add_templates(h, tokens);
    return 0;
}

static int add_file(struct gguf_head *h, const char *path, const struct hf_config *c,
                    const struct gguf_tokens *tokens, struct gguf_exported *done, struct err *e)
{
    struct buf text = {0};
    struct arena a = {0};
    struct gguf_vocab v = {.count = c->vocab_size};
    v.text = mem_alloc((size_t)v.count, sizeof *v.text, e);
    v.type = mem_alloc((size_t)v.count, 1, e);
    int rc = v.text && v.type ? io_slurp(path, MAX_TOKENIZER, &text, e) : -1;
    if (rc == 0) {
        const struct json *doc = json_parse(text.data ? text.data : "", text.len, &a, e);
        rc = doc ? add_document(h, doc, &v, tokens, done, e) : -1;
        if (rc) err_prefix(e, "%s", path);
    }
    mem_free(v.text);
    mem_free(v.type);
    arena_free(&v.names);
    arena_free(&a);
    buf_free(&text);
    return rc;
}

int gguf_add_tokenizer(struct gguf_head *h, const char *dir, const struct hf_config *c,
                       const struct gguf_tokens *tokens, struct gguf_exported *done, struct err *e)
{
    const int there = io_has(dir, "tokenizer.json", e);
    if (there < 0) return -1;
    if (there == 0)
        return err_set(e, ERR_NOINPUT,
                       "%s: has no tokenizer.json, which a GGUF file is made from; save the "
                       "tokenizer with transformers' save_pretrained",
                       dir);
    char *path = io_path(dir, "tokenizer.json", e);
    int rc = path ? add_file(h, path, c, tokens, done, e) : -1;
    mem_free(path);
    return rc;
}
