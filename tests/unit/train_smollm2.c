/* SPDX-License-Identifier: Apache-2.0 */
/* A real model. fp32 against PyTorch in double: first-step loss, each tensor's gradient norm and 16
 * projections. bf16 against that fp32, on three batches: the loss, and the error of each tensor's
 * gradient against that of PyTorch's bf16.
 *
 * Of a tensor's error nearly all can be one number: in the gains of norms, the channel that this
 * model's first tokens fill. Then the ratio of two errors is that of two random numbers: in seven
 * batches PyTorch's sdpa attention is more than 1.25 times as far off as its eager one in one
 * tensor of eight, by up to 8 times, and eager as sdpa in two of five. So what is asked of every
 * tensor is at most 1.25 times the larger of PyTorch's two errors; against eager alone, of 99 in
 * 100. */
#include "base/opt.h"
#include "golden.h"
#include "hf/config.h"

enum { BATCHES = 3, MOST_DOCS = 8 };

/* A batch of a golden file, and what fp32 makes of it. */
struct golden_batch {
    const struct json *want;
    struct feed_step step;
    double loss;
    float *gradients; /* [trained] */
};

static const char *model_folder(void)
{
    const char *dir = getenv("SFT_SMOLLM2");
    if (!dir) dir = "build/demo/SmolLM2-135M-Instruct";
    char *config = io_path(dir, "config.json", NULL);
    bool there = config && io_exists(config);
    free(config);
    return there ? dir : NULL;
}

static struct golden_batch batch_open(const struct json *want)
{
    struct golden_batch b = {.want = want};
    int lengths[MOST_DOCS] = {0}, docs = (int)json_get(want, "lengths")->count;
    for (int i = 0; i < docs && i < MOST_DOCS; i++)
        lengths[i] = (int)golden_at(json_get(want, "lengths"), (size_t)i);
    b.step = golden_step(lengths, docs, 1, 0);
    for (size_t i = 0; i < b.step.tokens; i++)
        b.step.ids[i] = (uint32_t)golden_at(json_get(want, "ids"), i);
    return b;
}

static int trainer_open(struct trainer *t, enum dtype compute, struct mesh *mesh, struct device *d,
                        const char *dir, struct err *e)
{
    struct hf_config c = {0};
    struct model m;
    struct safetensors *s = safetensors_open(dir, e);
    const struct trainer_options o = {
        .compute = compute, .keep = NET_KEEP_SELECTIVE, .tokens = 128, .length = 128};
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
    const size_t n = t->net.params.trained;
    float *g = malloc(n * sizeof *g);
    *loss = NAN;
    if (trainer_gradients(t, &b->step, &x, &e) == 0 &&
        net_get(&t->net, t->net.gradients, DT_F32, 0, n, g, &e) == 0) {
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
    double bad = b.gradients ? golden_gradients(t, json_get(want, "gradients"), 1e-4) : INFINITY;
    printf("# gradients: worst %.2g\n", bad);
    CHECK("SmolLM2: gradient norms and projections within 1e-4 of PyTorch's", bad <= 1e-4);
    free(b.gradients);
    feed_step_free(&b.step);
}

/* |x - y| / |y| */
static double distance(const float *x, const float *y, size_t n)
{
    double off = 0, size = 0;
    for (size_t i = 0; i < n; i++) {
        off += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
        size += (double)y[i] * (double)y[i];
    }
    return sqrt(off / size);
}

static double pytorch_error(const struct golden_batch *b, const char *attention, const char *tensor)
{
    return golden_number(json_get(json_get(b->want, attention), "errors"), tensor);
}

/* The errors of bf16 gradients g against fp32's, each over PyTorch's. */
static void compare_errors(const struct params *p, const struct golden_batch *b, int batch,
                           const float *g)
{
    char name[128];
    double worst = 0, logs = 0;
    size_t above = 0;
    for (size_t i = 0; i < p->count; i++) {
        const struct param *q = &p->p[i];
        const double error = distance(g + q->offset, b->gradients + q->offset, q->n);
        const double eager = pytorch_error(b, "eager", q->name);
        const double ratio = error / fmax(eager, pytorch_error(b, "sdpa", q->name));
        if (!(ratio <= 1.25)) printf("# %s: %.3g of PyTorch's error\n", q->name, ratio);
        worst = worse(worst, ratio);
        above += !(error <= 1.25 * eager);
        logs += log(error / eager);
    }
    printf("# batch %d: error over PyTorch's: worst %.2f; with eager attention alone: mean %.2f, "
           "above 1.25: %zu of %zu\n",
           batch, worst, exp(logs / (double)p->count), above, p->count);
    snprintf(name, sizeof name, "SmolLM2, batch %d: each bf16 gradient as near as PyTorch's",
             batch);
    CHECK(name, worst <= 1.25);
    snprintf(name, sizeof name, "SmolLM2, batch %d: 99 of 100 as near as with eager attention",
             batch);
    CHECK(name, above * 100 <= p->count);
}

static void rough(struct trainer *t, const struct golden_batch *b, int batch)
{
    char name[128];
    double loss;
    float *g = gradients_of(t, b, &loss);
    printf("# batch %d: bf16 loss off by %.2g\n", batch, apart(loss, b->loss));
    snprintf(name, sizeof name, "SmolLM2, batch %d: bf16 loss within 2e-3 of fp32's", batch);
    CHECK(name, g && apart(loss, b->loss) <= 2e-3);
    if (g && b->gradients) compare_errors(&t->net.params, b, batch, g);
    free(g);
}

static void compare(const struct json *in_double, const struct json *in_bf16, const char *dir)
{
    struct err e = {0};
    struct device *d = device_open("cpu", opt_threads(0), &e);
    struct mesh mesh = {0};
    struct trainer t = {0}, u = {0};
    struct golden_batch b[BATCHES];
    for (int i = 0; i < BATCHES; i++) b[i] = batch_open(&in_bf16->items[i]);
    bool opened =
        d && mesh_self(&mesh, d, &e) == 0 && trainer_open(&t, DT_F32, &mesh, d, dir, &e) == 0;
    if (opened) exact(&t, in_double);
    for (int i = 0; i < BATCHES && opened; i++)
        b[i].gradients = gradients_of(&t, &b[i], &b[i].loss);
    trainer_close(&t);
    opened = opened && trainer_open(&u, DT_BF16, &mesh, d, dir, &e) == 0;
    for (int i = 0; i < BATCHES && opened; i++) rough(&u, &b[i], i);
    trainer_close(&u);
    if (!opened) printf("# %s\n", e.msg);
    CHECK("SmolLM2: opens", opened);
    for (int i = 0; i < BATCHES; i++) {
        feed_step_free(&b[i].step);
        free(b[i].gradients);
    }
    mesh_close(&mesh);
    device_close(d);
}

int main(void)
{
    const char *dir = model_folder();
    struct golden in_double = golden_open("tests/golden/train/smollm2.json");
    struct golden in_bf16 = golden_open("tests/golden/train/smollm2_bf16.json");
    const struct json *batches = in_bf16.root ? json_get(in_bf16.root, "batches") : NULL;
    if (!dir)
        SKIP("SmolLM2 against PyTorch", "no model folder; make demo gets it");
    else if (in_double.root && batches && batches->count == BATCHES)
        compare(in_double.root, batches, dir);
    else
        CHECK("golden files", false);
    golden_close(&in_double);
    golden_close(&in_bf16);
    TEST_END();
}
