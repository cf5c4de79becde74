/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns and texts: the first line is the pattern, the rest is cut by it. */
#include <string.h>

#include "regex/regex.h"
#include "unicode/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data, *end;
    struct regex_mem mem = {0};
    struct regex_iter it;
    struct err e;
    size_t begin, stop, last = 0;
    if (size == 0 || size > 4096) return 0;
    end = memchr(text, '\n', size);
    struct str pattern = {text, end == NULL ? size : (size_t)(end - text)};
    struct str rest = {text + pattern.n, size - pattern.n};
    struct regex *r = regex_compile(pattern, &e);
    if (r == NULL || utf8_valid(rest.p, rest.n, NULL) != rest.n) return regex_free(r), 0;
    regex_allow(&mem, rest.n);
    regex_iter_init(&it, r, &mem, rest.p, rest.n);
    mem.budget = 100000;
    while (regex_next(&it, &begin, &stop, &e) > 0) {
        if (begin < last || stop < begin || stop > rest.n) __builtin_trap();
        last = stop;
    }
    regex_mem_free(&mem);
    regex_free(r);
    return 0;
}
