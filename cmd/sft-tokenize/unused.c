/* SPDX-License-Identifier: Apache-2.0 */
/* Counts members that are not used, because data that is silently not trained on is the most common
 * mistake. */
#include "unused.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

enum { NAME_SHOWN = 40 };

static struct unused_name *find(struct unused *u, struct str name)
{
    for (size_t i = 0; i < u->n; i++)
        if (str_is(name, u->names[i].name)) return &u->names[i];
    if (u->n == UNUSED_NAMES || name.n > UNUSED_NAME || memchr(name.p, 0, name.n)) return NULL;
    struct unused_name *k = &u->names[u->n++];
    memcpy(k->name, name.p, name.n); /* the rest is zero */
    return k;
}

void unused_count(struct unused *u, struct str name, enum row_format format)
{
    struct unused_name *k = find(u, name);
    if (k) {
        k->count++;
        k->forms |= 1u << format;
    } else {
        u->others++;
    }
}

static const struct unused_watched *find_watched(const char *name, const struct unused_watched *w,
                                                 size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(w[i].name, name) == 0) return &w[i];
    return NULL;
}

static void warn(const struct unused_name *k, const struct unused_watched *w, const char *of,
                 uint64_t total)
{
    char todo[100] = "";
    const bool applies = !w->forms || w->forms & k->forms;
    if (applies && w->option)
        snprintf(todo, sizeof todo, "; %s %s takes it", w->option, k->name);
    else if (applies && w->hint)
        snprintf(todo, sizeof todo, "; %s", w->hint);
    log_line(LOG_WARN, "\"%s\" is filled in %" PRIu64 " of %" PRIu64 " %s and not used%s", k->name,
             k->count, total, of, todo);
}

static void put_name(struct buf *b, const struct unused_name *k)
{
    struct str name = str_z(k->name);
    if (name.n > NAME_SHOWN) {
        name.n = NAME_SHOWN;
        while (name.n && ((unsigned char)name.p[name.n] & 0xc0) == 0x80) name.n--;
    }
    buf_puts(b, b->len ? ", " : "");
    buf_json(b, name);
    buf_printf(b, "%s in %" PRIu64, k->name[name.n] ? "..." : "", k->count);
}

int unused_report(const struct unused *u, const char *what, const char *of, uint64_t total,
                  const struct unused_watched *watched, size_t nwatched, struct err *e)
{
    struct buf b = {0};
    for (size_t i = 0; i < u->n; i++) {
        const struct unused_watched *w = find_watched(u->names[i].name, watched, nwatched);
        if (w)
            warn(&u->names[i], w, of, total);
        else
            put_name(&b, &u->names[i]);
    }
    if (u->others) buf_printf(&b, "%sothers in %" PRIu64, b.len ? ", " : "", u->others);
    int rc = buf_check(&b, e);
    if (rc == 0 && b.len)
        log_line(LOG_INFO, "%s that are not used, of %" PRIu64 " %s: %s", what, total, of, b.data);
    buf_free(&b);
    return rc;
}
