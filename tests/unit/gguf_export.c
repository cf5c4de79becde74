/* SPDX-License-Identifier: Apache-2.0 */
/* Quantization has the bits of ggml's (tests/golden/hf/gguf_export/quants.tsv); a model goes from
 * GGUF to a folder and back without a change. */
#include <inttypes.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/io.h"
#include "gguf_model.h"
#include "hf/dtype.h"
#include "hf/gguf_convert.h"
#include "hf/gguf_export.h"
#include "hf/gguf_impl.h"
#include "test.h"

static char dir[] = "/tmp/sft-export.XXXXXX";

/* ---- quantization ---- */
enum { ROWS = 14, N = ROWS * 256 };

static size_t unhex(const char *text, unsigned char *out, size_t max)
{
    size_t n = 0;
    unsigned v;
    while (n < max && sscanf(text + 2 * n, "%2x", &v) == 1) out[n++] = (unsigned char)v;
    return n;
}

static enum gguf_type type_of(const char *name)
{
    uint32_t t = 0;
    while (t < 64 && strcmp(gguf_type_name((enum gguf_type)t), name) != 0) t++;
    return (enum gguf_type)t;
}

static void quants(void)
{
    static char line[40 * N];
    static unsigned char want[4 * N], got[4 * N];
    static float x[N];
    FILE *f = fopen("tests/golden/hf/gguf_export/quants.tsv", "r");
    int types = 0;
    while (f && fgets(line, sizeof line, f)) {
        if (line[0] == '#') continue;
        char *name = strtok(line, "\t"), *hex = strtok(NULL, "\t\n");
        const size_t n = unhex(hex, want, sizeof want);
        if (types++ == 0) memcpy(x, want, sizeof x);
        memset(got, 0xaa, sizeof got);
        CHECK_IN("GGUF quantize", name,
                 gguf_quantize(type_of(name), x, N, got) == 0 && memcmp(got, want, n) == 0);
    }
    if (f) fclose(f);
    CHECK("GGUF quantize: eight types are compared", types == 8);
    CHECK("GGUF quantize: another type is refused",
          gguf_quantize(GGUF_TYPE_Q5_K, x, 256, got) == -1);
}

/* ---- fp16 ---- */
static float f32(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static void halves(void)
{
    bool back = true, nearest = true;
    for (uint32_t h = 0; h < 65536; h++)
        if (!isnan(f16_to_f32((uint16_t)h)) && f16_from_f32(f16_to_f32((uint16_t)h)) != h)
            back = false;
    for (uint16_t h = 0; h < 0x7bff; h++) { /* between neighbours, to the even one */
        const float a = f16_to_f32(h), b = f16_to_f32((uint16_t)(h + 1)), middle = (a + b) / 2;
        if (f16_from_f32(middle) != h + h % 2 || f16_from_f32(nextafterf(middle, a)) != h ||
            f16_from_f32(nextafterf(middle, b)) != h + 1)
            nearest = false;
    }
    CHECK("fp16: all values come back", back);
    CHECK("fp16: a value between two goes to the nearest, a tie to the even one", nearest);
    CHECK("fp16: the largest values become infinity, a NaN stays one",
          f16_from_f32(65519.0f) == 0x7bff && f16_from_f32(65520.0f) == 0x7c00 &&
              f16_from_f32(-INFINITY) == 0xfc00 &&
              (f16_from_f32(f32(0x7f800001)) & 0x7fff) > 0x7c00);
}

/* ---- GGUF to a folder and back ---- */
static const char *const names[] = {"default", "tool_use"};
static const struct str texts[] = {{"{{ 'x\n' }}", 10}, {"\"T\"", 3}};

static struct gguf *back(const struct variant *v, enum gguf_type type, struct buf *from,
                         struct gguf_exported *done, struct err *e)
{
    struct gguf_export x = {.dir = dir, .name = "m", .type = type, .threads = 2};
    static char file[64];
    snprintf(file, sizeof file, "%s/x.gguf", dir);
    x.tokens = (struct gguf_tokens){.bos = 0, .eos = 0, .pad = -1, .unk = -1, .add_bos = v->bos};
    x.tokens.ntemplates = v->named ? 2 : 1;
    x.tokens.names = names;
    x.tokens.templates = texts;
    *from = model(v);
    struct gguf *g = gguf_parse(from->data, from->len, "m.gguf", e);
    int rc = g ? gguf_convert(g, dir, NULL, &(struct gguf_converted){0}, e) : -1;
    gguf_close(g);
    if (rc == 0) rc = gguf_export(&x, file, done, e);
    if (rc) printf("# %s\n", e->msg);
    return rc ? NULL : gguf_open(file, e);
}

/* The values of tensors are small integers, which bf16 holds. */
static bool same_tensors(const struct gguf *a, const struct gguf *b)
{
    bool same = gguf_count(a) == gguf_count(b);
    for (size_t i = 0; same && i < gguf_count(a); i++) {
        const struct gguf_tensor *t = gguf_at(a, i), *u = gguf_find(b, t->name);
        same = u && t->type == u->type && t->bytes == u->bytes && t->ndim == u->ndim &&
               memcmp(t->dim, u->dim, sizeof *t->dim * (size_t)t->ndim) == 0 &&
               memcmp(t->data, u->data, t->bytes) == 0;
    }
    return same;
}

static bool same_value(const struct gguf *a, const struct gguf *b, const char *key)
{
    const struct gguf_value *v = gguf_get(a, key), *w = gguf_get(b, key);
    if (!v || !w) return !v && !w;
    if (v->kind == GGUF_ARRAY)
        return w->kind == GGUF_ARRAY && v->item == w->item && v->count == w->count &&
               v->end - v->items == w->end - w->items &&
               memcmp(v->items, w->items, (size_t)(v->end - v->items)) == 0;
    return v->kind == w->kind && v->u == w->u && v->i == w->i && v->f == w->f && str_eq(v->s, w->s);
}

static bool same_tokenizer(const struct gguf *a, const struct gguf *b)
{
    static const char *const keys[] = {"model",  "pre",          "tokens",       "token_type",
                                       "merges", "bos_token_id", "eos_token_id", "add_bos_token"};
    char key[64];
    bool same = same_value(a, b, "tokenizer.chat_template") &&
                same_value(a, b, "tokenizer.chat_templates") &&
                same_value(a, b, "tokenizer.chat_template.tool_use");
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        snprintf(key, sizeof key, "tokenizer.ggml.%s", keys[i]);
        if (same_value(a, b, key)) continue;
        printf("# %s\n", key);
        same = false;
    }
    return same;
}

static void round_trip(const char *name, struct variant v)
{
    struct err e = {0};
    struct buf from;
    struct gguf_exported done;
    struct gguf *b = back(&v, GGUF_TYPE_F32, &from, &done, &e);
    struct gguf *a = gguf_parse(from.data, from.len, "m.gguf", &e);
    CHECK_IN("GGUF back: tensors", name, a && b && same_tensors(a, b));
    CHECK_IN("GGUF back: tokenizer", name, a && b && same_tokenizer(a, b));
    gguf_close(a);
    gguf_close(b);
    buf_free(&from);
}

static void trips(void)
{
    round_trip("llama", (struct variant){.bos = true});
    round_trip("llama with a head and templates",
               (struct variant){.head = true, .named = "tool_use"});
    round_trip("qwen2", (struct variant){.arch = "qwen2", .pre = "qwen2", .bias = true});
    round_trip("qwen3", (struct variant){.arch = "qwen3", .pre = "qwen2", .norms = true});
    round_trip("gpt-2", (struct variant){.pre = "gpt-2"});
    round_trip("llama-bpe", (struct variant){.pre = "llama-bpe", .bos = true});
    round_trip("tekken", (struct variant){.pre = "tekken", .bos = true});
}

/* Rows of 32 and 48 elements: blocks of 256 do not fit, those of 32 do so in the first. */
static void fallbacks(void)
{
    struct err e = {0};
    struct buf from;
    struct gguf_exported d;
    const struct variant v = {.head = true};
    struct gguf *g = back(&v, GGUF_TYPE_Q4_K, &from, &d, &e);
    CHECK("GGUF fallback: each type and length of rows is told, with its number of tensors",
          g && d.fallbacks == 3 && d.fallback[0].wanted == GGUF_TYPE_Q4_K &&
              d.fallback[0].got == GGUF_TYPE_Q5_0 && d.fallback[0].row == 32 &&
              d.fallback[0].count == 7 && d.fallback[1].got == GGUF_TYPE_F16 &&
              d.fallback[1].row == 48 && d.fallback[1].count == 1 &&
              d.fallback[2].wanted == GGUF_TYPE_Q6_K && d.fallback[2].got == GGUF_TYPE_Q8_0 &&
              d.fallback[2].count == 1);
    CHECK("GGUF fallback: the tensors have these types, norms F32",
          g && gguf_find(g, "blk.0.attn_q.weight")->type == GGUF_TYPE_Q5_0 &&
              gguf_find(g, "blk.0.ffn_down.weight")->type == GGUF_TYPE_F16 &&
              gguf_find(g, "output.weight")->type == GGUF_TYPE_Q8_0 &&
              gguf_find(g, "blk.0.attn_norm.weight")->type == GGUF_TYPE_F32);
    gguf_close(g);
    buf_free(&from);
}

/* ---- for command tests: the listing that tests/oracle/make_gguf_export_golden.py makes ---- */
static const char *const kinds[GGUF_KINDS] = {[GGUF_U32] = "UINT32",
                                              [GGUF_I32] = "INT32",
                                              [GGUF_F32] = "FLOAT32",
                                              [GGUF_BOOL] = "BOOL",
                                              [GGUF_STRING] = "STRING"};

static void list_value(const char *key, const struct gguf_value *v)
{
    const float f = (float)v->f;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    if (v->kind == GGUF_STRING)
        printf("%s\tstring %zu %016" PRIx64 "\n", key, v->s.n, hash64(v->s.p, v->s.n, 0));
    else if (v->kind == GGUF_ARRAY)
        printf("%s\tarray %s %" PRIu64 " %016" PRIx64 "\n", key, kinds[v->item], v->count,
               hash64(v->items, (size_t)(v->end - v->items), 0));
    else
        printf("%s\t%s %" PRIu64 "\n", key, kinds[v->kind],
               v->kind == GGUF_F32 ? (uint64_t)bits : v->u);
}

static int list(const char *path)
{
    struct err e = {0};
    struct gguf *g = gguf_open(path, &e);
    if (!g) return fprintf(stderr, "%s\n", e.msg), 1;
    for (size_t i = 0; i < g->npairs; i++) list_value(g->pairs[i].key, &g->pairs[i].value);
    for (size_t i = 0; i < gguf_count(g); i++) {
        const struct gguf_tensor *t = gguf_at(g, i);
        printf("%s\t%s ", t->name, gguf_type_name(t->type));
        for (int k = 0; k < t->ndim; k++) printf("%s%" PRIu64, k ? "x" : "", t->dim[k]);
        printf(" %016" PRIx64 "\n", hash64(t->data, (size_t)t->bytes, 0));
    }
    gguf_close(g);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "list") == 0) return list(argv[2]);
    if (!mkdtemp(dir)) return 1;
    quants();
    halves();
    trips();
    fallbacks();
    io_remove_tree(dir, NULL);
    TEST_END();
}
