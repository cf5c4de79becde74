/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as model.safetensors.index.json beside two shards: accepted or refused, and every
 * tensor of an accepted one can be read. */
#include "fuzz/fuzz.h"
#include "hf/safetensors.h"

/* A shard: the length of its header, the header, the data. */
static void put_shard(const char *name, const char *header)
{
    struct buf b = {0};
    buf_u64(&b, strlen(header));
    buf_puts(&b, header);
    for (char c = 1; c <= 4; c++) buf_putc(&b, c);
    fuzz_put(fuzz_path(name), b.data, b.len);
    buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e = {0};
    unsigned sum = 0;
    if (!fuzz_root[0]) {
        put_shard("a", "{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}");
        put_shard("b", "{\"y\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[0,2]},"
                       "\"z\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[2,4]}}");
    }
    fuzz_put(fuzz_path("model.safetensors.index.json"), data, size);
    struct safetensors *s = safetensors_open(fuzz_folder(), &e);
    if (!s) return need_refusal(&e), 0;
    const size_t n = safetensors_count(s);
    for (size_t i = 0; i < n; i++) {
        const struct hf_tensor *t = safetensors_at(s, i);
        need(safetensors_find(s, t->name) == t);
        for (uint64_t k = 0; k < t->bytes; k++) sum += t->data[k];
    }
    need((n == 1 || n == 2 || n == 3) && sum == (n == 3 ? 20U : 10U));
    safetensors_close(s);
    return 0;
}
