/* SPDX-License-Identifier: Apache-2.0 */
/* A real model. fp32 against PyTorch in double: first-step loss, each tensor's gradient norm and 16
 * projections. bf16 against that fp32, in the first step of `make demo`: the loss, and the error of
 * each tensor's gradient against that of PyTorch's bf16 (eager attention).
 *
 * In small batches the last is no test: of a norm's gain nearly all of the error can be one number,
 * that of the channel which this model's first tokens fill, and the ratio of two errors is that of
 * two random numbers. In batches of 50 to 80 tokens PyTorch's own sdpa attention is more than 1.25
 * times as far off as its eager one in one tensor of eight, by up to 8 times; in this one, of 1202
 * tokens, still in 18 of 272, by up to 2.8. Products by AMX round otherwise than those by
 * AVX512_BF16, PyTorch's too, which then is 0.3 to 2.4 times as far off: there the larger of its
 * two errors counts. */
#include "base/opt.h"
#include "golden.h"
#include "hf/config.h"

enum { MOST_DOCS = 16, TOKENS = 2048 };

/* The batch of a golden file, and what fp32 makes of it. */
struct golden_batch {
    const struct json *want, *amx; /* amx: as want, made with AMX; NULL: there is none here */
    struct feed_step step;
    double loss;
    float *gradients; /* [trained] */
};

static const char *model_folder(void)
{
    const char *dir = getenv("SFT_SMOLLM2");
    if (!dir) dir = "build/demo/SmolLM2-135M-Instruct";
    char *config = io_path(dir, "config.json", NULL);
    bool there = config && io_exists(config, NULL);
    free(config);
    return there ? dir : NULL;
}

static struct golden_batch batch_open(const struct json *want)
{
    struct golden_batch b = {.want = want};
    int lengths[MOST_DOCS] = {0}, docs = (int)json_get(want, "lengths")->count;
    for (int i = 0; i < docs && i < MOST_DOCS; i++)
        lengths[i] = (int)golden_at(json_get(want, "lengths"), (size_t)i);
    b.step = rig_rows(lengths, docs, 1, 0);
    for (size_t i = 0; i < b.step.tokens; i++)
        b.step.ids[i] = (uint32_t)golden_at(json_get(want, "ids"), i);
    const struct json *weights = json_get(want, "weights");
    if (!weights) return b;
    b.step.weight = 0;
    for (size_t i = 0; i < b.step.tokens; i++) {
        b.step.weights[i] = (float)golden_at(weights, i);
        b.step.weight += (double)b.step.weights[i];
    }
    return b;
}

static int trainer_open(struct trainer *t, enum dtype compute, struct mesh *mesh, struct device *d,
                        const char *dir, struct err *e)
{
    struct hf_config c = {0};
    struct model m;
    struct safetensors *s = safetensors_open(dir, e);
    const struct trainer_options o = {
        .compute = compute, .recompute = RECOMPUTE_SELECTIVE, .tokens = TOKENS, .length = TOKENS};
    int rc = s ? hf_config_read(dir, &c, e) : -1;
    if (rc == 0) rc = model_from_hf(&c, &m, e);
    if (rc == 0) rc = trainer_init(t, &m, &o, mesh, d, e);
    if (rc == 0) rc = trainer_alloc(t, e);
    if (rc == 0) rc = trainer_load(t, s, e);
    safetensors_close(s);
    hf_config_free(&c);
    return rc;
}

/* The gradients of a batch, [trained], or NULL. */
static float *gradients_of(struct trainer *t, const struct golden_batch *b, double *loss)
{
    struct trainer_report x = {0};
    struct err e = {0};
    const size_t n = t->weights.params.trained;
    float *g = malloc(n * sizeof *g);
    *loss = NAN;
    if (trainer_gradients(t, &b->step, &x, &e) == 0 &&
        weights_get(&t->weights, t->weights.gradients, DT_F32, 0, n, g, &e) == 0) {
        *loss = x.loss;
        return g;
    }
    printf("# %s\n", e.msg);
    free(g);
    return NULL;
}

static void exact(struct trainer *t, const struct json *want)
{
    struct golden_batch b = batch_open(want);
    b.gradients = gradients_of(t, &b, &b.loss);
    const double off = apart(b.loss, golden_number(want, "loss"));
    printf("# loss %.9g, off by %.2g\n", b.loss, off);
    CHECK("SmolLM2: first-step loss within 1e-5 of PyTorch's", off <= 1e-5);
    double bad =
        b.gradients ? golden_gradients(&t->weights, json_get(want, "gradients"), 1e-4) : INFINITY;
    printf("# gradients: worst %.2g\n", bad);
    CHECK("SmolLM2: gradient norms and projections within 1e-4 of PyTorch's", bad <= 1e-4);
    free(b.gradients);
    feed_step_free(&b.step);
}

/* The errors of bf16 gradients g against fp32's, each over PyTorch's. */
static void compare_errors(const struct params *p, const struct golden_batch *b, const float *g)
{
    const struct json *errors = json_get(b->want, "errors");
    const struct json *more = b->amx ? json_get(b->amx, "errors") : NULL;
    double worst = 0, logs = 0;
    for (size_t i = 0; i < p->count; i++) {
        const struct param *q = &p->p[i];
        const double error = distance(g + q->offset, b->gradients + q->offset, q->n);
        const double theirs = golden_number(errors, q->name);
        const double ratio = error / (more ? fmax(theirs, golden_number(more, q->name)) : theirs);
        if (!(ratio <= 1)) printf("# %s: %.3g of PyTorch's error\n", q->name, ratio);
        worst = worse(worst, ratio);
        logs += log(ratio);
    }
    printf("# error over PyTorch's: mean %.2f, worst %.2f\n", exp(logs / (double)p->count), worst);
    CHECK("SmolLM2: the error of each bf16 gradient at most 1.25 times PyTorch's", worst <= 1.25);
}

static void rough(struct trainer *t, const struct golden_batch *b)
{
    double loss;
    float *g = gradients_of(t, b, &loss);
    printf("# bf16 loss off by %.2g\n", apart(loss, b->loss));
    CHECK("SmolLM2: bf16 loss within 2e-3 of fp32's", g && apart(loss, b->loss) <= 2e-3);
    if (g && b->gradients) compare_errors(&t->weights.params, b, g);
    free(g);
}

static void compare(const struct json *in_double, const struct json *in_bf16,
                    const struct json *in_amx, const char *dir)
{
    struct err e = {0};
    struct device *d = device_open("cpu", opt_threads(0), &e);
    struct mesh mesh = {0};
    struct trainer t = {0}, u = {0};
    struct golden_batch b = batch_open(in_bf16);
    b.amx = in_amx;
    bool opened =
        d && open_mesh_alone(&mesh, d, &e) == 0 && trainer_open(&t, DT_F32, &mesh, d, dir, &e) == 0;
    if (opened) exact(&t, in_double);
    if (opened) b.gradients = gradients_of(&t, &b, &b.loss);
    trainer_close(&t);
    opened = opened && trainer_open(&u, DT_BF16, &mesh, d, dir, &e) == 0;
    if (opened) rough(&u, &b);
    trainer_close(&u);
    if (!opened) printf("# %s\n", e.msg);
    CHECK("SmolLM2: opens", opened);
    feed_step_free(&b.step);
    free(b.gradients);
    mesh_close(&mesh);
    device_close(d);
}

/* True if oneDNN takes AMX for products of bf16 on this CPU. */
static bool has_amx(void)
{
    char line[8192];
    bool found = false;
    FILE *f = getenv("ONEDNN_MAX_CPU_ISA") ? NULL : fopen("/proc/cpuinfo", "r");
    while (f && !found && fgets(line, sizeof line, f)) found = strstr(line, " amx_bf16") != NULL;
    if (f) fclose(f);
    return found;
}

int main(void)
{
    const char *dir = model_folder();
    struct golden in_double = golden_open("tests/golden/train/smollm2.json");
    struct golden in_bf16 = golden_open("tests/golden/train/smollm2_bf16.json");
    struct golden in_amx = golden_open("tests/golden/train/smollm2_bf16_amx.json");
    if (!dir)
        SKIP("SmolLM2: SmolLM2 against PyTorch", "no model folder; make demo gets it");
    else if (in_double.root && in_bf16.root && in_amx.root)
        compare(in_double.root, in_bf16.root, has_amx() ? in_amx.root : NULL, dir);
    else
        CHECK("SmolLM2: the golden files are there", false);
    golden_close(&in_double);
    golden_close(&in_bf16);
    golden_close(&in_amx);
    TEST_END();
}
