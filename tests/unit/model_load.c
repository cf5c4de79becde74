/* SPDX-License-Identifier: Apache-2.0 */
/* Weights of a file on a device: whichever types file and computation have, and wherever the
 * device's memory is, weights and master are the file's values, to the last element of a tensor
 * that is read in several pieces. */
#include "base/buf.h"
#include "hf/dtype.h"
#include "test.h"
#include "tiny.h"

enum { VOCAB = 11003 }; /* times 24: more than one piece, and not a round number of them */

/* Values that bf16 holds exactly. */
static float value(const char *name, size_t i)
{
    return bf16_to_f32(bf16_from_f32(tiny_uniform(name, (uint32_t)i)));
}

/* The bytes of a safetensors file with all parameters in type bf16 or fp32, the last of them with
 * the values of the one named `last`; buf_free. */
static struct buf make_file(const struct params *all, bool bf16, const char *last)
{
    struct buf header = {0}, file = {0};
    size_t at = 0, size = bf16 ? 2 : 4;
    for (size_t i = 0; i < all->count; at += all->p[i++].n * size) {
        const struct param *p = &all->p[i];
        buf_printf(&header, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", i ? "," : "{", p->name,
                   bf16 ? "BF16" : "F32");
        for (int k = 0; k < p->rank; k++)
            buf_printf(&header, "%s%llu", k ? "," : "", (unsigned long long)p->shape[k]);
        buf_printf(&header, "],\"data_offsets\":[%zu,%zu]}", at, at + p->n * size);
    }
    buf_puts(&header, "}");
    const uint64_t length = header.len;
    buf_u64(&file, length);
    buf_add(&file, header.data, header.len);
    for (size_t i = 0; i < all->count; i++)
        for (size_t j = 0; j < all->p[i].n; j++) {
            const float v = value(i + 1 < all->count ? all->p[i].name : last, j);
            const uint16_t h = bf16_from_f32(v);
            buf_add(&file, bf16 ? (const void *)&h : &v, size);
        }
    buf_free(&header);
    return file;
}

static bool holds(struct weights *w, const void *flat, enum dtype t, const struct param *p)
{
    struct err e;
    float *x = malloc(p->n * sizeof *x);
    bool ok = weights_get(w, flat, t, p->offset, p->n, x, &e) == 0;
    for (size_t i = 0; i < p->n && ok; i++) ok = EXPECT(p->name, x[i] == value(p->name, i));
    free(x);
    return ok;
}

static void load(const char *device, enum dtype t, bool bf16_file)
{
    struct err e = {0};
    char name[100];
    snprintf(name, sizeof name, "loading: %s, %s of a file in %s", device, dtype_name(t),
             bf16_file ? "bf16" : "fp32");
    struct device *d = device_open(device, 2, &e);
    if (d && t == DT_BF16 && !device_has_bf16(d) && strcmp(device, "ref") != 0) {
        SKIP(name, "this CPU has no bf16 instructions");
        device_close(d);
        return;
    }
    struct model m = tiny_model(true, false);
    m.vocab = VOCAB;
    struct tiny *n = d ? tiny_open(&m, d, t, RECOMPUTE_NONE, 16) : NULL;
    const size_t bytes = n ? n->w.params.trained * dtype_size(n->w.accum) : 0;
    void *flat = n && t == DT_BF16 ? d->ops->alloc(d, bytes, &e) : NULL;
    const struct weights_state master = {.flat = flat, .type = DT_F32, .parts = 1};
    struct buf file =
        n ? make_file(&n->w.params, bf16_file, n->w.params.p[n->w.params.count - 1].name)
          : (struct buf){0};
    struct safetensors *s = safetensors_parse(file.data, file.len, "weights", &e);
    bool ok = n && s && weights_load(&n->w, s, flat ? &master : NULL, &e) == 0;
    if (!ok) printf("# %s\n", e.msg);
    for (size_t i = 0; ok && i < n->w.params.count; i++)
        ok = holds(&n->w, n->w.values, t, &n->w.params.p[i]) &&
             (!flat || holds(&n->w, flat, n->w.accum, &n->w.params.p[i]));
    CHECK(name, ok);
    safetensors_close(s);
    buf_free(&file);
    if (flat) d->ops->free(d, flat, bytes);
    tiny_close(n);
    device_close(d);
}

/* ---- the blocks of tensor-parallel ranks ---- */
/* Puts what a rank holds of a tensor where the whole one has it, as type bf16 or fp32. */
static bool put_back(struct weights *w, const struct param *p, bool bf16, unsigned char *whole)
{
    struct err e;
    float *x = malloc(p->n * sizeof *x);
    bool ok = weights_get(w, w->values, w->compute, p->offset, p->n, x, &e) == 0;
    for (struct param_run r = {0}; ok && param_next(p, 1000, &r);)
        ok = dtype_from_f32(bf16 ? DT_BF16 : DT_F32, x + r.at, r.n,
                            whole + r.whole * (bf16 ? 2 : 4)) == 0;
    free(x);
    return ok;
}

/* All tensors of a rank into a file's bytes, whose tensors begin at `data`. */
static bool gather(struct weights *w, const struct params *all, bool bf16, unsigned char *data)
{
    bool ok = true;
    for (size_t i = 0; i < all->count && ok; data += all->p[i++].n * (bf16 ? 2 : 4)) {
        const struct param *p = params_find(&w->params, all->p[i].name, strlen(all->p[i].name));
        ok = p && put_back(w, p, bf16, data);
    }
    return ok;
}

static struct tiny *open_rank(const struct model *m, struct device *d, enum dtype t, int at,
                              struct params_options params)
{
    params.tp = 2;
    params.at = at;
    struct tiny_options o = tiny_options(t, RECOMPUTE_NONE, 16);
    o.w.params = params;
    return tiny_open_with(m, d, &o);
}

/* Each of two ranks loads its blocks of a file; put together they are the file's bytes. */
static void load_blocks(const char *device, enum dtype t, bool bf16)
{
    struct err e = {0};
    char name[100];
    snprintf(name, sizeof name, "blocks: two ranks hold the file's bytes: %s, %s of %s", device,
             dtype_name(t), bf16 ? "bf16" : "fp32");
    struct model m = tiny_model(false, true);
    m.o_bias = m.mlp_bias = true;
    m.qk_norm = HF_QK_NORM_HEAD;
    struct params all;
    struct device *d = device_open(device, 2, &e);
    bool ok = d && params_make(&m, NULL, &all, &e) == 0;
    struct buf file = make_file(&all, bf16, all.p[all.count - 1].name);
    struct safetensors *s = safetensors_parse(file.data, file.len, "weights", &e);
    const size_t size = all.elements * (bf16 ? 2 : 4);
    unsigned char *data = malloc(size);
    memset(data, 0xff, size);
    for (int at = 0; at < 2 && ok && s; at++) {
        struct tiny *n = open_rank(&m, d, t, at, (struct params_options){0});
        ok = n && weights_load(&n->w, s, NULL, &e) == 0 && gather(&n->w, &all, bf16, data);
        tiny_close(n);
    }
    if (!ok) printf("# %s\n", e.msg);
    CHECK(name, ok && s && memcmp(data, file.data + file.len - size, size) == 0);
    free(data);
    safetensors_close(s);
    buf_free(&file);
    params_free(&all);
    device_close(d);
}

static bool not_saved(void *peft, const char *name) { return !peft_find(peft, PEFT_SAVED, name); }

/* The parts that two ranks have loaded of one matrix of an adapter are the matrix of its file. */
static bool has_matrix(struct tiny *const *ranks, const struct peft *p, const struct param *x)
{
    char name[200];
    peft_tensor_name(PEFT_SAVED, x->name, name, sizeof name);
    const struct hf_tensor *t = safetensors_find(p->file, name);
    unsigned char *whole = t && t->dtype == DT_F32 ? malloc((size_t)t->bytes) : NULL;
    if (whole) memset(whole, 0xff, (size_t)t->bytes);
    bool ok = whole != NULL;
    for (int at = 0; at < 2 && ok; at++) {
        const struct param *part = params_find(&ranks[at]->w.params, x->name, strlen(x->name));
        ok = part && put_back(&ranks[at]->w, part, false, whole);
    }
    ok = ok && memcmp(whole, t->data, (size_t)t->bytes) == 0;
    free(whole);
    return EXPECT(x->name, ok);
}

/* Each of two ranks loads its blocks of an adapter. */
static void load_adapter(void)
{
    struct err e = {0};
    struct hf_config c;
    struct model m;
    struct params all = {0};
    struct tiny *ranks[2] = {NULL, NULL};
    struct device *d = device_open("cpu", 2, &e);
    struct peft *p = peft_open("tests/golden/peft/pattern/adapter", &e);
    bool ok = d && p && hf_config_read("tests/golden/peft/pattern/base", &c, &e) == 0 &&
              model_from_hf(&c, &m, &e) == 0;
    const struct params_options o = {.lora = lora_of_peft(p), .frozen = not_saved, .arg = p};
    ok = ok && params_make(&m, &o, &all, &e) == 0;
    for (int at = 0; at < 2 && ok; at++)
        ok = (ranks[at] = open_rank(&m, d, DT_F32, at, o)) &&
             lora_load(&ranks[at]->w, p, NULL, &e) == 0;
    size_t matrices = 0;
    for (size_t i = 0; i < all.count && ok; i++) {
        matrices += all.p[i].adapter;
        ok = !all.p[i].adapter || has_matrix(ranks, p, &all.p[i]);
    }
    if (!ok) printf("# %s\n", e.msg);
    CHECK("blocks: two ranks hold an adapter's matrices", ok && matrices > 0);
    for (int at = 0; at < 2; at++) tiny_close(ranks[at]);
    params_free(&all);
    hf_config_free(&c);
    peft_close(p);
    device_close(d);
}

/* A tied model whose file has lm_head.weight too, with the values of the tensor `last`. */
static bool load_twice(const char *last, struct err *e)
{
    struct device *d = device_open("cpu", 1, e);
    struct model m = tiny_model(true, false);
    struct tiny *n = d ? tiny_open(&m, d, DT_F32, RECOMPUTE_NONE, 16) : NULL;
    struct params all = n ? n->w.params : (struct params){0};
    struct param *list = calloc(all.count + 1, sizeof *list);
    memcpy(list, all.p, all.count * sizeof *list);
    list[all.count] = *params_find(&all, "model.embed_tokens.weight", 25);
    snprintf(list[all.count].name, sizeof list->name, "lm_head.weight");
    all.p = list;
    all.count++;
    struct buf file = make_file(&all, true, last);
    struct safetensors *s = safetensors_parse(file.data, file.len, "weights", e);
    const bool ok = s && weights_load(&n->w, s, NULL, e) == 0;
    safetensors_close(s);
    buf_free(&file);
    free(list);
    tiny_close(n);
    device_close(d);
    return ok;
}

/* The last layer, the norm and the head, from the file of the whole model or of another one. */
static int load_stage(const struct model *m, const struct params *file_has, struct tiny **n,
                      struct device *d, struct err *e)
{
    struct tiny_options o = tiny_options(DT_F32, RECOMPUTE_NONE, 16);
    o.w.params.stages = m->layers;
    o.w.params.stage = m->layers - 1;
    *n = tiny_open_with(m, d, &o);
    struct buf file = make_file(file_has, false, file_has->p[file_has->count - 1].name);
    struct safetensors *s = safetensors_parse(file.data, file.len, "weights", e);
    const int rc = *n && s ? weights_load(&(*n)->w, s, NULL, e) : -1;
    safetensors_close(s);
    buf_free(&file);
    return rc;
}

static void stages(void)
{
    struct err e = {0};
    struct device *d = device_open("cpu", 1, &e);
    struct model m = tiny_model(false, true), deeper = m;
    struct params all, more;
    struct tiny *n;
    deeper.layers++;
    if (params_make(&m, NULL, &all, &e) || params_make(&deeper, NULL, &more, &e)) return;
    bool fine = load_stage(&m, &all, &n, d, &e) == 0;
    for (size_t i = 0; fine && i < n->w.params.count; i++)
        fine = holds(&n->w, n->w.values, DT_F32, &n->w.params.p[i]);
    CHECK("loading: a stage takes its layers from the whole model's file", fine);
    tiny_close(n);
    CHECK("loading: a stage refuses the file of a deeper model",
          load_stage(&m, &more, &n, d, &e) && e.code == ERR_DATA && strstr(e.msg, "layers.2."));
    tiny_close(n);
    params_free(&all);
    params_free(&more);
    device_close(d);
}

static void tied(void)
{
    struct err e = {0};
    CHECK("loading: a tied head that is stored too is taken",
          load_twice("model.embed_tokens.weight", &e));
    CHECK("loading: a head that differs from the tied embedding is refused",
          !load_twice("lm_head.weight", &e) && e.code == ERR_DATA &&
              strstr(e.msg, "tie_word_embeddings") && strstr(e.msg, "set that to false"));
}

static void spoil(struct weights *w, const char *name, size_t at, float v)
{
    const struct param *p = params_find(&w->params, name, strlen(name));
    weights_set(w, NULL, p, at, 1, &v);
}

static bool found(struct weights *w, const char *text)
{
    char got[200];
    return weights_find_nonfinite(w, got, sizeof got) ==
               (strcmp(text, "every weight is finite") != 0) &&
           strcmp(got, text) == 0;
}

/* bf16 has no number near the largest of fp32. */
static void nonfinite(const char *device, enum dtype t)
{
    struct err e = {0};
    char name[100];
    snprintf(name, sizeof name, "loading: %s, %s: the first weight that is not finite is found",
             device, dtype_name(t));
    struct device *d = device_open(device, 2, &e);
    struct model m = tiny_model(true, false);
    m.vocab = VOCAB;
    struct tiny *n = d ? tiny_open(&m, d, t, RECOMPUTE_NONE, 16) : NULL;
    bool ok = n && found(&n->w, "every weight is finite");
    if (ok) {
        spoil(&n->w, "model.norm.weight", 5, -INFINITY);
        ok = EXPECT(name,
                    found(&n->w, "tensor model.norm.weight is not finite: -inf at [5], 1 of its "
                                 "24 elements"));
        spoil(&n->w, "model.embed_tokens.weight", 10001 * 24 + 7, NAN);
        spoil(&n->w, "model.embed_tokens.weight", 10002 * 24, 3.4e38F);
        char text[200];
        snprintf(text, sizeof text,
                 "tensor model.embed_tokens.weight is not finite: nan at [10001,7], %d of its "
                 "264072 elements",
                 t == DT_BF16 ? 2 : 1);
        ok = EXPECT(name, found(&n->w, text)) && ok;
    }
    CHECK(name, ok);
    tiny_close(n);
    device_close(d);
}

static void nonfinite_stacked(void)
{
    static const char name[] = "model.layers.1.block_sparse_moe.input_linear.weight";
    struct err e = {0};
    struct device *d = device_open("cpu", 1, &e);
    struct model m = tiny_model(true, false);
    m.family = hf_family_find("granitemoe");
    m.experts = 3;
    m.chosen = 1;
    m.expert_inter = 10;
    m.sparse_layers[0] = 3;
    struct tiny *n = d ? tiny_open(&m, d, DT_F32, RECOMPUTE_NONE, 16) : NULL;
    if (n) spoil(&n->w, name, (2 * 20 + 7) * 24 + 3, NAN);
    CHECK("loading: of stacked experts the one with a weight that is not finite is told",
          n && found(&n->w, "tensor model.layers.1.block_sparse_moe.input_linear.weight is not "
                            "finite: nan at [2,7,3], 1 of its 1440 elements"));
    tiny_close(n);
    device_close(d);
}

int main(void)
{
    static const char *const devices[] = {"ref", "cpu", "far"};
    for (int i = 0; i < 3; i++)
        for (int bf16 = 0; bf16 < 2; bf16++) {
            load(devices[i], DT_BF16, bf16);
            load(devices[i], DT_F32, bf16);
        }
    load_blocks("cpu", DT_F32, true);
    load_blocks("cpu", DT_F32, false);
    load_blocks("ref", DT_BF16, true);
    load_blocks("far", DT_F32, false);
    load_adapter();
    tied();
    nonfinite("ref", DT_BF16);
    nonfinite("far", DT_F32);
    stages();
    nonfinite_stacked();
    TEST_END();
}
