/* SPDX-License-Identifier: Apache-2.0 */
/* sft-ckpt diff: lists the tensors in which two models differ, and the differences. */
#include "diff.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/io.h"

/* ---- text ---- */
/* Removes the sign of a NaN, which has no meaning but is printed by the C library. */
static void put_real(struct buf *b, double v)
{
    char text[32];
    snprintf(text, sizeof text, "%.6g", isnan(v) ? fabs(v) : v);
    buf_puts(b, text);
}

static void put_shape(struct buf *b, const struct hf_tensor *t)
{
    char shape[200];
    hf_tensor_shape(t, shape, sizeof shape);
    buf_puts(b, shape);
}

/* A name that is not ended by a NUL. */
static void put_name(struct buf *b, struct str name)
{
    struct buf z = {0};
    buf_str(&z, name);
    if (z.failed) b->failed = true;
    if (z.data) verb_name(b, z.data);
    buf_free(&z);
}

static void put_text(const struct diff_line *l, struct buf *b)
{
    static const char *const words[] = {[DIFF_FIRST] = "only in the first",
                                        [DIFF_SECOND] = "only in the second",
                                        [DIFF_SHAPE] = "shape",
                                        [DIFF_TYPE] = "type",
                                        [DIFF_VALUES] = "values"};
    put_name(b, l->name);
    buf_printf(b, "\t%s", words[l->kind]);
    if (l->kind == DIFF_SHAPE) {
        buf_putc(b, '\t'), put_shape(b, l->a);
        buf_putc(b, '\t'), put_shape(b, l->b);
    } else if (l->kind == DIFF_TYPE) {
        buf_printf(b, "\t%s\t%s", hf_dtype_name(l->a->dtype), hf_dtype_name(l->b->dtype));
    } else if (l->kind == DIFF_VALUES && !l->unmeasured) {
        buf_putc(b, '\t'), put_real(b, l->largest);
        buf_putc(b, '\t'), put_real(b, diff_relative(l));
    }
    buf_putc(b, '\n');
}

/* ---- JSON ---- */
static void put_json(const struct diff_line *l, struct buf *b)
{
    static const char *const words[] = {[DIFF_FIRST] = "only_first",
                                        [DIFF_SECOND] = "only_second",
                                        [DIFF_SHAPE] = "shape",
                                        [DIFF_TYPE] = "type",
                                        [DIFF_VALUES] = "values"};
    buf_puts(b, "{\"name\":");
    buf_json(b, l->name);
    buf_printf(b, ",\"differs\":\"%s\"", words[l->kind]);
    if (l->kind == DIFF_SHAPE) {
        buf_puts(b, ",\"first\":"), put_shape(b, l->a);
        buf_puts(b, ",\"second\":"), put_shape(b, l->b);
    } else if (l->kind == DIFF_TYPE) {
        buf_printf(b, ",\"first\":\"%s\",\"second\":\"%s\"", hf_dtype_name(l->a->dtype),
                   hf_dtype_name(l->b->dtype));
    } else if (l->kind == DIFF_VALUES) {
        buf_puts(b, ",\"largest\":");
        buf_json_number(b, l->unmeasured ? NAN : l->largest, 6);
        buf_puts(b, ",\"relative\":");
        buf_json_number(b, l->unmeasured ? NAN : diff_relative(l), 6);
    }
    buf_puts(b, "}\n");
}

/* ---- the verb ---- */
struct wish {
    bool json, layers;
    int order;   /* of ORDER_FILE, ORDER_RELATIVE */
    int64_t top; /* 0: all */
};
enum { ORDER_FILE, ORDER_RELATIVE };

/* Returns 0, ERR_DIFFER, or -1. */
static int diff(const char *first, const char *second, const struct wish *w, struct err *e)
{
    struct safetensors *a = verb_open(first, e), *b = a ? verb_open(second, e) : NULL;
    struct diff_lines l = {0};
    struct buf out = {0};
    int rc = b ? diff_list(a, b, w->layers, &l, e) : -1;
    if (rc == 0 && (w->top || w->order == ORDER_RELATIVE)) diff_sort(&l, (uint64_t)w->top);
    for (size_t i = 0; rc == 0 && i < l.n; i++) (w->json ? put_json : put_text)(&l.v[i], &out);
    if (rc == 0) rc = io_intact(e) ? -1 : verb_print(&out, e);
    if (rc == 0 && l.n) rc = ERR_DIFFER;
    mem_free(l.v);
    buf_free(&out);
    safetensors_close(a);
    safetensors_close(b);
    return rc;
}

int verb_diff(int argc, char **argv, struct err *e)
{
    struct wish w = {0};
    int nargs;
    const struct opt opts[] = {
        {.name = "layers",
         .kind = OPT_FLAG,
         .to = &w.layers,
         .help = "add up the values of each layer"},
        {.name = "sort",
         .kind = OPT_ENUM,
         .to = &w.order,
         .arg = "file|relative",
         .help = "in file order, or the largest relative difference first"},
        {.name = "top",
         .kind = OPT_INT,
         .to = &w.top,
         .arg = "N",
         .help = "only the N largest relative differences of values",
         .min = 1,
         .max = INT64_MAX},
        VERB_JSON(w.json, "one JSON object a line"),
        {0},
    };
    const struct opt_cmd cmd = {
        .name = "sft-ckpt diff",
        .synopsis = "[options] A B",
        .about =
            "Compares the tensors of two models. A line for each that differs: its name and either "
            "'values' with the largest absolute and the relative difference (Euclidean norms, in "
            "fp32), "
            "'type', 'shape', or where it is missing. Exit status 1 when any differs.",
        .opts = opts,
        .examples = "  sft-ckpt diff model/ output/sft_train/checkpoint-100\n"
                    "  sft-ckpt diff --layers --top 5 model/ output/sft_train/checkpoint-100\n"};
    int rc = verb_parse(&cmd, argc, argv, 2, 2, &nargs, e);
    if (rc) return rc > 0 ? 0 : -1;
    return diff(argv[1], argv[2], &w, e);
}
