/* SPDX-License-Identifier: Apache-2.0 */
/* sft-ckpt show: lists the tensors of a model. */
#include <inttypes.h>

#include "verbs.h"

static void put_text(const struct safetensors *s, struct buf *b)
{
    char shape[200];
    for (size_t i = 0; i < safetensors_count(s); i++) {
        const struct hf_tensor *t = safetensors_at(s, i);
        hf_tensor_shape(t, shape, sizeof shape);
        verb_name(b, t->name);
        buf_printf(b, "\t%s\t%s\n", hf_dtype_name(t->dtype), shape);
    }
}

static void put_json(const struct safetensors *s, struct buf *b)
{
    char shape[200];
    buf_puts(b, "{\"tensors\":[");
    for (size_t i = 0; i < safetensors_count(s); i++) {
        const struct hf_tensor *t = safetensors_at(s, i);
        hf_tensor_shape(t, shape, sizeof shape);
        buf_puts(b, i ? ",\n{\"name\":" : "\n{\"name\":");
        buf_json(b, str_z(t->name));
        buf_printf(b, ",\"dtype\":\"%s\",\"shape\":%s,\"bytes\":%" PRIu64 ",\"file\":",
                   hf_dtype_name(t->dtype), shape, t->bytes);
        buf_json(b, str_z(t->file));
        buf_putc(b, '}');
    }
    buf_puts(b, "],\n");
}

int verb_show(int argc, char **argv, struct err *e)
{
    bool json = false;
    int nargs;
    const struct opt opts[] = {
        VERB_JSON(json, "one JSON object"),
        {0},
    };
    const struct opt_cmd cmd = {
        .name = "sft-ckpt show",
        .synopsis = "[options] MODEL|FILE.safetensors",
        .about = "Lists the tensors of a model, adapter, checkpoint or file in file "
                 "order, and their totals.",
        .opts = opts,
        .examples = "  sft-ckpt show output/sft_train/checkpoint-100\n"
                    "  sft-ckpt show --json model/ | jq .parameters\n"};
    int rc = verb_parse(&cmd, argc, argv, 1, 1, &nargs, e);
    if (rc) return rc > 0 ? 0 : -1;
    struct safetensors *s = verb_open(argv[1], e);
    if (!s) return -1;
    struct buf b = {0};
    uint64_t count = 0, bytes = 0;
    for (size_t i = 0; i < safetensors_count(s); i++) {
        count += safetensors_at(s, i)->count;
        bytes += safetensors_at(s, i)->bytes;
    }
    if (json)
        put_json(s, &b);
    else
        put_text(s, &b);
    buf_printf(&b,
               json ? "\"count\":%zu,\"parameters\":%" PRIu64 ",\"bytes\":%" PRIu64 "}\n"
                    : "%zu tensors\t%" PRIu64 " parameters\t%" PRIu64 " bytes\n",
               safetensors_count(s), count, bytes);
    rc = verb_print(&b, e);
    buf_free(&b);
    safetensors_close(s);
    return rc;
}
