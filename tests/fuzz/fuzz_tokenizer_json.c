/* SPDX-License-Identifier: Apache-2.0 */
/* tokenizer.json and tokenizer_config.json: the input is either of them, the other one is fixed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[] = "/tmp/fuzz-tokenizer-XXXXXX", file[64], config[64];

static void clean(void)
{
    struct err e;
    io_remove_tree(dir, &e);
}

static void put(const char *path, const void *p, size_t n)
{
    FILE *f = fopen(path, "wb");
    if (f == NULL || fwrite(p, 1, n, f) != n || fclose(f) != 0) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char model[] =
        "{\"model\":{\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"a b\"]}}";
    static const char text[] = "a ab  <s> Ab\xc3\xa9\n1 2";
    struct token_list list = {0};
    struct buf b = {0};
    struct err e;
    if (file[0] == '\0') {
        if (mkdtemp(dir) == NULL) abort();
        atexit(clean);
        snprintf(file, sizeof file, "%s/tokenizer.json", dir);
        snprintf(config, sizeof config, "%s/tokenizer_config.json", dir);
    }
    if (size == 0) return 0;
    bool first = data[0] % 4 != 0; /* mostly tokenizer.json */
    put(file, first ? (const char *)data + 1 : model, first ? size - 1 : sizeof model - 1);
    put(config, first ? "{}" : (const char *)data + 1, first ? 2 : size - 1);
    struct tokenizer *t = tokenizer_load(dir, &e);
    struct tokenizer_scratch *s = t == NULL ? NULL : tokenizer_scratch_new(t, &e);
    if (s != NULL && tokenizer_encode(t, s, STR(text), &list, &e) == 0) {
        tokenizer_decode(t, list.ids, list.n, true, &b, &e);
        for (size_t i = 0; i < list.n; i++) tokenizer_token_bytes(t, list.ids[i], &b, &e);
    }
    if (t != NULL) {
        char id[HASH128_HEX];
        if (tokenizer_identity(t, id, &e) != 0) abort();
        for (size_t i = 0; i < tokenizer_template_count(t); i++) {
            const char *name;
            struct str one;
            tokenizer_template_at(t, i, &name, &one);
            if (tokenizer_template(t, name).p != one.p) abort();
        }
    }
    buf_free(&b);
    token_list_free(&list);
    tokenizer_scratch_free(s);
    tokenizer_free(t);
    return 0;
}
