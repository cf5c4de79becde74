/* SPDX-License-Identifier: Apache-2.0 */
/* Matching of names against prefixes (roll/models/model_providers.py: name.startswith(prefix)). */
#include "model/freeze.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/opt.h"

/* Returns the next prefix of *list. Moves *list behind the comma, or sets it to NULL after the last
 * prefix. */
static struct str next(const char **list)
{
    struct str s = {*list, strcspn(*list, ",")};
    *list = s.p[s.n] ? s.p + s.n + 1 : NULL;
    while (s.n && isspace((unsigned char)*s.p)) s.p++, s.n--;
    while (s.n && isspace((unsigned char)s.p[s.n - 1])) s.n--;
    return s;
}

static bool starts(const char *name, struct str prefix)
{
    return prefix.n && strncmp(name, prefix.p, prefix.n) == 0;
}

bool freeze_match(void *arg, const char *name)
{
    for (const char *list = arg; list;)
        if (starts(name, next(&list))) return true;
    return false;
}

static size_t parts_of(struct str s)
{
    size_t n = 1;
    for (size_t i = 0; i < s.n; i++) n += s.p[i] == '.';
    return n;
}

/* Returns a copy of the first `parts` words of a name. */
static char *cut(struct arena *a, const char *name, size_t parts)
{
    size_t n = 0;
    while (name[n] && (name[n] != '.' || --parts)) n++;
    return arena_copy(a, name, n, NULL);
}

static int no_match(struct str prefix, const struct params *p, struct err *e)
{
    struct arena a = {0};
    char *wanted = arena_copy(&a, prefix.p, prefix.n, NULL);
    const char **names = arena_alloc(&a, (p->count + 1) * sizeof *names, NULL);
    size_t n = 0;
    for (size_t i = 0; names && i < p->count; i++)
        if ((names[n] = cut(&a, p->p[i].name, parts_of(prefix)))) n++;
    const char *near = wanted && n ? opt_nearest(wanted, names) : NULL;
    err_set(e, ERR_CONFIG,
            "freeze_module_prefix: '%.*s': no parameter's name starts with it; %s %s",
            STR_FMT(prefix), near ? "the nearest is" : "the last of them is",
            near       ? near
            : p->count ? p->p[p->count - 1].name
                       : "none");
    arena_free(&a);
    return -1;
}

int freeze_check(const char *prefixes, const struct params *p, struct err *e)
{
    for (const char *list = prefixes; list;) {
        struct str prefix = next(&list);
        bool found = false;
        if (!prefix.n)
            return err_set(e, ERR_CONFIG,
                           "freeze_module_prefix: '%s' has an empty prefix, which would freeze all",
                           prefixes);
        for (size_t i = 0; i < p->count && !found; i++) found = starts(p->p[i].name, prefix);
        if (!found) return no_match(prefix, p, e);
    }
    return 0;
}
