/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as adapter_config.json, and as the name of a tensor: what is accepted can be written,
 * and reads back the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "hf/peft.h"

static void try_name(const char *name)
{
    char param[PEFT_MAX_NAME], again[2 * PEFT_MAX_NAME];
    enum peft_role role;
    if (peft_tensor_role(name, &role, param) != 0) return;
    peft_tensor_name(role, param, again, sizeof again);
    if (strcmp(name, again) != 0) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e = {0};
    struct peft_config c, d;
    char name[300] = "base_model.model.";
    size_t n = strlen(name), most = sizeof name - n - 1;
    memcpy(name + n, data, size < most ? size : most);
    try_name(name);
    if (peft_config_parse((const char *)data, size, "fuzz", &c, &e) == 0) {
        struct buf a = {0}, b = {0};
        if (peft_config_format(&c, &a, &e) != 0) abort();
        if (peft_config_parse(a.data, a.len, "again", &d, &e) != 0) abort();
        if (peft_config_format(&d, &b, &e) != 0) abort();
        if (a.len != b.len || memcmp(a.data, b.data, a.len) != 0) abort();
        buf_free(&a);
        buf_free(&b);
        peft_config_free(&d);
    } else if (e.code != ERR_DATA && e.code != ERR_MEMORY) {
        abort();
    }
    peft_config_free(&c);
    return 0;
}
