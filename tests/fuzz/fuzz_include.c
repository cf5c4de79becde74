/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration and the file that its list `defaults` may name, b.yaml, with a NUL byte between
 * them. What loads prints as YAML that loads to the same without the other file. */
#include "config/config.h"
#include "fuzz/fuzz.h"

/* The one name for all: exp_name may come from it. */
static struct config *load(const void *p, size_t n, struct err *e)
{
    struct config *c = NULL;
    fuzz_put(fuzz_path("a.yaml"), p, n);
    return config_load(fuzz_path("a.yaml"), NULL, 0, &c, e) ? NULL : c;
}

static void round_trip(const struct config *c)
{
    struct err e = {0};
    struct buf one = {0}, two = {0};
    need(config_write_yaml(c, &one, &e) == 0);
    struct config *again = load(one.data, one.len, &e);
    if (!again) fprintf(stderr, "%s\n", e.msg);
    need(again && config_write_yaml(again, &two, &e) == 0);
    need(one.len == two.len && memcmp(one.data, two.data, one.len) == 0);
    config_free(again);
    buf_free(&one);
    buf_free(&two);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e = {0};
    const struct str first = fuzz_part(&data, &size);
    fuzz_put(fuzz_path("b.yaml"), data, size);
    struct config *c = load(first.p, first.n, &e);
    unlink(fuzz_path("b.yaml"));
    if (c)
        round_trip(c);
    else
        need_refusal(&e);
    config_free(c);
    return 0;
}
