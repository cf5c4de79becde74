/* SPDX-License-Identifier: Apache-2.0 */
/* The trackers. */
#include "track/track.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/io.h"
#include "base/json.h"

struct track {
    struct io_log *metrics, *events;
    struct io_out *lines; /* the caller's */
    struct buf out;       /* one object; roomy from the start: a step allocates nothing */
};
enum { ROOM = 16 << 10 };

/* Bytes of the leading lines of metrics.jsonl that are whole and not after `step`. */
static size_t lines_keep(const char *p, size_t n, uint64_t step)
{
    size_t at = 0;
    struct arena a = {0};
    for (const char *end; (end = memchr(p + at, '\n', n - at)); at = (size_t)(end - p) + 1) {
        const struct json *v = json_parse(p + at, (size_t)(end - p) - at, &a, NULL);
        int64_t k = -1;
        const struct json *s = v ? json_get(v, "system/step") : NULL;
        if (!s || json_int(s, &k) || k < 0 || (uint64_t)k > step) break;
        arena_reset(&a);
    }
    arena_free(&a);
    return at;
}

static struct io_log *open_log(const struct track_options *o, const char *path,
                               size_t (*keep)(const void *p, size_t n, uint64_t step),
                               struct err *e)
{
    struct io_map m;
    size_t n = 0;
    if (o->resume && io_exists(path)) {
        if (io_map(path, &m, e)) return NULL;
        n = keep(m.p, m.n, o->from);
        io_unmap(&m);
    }
    return io_log_open(path, (int64_t)n, e);
}

static size_t keep_lines(const void *p, size_t n, uint64_t step) { return lines_keep(p, n, step); }

static double wall_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Nothing of time or host in the name; TensorBoard wants "tfevents" in it. */
static int open_events(struct track *t, const struct track_options *o, struct err *e)
{
    struct stat st;
    struct buf b = {0};
    char *path = NULL;
    int rc = io_mkdirs(o->tensorboard, e);
    if (rc == 0) rc = (path = io_path(o->tensorboard, "events.out.tfevents.sft", e)) ? 0 : -1;
    if (rc == 0) rc = (t->events = open_log(o, path, tfevents_keep, e)) ? 0 : -1;
    if (rc == 0) rc = io_stat(path, &st, e);
    if (rc == 0 && st.st_size == 0) {
        tfevents_version(&b, wall_clock());
        rc = buf_check(&b, e) ? -1 : io_append(t->events, b.data, b.len, e);
    }
    buf_free(&b);
    mem_free(path);
    return rc;
}

struct track *track_open(const struct track_options *o, struct err *e)
{
    struct track *t = mem_alloc(1, sizeof *t, e);
    if (!t) return NULL;
    t->metrics = buf_room(&t->out, ROOM) ? open_log(o, o->metrics, keep_lines, e) : NULL;
    t->lines = o->lines;
    if (buf_check(&t->out, e) || !t->metrics || (o->tensorboard && open_events(t, o, e))) {
        track_close(t, NULL);
        return NULL;
    }
    return t;
}

static void put_number(struct buf *b, double v)
{
    if (!isfinite(v))
        buf_puts(b, "null");
    else if (v == floor(v) && fabs(v) < 1e15)
        buf_printf(b, "%.0f", v);
    else
        buf_printf(b, "%.9g", v);
}

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
            put_number(b, v[i].value);
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

int track_sync(struct track *t, struct err *e) { return io_log_sync(t->metrics, e); }

int track_close(struct track *t, struct err *e)
{
    if (!t) return 0;
    int rc = io_log_close(t->metrics, e);
    if (io_log_close(t->events, rc ? NULL : e)) rc = -1;
    buf_free(&t->out);
    mem_free(t);
    return rc;
}
