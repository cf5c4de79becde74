/* SPDX-License-Identifier: Apache-2.0 */
/* A real model against PyTorch in double: first-step loss, each tensor's gradient norm and 16
 * projections. */
#include "base/opt.h"
#include "golden.h"
#include "hf/config.h"

static const char *model_folder(void)
{
    const char *dir = getenv("SFT_SMOLLM2");
    if (!dir) dir = "build/demo/SmolLM2-135M-Instruct";
    char *config = io_path(dir, "config.json", NULL);
    bool there = config && io_exists(config);
    free(config);
    return there ? dir : NULL;
}

static int open_trainer(struct trainer *t, const char *dir, struct mesh *mesh, struct device *d,
                        int64_t tokens, struct err *e)
{
    struct hf_config c = {0};
    struct model m;
    struct safetensors *s = safetensors_open(dir, e);
    const struct trainer_options o = {
        .compute = DT_F32, .keep = NET_KEEP_SELECTIVE, .tokens = tokens, .length = tokens};
    int rc = s ? hf_config_read(dir, &c, e) : -1;
    if (rc == 0) rc = model_from_hf(&c, &m, e);
    if (rc == 0) rc = trainer_init(t, &m, &o, mesh, d, e);
    if (rc == 0) rc = trainer_alloc(t, e);
    if (rc == 0) rc = trainer_load(t, s, e);
    safetensors_close(s);
    hf_config_free(&c);
    return rc;
}

static void compare(const struct json *want, const char *dir)
{
    struct err e = {0};
    struct device *d = device_open("cpu", opt_threads(0), &e);
    struct mesh mesh = {0};
    struct trainer t = {0};
    struct trainer_report x = {0};
    int lengths[8] = {0}, docs = (int)json_get(want, "lengths")->count, tokens = 0;
    for (int i = 0; i < docs && i < 8; i++) {
        lengths[i] = (int)golden_at(json_get(want, "lengths"), (size_t)i);
        tokens += lengths[i];
    }
    struct feed_step s = golden_step(lengths, docs, 1, 0);
    for (size_t i = 0; i < s.tokens; i++) s.ids[i] = (uint32_t)golden_at(json_get(want, "ids"), i);
    bool done = d && mesh_self(&mesh, d, &e) == 0 &&
                open_trainer(&t, dir, &mesh, d, tokens, &e) == 0 &&
                trainer_gradients(&t, &s, &x, &e) == 0;
    if (!done) printf("# %s\n", e.msg);
    double off = apart(x.loss, golden_number(want, "loss"));
    printf("# loss %.9g, off by %.2g\n", x.loss, off);
    CHECK("SmolLM2: first-step loss within 1e-5 of PyTorch's", done && off <= 1e-5);
    double bad = done ? golden_gradients(&t, json_get(want, "gradients"), 1e-4) : INFINITY;
    printf("# gradients: worst %.2g\n", bad);
    CHECK("SmolLM2: gradient norms and projections within 1e-4 of PyTorch's", bad <= 1e-4);
    trainer_close(&t);
    mesh_close(&mesh);
    device_close(d);
    feed_step_free(&s);
}

int main(void)
{
    const char *dir = model_folder();
    struct golden g = golden_open("tests/golden/train/smollm2.json");
    if (!dir)
        SKIP("SmolLM2 against PyTorch", "no model folder; make demo gets it");
    else if (g.root)
        compare(g.root, dir);
    else
        CHECK("golden file", g.root != NULL);
    golden_close(&g);
    TEST_END();
}
