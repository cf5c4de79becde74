/* SPDX-License-Identifier: Apache-2.0 */
/* Writes metrics.jsonl, samples.jsonl, TensorBoard events and lines on standard output. */
#include "track/track.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/io.h"
#include "base/json.h"

struct track {
    struct io_log *metrics, *samples, *events;
    struct io_out *lines; /* the caller's */
    struct buf out;       /* one object; allocated at the start, so that a step allocates nothing */
    bool beside;          /* see track_beside_others */
};
enum { ROOM = 16 << 10 };

/* Returns the step of a line, its member `key`, -1 for a damaged line, -2 with ERR_MEMORY. */
static int64_t line_step(const char *p, size_t n, const char *key, struct arena *a, struct err *e)
{
    struct err why = {0};
    const struct json *v = json_parse(p, n, a, &why), *s = v ? json_get(v, key) : NULL;
    int64_t k;
    if (!v && why.code == ERR_MEMORY) return err_set(e, why.code, "%s", why.msg), -2;
    return !s || json_int(s, &k) || k < 0 ? -1 : k;
}

/* Returns the bytes of a file of lines before the lines of later steps, or before an incomplete
 * last line. Damaged lines stay, so that the lines after them stay too: those that are no JSON, and
 * one of a later step with an earlier step behind it. -1 with ERR_MEMORY. */
static int64_t lines_keep(const char *p, size_t n, const char *key, uint64_t step, struct err *e)
{
    size_t at = 0, cut = SIZE_MAX; /* of a line of a later step; SIZE_MAX: none */
    int64_t k = -1;
    struct arena a = {0};
    for (const char *end; (end = memchr(p + at, '\n', n - at)); at = (size_t)(end - p) + 1) {
        k = line_step(p + at, (size_t)(end - p) - at, key, &a, e);
        arena_reset(&a);
        const bool later = k >= 0 && (uint64_t)k > step;
        if (k == -2 || (later && cut < at)) break;
        if (k >= 0) cut = later ? at : SIZE_MAX;
    }
    arena_free(&a);
    if (k == -2) return -1;
    return (int64_t)(cut < at ? cut : at);
}

/* A new run never continues the file of another run. */
static int check_empty(const char *path, struct err *e)
{
    struct stat st;
    const int there = io_exists(path, e);
    if (there <= 0) return there;
    if (io_stat(path, &st, e)) return -1;
    if (st.st_size == 0) return 0;
    return err_set(e, ERR_CREATE, "%s: exists already, from another run", path);
}

/* Opens a file of lines that each have their step as the member `key`. */
static struct io_log *open_lines(const struct track_options *o, const char *path, const char *key,
                                 struct err *e)
{
    struct io_map m;
    int64_t n = 0;
    if (!o->resume && check_empty(path, e)) return NULL;
    const int there = o->resume ? io_exists(path, e) : 0;
    if (there < 0 || (there && io_map(path, &m, e))) return NULL;
    if (there) {
        n = lines_keep((const char *)m.p, m.n, key, o->from, e);
        io_unmap(&m);
    }
    return n < 0 ? NULL : io_log_open(path, n, e);
}

/* A run that continues without answers cuts those of an attempt before it, too. */
static int open_samples(struct track *t, const struct track_options *o, struct err *e)
{
    if (!o->samples) return 0;
    const int there = o->answers ? 1 : o->resume ? io_exists(o->samples, e) : 0;
    if (there <= 0) return there;
    t->samples = open_lines(o, o->samples, "step", e);
    return t->samples ? 0 : -1;
}

/* ---- event files ---- */
static double wall_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int find_last(void *last, const char *name, struct err *e)
{
    const int64_t t = tfevents_time(name);
    (void)e;
    if (t > *(int64_t *)last) *(int64_t *)last = t;
    return 0;
}

/* TensorBoard reads the files of a folder in the order of their names, so the time in the new name
 * is later than `last`, the latest time in the other names (-1: none), even if the clock is behind.
 */
static int create_events(struct track *t, const char *dir, int64_t last, struct err *e)
{
    const int64_t now = (int64_t)wall_clock();
    int rc = 1;
    for (unsigned n = 0; rc == 1; n++) {
        char name[NAME_MAX + 1];
        tfevents_name(name, sizeof name, now > last ? now : last + 1, n);
        char *path = io_path(dir, name, e);
        rc = path ? io_log_new(path, &t->events, e) : -1;
        mem_free(path);
    }
    return rc;
}

static int begin_events(struct track *t, const struct track_options *o, struct err *e)
{
    struct buf b = {0};
    tfevents_version(&b, wall_clock());
    if (o->resume || o->again) tfevents_restart(&b, wall_clock(), o->resume ? o->from + 1 : 0);
    int rc = buf_check(&b, e) ? -1 : io_append(t->events, b.data, b.len, e);
    buf_free(&b);
    return rc;
}

static int open_events(struct track *t, const struct track_options *o, struct err *e)
{
    int64_t last = -1;
    if (io_mkdirs(o->tensorboard, e) || io_list(o->tensorboard, find_last, &last, e) ||
        create_events(t, o->tensorboard, last, e))
        return -1;
    t->beside = last >= 0 && !o->resume && !o->again;
    return begin_events(t, o, e);
}

struct track *track_open(const struct track_options *o, struct err *e)
{
    struct track *t = mem_alloc(1, sizeof *t, e);
    if (!t) return NULL;
    t->metrics = buf_room(&t->out, ROOM) ? open_lines(o, o->metrics, "system/step", e) : NULL;
    t->lines = o->lines;
    if (buf_check(&t->out, e) || !t->metrics || open_samples(t, o, e) ||
        (o->tensorboard && open_events(t, o, e))) {
        track_close(t, NULL);
        return NULL;
    }
    return t;
}

bool track_beside_others(const struct track *t) { return t->beside; }

static void put_object(struct buf *b, uint64_t step, const struct track_value *v, size_t n)
{
    buf_printf(b, "{\"system/step\":%llu", (unsigned long long)step);
    for (size_t i = 0; i < n; i++) {
        buf_putc(b, ',');
        buf_json(b, str_z(v[i].name));
        buf_putc(b, ':');
        if (v[i].json)
            buf_puts(b, v[i].json);
        else
            buf_json_number(b, v[i].value, 9);
    }
    buf_puts(b, "}\n");
}

int track_put(struct track *t, uint64_t step, const struct track_value *v, size_t n, bool shown,
              struct err *e)
{
    struct buf *b = &t->out;
    buf_reset(b);
    put_object(b, step, v, n);
    if (buf_check(b, e) || io_append(t->metrics, b->data, b->len, e)) return -1;
    if (!shown) return 0;
    if (t->lines && io_write(t->lines, b->data, b->len, e)) return -1;
    if (!t->events) return 0;
    buf_reset(b);
    tfevents_scalars(b, wall_clock(), step, v, n);
    return buf_check(b, e) ? -1 : io_append(t->events, b->data, b->len, e);
}

int track_sample(struct track *t, uint64_t step, struct str line, const char *tag, struct str text,
                 struct err *e)
{
    struct buf *b = &t->out;
    if (io_append(t->samples, line.p, line.n, e)) return -1;
    if (!t->events) return 0;
    buf_reset(b);
    tfevents_text(b, wall_clock(), step, tag, text);
    return buf_check(b, e) ? -1 : io_append(t->events, b->data, b->len, e);
}

int track_sync(struct track *t, struct err *e)
{
    if (t->samples && io_log_sync(t->samples, e)) return -1;
    return io_log_sync(t->metrics, e);
}

int track_close(struct track *t, struct err *e)
{
    if (!t) return 0;
    int rc = io_log_close(t->metrics, e);
    if (io_log_close(t->samples, rc ? NULL : e)) rc = -1;
    if (io_log_close(t->events, rc ? NULL : e)) rc = -1;
    buf_free(&t->out);
    mem_free(t);
    return rc;
}
