/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as config.json: what is accepted can be written, and reads back the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "hf/config.h"
#include "hf/params.h"

static int count(void *arg, const struct hf_param *p, struct err *e)
{
    (void)p, (void)e;
    return ++*(int *)arg > 1000;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e = {0};
    struct hf_config c, d;
    int params = 0;
    if (hf_config_parse((const char *)data, size, "fuzz", &c, &e) != 0) {
        if (e.code != ERR_DATA && e.code != ERR_MEMORY) abort();
        return 0;
    }
    struct buf a = {0}, b = {0};
    if (c.vocab_size > 0) {
        hf_param_list(&c, count, &params, &e);
        if (hf_config_format(&c, &a, &e) != 0) abort();
        if (hf_config_parse(a.data, a.len, "again", &d, &e) != 0) abort();
        if (hf_config_format(&d, &b, &e) != 0) abort();
        if (a.len != b.len || memcmp(a.data, b.data, a.len) != 0) abort();
        hf_config_free(&d);
    }
    buf_free(&a);
    buf_free(&b);
    hf_config_free(&c);
    return 0;
}
