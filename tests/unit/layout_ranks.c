/* SPDX-License-Identifier: Apache-2.0 */
/* The list of blocks of a checkpoint over grids of tensor-parallel and data-parallel ranks, and
 * tensors put together from all of them. tests/cli/ranks_save.sh starts it
 * as 2 and as 4 ranks; alone it is one. */
#include "save/layout_impl.h"
#include "tiny.h"
#include "world.h"

static bool every(void *arg, const char *module)
{
    (void)arg, (void)module;
    return true;
}

/* The weights of one rank of a grid, with one buffer of state. */
struct share {
    struct memory memory;
    struct mesh mesh;
    struct device *d;
    struct weights w;
    struct weights_state moments;
    struct layout layout;
};

static struct save_part part(const struct share *s)
{
    return (struct save_part){"exp_avg", &s->moments, DT_F32};
}

static void nothing(void *arg) { (void)arg; }

/* The features of a run: adapters; a state in parts; stacked experts; experts that two ranks share
 * out. */
enum { ADAPTERS = 1, PARTS = 2, STACKED = 4, SHARED = 8, FORMS = 16 };

/* Returns the number of ranks that share out the experts. */
static int ranks_of(unsigned form) { return form & SHARED ? 2 : 1; }

static struct model model_of(unsigned form)
{
    struct model m = tiny_model(false, true);
    if (!(form & (STACKED | SHARED))) return m;
    m.family = hf_family_find(form & STACKED ? "granitemoeshared" : "qwen2_moe");
    m.experts = form & SHARED ? 4 : 5;
    m.chosen = 2;
    m.expert_inter = 12;
    m.shared_inter = 8;
    m.sparse_layers[0] = 3;
    return m;
}

static int plan(struct share *s, unsigned form, struct err *e)
{
    const struct model m = model_of(form);
    const bool sharded = form & PARTS;
    const int dp = s->mesh.size[MESH_DP];
    struct weights_options o = {.compute = DT_BF16, .gradients = true, .length = 32};
    o.params.multiple = 64 * (size_t)dp;
    mesh_params(&s->mesh, s->mesh.at, &o.params);
    if (form & ADAPTERS)
        o.params.lora = (struct lora_options){.rank = 3, .scale = 1, .target = every};
    if (weights_init(&s->w, &m, &o, s->d, &s->memory.plan, e)) return -1;
    s->moments = (struct weights_state){
        .type = DT_F32, .parts = sharded ? dp : 1, .at = sharded ? s->mesh.at[MESH_DP] : 0};
    plan_add(&s->memory.plan, PLAN_MOMENTS, "moments", -1, s->w.params.trained, 4, PLAN_ALWAYS, 0,
             &s->moments.flat);
    const struct save_part p = part(s);
    return memory_place(&s->memory, &s->w.device, nothing, NULL, e) ||
                   layout_make(&s->layout, &s->w, &s->mesh, sharded ? dp : 1, &p, 1, DT_F32, e) ||
                   memory_alloc(&s->memory, e)
               ? -1
               : 0;
}

static bool share_open(struct share *s, const int size[MESH_AXES], bool live, unsigned form)
{
    struct err e = {0};
    struct mesh_sizes n = {.chunks = 1, .experts = ranks_of(form)};
    memcpy(n.axis, size, sizeof n.axis);
    *s = (struct share){.d = device_open("cpu", 1, &e)};
    if (s->d &&
        (live ? mesh_open(&s->mesh, &n, w, s->d, &e) : mesh_planned(&s->mesh, &n, s->d, &e)) == 0 &&
        plan(s, form, &e) == 0)
        return true;
    printf("# %s\n", e.msg);
    return false;
}

static void share_close(struct share *s)
{
    layout_free(&s->layout);
    weights_free(&s->w);
    mesh_close(&s->mesh);
    memory_free(&s->memory);
    device_close(s->d);
}

/* ---- who has what ---- */
/* Every element of a tensor is in one block, whichever piece it is looked for in. */
static bool covered(const struct layout *c, const struct saver_tensor *t)
{
    unsigned char *seen = calloc(t->n, 1);
    bool ok = true;
    for (size_t at = 0, step = 37; at < t->n; at += step) {
        const size_t end = at + step < t->n ? at + step : t->n;
        size_t n;
        const struct layout_block *b = layout_find(c, t->at + at, &n);
        for (size_t i = 0; i < n; i++)
            for (struct param_run r = {0}; layout_next(&b[i], at, end, &r);) {
                ok &= b[i].place == t->at && r.whole >= at && r.whole + r.n <= end &&
                      r.at + r.n <= b[i].n;
                for (size_t k = 0; k < r.n; k++) seen[r.whole + k]++;
            }
    }
    for (size_t i = 0; i < t->n; i++) ok &= seen[i] == 1;
    free(seen);
    return ok;
}

/* A rank's elements are where its own table says. */
static bool where(const struct layout *c, const struct params *t, int rank)
{
    bool ok = true;
    for (size_t i = 0; i < c->nblocks; i++) {
        const struct layout_block *b = &c->blocks[i];
        const struct param *p = NULL;
        for (size_t k = 0; k < t->count; k++)
            if (t->p[k].place == b->place) p = &t->p[k];
        if (b->rank != rank) continue;
        for (struct param_run r = {0}; p && layout_next(b, 0, SIZE_MAX, &r);) {
            struct param_run x = {.at = b->offset + r.at - p->offset};
            ok &= param_next(p, 1, &x) && x.whole == r.whole;
        }
        ok &= p != NULL;
    }
    return ok;
}

/* Writes the name of a check of a layout and a form. */
static const char *name_of(const char *what, const int size[MESH_AXES], unsigned form,
                           const char *holds, char name[160])
{
    snprintf(name, 160, "%s: tp %d, dp %d%s%s%s%s: %s", what, size[MESH_TP], size[MESH_DP],
             form & SHARED ? ", ep 2" : "", form & PARTS ? ", in parts" : "",
             form & ADAPTERS ? ", adapters" : "", form & STACKED ? ", stacked experts" : "", holds);
    return name;
}

static void lists(const int size[MESH_AXES], unsigned form)
{
    char name[160];
    struct share s;
    bool ok = share_open(&s, size, false, form);
    for (size_t i = 0; ok && i < s.layout.count; i++) ok = covered(&s.layout, &s.layout.tensors[i]);
    for (int rank = 0; ok && rank < size[MESH_TP] * size[MESH_DP]; rank++) {
        struct params_options o = s.w.made;
        struct params t;
        struct err e;
        int at[MESH_AXES];
        mesh_locate(size, rank, at);
        mesh_params(&s.mesh, at, &o);
        ok = params_make(&s.w.whole, &o, &t, &e) == 0 && where(&s.layout, &t, rank);
        params_free(&t);
    }
    name_of("lists", size, form, "each element once, where its rank has it", name);
    if (!w->place.rank) CHECK(name, ok);
    share_close(&s);
}

/* ---- put together ---- */
/* The value of the element at a canonical position, exact in bf16. */
static float value(size_t place, bool state) { return (float)((place * 7 + state * 13) % 251); }

/* This rank's elements of a block. */
static void fill(struct share *s, const struct layout_block *b)
{
    uint16_t *values = s->w.values;
    float *moments = s->moments.flat;
    for (struct param_run r = {0}; layout_next(b, 0, SIZE_MAX, &r);)
        for (size_t k = 0; k < r.n; k++) {
            values[b->offset + r.at + k] = bf16_from_f32(value(b->place + r.whole + k, false));
            moments[b->state + r.at + k] = value(b->place + r.whole + k, true);
        }
}

static bool is_whole(const struct saver_tensor *t, const float *v)
{
    bool ok = true;
    for (size_t i = 0; i < t->n; i++) {
        const float want = value(t->at + i, t->file > 0);
        ok &= !(v[i] < want) && !(v[i] > want);
    }
    if (!ok) printf("# %s\n", t->name);
    return ok;
}

/* Passes over the list as a save does; pieces are smaller. */
static bool passes(struct share *s)
{
    enum { PIECE = 500 };
    struct err e = {0};
    const struct saver_list *c = &s->layout.list;
    int rc = 0;
    bool ok = true;
    for (size_t i = 0; i < c->ntensors; i++) {
        const struct saver_tensor *t = &c->tensors[i];
        float *v = malloc(t->n * sizeof *v);
        for (size_t at = 0; at < t->n; at += PIECE) {
            const size_t n = t->n - at < PIECE ? t->n - at : PIECE;
            if (t->read(t->arg, t->at + at, n, DT_F32, v + at, rc ? NULL : &e)) rc = -1;
        }
        ok &= !mesh_writes(&s->mesh) || is_whole(t, v);
        free(v);
    }
    if (c->finish) rc = c->finish(c->arg, rc, &e);
    if (rc) printf("# %s\n", e.msg);
    return ok && rc == 0;
}

static void together(const int size[MESH_AXES], unsigned form)
{
    char name[160];
    struct share s;
    bool ok = share_open(&s, size, true, form);
    for (size_t i = 0; ok && i < s.layout.nblocks; i++)
        if (s.layout.blocks[i].rank == w->place.rank) fill(&s, &s.layout.blocks[i]);
    all_agree(name_of("together", size, form, "each tensor is whole", name), ok && passes(&s));
    share_close(&s);
}

int main(void)
{
    if (!join()) return test_failed;
    const int n = w->place.size;
    for (int tp = 1; tp <= 2; tp++)
        for (int dp = 1; dp <= 4; dp++)
            for (unsigned form = 0; form < FORMS; form++)
                if (dp % ranks_of(form) == 0) lists((int[MESH_AXES]){tp, 1, dp, 1}, form);
    for (unsigned form = 0; form < FORMS; form++) {
        const int ep = ranks_of(form);
        if (n % ep == 0) together((int[MESH_AXES]){1, 1, n, 1}, form);
        if (n % (2 * ep) == 0) together((int[MESH_AXES]){2, 1, n / 2, 1}, form);
    }
    world_leave(w, 1);
    return test_failed;
}
