/* SPDX-License-Identifier: Apache-2.0 */
/* Adapters: peft's configuration read, written and refused; tensors' names and pairing; the sum
 * with a base against peft's own. */
#include <limits.h>
#include <unistd.h>

#include "base/io.h"
#include "hf/peft.h"
#include "test.h"

#define GOLDEN "tests/golden/peft/"

static int parse(const char *text, struct peft_config *c, struct err *e)
{
    memset(e, 0, sizeof *e);
    return peft_config_parse(text, strlen(text), "adapter_config.json", c, e);
}

static void reading(void)
{
    struct peft_config c;
    struct err e;
    CHECK("adapter: peft's own file is read",
          peft_config_read(GOLDEN "rslora/adapter", &c, &e) == 0 && c.rank == 4 && c.alpha == 5 &&
              c.dropout == 0 && c.rslora && !c.pattern && c.targets.n == 14 && c.saved.n == 2 &&
              !c.base && !c.tie);
    CHECK("adapter: the scale of a rank-stabilised one is alpha by the root of the rank",
          peft_scale(&c) == 2.5);
    peft_config_free(&c);
    CHECK("adapter: a pattern of targets is read",
          peft_config_read(GOLDEN "pattern/adapter", &c, &e) == 0 && c.pattern &&
              strstr(c.pattern, "(k|o|gate|up)_proj") && c.tie && peft_scale(&c) == 1);
    peft_config_free(&c);
    CHECK("adapter: absent keys have peft's defaults",
          parse("{\"peft_type\":\"LORA\",\"r\":16}", &c, &e) == 0 && c.alpha == 8 &&
              c.dropout == 0 && peft_scale(&c) == 0.5 && c.targets.n == 0);
    peft_config_free(&c);
    CHECK("adapter: keys that narrow the targets are refused",
          parse("{\"peft_type\":\"LORA\",\"r\":1,\"target_modules\":[\"a\"],"
                "\"layers_to_transform\":[1]}",
                &c, &e) == 0 &&
              c.fewer && c.targets.n == 1 && strcmp(c.targets.v[0], "a") == 0);
    peft_config_free(&c);
}

static void refusals(void)
{
    static const struct {
        const char *keys, *why;
    } bad[] = {
        {"\"peft_type\":\"IA3\",\"r\":8", "peft_type: only adapters of type LORA"},
        {"\"peft_type\":\"LORA\"", "r: must be present"},
        {"\"peft_type\":\"LORA\",\"r\":0", "r: must be"},
        {"\"peft_type\":\"LORA\",\"r\":8,\"use_dora\":true", "use_dora: "},
        {"\"peft_type\":\"LORA\",\"r\":8,\"bias\":\"all\"", "bias: "},
        {"\"peft_type\":\"LORA\",\"r\":8,\"rank_pattern\":{\"q_proj\":4}", "rank_pattern: "},
        {"\"peft_type\":\"LORA\",\"r\":8,\"alpha_pattern\":{\"q_proj\":4}", "alpha_pattern: "},
        {"\"peft_type\":\"LORA\",\"r\":8,\"fan_in_fan_out\":true", "fan_in_fan_out: "},
        {"\"peft_type\":\"LORA\",\"r\":8,\"init_lora_weights\":\"pissa\"", "init_lora_weights: "},
        {"\"peft_type\":\"LORA\",\"r\":8,\"trainable_token_indices\":[1]", "trainable_token_ind"},
        {"\"peft_type\":\"LORA\",\"r\":8,\"something_new\":{\"a\":1}", "something_new: "},
        {"\"peft_type\":\"LORA\",\"r\":8,\"target_modules\":[1]", "target_modules: "},
        {"\"peft_type\":\"LORA\",\"r\":8,\"lora_dropout\":1.5", "lora_dropout: "},
        {"\"r\":8", "no peft_type"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[300], name[300];
        struct peft_config c;
        struct err e;
        snprintf(text, sizeof text, "{%s}", bad[i].keys);
        snprintf(name, sizeof name, "adapter refused: %s", bad[i].keys);
        bool ok = parse(text, &c, &e) == -1 && e.code == ERR_DATA && strstr(e.msg, bad[i].why);
        CHECK(name, ok);
        peft_config_free(&c);
    }
}

/* A written adapter reads back the same. */
static void writing(void)
{
    const char *targets[] = {"q_proj", "v_proj"}, *saved[] = {"lm_head"};
    const struct peft_config c = {.rank = 16,
                                  .alpha = 12.5,
                                  .dropout = 0.05,
                                  .rslora = true,
                                  .tie = true,
                                  .targets = {targets, 2},
                                  .saved = {saved, 1},
                                  .base = "models/\"base\""};
    struct peft_config d;
    struct buf b = {0};
    struct err e;
    CHECK("adapter writing: the written file can be read",
          peft_config_format(&c, &b, &e) == 0 && parse(b.data, &d, &e) == 0);
    CHECK("adapter writing: the file reads back the same",
          d.rank == 16 && d.alpha == 12.5 && d.dropout == 0.05 && d.rslora && d.tie &&
              d.targets.n == 2 && strcmp(d.targets.v[1], "v_proj") == 0 && d.saved.n == 1 &&
              strcmp(d.base, c.base) == 0 && !d.pattern);
    peft_config_free(&d);
    buf_free(&b);
}

static void names(void)
{
    char name[300], param[PEFT_MAX_NAME];
    enum peft_role role;
    peft_tensor_name(PEFT_A, "model.layers.0.mlp.up_proj.weight", name, sizeof name);
    CHECK("adapter names: a factor's name is peft's",
          strcmp(name, "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight") == 0);
    CHECK("adapter names: that of a factor is read back",
          peft_tensor_role(name, &role, param) == 0 && role == PEFT_A &&
              strcmp(param, "model.layers.0.mlp.up_proj.weight") == 0);
    peft_tensor_name(PEFT_SAVED, "lm_head.weight", name, sizeof name);
    CHECK("adapter names: a whole tensor's name is peft's",
          strcmp(name, "base_model.model.lm_head.weight") == 0);
    CHECK("adapter names: that of a whole tensor is read back",
          peft_tensor_role(name, &role, param) == 0 && role == PEFT_SAVED &&
              strcmp(param, "lm_head.weight") == 0);
    static const char *const other[] = {"model.layers.0.mlp.up_proj.lora_A.weight",
                                        "base_model.model.x.lora_embedding_A",
                                        "base_model.model.x.lora_magnitude_vector.weight",
                                        "base_model.model.lm_head.base_layer.weight",
                                        "base_model.model.",
                                        "base_model.model.lora_A.weight",
                                        "base_model.model.x.lora_B.bias"};
    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        CHECK_IN("adapter names, none of peft's", other[i],
                 peft_tensor_role(other[i], &role, param) == -1);
}

/* Every tensor of the base with the adapter, against what peft merged. */
static double worst(const char *adapter, const char *base, const char *merged, bool tied,
                    const char *family)
{
    const struct hf_family *f = family ? hf_family_find(family) : NULL;
    struct err e = {0};
    double bad = 0;
    struct peft *p = peft_open(adapter, &e);
    struct safetensors *s = safetensors_open(base, &e), *want = safetensors_open(merged, &e);
    if (!p || !s || !want || peft_check(p, s, f, HF_NAMES_OWN, tied, &e)) {
        printf("# %s\n", e.msg);
        bad = INFINITY;
    }
    for (size_t i = 0; bad < INFINITY && i < safetensors_count(s); i++) {
        const struct hf_tensor *t = safetensors_at(s, i), *x = safetensors_find(want, t->name);
        float *w = malloc(t->count * 2 * sizeof *w), *y = w + t->count;
        dtype_to_f32(t->dtype, t->data, t->count, w);
        dtype_to_f32(x->dtype, x->data, x->count, y);
        if (peft_apply(p, t, 0, t->dim[0], w, &e)) bad = INFINITY;
        for (size_t j = 0; j < t->count; j++) { /* peft's was rounded to its type */
            double d = fabs((double)w[j] - (double)y[j]) / (1 + fabs((double)y[j]));
            if (t->dtype == DT_BF16) d = bf16_from_f32(w[j]) != bf16_from_f32(y[j]);
            if (!(d <= bad)) bad = d;
        }
        free(w);
    }
    safetensors_close(want);
    safetensors_close(s);
    peft_close(p);
    return bad;
}

/* Opens the adapter of experts with one key of its configuration replaced. */
static bool refuses(const char *key, const char *value, const char *what)
{
    struct err e = {0};
    struct buf b = {0};
    struct peft_config c = {0};
    buf_printf(&b,
               "{\"peft_type\":\"LORA\",\"r\":2,\"lora_alpha\":3,\"target_parameters\":["
               "\"gate_up_proj\"],%s\"%s\":%s}",
               strcmp(key, "rank_pattern") ? "\"rank_pattern\":{\".*\\\\.gate_up_proj\":4}," : "",
               key, value);
    const int rc = peft_config_parse(b.data, b.len, "config", &c, &e);
    const bool found = what ? rc == -1 && e.code == ERR_DATA && strstr(e.msg, what) != NULL
                            : rc == 0 && c.twice && c.parameters.n == 1;
    if (!found) printf("# %s: %s\n", b.data, rc ? e.msg : "taken");
    peft_config_free(&c);
    buf_free(&b);
    return found;
}

/* A base whose only tensor is one matrix with the name of the experts' down_proj. */
static struct safetensors *one_matrix(const struct peft *p, struct buf *file)
{
    const char *name = "model.layers.0.mlp.experts.down_proj.weight";
    const struct hf_tensor *a = peft_find(p, PEFT_A, name), *b = peft_find(p, PEFT_B, name);
    struct buf header = {0};
    struct err e = {0};
    if (!a || !b) return NULL;
    const size_t bytes = (size_t)(b->dim[0] * a->dim[1] * sizeof(float));
    buf_printf(&header, "{\"%s\":{\"dtype\":\"F32\",\"shape\":[%d,%d],\"data_offsets\":[0,%zu]}}",
               name, (int)b->dim[0], (int)a->dim[1], bytes);
    buf_u64(file, header.len);
    buf_add(file, header.data, header.len);
    memset(buf_room(file, bytes), 0, bytes);
    buf_free(&header);
    return safetensors_parse(file->data, file->len, "base", &e);
}

static void experts(void)
{
    struct err e = {0};
    struct peft *p = peft_open(GOLDEN "experts/adapter", &e);
    struct safetensors *s = safetensors_open(GOLDEN "experts/base", &e);
    CHECK("experts: peft's ranks and scales are read",
          refuses("alpha_pattern", "{\".*\\\\.gate_up_proj\":6}", NULL));
    CHECK("experts: another scale is refused",
          refuses("alpha_pattern", "{\".*\\\\.gate_up_proj\":3}", "alpha_pattern"));
    CHECK("experts: another rank without its scale is refused",
          refuses("lora_dropout", "0", "rank_pattern"));
    CHECK("experts: another pattern is refused",
          refuses("rank_pattern", "{\"q_proj\":4}", "rank_pattern"));
    CHECK("experts: their modules have the names of parameters",
          p && peft_find(p, PEFT_A, "model.layers.0.mlp.experts.gate_up_proj.weight") &&
              peft_find(p, PEFT_B, "model.layers.0.mlp.experts.down_proj.weight"));
    CHECK("experts: a model of another type has none",
          p && s && peft_check(p, s, hf_family_find("qwen2_moe"), HF_NAMES_OWN, false, &e) == -1 &&
              e.code == ERR_DATA && strstr(e.msg, "in a model of this type"));
    safetensors_close(s);
    s = safetensors_open(GOLDEN "list/base", &e);
    CHECK("experts: a model without experts has none",
          p && s && peft_check(p, s, hf_family_find("mixtral"), HF_NAMES_OWN, true, &e) == -1 &&
              e.code == ERR_DATA);
    safetensors_close(s);
    struct buf file = {0};
    s = p ? one_matrix(p, &file) : NULL;
    CHECK("experts: one matrix with the name of theirs takes no factors of several",
          s && peft_check(p, s, NULL, HF_NAMES_OWN, false, &e) == -1 && e.code == ERR_DATA &&
              strstr(e.msg, "has shape"));
    safetensors_close(s);
    buf_free(&file);
    peft_close(p);
}

static void sums(void)
{
    CHECK("merge: a list of targets, as peft merges",
          worst(GOLDEN "list/adapter", GOLDEN "list/base", GOLDEN "list/merged", true, NULL) <=
              1.5e-7);
    CHECK("merge: all linear layers, rank-stabilised, whole modules, bf16, as peft merges",
          worst(GOLDEN "rslora/adapter", GOLDEN "rslora/base", GOLDEN "rslora/merged", false,
                NULL) == 0);
    CHECK("merge: router and experts, as peft merges",
          worst(GOLDEN "experts/adapter", GOLDEN "experts/base", GOLDEN "experts/merged", false,
                "mixtral") <= 1.5e-7);
    CHECK("merge: a pattern and a tied embedding, as peft merges",
          worst(GOLDEN "pattern/adapter", GOLDEN "pattern/base", GOLDEN "pattern/merged", true,
                NULL) <= 1.5e-7);
}

/* Opens peft's adapter with so many of the modules in its list. */
static struct peft *open_with(const char *dir, size_t modules, struct err *e)
{
    char config[100];
    struct peft_config c;
    struct peft *p = NULL;
    snprintf(config, sizeof config, "%s/adapter_config.json", dir);
    if (peft_config_read(GOLDEN "list/adapter", &c, e) == 0 && c.targets.n >= modules) {
        c.targets.n = modules;
        if (peft_config_write(&c, dir, e) == 0) p = peft_open(dir, e);
    }
    peft_config_free(&c);
    unlink(config);
    return p;
}

static void unnamed(void)
{
    static const char file[] = "/adapter_model.safetensors";
    char dir[] = "/tmp/sft-peft.XXXXXX", link[100], *target = realpath(GOLDEN "list/adapter", NULL);
    char whole[PATH_MAX + sizeof file];
    struct err e = {0};
    bool made = target && mkdtemp(dir);
    snprintf(link, sizeof link, "%s%s", dir, file);
    snprintf(whole, sizeof whole, "%s%s", target ? target : "", file);
    made = made && symlink(whole, link) == 0;
    struct peft *p = made ? open_with(dir, 3, &e) : NULL, *less = NULL;
    CHECK("adapter targets: one whose modules are all named is read", p);
    CHECK("adapter targets: a tensor whose module is not named is refused",
          made && !(less = open_with(dir, 2, &e)) && e.code == ERR_DATA &&
              strstr(e.msg, "target_modules of adapter_config.json does not name its module"));
    peft_close(p);
    peft_close(less);
    unlink(link);
    rmdir(dir);
    free(target);
}

static void misfits(void)
{
    struct err e = {0};
    struct peft *p = peft_open(GOLDEN "rslora/adapter", &e);
    struct safetensors *other = safetensors_open(GOLDEN "list/base", &e);
    CHECK("adapter misfits: an adapter of an untied model on a tied one is refused",
          peft_check(p, other, NULL, HF_NAMES_OWN, true, &e) == -1 &&
              strstr(e.msg, "ensure_weight_tying"));
    CHECK("adapter misfits: a tensor that the base lacks is refused",
          peft_check(p, other, NULL, HF_NAMES_OWN, false, &e) == -1 &&
              strstr(e.msg, "the base model has no lm_head"));
    peft_close(p);
    safetensors_close(other);
    CHECK("adapter misfits: a folder without an adapter is refused",
          !peft_open(GOLDEN "list/base", &e) && e.code == ERR_NOINPUT);
}

int main(void)
{
    reading();
    refusals();
    writing();
    names();
    sums();
    experts();
    unnamed();
    misfits();
    TEST_END();
}
