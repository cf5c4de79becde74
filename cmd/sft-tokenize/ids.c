/* SPDX-License-Identifier: Apache-2.0 */
/* --ids: the pool tokenizes chunks of whole lines; their ids are written in order. */
#include "ids.h"

#include <inttypes.h>
#include <string.h>

#include "base/io.h"
#include "base/pool.h"
#include "unicode/utf8.h"

#define CHUNK    ((size_t)256 << 10)
#define MAX_LINE ((size_t)256 << 20)

struct chunk {
    struct buf text, ids;
    const char *name; /* of the file */
    uint64_t line;    /* number of the first line, from 1 */
};

struct ids {
    const struct tokenizer *t;
    struct tokenizer_scratch **scratch; /* [threads] */
    struct token_list *tokens;          /* [threads] */
    int threads;
    struct io_out *out;
    struct pool *pool;
};

static void chunk_free(struct chunk *c)
{
    buf_free(&c->text);
    buf_free(&c->ids);
    mem_free(c);
}

static void drop(void *arg, void *job)
{
    (void)arg;
    chunk_free(job);
}

static void put_ids(struct buf *b, const struct token_list *l)
{
    for (size_t i = 0; i < l->n; i++) {
        char t[11], *p = t + sizeof t;
        uint32_t v = l->ids[i];
        do *--p = (char)('0' + v % 10);
        while (v /= 10);
        if (i) *--p = ' ';
        buf_add(b, p, (size_t)(t + sizeof t - p));
    }
    buf_putc(b, '\n');
}

static int work(void *arg, void *job, int worker, struct err *e)
{
    struct ids *x = arg;
    struct chunk *c = job;
    const char *p = c->text.data, *end = p + c->text.len;
    for (uint64_t line = c->line; p < end; line++) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        struct str s = {p, (size_t)((stop ? stop : end) - p)};
        if (utf8_valid(s.p, s.n, NULL) != s.n)
            return err_set(e, ERR_DATA, "%s: line %" PRIu64 ": is not UTF-8", c->name, line);
        if (tokenizer_encode(x->t, x->scratch[worker], s, &x->tokens[worker], e))
            return err_prefix(e, "%s: line %" PRIu64, c->name, line);
        put_ids(&c->ids, &x->tokens[worker]);
        p = stop ? stop + 1 : end;
    }
    return buf_check(&c->ids, e);
}

static int done(void *arg, void *job, struct err *e)
{
    struct ids *x = arg;
    struct chunk *c = job;
    int rc = io_write(x->out, c->ids.data, c->ids.len, e);
    chunk_free(c);
    return rc;
}

/* Moves the first n bytes of text to the pool. */
static int submit(struct ids *x, struct buf *text, size_t n, const char *name, uint64_t *line,
                  struct err *e)
{
    struct chunk *c = mem_alloc(1, sizeof *c, e);
    if (!c) return -1;
    c->name = name;
    c->line = *line;
    buf_add(&c->text, text->data, n);
    if (buf_check(&c->text, e)) {
        chunk_free(c);
        return -1;
    }
    for (const char *p = text->data, *end = p + n; p < end; p++) *line += *p == '\n';
    memmove(text->data, text->data + n, text->len - n);
    text->len -= n;
    return pool_put(x->pool, c, e);
}

static int read_file(struct ids *x, struct io_in *in, struct buf *text, struct err *e)
{
    uint64_t line = 1;
    for (;;) {
        size_t had = text->len;
        char *to = buf_room(text, CHUNK);
        if (!to) return buf_check(text, e);
        ssize_t k = io_read(in, to, CHUNK, e);
        if (k < 0) return -1;
        text->len = had + (size_t)k;
        bool end = (size_t)k < CHUNK;
        const char *last = memrchr(text->data, '\n', text->len);
        size_t n = end ? text->len : last ? (size_t)(last - text->data) + 1 : 0;
        if (n && submit(x, text, n, io_name(in), &line, e)) return -1;
        if (end) return 0;
        if (text->len > MAX_LINE)
            return err_set(e, ERR_DATA, "%s: line %" PRIu64 ": is longer than 256 MiB", io_name(in),
                           line);
    }
}

/* Keeps the file open until its chunks are done, because they point to its name. */
static int run_file(struct ids *x, const char *path, struct err *e)
{
    struct buf text = {0};
    struct io_in *in = io_open(path, e);
    if (!in) return -1;
    const struct pool_ops ops = {work, done, drop, x};
    x->pool = io_expand(in, e) ? NULL : pool_new(x->threads, 2 * x->threads + 1, &ops, e);
    int rc = x->pool ? read_file(x, in, &text, e) : -1;
    if (rc == 0) rc = pool_finish(x->pool, e);
    pool_free(x->pool);
    io_close(in);
    buf_free(&text);
    return rc;
}

static int prepare(struct ids *x, struct err *e)
{
    x->scratch = mem_alloc((size_t)x->threads, sizeof *x->scratch, e);
    x->tokens = mem_alloc((size_t)x->threads, sizeof *x->tokens, e);
    if (!x->scratch || !x->tokens) return -1;
    for (int i = 0; i < x->threads; i++)
        if (!(x->scratch[i] = tokenizer_scratch_new(x->t, e))) return -1;
    return 0;
}

int ids_run(const struct tokenizer *t, char *const *paths, int n, const char *output, int threads,
            struct err *e)
{
    struct ids x = {.t = t, .threads = threads};
    int rc = prepare(&x, e);
    if (rc == 0 && !(x.out = io_create(output, e))) rc = -1;
    for (int i = 0; rc == 0 && i < (n ? n : 1); i++) rc = run_file(&x, n ? paths[i] : "-", e);
    if (rc == 0)
        rc = io_commit(x.out, e);
    else
        io_abort(x.out);
    for (int i = 0; i < threads; i++) {
        if (x.scratch) tokenizer_scratch_free(x.scratch[i]);
        if (x.tokens) token_list_free(&x.tokens[i]);
    }
    mem_free(x.scratch);
    mem_free(x.tokens);
    return rc;
}
