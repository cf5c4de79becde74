/* SPDX-License-Identifier: Apache-2.0 */
/* The norm of gradients: the squares are added in the groups of the canonical order, however wide
 * the buckets are and whichever rank has which elements. tests/cli/ranks.sh starts it as several
 * ranks; alone it is one. */
#include "mesh.h"
#include "parallel/zero.h"
#include "tiny.h"
#include "train/norm.h"
#include "world.h"

static struct device *d;
static struct mesh mesh;

static bool contains(void *arg, const char *name)
{
    for (const char **word = arg; *word; word++)
        if (strstr(name, *word)) return true;
    return false;
}
static void nothing(void *arg) { (void)arg; }

/* The gradient of the element at a canonical position. */
static float value(size_t place) { return tiny_uniform("gradient", (uint32_t)place); }

/* The norm of the weights that the plan was made for; NAN: failed. Elements of other ranks' parts
 * are not to be read where the optimizer is sharded: they are NAN. */
static double sum(struct weights *x, const struct zero *z, struct norm *n)
{
    struct err e;
    double out = NAN;
    const struct params *t = &x->params;
    float *g = calloc(t->trained, sizeof *g);
    for (size_t i = 0; i < t->nruns; i++) {
        const struct params_run *r = &t->runs[i];
        const struct params_part held = zero_held(z, r->bucket);
        for (size_t k = r->begin; k < r->end; k++)
            g[k] = k >= held.begin && k < held.end ? value(r->place + (k - r->begin)) : NAN;
    }
    d->ops->upload(d, x->gradients, g, t->trained * sizeof *g);
    norm_sum(n);
    if (mesh_finish(&mesh, &e) || norm_total(n, &out, &e)) out = NAN;
    free(g);
    return out;
}

static double norm_of(const struct params_options *o, bool sharded, size_t *groups)
{
    struct err e = {0};
    struct memory memory = {0};
    struct weights x = {0};
    struct zero z;
    struct norm n = {0};
    double out = NAN;
    const struct model m = tiny_model(false, true);
    const struct weights_options wo = {
        .compute = DT_F32, .gradients = true, .length = 32, .params = *o};
    if (weights_init(&x, &m, &wo, d, &memory.plan, &e) == 0) {
        zero_init(&z, &mesh, &x.params, sharded, false);
        size_t experts, others = norm_plan(&n, &x, &z, &memory.plan, &experts);
        zero_plan(&z, &mesh, &memory.plan, DT_F32, others, experts);
        if (memory_place(&memory, &x.device, nothing, NULL, &e) == 0 &&
            memory_alloc(&memory, &e) == 0)
            out = sum(&x, &z, &n);
    }
    if (isnan(out)) printf("# %s\n", e.msg);
    *groups = n.groups;
    weights_free(&x);
    memory_free(&memory);
    return out;
}

/* As one operation adds up positions [begin, end). */
static double add(const float *x, size_t begin, size_t end)
{
    double out = 0;
    op_sum(d, &(struct op_sum){.sum = &out,
                               .x = x + begin,
                               .n = (int64_t)(end - begin),
                               .squares = true,
                               .dtype = DT_F32});
    return out;
}

/* The right norm: each range of the order added as a whole, and the buckets in their order. The
 * device's memory is the host's. */
static double wanted(const struct params_options *o)
{
    struct err e;
    struct params t;
    double sums[16] = {0}, out = 0;
    const struct model m = tiny_model(false, true);
    if (params_make(&m, o, &t, &e)) return NAN;
    float *x = aligned_alloc(64, (t.places * sizeof *x + 63) / 64 * 64);
    struct device_work *work = &d->work[d->queue];
    *work = (struct device_work){.p = malloc(1 << 20), .bytes = 1 << 20};
    memset(x, 0, t.places * sizeof *x);
    for (size_t i = 0; i < t.nruns; i++)
        for (size_t k = t.runs[i].begin, at = t.runs[i].place; k < t.runs[i].end; k++, at++)
            x[at] = value(at);
    for (size_t i = 0, last; i < t.nruns; i = last) {
        for (last = i + 1; last < t.nruns && t.runs[last].range == t.runs[i].range;) last++;
        const struct params_run *r = &t.runs[last - 1];
        sums[r->bucket] += add(x, t.runs[i].range, r->place + (r->end - r->begin));
    }
    for (size_t b = 0; b < t.nbuckets; b++) out += sums[b];
    free(work->p);
    *work = (struct device_work){0};
    free(x);
    params_free(&t);
    return out;
}

static void check(const char *name, const char *const *frozen)
{
    char what[120];
    bool right = true, collected = false;
    struct params_options o = {.frozen = contains, .arg = (void *)(uintptr_t)frozen};
    const double want = wanted(&o);
    for (size_t wide = 1; wide <= 11; wide += 5)
        for (int sharded = 0; sharded < 2; sharded++) {
            size_t groups;
            o.multiple = ZERO_ALIGN * wide * (size_t)w->place.size;
            const double got = norm_of(&o, sharded, &groups);
            right &= fabs(got - want) < 1e-14 * want; /* sums of groups are fp32's: 1e-8 */
            collected |= groups > 0;
        }
    collected |= w->place.size == 1; /* one rank has whole buckets */
    snprintf(what, sizeof what, "norm: %s: that of the canonical order", name);
    all_agree(what, right && collected && want > 0);
}

int main(void)
{
    static const char *const none[] = {NULL}, *const some[] = {"k_proj", "layers.1.mlp", NULL};
    struct err e;
    if (!join()) return test_failed;
    d = device_open("cpu", 1, &e);
    const bool open = d && open_mesh(&mesh, w, d, &e) == 0;
    all_agree("norm: ranks", open);
    if (open) {
        check("all trained", none);
        check("some frozen", some);
    }
    mesh_close(&mesh);
    device_close(d);
    world_leave(w, 1);
    return test_failed;
}
