/* SPDX-License-Identifier: Apache-2.0 */
/* sft-ckpt diff: lists the tensors in which two models differ, and the differences. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "base/log.h"
#include "verbs.h"

enum { BLOCK = 4096 };

static bool same_shape(const struct hf_tensor *a, const struct hf_tensor *b)
{
    return a->ndim == b->ndim && memcmp(a->dim, b->dim, (size_t)a->ndim * sizeof *a->dim) == 0;
}

/* Computes the largest |a - b|, and |a - b| / |a| in the Euclidean norm. A difference with a NaN or
 * an infinity is a NaN. -1 when a type is not a floating-point type. */
static int distance(const struct hf_tensor *a, const struct hf_tensor *b, double *largest,
                    double *relative)
{
    float x[BLOCK], y[BLOCK];
    double norm = 0, diff = 0, most = 0;
    for (uint64_t i = 0; i < a->count; i += BLOCK) {
        size_t n = a->count - i < BLOCK ? (size_t)(a->count - i) : BLOCK;
        if (dtype_to_f32(a->dtype, a->data + i * dtype_size(a->dtype), n, x) != 0 ||
            dtype_to_f32(b->dtype, b->data + i * dtype_size(b->dtype), n, y) != 0)
            return -1;
        for (size_t j = 0; j < n; j++) {
            double d = fabs((double)x[j] - (double)y[j]);
            if (!(d <= most)) most = isnan(most) ? most : d;
            diff += d * d;
            norm += (double)x[j] * (double)x[j];
        }
    }
    *largest = most;
    *relative = diff == 0 ? 0 : sqrt(diff / norm);
    return 0;
}

static void line(struct buf *out, const struct hf_tensor *t, const char *what, const char *a,
                 const char *b)
{
    verb_name(out, t->name);
    buf_printf(out, "\t%s%s%s%s%s\n", what, a ? "\t" : "", a ? a : "", b ? "\t" : "", b ? b : "");
}

/* Removes the sign of a NaN, which has no meaning but is printed by the C library. */
static void put_real(double v, char *out, size_t n)
{
    snprintf(out, n, "%.6g", isnan(v) ? fabs(v) : v);
}

/* Appends a line for each difference between two tensors. */
static void compare(const struct hf_tensor *a, const struct hf_tensor *b, struct buf *out)
{
    char sa[200], sb[200];
    double largest, relative;
    hf_tensor_shape(a, sa, sizeof sa);
    hf_tensor_shape(b, sb, sizeof sb);
    if (!same_shape(a, b)) {
        line(out, a, "shape", sa, sb);
        return;
    }
    if (a->dtype == b->dtype && memcmp(a->data, b->data, (size_t)a->bytes) == 0) return;
    if (a->dtype != b->dtype)
        line(out, a, "type", hf_dtype_name(a->dtype), hf_dtype_name(b->dtype));
    if (distance(a, b, &largest, &relative))
        line(out, a, "values", NULL, NULL);
    else if (largest != 0 || a->dtype == b->dtype) {
        put_real(largest, sa, sizeof sa);
        put_real(relative, sb, sizeof sb);
        line(out, a, "values", sa, sb);
    }
}

static void report(const struct safetensors *a, const struct safetensors *b, struct buf *out)
{
    for (size_t i = 0; i < safetensors_count(a); i++) {
        const struct hf_tensor *x = safetensors_at(a, i), *y = safetensors_find(b, x->name);
        if (y)
            compare(x, y, out);
        else
            line(out, x, "only in the first", NULL, NULL);
    }
    for (size_t i = 0; i < safetensors_count(b); i++)
        if (!safetensors_find(a, safetensors_at(b, i)->name))
            line(out, safetensors_at(b, i), "only in the second", NULL, NULL);
}

int verb_diff(int argc, char **argv, struct err *e)
{
    int nargs;
    const struct opt opts[] = {{0}};
    const struct opt_cmd cmd = {
        .name = "sft-ckpt diff",
        .synopsis = "[options] A B",
        .about =
            "Compares the tensors of two models. A line for each that differs: its name and either "
            "'values' with the largest absolute and the relative difference (Euclidean norms, in "
            "fp32), "
            "'type', 'shape', or where it is missing. Exit status 1 when any differs.",
        .opts = opts,
        .examples = "  sft-ckpt diff model/ output/sft_train/checkpoint-100\n"};
    int rc = verb_parse(&cmd, argc, argv, 2, 2, &nargs, e);
    if (rc) return rc > 0 ? 0 : -1;
    struct safetensors *a = verb_open(argv[1], e), *b = a ? verb_open(argv[2], e) : NULL;
    struct buf out = {0};
    rc = -1;
    if (b) {
        report(a, b, &out);
        rc = io_intact(e) ? -1 : verb_print(&out, e);
        if (rc == 0 && out.len > 0) rc = ERR_DIFFER;
    }
    buf_free(&out);
    safetensors_close(a);
    safetensors_close(b);
    return rc;
}
