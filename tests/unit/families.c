/* SPDX-License-Identifier: Apache-2.0 */
/* Every family from its config.json and safetensors alone, against transformers: logits, loss, NLLs
 * and all gradients of packed documents; the recompute policies; decoding with a cache. */
#include <unistd.h>

#include "golden.h"
#include "hf/params.h"

#define FOLDER "tests/golden/families"
enum { DOCS = 5, TOKENS = 142, LONGEST = 83, LONGEST_AT = 47, VOCAB = 97 };
static const int lengths[DOCS] = {37, 9, 1, LONGEST, 12};

static char scratch[256]; /* a folder */

/* A model folder, read. */
struct family {
    const struct json *want; /* its case */
    struct hf_config c;
    struct model m;
    struct safetensors *s;
};

/* ---- model folders with the weights of tests/tiny.h ---- */
enum { TENSORS = 256 };
struct tensors {
    struct hf_tensor list[TENSORS];
    char names[TENSORS][96];
    size_t count;
};
static int add_tensor(void *arg, const struct hf_param *p, struct err *e)
{
    struct tensors *t = arg;
    if (t->count == TENSORS)
        return err_set(e, ERR_INTERNAL, "more tensors than the test has room for");
    snprintf(t->names[t->count], sizeof t->names[0], "%s", p->name);
    struct hf_tensor *x = &t->list[t->count];
    *x = (struct hf_tensor){.name = t->names[t->count], .dtype = DT_F32, .ndim = p->ndim};
    t->count++;
    memcpy(x->dim, p->dim, sizeof p->dim);
    return hf_tensor_size(x);
}

static int write_weights(const struct hf_config *c, const char *dir, struct err *e)
{
    struct tensors t = {.count = 0};
    if (hf_param_list(c, add_tensor, &t, e)) return -1;
    struct safetensors_writer *w = safetensors_create(dir, "model", t.list, t.count, 0, e);
    int rc = w ? 0 : -1;
    for (size_t i = 0; i < t.count && rc == 0; i++)
        for (uint64_t j = 0; j < t.list[i].count && rc == 0; j++) {
            float x = tiny_value(t.names[i], (uint32_t)j);
            rc = safetensors_write(w, &x, sizeof x, e);
        }
    if (rc == 0) return safetensors_commit(w, e);
    safetensors_abort(w);
    return -1;
}

static int make_folder(const struct json *config, struct err *e)
{
    struct hf_config c;
    struct buf text = {0};
    char path[300];
    json_write(config, &text);
    snprintf(path, sizeof path, "%s/model.safetensors", scratch);
    remove(path); /* the names of its tensors would count */
    snprintf(path, sizeof path, "%s/config.json", scratch);
    int rc = buf_check(&text, e) ? -1 : io_put(path, text.data, text.len, e);
    if (rc == 0) rc = hf_config_read(scratch, &c, e);
    if (rc == 0) {
        rc = write_weights(&c, scratch, e);
        hf_config_free(&c);
    }
    buf_free(&text);
    return rc;
}

static bool family_open(struct family *f, const struct json *want)
{
    struct err e = {0};
    char dir[300];
    const struct json *folder = json_get(want, "folder");
    *f = (struct family){.want = want};
    if (folder)
        snprintf(dir, sizeof dir, "%s/%.*s", FOLDER, STR_FMT(folder->s));
    else
        snprintf(dir, sizeof dir, "%s", scratch);
    if ((!folder && make_folder(json_get(want, "config"), &e)) || hf_config_read(dir, &f->c, &e) ||
        model_from_hf(&f->c, &f->m, &e) || !(f->s = safetensors_open(dir, &e))) {
        printf("not ok %s: %s\n", dir, e.msg);
        return false;
    }
    return true;
}

static void family_close(struct family *f)
{
    safetensors_close(f->s);
    hf_config_free(&f->c);
}

/* The model with the folder's weights; NULL after a message. */
static struct tiny *open_with(const struct family *f, struct device *d,
                              const struct tiny_options *o)
{
    struct err e = {0};
    struct tiny *n = tiny_open_with(&f->m, d, o);
    if (!n || weights_load(&n->w, f->s, NULL, &e) == 0) return n;
    printf("not ok weights: %s\n", e.msg);
    tiny_close(n);
    return NULL;
}
static struct tiny *open_model(const struct family *f, struct device *d, enum dtype t,
                               enum recompute r)
{
    const struct tiny_options o = {.w = {.compute = t, .gradients = true, .length = LONGEST},
                                   .s = {.recompute = r, .tokens = TOKENS, .chunk = TOKENS}};
    return open_with(f, d, &o);
}
/* Rows of the cache for a document, and for all of them and one more. */
enum { PLACE = LONGEST + 4, PLACES = (DOCS + 1) * PLACE };
/* Forward only; or with a cache. */
static struct tiny *open_forward(const struct family *f, struct device *d, bool cache)
{
    const struct tiny_options o = {.w = {.compute = DT_F32, .length = LONGEST},
                                   .s = {.tokens = cache ? LONGEST : TOKENS,
                                         .chunk = TOKENS,
                                         .cache = cache ? PLACES : 0,
                                         .docs = DOCS}};
    return open_with(f, d, &o);
}

/* Logits [TOKENS, VOCAB] of every position; free(). */
static float *all_logits(struct tiny *n)
{
    struct err e;
    struct micro_batch b = tiny_batch(lengths, DOCS, VOCAB, 0);
    float *x = malloc(TOKENS * VOCAB * sizeof *x);
    b.targets = TOKENS;
    for (int i = 0; i < TOKENS; i++) {
        b.rows[i] = i;
        b.target[i] = i % VOCAB;
        b.weight[i] = 1;
    }
    tiny_loss(&n->s, &b, false);
    if (weights_get(&n->w, n->s.logits, n->w.accum, 0, TOKENS * VOCAB, x, &e)) x[0] = NAN;
    const float cap = (float)n->w.m.logit_cap; /* which the loss applies */
    for (int i = 0; i < TOKENS * VOCAB && cap > 0; i++) x[i] = cap * tanhf(x[i] / cap);
    tiny_free(&b);
    return x;
}

static double check_nll(struct tiny *n, const struct json *want)
{
    struct err e;
    float nll[TOKENS];
    double bad =
        weights_get(&n->w, n->s.pass[0].nll, n->w.accum, 0, want->count, nll, &e) ? INFINITY : 0;
    for (size_t i = 0; i < want->count; i++)
        bad = worse(bad, apart((double)nll[i], golden_at(want, i)));
    return bad;
}

/* Everything in fp32 within 2e-5, the loss within 2e-6. */
static void exact(const struct family *f, const char *device)
{
    char name[GOLDEN_NAME];
    struct err e;
    struct micro_batch b = tiny_batch(lengths, DOCS, VOCAB, 0);
    struct device *d = device_open(device, 2, &e);
    struct tiny *n = d ? open_model(f, d, DT_F32, RECOMPUTE_SELECTIVE) : NULL;
    golden_name(name, f->want, device, "logits, loss, NLLs and gradients are transformers'");
    double bad = INFINITY;
    if (n) {
        float *logits = all_logits(n);
        bad = golden_tensor("logits", logits, TOKENS * VOCAB, json_get(f->want, "logits"));
        free(logits);
        bad = worse(bad, apart(tiny_loss(&n->s, &b, true), golden_number(f->want, "loss")) * 10);
        bad = worse(bad, check_nll(n, json_get(f->want, "nll")));
        bad = worse(bad, golden_gradients(&n->w, json_get(f->want, "gradients"), 2e-5));
    }
    printf("# %s: worst %.2g\n", name, bad);
    CHECK(name, bad <= 2e-5);
    tiny_close(n);
    tiny_free(&b);
    device_close(d);
}

/* All gradients of the batch as bytes; free(). */
static void *gradients(const struct family *f, const char *device, enum dtype t,
                       enum recompute recompute, size_t *bytes)
{
    struct err e;
    struct micro_batch b = tiny_batch(lengths, DOCS, VOCAB, 0);
    struct device *d = device_open(device, 2, &e);
    struct tiny *n = d ? open_model(f, d, t, recompute) : NULL;
    char *g = NULL;
    if (n) {
        tiny_loss(&n->s, &b, true);
        *bytes = n->w.params.trained * dtype_size(n->w.accum);
        g = malloc(*bytes);
        if (d->ops->download(d, g, n->w.gradients, *bytes, &e)) *bytes = 0;
    }
    tiny_close(n);
    tiny_free(&b);
    device_close(d);
    return g;
}

/* Recomputed or stored, at once or from a queue to memory that the host cannot touch. */
static void recomputing(const struct family *f, enum dtype t)
{
    static const struct {
        const char *device;
        enum recompute recompute;
    } ways[] = {{"cpu", RECOMPUTE_SELECTIVE}, {"cpu", RECOMPUTE_FULL}, {"far", RECOMPUTE_FULL}};
    char name[GOLDEN_NAME];
    size_t want = 0, got = 0;
    void *all = gradients(f, "cpu", t, RECOMPUTE_NONE, &want);
    bool same = all && want;
    for (int i = 0; i < 3; i++) {
        void *g = gradients(f, ways[i].device, t, ways[i].recompute, &got);
        same &= g && got == want && memcmp(all, g, want) == 0;
        free(g);
    }
    golden_name(name, f->want, dtype_name(t), "what is recomputed changes no byte");
    CHECK(name, same);
    free(all);
}

/* A prompt, a few tokens together, then one by one: the logits of the whole document. */
static void decoding(const struct family *f, const char *device)
{
    char name[GOLDEN_NAME];
    struct err e;
    float x[VOCAB];
    struct device *d = device_open(device, 2, &e);
    struct tiny *whole = open_forward(f, d, false);
    struct tiny *n = open_forward(f, d, true);
    struct micro_batch b = tiny_batch(lengths, DOCS, VOCAB, 0);
    double bad = whole && n ? 0 : INFINITY;
    float *want = whole ? all_logits(whole) : NULL;
    if (n) memory_use(&n->memory); /* all_logits used the other's */
    for (int past = 0, c = 30; n && whole && past < LONGEST; past += c, c = past < 40 ? 7 : 1) {
        const struct stage_tokens next = {b.ids + LONGEST_AT + past, c, past, 0};
        stage_extend(&n->s, &next, 1);
        if (stage_logits(&n->s, 0, x, &e)) bad = INFINITY;
        bad = worse(bad, distance(x, want + (LONGEST_AT + past + c - 1) * VOCAB, VOCAB));
    }
    golden_name(name, f->want, device, "decoding with a cache gives the whole document's logits");
    if (!(bad <= 1e-5)) printf("# off by %g\n", bad);
    CHECK(name, bad <= 1e-5);
    free(want);
    tiny_close(n);
    tiny_close(whole);
    tiny_free(&b);
    device_close(d);
}

/* Runs these tokens; returns how far the logits behind them are from those that the batch has at
 * tokens at[docs]; -1: it has none. */
static double extended(struct tiny *n, const struct stage_tokens *next, const int *at, int docs,
                       const float *want)
{
    struct err e;
    float x[VOCAB];
    double bad = 0;
    stage_extend(&n->s, next, docs);
    for (int i = 0; i < docs; i++) {
        if (stage_logits(&n->s, i, x, &e)) bad = INFINITY;
        if (at[i] >= 0) bad = worse(bad, distance(x, want + at[i] * VOCAB, VOCAB));
    }
    return bad;
}

/* Up to `most` tokens of each document that has more than `past`. 0 documents: -1. The batch has no
 * logits of a document that has other frequencies than the longest one, to which it may grow. */
static double all_extended(struct tiny *n, const struct micro_batch *b, int past, int most,
                           const float *want)
{
    struct stage_tokens next[DOCS];
    const bool own = rope_is_own(&n->w.m, LONGEST);
    int at[DOCS], docs = 0;
    for (int d = 0; d < DOCS; d++) {
        const int c = lengths[d] - past < most ? lengths[d] - past : most;
        if (c <= 0) continue;
        next[docs] = (struct stage_tokens){b->ids + b->cu[d] + past, c, past, d * PLACE};
        at[docs++] = own && lengths[d] < LONGEST ? -1 : b->cu[d] + past + c - 1;
    }
    return docs ? extended(n, next, at, docs, want) : -1;
}

/* All documents together, a few tokens, then one by one while one has more: their logits. Then a
 * document that begins with the tokens of another, whose rows are copied. */
static void together(const struct family *f, const char *device)
{
    char name[GOLDEN_NAME];
    struct err e;
    struct device *d = device_open(device, 2, &e);
    struct tiny *whole = open_forward(f, d, false);
    struct tiny *n = open_forward(f, d, true);
    struct micro_batch b = tiny_batch(lengths, DOCS, VOCAB, 0);
    double bad = whole && n ? 0 : INFINITY, off = 0;
    float *want = whole ? all_logits(whole) : NULL;
    if (n) memory_use(&n->memory);
    for (int past = 0, c = 15; n && whole && off >= 0; past += c, c = 1) {
        off = all_extended(n, &b, past, c, want);
        bad = worse(bad, off);
    }
    if (n && whole) {
        const int place = DOCS * PLACE, same = 50, at = LONGEST_AT + same;
        stage_copy(&n->s, place, 3 * PLACE, same);
        const struct stage_tokens next = {b.ids + at, 20, same, place};
        bad = worse(bad, extended(n, &next, (int[]){at + 19}, 1, want));
    }
    golden_name(name, f->want, device, "decoding documents together gives the logits of each");
    if (!(bad <= 1e-5)) printf("# off by %g\n", bad);
    CHECK(name, bad <= 1e-5);
    free(want);
    tiny_close(n);
    tiny_close(whole);
    tiny_free(&b);
    device_close(d);
}

/* Its frequencies would change with every token beyond the limit. */
static void no_decoding(const struct family *f)
{
    char name[GOLDEN_NAME];
    struct err e = {0};
    struct tiny *n = calloc(1, sizeof *n);
    struct device *d = device_open("ref", 1, &e);
    const struct tiny_options o = {.w = {.length = f->m.positions + 1},
                                   .s = {.tokens = 40, .cache = 40}};
    golden_name(name, f->want, "ref", "no generation beyond the limit");
    CHECK(name,
          tiny_plan(n, &f->m, d, &o, &e) == -1 && e.code == ERR_DATA && strstr(e.msg, "dynamic"));
    tiny_close(n);
    device_close(d);
}

static void check_case(const struct json *want)
{
    struct family f;
    if (family_open(&f, want)) {
        exact(&f, "ref");
        exact(&f, "cpu");
        recomputing(&f, DT_F32);
        recomputing(&f, DT_BF16);
        if (rope_moves(&f.m, LONGEST)) {
            no_decoding(&f);
        } else {
            decoding(&f, "ref");
            decoding(&f, "cpu");
            together(&f, "ref");
            together(&f, "cpu");
        }
    }
    family_close(&f);
}

/* The golden files, each with the number of its cases. */
static const struct group {
    const char *name;
    size_t cases;
} groups[] = {{"families", 17}, {"shells", 4},  {"rows", 10}, {"rotation", 15}, {"act", 9},
              {"norms", 9},     {"experts", 7}, {"gemma", 5}, {"sparse", 9}};

static void check_group(const struct group *group)
{
    char path[300], name[100];
    snprintf(path, sizeof path, FOLDER "/%s.json", group->name);
    snprintf(name, sizeof name, "%s: the golden file has its cases", group->name);
    struct golden g = golden_open(path);
    const struct json *cases = g.root ? json_get(g.root, "cases") : NULL;
    CHECK(name, cases && cases->count == group->cases);
    for (size_t i = 0; cases && i < cases->count; i++) check_case(&cases->items[i]);
    golden_close(&g);
}

int main(void)
{
    const char *tmp = getenv("TEST_TMP");
    snprintf(scratch, sizeof scratch, "%s/families.XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(scratch)) return 70;
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) check_group(&groups[i]);
    char path[300];
    static const char *const files[] = {"config.json", "model.safetensors"};
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", scratch, files[i]);
        remove(path);
    }
    rmdir(scratch);
    TEST_END();
}
