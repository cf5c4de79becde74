/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a piece of a tensor from the device: in one copy, whatever type the checkpoint has. */
#include "mesh.h"
#include "save/layout.h"
#include "test.h"
#include "tiny.h"

static const struct ops *plain;
static int peeks;

static int count_peek(struct device *d, void *dst, const void *src, size_t n, struct err *e)
{
    peeks++;
    return plain->peek(d, dst, src, n, e);
}

/* The embedding's elements from 3 on, read as `as`, are those of weights_get; in one copy, and
 * within the memory of n elements of the larger type. */
static void reads(enum dtype kept, enum dtype as, const char *name)
{
    enum { AT = 3, N = 24000 - AT };
    struct err e = {0};
    struct model m = tiny_model(false, false);
    m.vocab = 1000;
    struct device *d = device_open("cpu", 1, &e);
    struct tiny *t = tiny_open(&m, d, kept, RECOMPUTE_NONE, 40);
    struct layout c;
    struct mesh mesh;
    float *want = malloc(N * sizeof *want), *got = malloc(N * sizeof *got);
    const size_t size = dtype_size(as), most = size > dtype_size(kept) ? size : dtype_size(kept);
    unsigned char *out = malloc(N * most + 1);
    bool ok = open_mesh_alone(&mesh, d, &e) == 0 &&
              layout_make(&c, &t->w, &mesh, 1, NULL, 0, as, &e) == 0;
    for (size_t i = 0; ok && i < c.count; i++) ok &= c.tensors[i].room == dtype_size(kept);
    struct ops counted = *d->ops;
    plain = d->ops;
    counted.peek = count_peek;
    peeks = 0;
    out[N * most] = 77;
    d->ops = &counted;
    const struct saver_tensor *x = c.tensors; /* the embedding is the first */
    ok &= x->n == AT + N && x->read(x->arg, x->at + AT, N, as, out, &e) == 0;
    d->ops = plain;
    ok &= dtype_to_f32(as, out, N, got) == 0 && out[N * most] == 77 && peeks == 1;
    ok &= weights_get(&t->w, t->w.values, kept, t->w.params.embed + AT, N, want, &e) == 0;
    for (int i = 0; ok && i < N; i++)
        ok = as == DT_BF16 ? bf16_from_f32(got[i]) == bf16_from_f32(want[i])
                           : !(got[i] < want[i] || got[i] > want[i]);
    CHECK(name, ok);
    free(want), free(got), free(out);
    layout_free(&c);
    mesh_close(&mesh);
    tiny_close(t);
    device_close(d);
}

int main(void)
{
    struct err e;
    struct device *d = device_open("cpu", 1, &e);
    const bool bf16 = device_has_bf16(d);
    device_close(d);
    reads(DT_F32, DT_F32, "layout: fp32 is saved as it is");
    reads(DT_F32, DT_BF16, "layout: fp32 is saved as bf16");
    if (bf16) reads(DT_BF16, DT_BF16, "layout: bf16 is saved as it is");
    if (bf16) reads(DT_BF16, DT_F32, "layout: bf16 is saved as fp32");
    TEST_END();
}
