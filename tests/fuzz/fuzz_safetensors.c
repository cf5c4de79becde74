/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a safetensors file: accepted or refused, and every accepted tensor can be read. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "hf/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e = {0};
    struct safetensors *s = safetensors_parse(data, size, "fuzz", &e);
    if (!s) {
        if (e.code != ERR_DATA && e.code != ERR_MEMORY) abort();
        return 0;
    }
    uint64_t total = 0, sum = 0;
    for (size_t i = 0; i < safetensors_count(s); i++) {
        const struct hf_tensor *t = safetensors_at(s, i);
        if (safetensors_find(s, t->name) != t) abort();
        for (uint64_t j = 0; j < t->bytes; j++) sum += t->data[j];
        total += t->bytes;
    }
    if (total > size || sum > total * 255) abort();
    safetensors_close(s);
    return 0;
}
