/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters that are not trained: the gradients of the others are the same bytes, and the plan has
 * no room for theirs. */
#include "test.h"
#include "tiny.h"

/* Tensors whose name contains one of the words. */
static bool contains(void *arg, const char *name)
{
    for (const char **word = arg; *word; word++)
        if (strstr(name, *word)) return true;
    return false;
}
static bool lacks(void *arg, const char *name) { return !contains(arg, name); }

/* A tensor's gradient, as bytes of the device's real type; free(). */
static void *gradient_of(struct weights *w, const struct param *p)
{
    struct err e;
    const size_t size = dtype_size(w->accum);
    char *g = malloc(p->n * size);
    if (w->device->ops->download(w->device, g, (char *)w->gradients + p->offset * size, p->n * size,
                                 &e))
        printf("not ok: %s\n", e.msg);
    return g;
}

static bool in_a_run(const struct params *t, const struct param *p)
{
    bool whole = false, some = false;
    for (size_t i = 0; i < t->nruns; i++) {
        const struct params_run *r = &t->runs[i];
        whole |= r->begin <= p->offset && p->offset + p->n <= r->end && r->decay == p->decay;
        some |= r->begin < p->offset + p->n && p->offset < r->end;
    }
    return p->trained ? whole : some;
}

/* Every trained tensor has the gradient it has in `full`, and is in a run; no other one is. */
static bool same_gradients(struct weights *full, struct weights *part)
{
    bool same = true;
    for (size_t i = 0; i < part->params.count; i++) {
        const struct param *p = &part->params.p[i];
        const struct param *q = params_find(&full->params, p->name, strlen(p->name));
        same &= in_a_run(&part->params, p) == p->trained;
        if (!p->trained) continue;
        void *a = gradient_of(part, p), *b = gradient_of(full, q);
        if (memcmp(a, b, p->n * dtype_size(full->accum)) != 0) {
            printf("# %s differs\n", p->name);
            same = false;
        }
        free(a);
        free(b);
    }
    return same;
}

struct choice {
    const char *title;
    bool (*frozen)(void *arg, const char *name);
    const char *words[4];
    int lowest;
};

static void one(const struct choice *c, bool tied, enum recompute recompute)
{
    struct err e;
    const int lengths[] = {5, 1, 9, 3};
    struct device *d = device_open("ref", 1, &e);
    struct model m = tiny_model(tied, true);
    struct micro_batch b = tiny_batch(lengths, 4, (int)m.vocab, 0);
    struct tiny_options o = tiny_options(DT_BF16, recompute, b.T);
    struct tiny *full = tiny_open_with(&m, d, &o);
    o.w.params = (struct params_options){.frozen = c->frozen, .arg = (void *)c->words};
    struct tiny *part = tiny_open_with(&m, d, &o);
    bool fine = tiny_loss(&full->s, &b, true) == tiny_loss(&part->s, &b, true);
    CHECK("frozen: the loss does not depend on the trained tensors", fine);
    CHECK(c->title, same_gradients(&full->w, &part->w) && part->w.params.lowest == c->lowest);
    const size_t trained = part->w.params.trained * sizeof(float), page = 256;
    CHECK("frozen: gradients take only the room of trained tensors",
          part->w.params.elements_trained < full->w.params.elements_trained &&
              part->w.params.total == full->w.params.total &&
              tiny_planned(&part->memory.plan, PLAN_GRADIENTS) ==
                  (trained + page - 1) / page * page);
    tiny_close(full);
    tiny_close(part);
    tiny_free(&b);
    device_close(d);
}

int main(void)
{
    static const struct choice choices[] = {
        {"frozen: first layer and embedding", contains, {"layers.0.", "embed"}, 1},
        {"frozen: one member of a block", contains, {"k_proj", "up_proj", "v_proj.bias"}, -1},
        {"frozen: all but the last norm", lacks, {"model.norm"}, 2},
        {"frozen: all but the norms", lacks, {"norm"}, 0},
        {"frozen: all layers", contains, {"layers."}, -1},
    };
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++) {
        one(&choices[i], true, RECOMPUTE_NONE);
        one(&choices[i], false, RECOMPUTE_FULL);
    }
    TEST_END();
}
