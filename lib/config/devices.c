/* SPDX-License-Identifier: Apache-2.0 */
/* Parses device_mapping: the Python expressions that ROLL's examples use for lists of GPUs.
 *   sum = term { "+" term };  term = "list" "(" items ")" | items
 *   items = "[" [ int { "," int } [","] ] "]" | "range" "(" int [ "," int [ "," int ] ] ")" */
#include <string.h>

#include "config/load.h"

enum { MAX_DEVICES = 65536 };

struct scan {
    const char *p;
    struct tree *tree;
    struct config_ints *out;
    size_t cap;
    const char *problem; /* the first error in the text, or NULL */
};

static bool take(struct scan *s, const char *token)
{
    s->p += strspn(s->p, " \t\r\n");
    size_t n = strlen(token);
    if (strncmp(s->p, token, n)) return false;
    s->p += n;
    return true;
}

static int complain(struct scan *s, const char *problem)
{
    if (!s->problem) s->problem = problem;
    return -1;
}

static int push(struct scan *s, int64_t v, struct err *e)
{
    struct config_ints *d = s->out;
    if (d->n == MAX_DEVICES) return complain(s, "names more than 65536 devices");
    if (d->n == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 16;
        int64_t *grown = arena_alloc(&s->tree->arena, cap * sizeof *grown, e);
        if (!grown) return -1;
        if (d->n) memcpy(grown, d->v, d->n * sizeof *grown);
        d->v = grown;
        s->cap = cap;
    }
    d->v[d->n++] = v;
    return 0;
}

static int integer(struct scan *s, int64_t *v)
{
    bool minus = take(s, "-");
    s->p += strspn(s->p, " \t\r\n");
    size_t n = strspn(s->p, "0123456789");
    if (!n || n > 9) return complain(s, n ? "has a number that is too large" : "lacks a number");
    for (*v = 0; n; n--) *v = *v * 10 + (*s->p++ - '0');
    if (minus) *v = -*v;
    return 0;
}

static int range(struct scan *s, struct err *e)
{
    int64_t a[3] = {0, 0, 1};
    int n = 0;
    if (!take(s, "(")) return complain(s, "lacks ( after range");
    do {
        if (n == 3) return complain(s, "has a range of more than three numbers");
        if (integer(s, &a[n++])) return -1;
    } while (take(s, ","));
    if (!take(s, ")")) return complain(s, "lacks )");
    if (n == 1) a[1] = a[0], a[0] = 0;
    if (!a[2]) return complain(s, "has a range of step 0");
    for (int64_t i = a[0]; a[2] > 0 ? i < a[1] : i > a[1]; i += a[2])
        if (push(s, i, e)) return -1;
    return 0;
}

static int items(struct scan *s, struct err *e)
{
    if (take(s, "range")) return range(s, e);
    if (!take(s, "[")) return complain(s, "is neither [0, 1] nor list(range(0,8))");
    while (!take(s, "]")) {
        int64_t v;
        if (integer(s, &v) || push(s, v, e)) return -1;
        if (take(s, ",")) continue;
        if (take(s, "]")) return 0;
        return complain(s, "lacks ]");
    }
    return 0;
}

static int term(struct scan *s, struct err *e)
{
    if (!take(s, "list")) return items(s, e);
    if (!take(s, "(")) return complain(s, "lacks ( after list");
    if (items(s, e)) return -1;
    return take(s, ")") ? 0 : complain(s, "lacks )");
}

int devices_parse(struct tree *t, const char *text, struct config_ints *out, const char **problem,
                  struct err *e)
{
    struct scan s = {.p = text, .tree = t, .out = out};
    int rc;
    *out = (struct config_ints){0};
    do rc = term(&s, e);
    while (!rc && take(&s, "+"));
    s.p += strspn(s.p, " \t\r\n");
    if (!rc && *s.p) rc = complain(&s, "is neither [0, 1] nor list(range(0,8))");
    *problem = s.problem;
    return rc;
}

int devices_check(const struct config_ints *d, const char **problem)
{
    unsigned char seen[MAX_DEVICES / 8] = {0};
    *problem = d->n ? NULL : "names no device";
    for (size_t i = 0; i < d->n && !*problem; i++) {
        int64_t v = d->v[i];
        if (v < 0 || v >= MAX_DEVICES)
            *problem = "names a device below 0 or above 65535";
        else if (seen[v / 8] >> v % 8 & 1)
            *problem = "names a device twice";
        else
            seen[v / 8] |= (unsigned char)(1u << v % 8);
    }
    return *problem ? -1 : 0;
}
