/* SPDX-License-Identifier: Apache-2.0 */
/* GGUF files whose tokenizer is of SentencePiece's form: their merges, and what is refused. */
#include <math.h>
#include <unistd.h>

#include "convert.h"
#include "hf/gguf_tokenizer.h"

static const struct json *read_tokenizer(struct variant v, struct arena *a, struct buf *b)
{
    struct err e;
    v.spm = true;
    if (convert(&v, &e) == 0) return read_json("tokenizer.json", a, b);
    printf("# %s\n", e.msg);
    return NULL;
}

/* Writes the merges as "a|b a|ab". */
static const char *merges_of(struct variant v)
{
    static char out[256];
    struct arena a = {0};
    struct buf b = {0};
    const struct json *t = read_tokenizer(v, &a, &b);
    const struct json *list = t ? json_get(json_get(t, "model"), "merges") : NULL;
    out[0] = 0;
    for (size_t i = 0; list && i < list->count; i++) {
        const struct json *m = &list->items[i];
        const size_t n = strlen(out);
        snprintf(out + n, sizeof out - n, "%s%.*s|%.*s", n ? " " : "", STR_FMT(m->items[0].s),
                 STR_FMT(m->items[1].s));
    }
    arena_free(&a);
    buf_free(&b);
    return out;
}

static bool merges_are(struct variant v, const char *want)
{
    const char *got = merges_of(v);
    if (strcmp(got, want) == 0) return true;
    printf("# %s\n", got);
    return false;
}

static void merges(void)
{
    static const float tie[] = {0, -1, -2, -2, -2}, last[] = {0, -1, -9, -3, -2};
    struct variant v = {0};
    CHECK("GGUF merges: a token's are the pairs that its text divides into",
          merges_are(v, "a|b") && done.tied == 0 && done.loose == 0);
    v = (struct variant){.text = {[2] = "aa", [3] = "aaa", [4] = "aaaa"}, .score = last};
    v.type[4] = 1;
    CHECK("GGUF merges: those of a higher score are first, the longest left part before others",
          merges_are(v, "aaa|a aa|aa a|aaa aa|a a|aa a|a") && done.tied == 0);
    v.score = tie;
    CHECK("GGUF merges: in runs of one character, the longest left part of all is first",
          merges_are(v, "aaa|a aa|aa aa|a a|aaa a|aa a|a") && done.tied == 0);
    v = (struct variant){.text = {[4] = "aab"}, .score = tie};
    v.type[4] = 1;
    CHECK("GGUF merges: other tokens with one score are counted",
          merges_are(v, "a|ab a|b") && done.tied == 2);
    v = (struct variant){.text = {[2] = "x"}};
    CHECK("GGUF merges: a token with a character that is none is counted",
          merges_are(v, "") && done.loose == 1);
    v = (struct variant){.text = {[2] = "\u2581", [3] = "a\u2581"}, .type = {[3] = 4}};
    CHECK("GGUF merges: an added token has some if spaces can complete it",
          merges_are(v, "a|\u2581"));
    v = (struct variant){.type = {[3] = 4}};
    CHECK("GGUF merges: else it has none", merges_are(v, ""));
}

static bool has_member(const struct json *o, const char *key, const char *text)
{
    const struct json *v = o ? json_get(o, key) : NULL;
    struct buf b = {0};
    if (v) json_write(v, &b);
    const bool same = b.data && strcmp(b.data, text) == 0;
    if (!same) printf("# %s: %s\n", key, b.data ? b.data : "none");
    buf_free(&b);
    return same;
}

#define TOKEN(id)    "{\"SpecialToken\":{\"id\":\"" id "\",\"type_id\":0}}"
#define SEQUENCE     "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}"
#define VOCABULARY   "{\"<unk>\":0,\"a\":1,\"b\":2,\"ab\":3}"
#define REPLACE_ONLY "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\u2581\"}"

static void pieces(void)
{
    struct arena a = {0};
    struct buf b = {0};
    const struct json *t = read_tokenizer((struct variant){.bos = true, .eos = true}, &a, &b);
    const struct json *m = t ? json_get(t, "model") : NULL;
    CHECK("GGUF pieces: rows that only the file names are left out",
          has_member(m, "vocab", VOCABULARY));
    CHECK("GGUF pieces: without tokens of bytes there is the unknown token alone",
          has_member(m, "byte_fallback", "false") && has_member(m, "unk_token", "\"<unk>\"") &&
              has_member(m, "fuse_unk", "true"));
    const struct json *added = t ? json_get(t, "added_tokens") : NULL;
    CHECK("GGUF pieces: the unknown token is an added one",
          added && added->count == 1 && has_member(&added->items[0], "content", "\"<unk>\"") &&
              has_member(&added->items[0], "special", "true"));
    const struct json *p = t ? json_get(t, "post_processor") : NULL;
    CHECK("GGUF pieces: tokens before and behind every text",
          has_member(p, "single", "[" TOKEN("<unk>") "," SEQUENCE "," TOKEN("ab") "]"));
    t = read_tokenizer((struct variant){.text = {[4] = "[PAD4"}}, &a, &b);
    CHECK("GGUF pieces: another unused token stays",
          json_get(json_get(json_get(t, "model"), "vocab"), "[PAD4") != NULL);
    t = read_tokenizer((struct variant){.no_space = true}, &a, &b);
    CHECK("GGUF pieces: no space before a text, no tokens around it",
          has_member(t, "normalizer", REPLACE_ONLY) && has_member(t, "post_processor", "null") &&
              json_get(json_get(t, "decoder"), "decoders")->count == 3);
    t = read_tokenizer((struct variant){.bare = true, .type = {[4] = 1}}, &a, &b);
    p = t ? json_get(t, "post_processor") : NULL;
    CHECK("GGUF pieces: what a file does not say is as llama.cpp takes it",
          has_member(p, "single", "[" TOKEN("a") "," SEQUENCE "]") &&
              has_member(read_json("tokenizer_config.json", &a, &b), "eos_token", "\"b\""));
    arena_free(&a);
    buf_free(&b);
}

static bool refused_spm(struct variant v, const char *text)
{
    v.spm = true;
    return refused(v, text);
}

static void bad_pieces(void)
{
    static const float nan_score[] = {0, NAN, -1, -2, -3}, infinite[] = {0, -1, INFINITY, -2, -3};
    CHECK("GGUF pieces: no scores",
          refused_spm((struct variant){.no_scores = true}, "\"tokenizer.ggml.scores\": missing"));
    CHECK("GGUF pieces: fewer scores than tokens",
          refused_spm((struct variant){.few_scores = true}, "has 4 numbers for 5 tokens"));
    CHECK("GGUF pieces: a score that is no number",
          refused_spm((struct variant){.score = nan_score}, "score of token 1 is not a finite"));
    CHECK("GGUF pieces: a score without end",
          refused_spm((struct variant){.score = infinite}, "score of token 2 is not a finite"));
    CHECK("GGUF pieces: a text twice",
          refused_spm((struct variant){.text = {[2] = "a"}}, "tokens 1 and 2 have the same text"));
    CHECK("GGUF pieces: a text that is not UTF-8",
          refused_spm((struct variant){.text = {[2] = "\xe2\x96"}}, "token 2 is not UTF-8"));
    CHECK("GGUF pieces: tokens of some bytes",
          refused_spm((struct variant){.text = {[2] = "<0x41>"}, .type = {[2] = 6}},
                      "has 1 of the tokens <0x00> to <0xFF>"));
    CHECK("GGUF pieces: a byte with another text",
          refused_spm((struct variant){.type = {[2] = 6}}, "token 2 has the type of a byte"));
    CHECK("GGUF pieces: a type that is not known",
          refused_spm((struct variant){.type = {[2] = 9}}, "token 2: unknown type 9"));
    CHECK("GGUF pieces: a special token that there is not",
          refused_spm((struct variant){.bos_id = 7}, "7 is not between 0 and 4"));
}

/* Appends the merges of these tokens, all of one score. */
static int scored_merges(struct str *texts, int64_t count, struct buf *out, struct err *e)
{
    struct make m = {0};
    struct gguf_tokenizer t = {.vocab = {.text = texts, .count = count}};
    t.vocab.type = calloc((size_t)count, 1);
    make_array(&m, "tokenizer.ggml.scores", GGUF_F32, (uint64_t)count);
    for (int64_t i = 0; i < count; i++) buf_u32(&m.pairs, 0);
    make_tensor(&m, "x", GGUF_TYPE_F32, 1, 0, &(float){0}, sizeof(float));
    struct buf file = make_file(&m);
    struct gguf *g = gguf_parse(file.data, file.len, "m.gguf", e);
    t.g = g;
    buf_reset(out);
    const int rc = g ? gguf_put_scored_merges(out, &t, &done, e) : -1;
    gguf_close(g);
    buf_free(&file);
    free(t.vocab.type);
    return rc;
}

static void many(void)
{
    static char a[1024];
    struct str texts[1000];
    struct err e = {0};
    struct buf b = {0};
    memset(a, 'a', sizeof a);
    for (size_t i = 0; i < 1000; i++) texts[i] = (struct str){a, i + 1};
    CHECK("GGUF pieces: many merges", scored_merges(texts, 300, &b, &e) == 0 && b.len > 1 << 20);
    CHECK("GGUF pieces: more merges than memory should hold",
          scored_merges(texts, 1000, &b, &e) && e.code == ERR_DATA &&
              strstr(e.msg, "m.gguf: tokenizer.ggml.tokens: the merges are more than 256 MiB"));
    struct str bytes[] = {STR("<0x41>"), STR("b"), STR("<0x41>b"), STR("<0"), STR("x41>")};
    CHECK("GGUF pieces: the token of a byte has merges, but is no part of one",
          scored_merges(bytes, 5, &b, &e) == 0 && b.data &&
              strcmp(b.data, "\n      [\"<0\", \"x41>\"]") == 0);
    buf_free(&b);
}

int main(void)
{
    if (!mkdtemp(dir)) return 1;
    merges();
    pieces();
    bad_pieces();
    many();
    io_remove_tree(dir, NULL);
    TEST_END();
}
