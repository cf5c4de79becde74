/* SPDX-License-Identifier: Apache-2.0 */
/* Products for which less scratch was planned than oneDNN asks for: the CPU takes the rest itself,
 * and the result is the same. With AMX the need of a last tile of rows is not found by a rehearsal.
 */
#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"
#include "ops/ops.h"
#include "test.h"

enum { M = 19, N = 32, K = 5121 };

static void run(struct device *d, void *c, const void *a, const void *b, enum dtype t, size_t work)
{
    struct err e = {0};
    const struct op_matmul p = {
        .c = c, .a = a, .b = b, .m = M, .n = N, .k = K, .ab_dtype = t, .c_dtype = t};
    void *room = d->ops->alloc(d, work, &e);
    d->work[0] = (struct device_work){.p = room, .bytes = work};
    op_matmul(d, &p);
    CHECK("scratch: the product runs", d->ops->sync(d, &e) == 0);
    d->work[0] = (struct device_work){0};
    d->ops->free(d, room, work);
}

static void *values(size_t n, enum dtype t)
{
    const size_t size = dtype_size(t);
    char *p = malloc(n * size);
    for (size_t i = 0; i < n; i++) {
        const float x = (float)(i * 37 % 101) / 50 - 1;
        const uint16_t half = bf16_from_f32(x);
        memcpy(p + i * size, t == DT_F32 ? (const void *)&x : &half, size);
    }
    return p;
}

static void products(struct device *d, enum dtype t)
{
    void *a = values((size_t)M * K, t), *b = values((size_t)K * N, t);
    void *planned = calloc(M * N, 4), *none = calloc(M * N, 4);
    run(d, planned, a, b, t, (size_t)16 << 20);
    run(d, none, a, b, t, 1);
    CHECK(t == DT_F32 ? "scratch: fp32 without any is the same product"
                      : "scratch: bf16 without any is the same product",
          memcmp(planned, none, (size_t)M * N * dtype_size(t)) == 0);
    free(a);
    free(b);
    free(planned);
    free(none);
}

int main(void)
{
    struct err e;
    struct device *d = device_open("cpu", 2, &e);
    CHECK("scratch: the CPU opens", d != NULL);
    if (!d) return test_failed;
    products(d, DT_F32);
    if (device_has_bf16(d)) products(d, DT_BF16);
    device_close(d);
    return test_failed;
}
