/* SPDX-License-Identifier: Apache-2.0 */
/* Every family from its config.json and safetensors alone, against transformers: logits, loss, NLLs
 * and all gradients of packed documents; the ways to keep activations; decoding with a cache. */
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
struct tensors {
    struct hf_tensor list[64];
    char names[64][96];
    size_t count;
};
static int add_tensor(void *arg, const struct hf_param *p, struct err *e)
{
    struct tensors *t = arg;
    if (t->count == 64) return err_set(e, ERR_INTERNAL, "more tensors than the test has room for");
    snprintf(t->names[t->count], sizeof t->names[0], "%s", p->name);
    struct hf_tensor *x = &t->list[t->count];
    *x = (struct hf_tensor){.name = t->names[t->count], .dtype = HF_F32, .ndim = p->ndim};
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

/* Opens a net with the folder's weights; NULL after a message. */
static struct net *family_net(const struct family *f, struct device *d, enum dtype t,
                              enum net_keep keep, bool cache)
{
    struct err e = {0};
    const struct net_options o = {.compute = t,
                                  .keep = keep,
                                  .tokens = cache ? LONGEST : TOKENS,
                                  .length = LONGEST,
                                  .chunk = TOKENS,
                                  .cache = cache};
    struct net *n = tiny_open_with(&f->m, d, &o);
    if (!n || net_load(n, f->s, NULL, &e) == 0) return n;
    printf("not ok weights: %s\n", e.msg);
    tiny_close(n);
    return NULL;
}

static void name_of(char out[200], const struct family *f, const char *device, const char *what)
{
    const struct json *v = json_get(f->want, "name");
    snprintf(out, 200, "%.*s, %s: %s", STR_FMT(v->s), device, what);
}

/* Logits [TOKENS, VOCAB] of every position; free(). */
static float *all_logits(struct net *n)
{
    struct err e;
    struct net_batch b = tiny_batch(lengths, DOCS, VOCAB, 0);
    float *x = malloc(TOKENS * VOCAB * sizeof *x);
    b.targets = TOKENS;
    for (int i = 0; i < TOKENS; i++) {
        b.rows[i] = i;
        b.target[i] = i % VOCAB;
        b.weight[i] = 1;
    }
    tiny_loss(n, &b, false);
    if (net_get(n, n->logits, n->real, 0, TOKENS * VOCAB, x, &e)) x[0] = NAN;
    tiny_free(&b);
    return x;
}

static double check_nll(struct net *n, const struct json *want)
{
    struct err e;
    float nll[TOKENS];
    double bad = net_get(n, n->nll, n->real, 0, want->count, nll, &e) ? INFINITY : 0;
    for (size_t i = 0; i < want->count; i++)
        bad = worse(bad, apart((double)nll[i], golden_at(want, i)));
    return bad;
}

/* Everything in fp32 within 2e-5, the loss within 2e-6. */
static void exact(const struct family *f, const char *device)
{
    char name[200];
    struct err e;
    struct net_batch b = tiny_batch(lengths, DOCS, VOCAB, 0);
    struct device *d = device_open(device, 2, &e);
    struct net *n = d ? family_net(f, d, DT_F32, NET_KEEP_SELECTIVE, false) : NULL;
    name_of(name, f, device, "logits, loss, NLLs and gradients are transformers'");
    double bad = INFINITY;
    if (n) {
        float *logits = all_logits(n);
        bad = golden_tensor("logits", logits, TOKENS * VOCAB, json_get(f->want, "logits"));
        free(logits);
        bad = worse(bad, apart(tiny_loss(n, &b, true), golden_number(f->want, "loss")) * 10);
        bad = worse(bad, check_nll(n, json_get(f->want, "nll")));
        bad = worse(bad, golden_net_gradients(n, json_get(f->want, "gradients"), 2e-5));
    }
    printf("# %s: worst %.2g\n", name, bad);
    CHECK(name, bad <= 2e-5);
    tiny_close(n);
    tiny_free(&b);
    device_close(d);
}

/* All gradients of the batch as bytes; free(). */
static void *gradients(const struct family *f, const char *device, enum dtype t, enum net_keep keep,
                       size_t *bytes)
{
    struct err e;
    struct net_batch b = tiny_batch(lengths, DOCS, VOCAB, 0);
    struct device *d = device_open(device, 2, &e);
    struct net *n = d ? family_net(f, d, t, keep, false) : NULL;
    char *g = NULL;
    if (n) {
        tiny_loss(n, &b, true);
        *bytes = n->params.trained * dtype_size(n->real);
        g = malloc(*bytes);
        if (d->ops->download(d, g, n->gradients, *bytes, &e)) *bytes = 0;
    }
    tiny_close(n);
    tiny_free(&b);
    device_close(d);
    return g;
}

/* Recomputed or kept, at once or from a queue to memory that the host cannot touch. */
static void keeping(const struct family *f, enum dtype t)
{
    static const struct {
        const char *device;
        enum net_keep keep;
    } ways[] = {{"cpu", NET_KEEP_SELECTIVE}, {"cpu", NET_KEEP_INPUTS}, {"far", NET_KEEP_INPUTS}};
    char name[200];
    size_t want = 0, got = 0;
    void *all = gradients(f, "cpu", t, NET_KEEP_ALL, &want);
    bool same = all && want;
    for (int i = 0; i < 3; i++) {
        void *g = gradients(f, ways[i].device, t, ways[i].keep, &got);
        same &= g && got == want && memcmp(all, g, want) == 0;
        free(g);
    }
    name_of(name, f, dtype_name(t), "what is kept changes no byte");
    CHECK(name, same);
    free(all);
}

static double distance(const float *x, const float *y, int n)
{
    double off = 0, size = 0;
    for (int i = 0; i < n; i++) {
        off += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
        size += (double)y[i] * (double)y[i];
    }
    return sqrt(off / size);
}

/* A prompt, a few tokens together, then one by one: the logits of the whole document. */
static void decoding(const struct family *f, const char *device)
{
    char name[200];
    struct err e;
    float x[VOCAB];
    struct device *d = device_open(device, 2, &e);
    struct net *whole = family_net(f, d, DT_F32, NET_KEEP_NOTHING, false);
    struct net *n = family_net(f, d, DT_F32, NET_KEEP_NOTHING, true);
    struct net_batch b = tiny_batch(lengths, DOCS, VOCAB, 0);
    double bad = whole && n ? 0 : INFINITY;
    float *want = whole ? all_logits(whole) : NULL;
    if (n) { /* whose scratch the other one's closing would take */
        d->work = n->work;
        d->work_bytes = n->plan.b[n->plan.count - 1].bytes;
    }
    for (int past = 0, c = 30; n && whole && past < LONGEST; past += c, c = past < 40 ? 7 : 1) {
        net_extend(n, b.ids + LONGEST_AT + past, c, past);
        if (net_logits(n, x, &e)) bad = INFINITY;
        bad = worse(bad, distance(x, want + (LONGEST_AT + past + c - 1) * VOCAB, VOCAB));
    }
    name_of(name, f, device, "decoding with a cache gives the whole document's logits");
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
    char name[200];
    struct err e = {0};
    struct net n;
    struct device *d = device_open("ref", 1, &e);
    const struct net_options o = {.tokens = 40, .length = f->m.positions + 1, .cache = true};
    name_of(name, f, "ref", "no generation beyond the limit");
    CHECK(name,
          net_init(&n, &f->m, &o, d, &e) == -1 && e.code == ERR_DATA && strstr(e.msg, "dynamic"));
    net_close(&n);
    device_close(d);
}

static void check_case(const struct json *want)
{
    struct family f;
    if (family_open(&f, want)) {
        exact(&f, "ref");
        exact(&f, "cpu");
        keeping(&f, DT_F32);
        keeping(&f, DT_BF16);
        if (rope_is_own(&f.m, LONGEST)) {
            no_decoding(&f);
        } else {
            decoding(&f, "ref");
            decoding(&f, "cpu");
        }
    }
    family_close(&f);
}

/* ---- published models: their configuration's tensors add up to what they are known to have ----
 */
#define LLAMA_3_2_1B                                                                               \
    "{\"model_type\":\"llama\",\"attention_bias\":false,\"head_dim\":64,\"hidden_act\":\"silu\","  \
    "\"hidden_size\":2048,\"intermediate_size\":8192,\"max_position_embeddings\":131072,"          \
    "\"mlp_bias\":false,\"num_attention_heads\":32,\"num_hidden_layers\":16,"                      \
    "\"num_key_value_heads\":8,\"pretraining_tp\":1,\"rms_norm_eps\":1e-05,\"rope_scaling\":{"     \
    "\"factor\":32.0,\"high_freq_factor\":4.0,\"low_freq_factor\":1.0,"                            \
    "\"original_max_position_embeddings\":8192,\"rope_type\":\"llama3\"},"                         \
    "\"rope_theta\":500000.0,\"tie_word_embeddings\":true,\"vocab_size\":128256}"
#define LLAMA_2_7B                                                                                 \
    "{\"model_type\":\"llama\",\"hidden_act\":\"silu\",\"hidden_size\":4096,"                      \
    "\"intermediate_size\":11008,\"max_position_embeddings\":4096,\"num_attention_heads\":32,"     \
    "\"num_hidden_layers\":32,\"rms_norm_eps\":1e-05,\"rope_scaling\":null,\"vocab_size\":32000}"
#define QWEN_2_5_0_5B                                                                              \
    "{\"model_type\":\"qwen2\",\"attention_dropout\":0.0,\"hidden_act\":\"silu\","                 \
    "\"hidden_size\":896,\"intermediate_size\":4864,\"max_position_embeddings\":32768,"            \
    "\"max_window_layers\":21,\"num_attention_heads\":14,\"num_hidden_layers\":24,"                \
    "\"num_key_value_heads\":2,\"rms_norm_eps\":1e-06,\"rope_theta\":1000000.0,"                   \
    "\"sliding_window\":32768,\"tie_word_embeddings\":true,\"use_sliding_window\":false,"          \
    "\"vocab_size\":151936}"
#define QWEN_3_0_6B                                                                                \
    "{\"model_type\":\"qwen3\",\"attention_bias\":false,\"attention_dropout\":0.0,"                \
    "\"head_dim\":128,\"hidden_act\":\"silu\",\"hidden_size\":1024,\"intermediate_size\":3072,"    \
    "\"max_position_embeddings\":40960,\"max_window_layers\":28,\"num_attention_heads\":16,"       \
    "\"num_hidden_layers\":28,\"num_key_value_heads\":8,\"rms_norm_eps\":1e-06,"                   \
    "\"rope_scaling\":null,\"rope_theta\":1000000,\"sliding_window\":null,"                        \
    "\"tie_word_embeddings\":true,\"use_sliding_window\":false,\"vocab_size\":151936}"
#define MISTRAL_7B                                                                                 \
    "{\"model_type\":\"mistral\",\"hidden_act\":\"silu\",\"hidden_size\":4096,"                    \
    "\"intermediate_size\":14336,\"max_position_embeddings\":32768,\"num_attention_heads\":32,"    \
    "\"num_hidden_layers\":32,\"num_key_value_heads\":8,\"rms_norm_eps\":1e-05,"                   \
    "\"rope_theta\":10000.0,\"sliding_window\":4096,\"tie_word_embeddings\":false,"                \
    "\"vocab_size\":32000}"

static bool parse(const char *text, struct hf_config *c, struct model *m, struct err *e)
{
    *e = (struct err){0};
    return hf_config_parse(text, strlen(text), "config.json", c, e) == 0 &&
           model_from_hf(c, m, e) == 0;
}

static void published(void)
{
    static const struct {
        const char *name, *text;
        size_t elements;
        int32_t window;
    } models[] = {
        {"Llama-3.2-1B", LLAMA_3_2_1B, 1235814400, 0}, {"Llama-2-7B", LLAMA_2_7B, 6738415616, 0},
        {"Qwen2.5-0.5B", QWEN_2_5_0_5B, 494032768, 0}, {"Qwen3-0.6B", QWEN_3_0_6B, 596049920, 0},
        {"Mistral-7B", MISTRAL_7B, 7241732096, 4096},
    };
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        struct hf_config c;
        struct model m;
        struct params t;
        struct err e;
        bool ok = parse(models[i].text, &c, &m, &e) && params_make(&m, NULL, &t, &e) == 0;
        if (!ok) printf("# %s\n", e.msg);
        CHECK(models[i].name,
              ok && t.elements == models[i].elements && model_window(&m, 0) == models[i].window);
        if (ok) params_free(&t);
        hf_config_free(&c);
    }
}

/* ---- what is refused, each with the list of what is not ---- */
#define SIZES                                                                                      \
    "\"vocab_size\":100,\"hidden_size\":64,\"intermediate_size\":96,\"num_hidden_layers\":2,"      \
    "\"num_attention_heads\":4,\"num_key_value_heads\":2"
#define ROPE(text) "{\"model_type\":\"llama\",\"rope_scaling\":{" text "}," SIZES "}"

static void refusals(void)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"{\"model_type\":\"gemma\"," SIZES "}", "model_type gemma"},
        {"{\"model_type\":\"qwen3_moe\",\"num_experts\":8," SIZES "}", "mixture of experts"},
        {"{\"model_type\":\"llama\",\"hidden_act\":\"gelu\"," SIZES "}", "hidden_act"},
        {"{\"model_type\":\"llama\",\"attention_dropout\":0.1," SIZES "}", "attention_dropout"},
        {"{\"model_type\":\"llama\",\"quantization_config\":{}," SIZES "}", "quantized"},
        {"{\"model_type\":\"llama\",\"head_dim\":7," SIZES "}", "an odd head_dim"},
        {"{\"model_type\":\"llama\",\"partial_rotary_factor\":0.5," SIZES "}", "partial_rotary"},
        {ROPE("\"type\":\"longrope\",\"factor\":2.0"), "type longrope"},
        {ROPE("\"type\":\"yarn\",\"factor\":0.5"), "factor below 1"},
        {ROPE("\"rope_type\":\"llama3\",\"factor\":8.0"), "llama3 with these factors"},
        {"{\"model_type\":\"llama\",\"head_dim\":2,\"rope_scaling\":{\"type\":\"dynamic\","
         "\"factor\":2.0}," SIZES "}",
         "head_dim of 2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct hf_config c;
        struct model m;
        struct err e;
        bool ok = !parse(cases[i].text, &c, &m, &e) && e.code == ERR_DATA &&
                  strstr(e.msg, cases[i].why) && strstr(e.msg, "is not supported; supported are") &&
                  strstr(e.msg, "llama, mistral, qwen2, qwen3") && strstr(e.msg, "yarn or llama3");
        if (!ok) printf("# %s\n", e.msg);
        CHECK(cases[i].why, ok);
        hf_config_free(&c);
    }
}

static void spellings(void)
{
    struct hf_config c;
    struct model m;
    struct err e;
    CHECK("swish is silu",
          parse("{\"model_type\":\"llama\",\"hidden_act\":\"swish\"," SIZES "}", &c, &m, &e));
    hf_config_free(&c);
}

/* Pairs of query and key, counted one by one; diagonals are left out, as always. */
static void squares(void)
{
    struct model m = tiny_model(true, false);
    bool right = model_squares(&m, 100) == 10000;
    m.window = 24;
    m.window_layers[0] = 2; /* of two layers, the second */
    for (int n = 1; n < 100; n += 7) {
        double pairs = 0;
        for (int i = 0; i < n; i++) pairs += i + 1 + (i + 1 < 24 ? i + 1 : 24);
        right &= fabs(model_squares(&m, n) - pairs) <= n;
    }
    CHECK("a window's share of the work", right);
}

static void reach(void)
{
    struct model m = tiny_model(true, false);
    bool right = rope_reach(&m, false) == 64;
    m.rope = (struct rope){.type = ROPE_DYNAMIC, .theta = 10000, .factor = 2.5};
    right &= rope_reach(&m, false) == 160 && rope_reach(&m, true) == 64;
    m.rope = (struct rope){.type = ROPE_YARN, .theta = 10000, .factor = 4, .original = 32};
    right &= rope_reach(&m, false) == 128 && rope_reach(&m, true) == 128;
    m.rope.original = 8; /* less than max_position_embeddings says already */
    right &= rope_reach(&m, true) == 64;
    CHECK("how long a document may be", right);
}

int main(void)
{
    const char *tmp = getenv("TEST_TMP");
    snprintf(scratch, sizeof scratch, "%s/families.XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(scratch)) return 70;
    published();
    refusals();
    spellings();
    squares();
    reach();
    struct golden g = golden_open(FOLDER "/families.json");
    const struct json *cases = g.root ? json_get(g.root, "cases") : NULL;
    CHECK("golden file", cases && cases->count >= 17);
    for (size_t i = 0; cases && i < cases->count; i++) check_case(&cases->items[i]);
    golden_close(&g);
    char path[300];
    static const char *const files[] = {"config.json", "model.safetensors"};
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", scratch, files[i]);
        remove(path);
    }
    rmdir(scratch);
    TEST_END();
}
