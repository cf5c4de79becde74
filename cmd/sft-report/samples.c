/* SPDX-License-Identifier: Apache-2.0 */
/* Reads samples.jsonl: the answers of a run to its prompts. */
#include <string.h>

#include "base/io.h"
#include "base/log.h"
#include "report.h"

enum { PROMPTS = 4096 }; /* sft-train answers fewer at a validation */

/* ---- the texts of a row ---- */
static void put_value(struct buf *b, const struct json *v)
{
    if (v->kind == JSON_STRING)
        buf_str(b, v->s);
    else
        json_write(v, b);
}

/* Appends a message as "role: text". */
static void put_message(struct buf *b, const struct json *m)
{
    const bool object = m->kind == JSON_OBJECT;
    const struct json *role = object ? json_get(m, "role") : NULL;
    const struct json *text = object ? json_get(m, "content") : NULL;
    if (object && !role) role = json_get(m, "from");
    if (object && !text) text = json_get(m, "value");
    if (!role || !text) {
        json_write(m, b);
        return;
    }
    put_value(b, role);
    buf_puts(b, ": ");
    put_value(b, text);
}

static bool is_list(const struct json *v)
{
    return v->kind == JSON_ARRAY && v->count && v->items[0].kind == JSON_OBJECT;
}

static void put_member(struct buf *b, struct str key, const struct json *v)
{
    if (b->len) buf_putc(b, '\n');
    if (!is_list(v)) {
        buf_str(b, key);
        buf_puts(b, ": ");
        put_value(b, v);
        return;
    }
    for (size_t i = 0; i < v->count; i++) {
        if (i) buf_putc(b, '\n');
        put_message(b, &v->items[i]);
    }
}

/* True for a member that samples.jsonl adds to a prompt's row. */
static bool is_added(struct str key)
{
    static const char *const added[] = {"step", "row", "answer", "answer_tokens", "answer_end"};
    for (size_t i = 0; i < sizeof added / sizeof *added; i++)
        if (str_is(key, added[i])) return true;
    return false;
}

int row_texts(const struct json *row, struct arena *memory, struct str *out, struct err *e)
{
    struct buf b = {0};
    const bool object = row->kind == JSON_OBJECT;
    const struct json *prompt = object ? json_get(row, "prompt") : NULL;
    const bool alone = object && prompt && json_get(row, "answer") && !json_get(row, "messages");
    if (alone)
        put_value(&b, prompt);
    else if (object)
        for (size_t i = 0; i < row->count; i++) {
            if (!json_get(row, "answer_end") || !is_added(row->keys[i]))
                put_member(&b, row->keys[i], &row->items[i]);
        }
    else
        json_write(row, &b);
    const char *p = buf_check(&b, e) ? NULL : arena_copy(memory, b.data ? b.data : "", b.len, e);
    *out = (struct str){p, b.len};
    buf_free(&b);
    return p ? 0 : -1;
}

/* ---- answers ---- */
/* Finds the prompt of a row, or adds it with its text. */
static struct prompt *prompt_of(struct run *r, int64_t number, const struct json *row,
                                struct err *e)
{
    for (size_t i = 0; i < r->nprompts; i++)
        if (r->prompts[i].row == number) return &r->prompts[i];
    if (mem_grow(&r->prompts, &r->prompts_cap, r->nprompts + 1, sizeof *r->prompts, e)) return NULL;
    struct prompt *p = &r->prompts[r->nprompts];
    *p = (struct prompt){.row = number};
    if (row_texts(row, &r->memory, &p->text, e)) return NULL;
    r->nprompts++;
    return p;
}

static int keep(struct run *r, struct str *to, struct str from, struct err *e)
{
    *to = (struct str){arena_copy(&r->memory, from.p, from.n, e), from.n};
    return to->p ? 0 : -1;
}

/* Adds an answer: 1; 0 for a line of another form. */
static int take(struct run *r, const struct json *row, struct err *e)
{
    int64_t step, number, tokens;
    if (row->kind != JSON_OBJECT) return 0;
    const struct json *text = json_get(row, "answer"), *end = json_get(row, "answer_end");
    if (json_int(json_get(row, "step"), &step) || json_int(json_get(row, "row"), &number) ||
        json_int(json_get(row, "answer_tokens"), &tokens) || !text || text->kind != JSON_STRING ||
        !end || end->kind != JSON_STRING || number < 0 || number >= PROMPTS)
        return 0;
    struct prompt *p = prompt_of(r, number, row, e);
    if (!p) return -1;
    struct answer *last = p->n ? &p->list[p->n - 1] : NULL;
    if (last && str_eq(last->text, text->s) && str_eq(last->end, end->s)) {
        last->last = step;
        return 1;
    }
    if (mem_grow(&p->list, &p->cap, p->n + 1, sizeof *p->list, e)) return -1;
    struct answer *a = &p->list[p->n];
    *a = (struct answer){.first = step, .last = step, .tokens = tokens};
    if (keep(r, &a->text, text->s, e) || keep(r, &a->end, end->s, e)) return -1;
    p->n++;
    return 1;
}

/* A line that is damaged costs that line. */
static int read_rows(struct run *r, struct json_rows *rows, uint64_t *bad, struct err *e)
{
    const struct json *row;
    for (int rc; (rc = json_rows_next(rows, &row, e)) != 0;) {
        if (rc < 0 && (e->code != ERR_DATA || !json_rows_skip(rows))) return -1;
        const int taken = rc < 0 ? 0 : take(r, row, e);
        if (taken < 0) return -1;
        *bad += taken == 0;
    }
    return 0;
}

static int read_file(struct run *r, const char *path, struct err *e)
{
    uint64_t bad = 0;
    struct stat st;
    if (io_stat(path, &st, e)) return -1;
    if (st.st_size == 0) return 0; /* no validation yet */
    struct io_in *in = io_open_regular(path, e);
    struct json_rows *rows = in ? json_rows_open(in, e) : NULL;
    const int rc = rows ? read_rows(r, rows, &bad, e) : -1;
    json_rows_close(rows);
    io_close(in);
    if (rc == 0 && bad)
        log_line(LOG_WARN, "%s: %llu lines are no answers of a step and are left out", path,
                 (unsigned long long)bad);
    return rc;
}

int samples_read(struct run *r, struct err *e)
{
    char *path = io_path(r->path, "samples.jsonl", e);
    const int there = path ? io_exists(path, e) : -1;
    const int rc = there > 0 ? read_file(r, path, e) : there;
    mem_free(path);
    return rc;
}

void samples_close(struct run *r)
{
    for (size_t i = 0; i < r->nprompts; i++) mem_free(r->prompts[i].list);
    mem_free(r->prompts);
}
