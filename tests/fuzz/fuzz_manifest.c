/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a manifest: what is accepted formats to a text that is accepted and the same again.
 * The hash that ends a manifest is put right first, or nothing would get past it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "save/manifest_impl.h"

static void round_trip(const struct manifest *m)
{
    struct buf a = {0}, b = {0};
    struct manifest again;
    struct err e = {0};
    if (manifest_format(m, &a, &e) != 0) abort();
    if (manifest_parse(a.data, a.len, "again", &again, &e) != 0) abort();
    if (manifest_format(&again, &b, &e) != 0) abort();
    if (a.len != b.len || memcmp(a.data, b.data, a.len) != 0) abort();
    manifest_free(&again);
    buf_free(&a);
    buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e = {0};
    struct manifest m;
    struct buf b = {0};
    char self[HASH128_HEX];
    if (manifest_parse((const char *)data, size, "fuzz", &m, &e) == 0) manifest_free(&m);
    struct hash128 *h = hash128_new(&e);
    if (!h) return 0;
    hash128_add(h, data, size);
    hash128_hex(h, self);
    hash128_free(h);
    buf_add(&b, data, size);
    buf_printf(&b, "  \"self\": \"%s\"\n}\n", self);
    if (manifest_parse(b.data, b.len, "fuzz", &m, &e) == 0) {
        round_trip(&m);
        manifest_free(&m);
    }
    buf_free(&b);
    return 0;
}
