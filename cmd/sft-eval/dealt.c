/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of a file, which the ranks take in turn: row i is that of rank i mod ranks. Each rank
 * keeps the lines that it makes. When all have theirs, rank 0 gets them and writes them in the
 * order of the rows, up to the first row that failed. */
#include "dealt.h"

#include <string.h>

#include "base/hash.h"
#include "decode/prompt.h"
#include "eval.h"

static const uint64_t NONE = UINT64_MAX;

static int ranks(const struct dealt *d) { return mesh_ranks(&d->v->mesh); }

bool dealt_takes(struct dealt *d, const struct json *row)
{
    const int rank = d->v->mesh.world->place.rank;
    const bool mine = d->rows++ % (uint64_t)ranks(d) == (uint64_t)rank;
    if (ranks(d) == 1) return true;
    d->row.len = 0;
    prompt_members(&d->row, row, NULL, 0);
    d->hash = hash64(d->row.data, d->row.len, d->hash);
    return mine;
}

int dealt_put(struct dealt *d, const struct buf *line, struct err *e)
{
    if (ranks(d) == 1) return io_write(d->v->out, line->data, line->len, e);
    buf_add(&d->lines, line->data, line->len);
    return buf_check(&d->lines, e);
}

void dealt_free(struct dealt *d)
{
    buf_free(&d->lines);
    buf_free(&d->row);
}

/* ---- the lines of all ranks, on rank 0 ---- */
struct note {
    uint64_t bytes, hash, failed; /* failed: the row that could not be answered, or NONE */
};
struct part {
    char *text;
    size_t n, at; /* what is written of it */
};

/* Makes room for the lines of every other rank. */
static struct part *make_room(const struct dealt *d, const struct note *all, struct err *e)
{
    struct part *parts = mem_alloc((size_t)ranks(d), sizeof *parts, e);
    bool ok = parts != NULL;
    for (int r = 0; ok && r < ranks(d); r++) {
        parts[r].n = (size_t)all[r].bytes;
        if (r > 0) ok = (parts[r].text = mem_alloc(parts[r].n + 1, 1, e)) != NULL;
    }
    if (ok) parts[0].text = d->lines.data;
    if (ok || !parts) return parts;
    for (int r = 1; r < ranks(d); r++) mem_free(parts[r].text);
    mem_free(parts);
    return NULL;
}

enum { PIECE = 64 << 20 };
static int move(struct world *w, char *text, size_t n, int peer, struct err *e)
{
    int rc = 0;
    for (size_t at = 0; at < n && rc == 0; at += PIECE) {
        const size_t some = n - at < PIECE ? n - at : PIECE;
        rc = w->place.rank ? world_side_send(w, text + at, some, peer, e)
                           : world_side_receive(w, text + at, some, peer, e);
    }
    return rc;
}

static int write_lines(struct dealt *d, struct part *parts, struct err *e)
{
    for (uint64_t row = 0;; row++) {
        struct part *p = &parts[row % (uint64_t)ranks(d)];
        if (p->at == p->n) return 0;
        const char *from = p->text + p->at, *end = memchr(from, '\n', p->n - p->at);
        if (io_write(d->v->out, from, (size_t)(end + 1 - from), e)) return -1;
        p->at += (size_t)(end + 1 - from);
    }
}

/* Brings the lines to rank 0, which writes them; parts is NULL on the others. */
static int bring(struct dealt *d, struct part *parts, struct err *e)
{
    struct world *w = d->v->mesh.world;
    int rc = 0;
    if (!parts) return move(w, d->lines.data, d->lines.len, 0, e);
    for (int r = 1; r < ranks(d) && rc == 0; r++) rc = move(w, parts[r].text, parts[r].n, r, e);
    return rc ? rc : write_lines(d, parts, e);
}

static int check_same(const struct dealt *d, const struct note *all, struct err *e)
{
    for (int r = 1; r < ranks(d); r++)
        if (all[r].hash != all[0].hash)
            return err_set(
                e, ERR_DATA,
                "%s: not the same rows on all ranks; copy the file to all hosts, or into "
                "a folder that they share",
                d->v->prompts);
    return 0;
}

/* Returns the first row that failed on any rank. */
static uint64_t first_failed(const struct dealt *d, const struct note *all)
{
    uint64_t first = NONE;
    for (int r = 0; r < ranks(d); r++) first = all[r].failed < first ? all[r].failed : first;
    return first;
}

/* Waits until all ranks are here. Answers differ in length, so that no limit of time is right. */
static int meet(const struct dealt *d, struct err *e)
{
    char here = 1;
    struct world *w = d->v->mesh.world;
    int rc = w->place.rank ? world_side_send(w, &here, sizeof here, 0, e) : 0;
    for (int r = 1; r < ranks(d) && w->place.rank == 0 && rc == 0; r++)
        rc = world_side_receive(w, &here, sizeof here, r, e);
    return rc ? rc : world_broadcast(w, &here, sizeof here, 0, e);
}

/* The lines are written whether or not a row failed. */
static int write_all(struct dealt *d, const struct note *all, uint64_t failed, struct err *e)
{
    const struct mesh *m = &d->v->mesh;
    struct part *parts = NULL;
    int rc = failed == NONE ? check_same(d, all, e) : 0;
    if (rc == 0 && d->v->out) rc = (parts = make_room(d, all, e)) ? 0 : -1;
    rc = mesh_agree(m, rc, e);
    if (rc == 0) rc = mesh_agree(m, bring(d, parts, e), e);
    for (int r = 1; parts && r < ranks(d); r++) mem_free(parts[r].text);
    mem_free(parts);
    return rc;
}

int dealt_write(struct dealt *d, int rc, uint64_t row, struct err *e)
{
    struct err mine = *e;
    const struct mesh *m = &d->v->mesh;
    const struct note note = {d->lines.len, d->hash, rc ? row : NONE};
    if (ranks(d) == 1) return rc;
    const struct note *all = meet(d, e) == 0 ? mesh_notes(m, &note, sizeof note, e) : NULL;
    if (!all) return -1;
    const uint64_t failed = first_failed(d, all);
    if (write_all(d, all, failed, e)) return -1;
    if (failed == NONE) return 0;
    *e = mine;
    return mesh_agree(m, note.failed == failed ? -1 : 0, e);
}
