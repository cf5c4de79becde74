/* SPDX-License-Identifier: Apache-2.0 */
/* The GPU and the libraries of a run in run.json. Other ones may sum in another order. */
#include "save/run_json_impl.h"

#include <string.h>

#include "base/doc.h"

/* The versions, by their names in run.json. */
struct version {
    const char *name, *text;
    int value;
};
enum { VERSIONS = 4 };
static void versions_of(const struct device_card *c, struct version v[VERSIONS])
{
    const struct version all[VERSIONS] = {{"capability", "its compute capability", c->capability},
                                          {"runtime", "CUDA's runtime", c->runtime},
                                          {"driver", "the driver's CUDA", c->driver},
                                          {"cublaslt", "cuBLASLt", c->blas}};
    memcpy(v, all, sizeof all);
}

void run_card_write(const struct device_card *c, struct doc *d)
{
    struct version v[VERSIONS];
    versions_of(c, v);
    doc_object(d, "gpu");
    doc_text(d, "name", c->name);
    for (int i = 0; i < VERSIONS; i++) doc_int(d, v[i].name, v[i].value);
    doc_close(d);
}

static void name_change(const struct json *was, const struct device_card *now, struct buf *b)
{
    const struct json *name = json_get(was, "name");
    const bool known = name && name->kind == JSON_STRING;
    if (known && name->s.n == strlen(now->name) && !memcmp(name->s.p, now->name, name->s.n)) return;
    buf_printf(b, "the GPU was %.*s, is %s; ", known ? (int)name->s.n : 7,
               known ? name->s.p : "unknown", now->name);
}

static void version_changes(const struct json *was, const struct device_card *now, struct buf *b)
{
    struct version v[VERSIONS];
    versions_of(now, v);
    for (int i = 0; i < VERSIONS; i++) {
        const struct json *x = json_get(was, v[i].name);
        int64_t n = 0;
        if (x && json_int(x, &n) == 0 && n == v[i].value) continue;
        buf_printf(b, "%s was %lld, is %d; ", v[i].text, (long long)n, v[i].value);
    }
}

int restore_gpu_changes(const struct restore_cursor *c, const struct device_card *now,
                        struct buf *b, struct err *e)
{
    if (!c->gpu != !now)
        buf_printf(b, "the run was on %s, is on %s; ", c->gpu ? "a GPU" : "the CPU",
                   now ? now->name : "the CPU");
    else if (now) {
        name_change(c->gpu, now, b);
        version_changes(c->gpu, now, b);
    }
    if (b->len) buf_puts(b, "results may differ in the last bits");
    return buf_check(b, e);
}
