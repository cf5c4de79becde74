/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a small document: doc_parse, which reads with cJSON, and json_parse take the same
 * texts for the same values, and find the same place in the others. */
#include "base/doc.h"
#include "fuzz/fuzz.h"
#include "json_values.h"

/* Numbers too long for cJSON are what other JSON may have and a document may not. */
static bool long_number(const struct json *v)
{
    bool found = v->kind == JSON_NUMBER && v->s.n > DOC_NUMBER;
    for (size_t i = 0; i < v->count; i++) found |= long_number(&v->items[i]);
    return found;
}

/* Both messages begin "line L, column C: ". */
static bool same_place(const char *a, const char *b)
{
    const size_t n = strcspn(a, ":");
    return n == strcspn(b, ":") && strncmp(a, b, n) == 0 && strncmp(a, "line ", 5) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a = {0}, b = {0};
    struct err e = {0}, want_e = {0};
    const char *text = (const char *)data;
    const struct json *v = doc_parse(text, size, &a, &e);
    const struct json *want = json_parse(text, size, &b, &want_e);
    if (!v) need_refusal(&e);
    if (v) {
        need(want && json_same(v, want));
    } else if (want) {
        need(long_number(want) && e.code == ERR_DATA && strstr(e.msg, "63 characters"));
    } else {
        const bool numbers = strstr(e.msg, "63 characters") || strstr(want_e.msg, "400 characters");
        need(e.code == want_e.code && (numbers || same_place(e.msg, want_e.msg)));
    }
    arena_free(&a);
    arena_free(&b);
    return 0;
}
