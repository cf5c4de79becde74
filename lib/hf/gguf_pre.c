/* SPDX-License-Identifier: Apache-2.0 */
/* The pre-tokenizers that GGUF names, and the forms of SentencePiece's tokenizers. */
#include "hf/gguf_pre.h"

#include <string.h>

#include "hf/config.h"
#include "hf/gguf_impl.h"

/* GGUF contains only the name of the pre-tokenizer. These definitions are those of the
 * tokenizer.json of the original models. */
#define BYTE_LEVEL(regex)                                                                          \
    "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, "              \
    "\"use_regex\": " regex "}"
#define SPLIT(pattern)                                                                             \
    "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"pattern\": {\"Regex\": " \
    "\"" pattern "\"}, \"behavior\": \"Isolated\", \"invert\": false}, " BYTE_LEVEL("false") "]}"
#define GPT4_PATTERN(digits)                                                                       \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|" digits                 \
    "| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"
#define TEKKEN_PATTERN                                                                             \
    "[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?[\\\\p{Lu}\\\\p{Lt}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]*[\\\\p{Ll}"      \
    "\\\\p{Lm}\\\\p{Lo}\\\\p{M}]+|"                                                                \
    "[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?[\\\\p{Lu}\\\\p{Lt}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]+[\\\\p{Ll}"      \
    "\\\\p{Lm}\\\\p{Lo}\\\\p{M}]*|"                                                                \
    "\\\\p{N}| "                                                                                   \
    "?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n/]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"
#define SMOLLM                                                                                     \
    "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Digits\", \"individual_digits\": "  \
    "true}, " BYTE_LEVEL("true") "]}"
/* The first entry of several that split alike is the one that is written. */
static const struct gguf_pre pres[] = {
    {"gpt-2", "null", BYTE_LEVEL("true"), false},
    {"smollm", "null", SMOLLM, false},
    {"llama-bpe", "null", SPLIT(GPT4_PATTERN("\\\\p{N}{1,3}")), true},
    {"llama3", "null", SPLIT(GPT4_PATTERN("\\\\p{N}{1,3}")), true},
    {"qwen2", "{\"type\": \"NFC\"}", SPLIT(GPT4_PATTERN("\\\\p{N}")), false},
    {"tekken", "null", SPLIT(TEKKEN_PATTERN), true}, /* of Mistral Nemo and later models */
};

const struct gguf_pre *gguf_pre_find(const struct gguf *g, struct err *e)
{
    struct str model = {"", 0}, name = {"", 0};
    if (gguf_get_str(g, "tokenizer.ggml.model", &model, e) < 0 ||
        gguf_get_str(g, "tokenizer.ggml.pre", &name, e) < 0)
        return NULL;
    if (!str_is(model, "gpt2")) {
        err_set(
            e, ERR_DATA,
            "%s: tokenizer model \"%.*s\" cannot be converted, only byte-level BPE (\"gpt2\") and "
            "SentencePiece's BPE (\"llama\"); give a folder with tokenizer.json with "
            "--tokenizer",
            gguf_name(g), STR_FMT(model));
        return NULL;
    }
    for (size_t i = 0; i < sizeof pres / sizeof *pres; i++)
        if (str_is(name, pres[i].name)) return &pres[i];
    err_set(e, ERR_DATA,
            "%s: pre-tokenizer \"%.*s\" is not known; give a folder with tokenizer.json with "
            "--tokenizer",
            gguf_name(g), STR_FMT(name));
    return NULL;
}

/* The value of a component's member; use_regex is true when absent. trim_offsets does not change
 * the tokens. */
static const struct json *member(const struct json *o, const char *key)
{
    static const struct json yes = {.kind = JSON_BOOL, .truth = true};
    const struct json *v = json_get(o, key);
    return v || strcmp(key, "use_regex") != 0 ? v : &yes;
}

static bool same(const struct json *a, const struct json *b);

/* True if b has all members of a with the same values. */
static bool has_members(const struct json *a, const struct json *b)
{
    char key[64];
    for (size_t i = 0; i < a->count; i++) {
        if (a->keys[i].n >= sizeof key) return false;
        memcpy(key, a->keys[i].p, a->keys[i].n);
        key[a->keys[i].n] = 0;
        if (strcmp(key, "trim_offsets") == 0) continue;
        const struct json *v = member(b, key);
        if (!v || !same(&a->items[i], v)) return false;
    }
    return true;
}

static bool same(const struct json *a, const struct json *b)
{
    if (a->kind != b->kind) return false;
    if (a->kind == JSON_OBJECT) return has_members(a, b) && has_members(b, a);
    if (a->kind == JSON_ARRAY && a->count == b->count) {
        size_t i = 0;
        while (i < a->count && same(&a->items[i], &b->items[i])) i++;
        return i == a->count;
    }
    return a->kind == JSON_NULL || (a->kind == JSON_BOOL && a->truth == b->truth) ||
           ((a->kind == JSON_STRING || a->kind == JSON_NUMBER) && str_eq(a->s, b->s));
}

/* 1 if v, where NULL stands for null, is what the JSON text says; 0; -1 without memory. */
static int is_text(const struct json *v, const char *text, struct err *e)
{
    static const struct json null = {.kind = JSON_NULL};
    struct arena a = {0};
    const struct json *want = json_parse(text, strlen(text), &a, e);
    const int equal = want ? same(v ? v : &null, want) : -1;
    arena_free(&a);
    return equal;
}

static bool is_true(const struct json *o, const char *key)
{
    const struct json *v = json_get(o, key);
    return v && v->kind == JSON_BOOL && v->truth;
}

static bool is_empty(const struct json *v)
{
    return !v || v->kind == JSON_NULL || (v->kind == JSON_STRING && v->s.n == 0);
}

static int check_model(const struct json *model, struct err *e)
{
    const struct json *type = json_get(model, "type");
    if (!type || !str_is(type->s, "BPE"))
        return err_set(e, ERR_DATA, "model: only BPE can be written as GGUF");
    if (is_empty(json_get(model, "continuing_subword_prefix")) &&
        is_empty(json_get(model, "end_of_word_suffix")))
        return 0;
    return err_set(e, ERR_DATA,
                   "model: continuing_subword_prefix and end_of_word_suffix cannot be written");
}

/* Refuses the normalizer and the pre-tokenizer; why ends with a colon. */
static void refuse(const struct json *doc, const struct json *model, const char *why, struct err *e)
{
    struct buf b = {0};
    const struct json *normalizer = json_get(doc, "normalizer");
    const struct json *pre = json_get(doc, "pre_tokenizer");
    buf_puts(&b, "normalizer ");
    if (normalizer) json_write(normalizer, &b);
    buf_puts(&b, normalizer ? ", pre_tokenizer " : "null, pre_tokenizer ");
    if (pre) json_write(pre, &b);
    if (!pre) buf_puts(&b, "null");
    if (is_true(model, "ignore_merges")) buf_puts(&b, ", ignore_merges");
    if (buf_check(&b, e) == 0) err_set(e, ERR_DATA, "%s %.900s", why, b.data);
    buf_free(&b);
}

const struct gguf_pre *gguf_pre_match(const struct json *doc, const struct json *model,
                                      struct err *e)
{
    if (check_model(model, e)) return NULL;
    for (size_t i = 0; i < sizeof pres / sizeof *pres; i++) {
        if (pres[i].ignore_merges != is_true(model, "ignore_merges")) continue;
        int rc = is_text(json_get(doc, "normalizer"), pres[i].normalizer, e);
        if (rc > 0) rc = is_text(json_get(doc, "pre_tokenizer"), pres[i].pre_tokenizer, e);
        if (rc) return rc > 0 ? &pres[i] : NULL;
    }
    refuse(doc, model,
           "no pre-tokenizer that GGUF names splits text like this one; gpt-2, smollm, llama-bpe, "
           "qwen2 and tekken are known:",
           e);
    return NULL;
}

#define SPM_REPLACE                                                                                \
    "{\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": \"\u2581\"}"
#define SPM_LIST(first) "{\"type\": \"Sequence\", \"normalizers\": [" first SPM_REPLACE "]}"
#define SPM_PREPEND     SPM_LIST("{\"type\": \"Prepend\", \"prepend\": \"\u2581\"}, ")
/* No space is left that this could split at; Gemma's files have it. */
#define SPM_SPLIT                                                                                  \
    "{\"type\": \"Split\", \"pattern\": {\"String\": \" \"}, \"behavior\": "                       \
    "\"MergedWithPrevious\", \"invert\": false}"
#define SPM_META(scheme)                                                                           \
    "{\"type\": \"Metaspace\", \"replacement\": \"\u2581\", \"prepend_scheme\": \"" scheme         \
    "\", \"split\": false}"
/* The first two are those that are written. */
static const struct gguf_spm spms[] = {
    {SPM_PREPEND, "null", GGUF_SPM_EACH},           {SPM_REPLACE, "null", GGUF_SPM_NONE},
    {SPM_LIST(""), "null", GGUF_SPM_NONE},          {SPM_REPLACE, SPM_SPLIT, GGUF_SPM_NONE},
    {"null", SPM_META("never"), GGUF_SPM_NONE},     {"null", SPM_META("first"), GGUF_SPM_FIRST},
    {"null", SPM_META("always"), GGUF_SPM_LACKING},
};

bool gguf_has_spm(const struct gguf *g)
{
    const struct gguf_value *v = gguf_get(g, "tokenizer.ggml.model");
    return v && v->kind == GGUF_STRING && str_is(v->s, "llama");
}

int gguf_get_special(const struct gguf *g, enum gguf_special s, int64_t last, int64_t *id,
                     struct err *e)
{
    static const struct {
        const char *key;
        int64_t usual; /* in SentencePiece's form */
    } specials[GGUF_SPECIALS] = {
        [GGUF_BOS] = {"tokenizer.ggml.bos_token_id", 1},
        [GGUF_EOS] = {"tokenizer.ggml.eos_token_id", 2},
        [GGUF_UNK] = {"tokenizer.ggml.unknown_token_id", HF_NO_TOKEN},
        [GGUF_PAD] = {"tokenizer.ggml.padding_token_id", HF_NO_TOKEN},
    };
    *id = gguf_has_spm(g) && specials[s].usual <= last ? specials[s].usual : HF_NO_TOKEN;
    return gguf_get_int(g, specials[s].key, 0, last, id, e) < 0 ? -1 : 0;
}

const struct gguf_spm *gguf_spm_form(bool space) { return &spms[space ? 0 : 1]; }

static bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'); }

bool gguf_is_byte(struct str s)
{
    return s.n == 6 && memcmp(s.p, "<0x", 3) == 0 && is_hex(s.p[3]) && is_hex(s.p[4]) &&
           s.p[5] == '>';
}

bool gguf_is_spm(const struct json *model) { return is_true(model, "byte_fallback"); }

const struct gguf_spm *gguf_spm_match(const struct json *doc, const struct json *model,
                                      struct err *e)
{
    if (check_model(model, e)) return NULL;
    for (size_t i = 0; i < sizeof spms / sizeof *spms && !is_true(model, "ignore_merges"); i++) {
        int rc = is_text(json_get(doc, "normalizer"), spms[i].normalizer, e);
        if (rc > 0) rc = is_text(json_get(doc, "pre_tokenizer"), spms[i].pre_tokenizer, e);
        if (rc) return rc > 0 ? &spms[i] : NULL;
    }
    refuse(doc, model,
           "llama.cpp reads text in another way with byte_fallback; Prepend and Replace of U+2581, "
           "or Metaspace without split are known:",
           e);
    return NULL;
}
