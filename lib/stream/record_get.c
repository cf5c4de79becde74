/* SPDX-License-Identifier: Apache-2.0 */
/* Decodes records. The input is untrusted: each length is checked against the remaining bytes, and
 * memory is a small multiple of the size of the record. */
#include <math.h>
#include <string.h>

#include "stream/format.h"

int varint_get(const char **p, const char *end, uint64_t *v)
{
    const unsigned char *s = (const unsigned char *)*p, *stop = (const unsigned char *)end;
    uint64_t x = 0;
    for (unsigned shift = 0; s < stop && shift < 70; shift += 7) {
        unsigned char c = *s++;
        if (shift == 63 && c > 1) return -1;
        x |= (uint64_t)(c & 0x7f) << shift;
        if (c & 0x80) continue;
        *v = x;
        *p = (const char *)s;
        return 0;
    }
    return -1;
}

/* Bytes of the smallest field of a sample: its tag and size, and source, ids and runs with theirs.
 */
enum { LEAST_SAMPLE = 2 + (2 + 2) + (2 + 1) + (2 + 4) };

/* The remaining bytes of a record or of a field. */
struct view {
    const char *p, *end;
    struct arena *a;
};

static int bad(struct err *e, const char *what) { return err_set(e, ERR_DATA, "record: %s", what); }

/* Reads the next field. Returns 1, 0 at the end, or -1 when it exceeds the record. */
static int next_field(struct view *v, uint64_t *tag, struct str *s, struct err *e)
{
    uint64_t n;
    if (v->p == v->end) return 0;
    if (varint_get(&v->p, v->end, tag) || varint_get(&v->p, v->end, &n) ||
        n > (uint64_t)(v->end - v->p))
        return bad(e, "a field exceeds its record");
    *s = (struct str){v->p, (size_t)n};
    v->p += n;
    return 1;
}

/* Counts the fields with the wanted tag; -1 when a field is malformed. */
static int64_t count_fields(struct view v, uint64_t wanted, struct err *e)
{
    uint64_t tag;
    struct str s;
    int64_t n = 0;
    int rc;
    while ((rc = next_field(&v, &tag, &s, e)) > 0) n += tag == wanted;
    return rc < 0 ? -1 : n;
}

static int get_source(struct str s, struct stream_source *out, struct err *e)
{
    const char *p = s.p, *end = s.p + s.n;
    uint64_t file;
    if (varint_get(&p, end, &file) || varint_get(&p, end, &out->row) || p != end ||
        file >= UINT32_MAX)
        return bad(e, "the source is malformed");
    out->file = (uint32_t)file;
    return 0;
}

static int get_ids(struct str s, struct arena *a, const uint32_t **ids, uint32_t *n, struct err *e)
{
    size_t count = 0;
    for (size_t i = 0; i < s.n; i++) count += !((unsigned char)s.p[i] & 0x80);
    if (count > STREAM_MAX_TOKENS) return bad(e, "too many tokens in one text");
    uint32_t *out = arena_alloc(a, count * sizeof *out, e);
    if (!out) return -1;
    const char *p = s.p, *end = s.p + s.n;
    for (size_t i = 0; i < count; i++) {
        uint64_t v;
        if (varint_get(&p, end, &v) || v > UINT32_MAX) return bad(e, "a token id is malformed");
        out[i] = (uint32_t)v;
    }
    if (p != end) return bad(e, "token ids are cut short");
    *ids = out;
    *n = (uint32_t)count;
    return 0;
}

static int get_weight(const char **p, const char *end, float *w)
{
    uint64_t code;
    if (varint_get(p, end, &code) || code > 2) return -1;
    *w = (float)code;
    if (code < 2) return 0;
    if (end - *p < 4) return -1;
    union {
        uint32_t u;
        float f;
    } x = {.u = le32((const unsigned char *)*p)};
    *p += 4;
    *w = x.f;
    return isfinite(x.f) && x.f > 0 && x.f != 1 ? 0 : -1;
}

static int get_run(const char **p, const char *end, struct stream_run *r)
{
    uint64_t n, message, offset;
    if (varint_get(p, end, &n) || n == 0 || n > UINT32_MAX) return -1;
    if (get_weight(p, end, &r->weight)) return -1;
    if (varint_get(p, end, &message) || message > INT32_MAX) return -1;
    if (varint_get(p, end, &offset) || offset > UINT32_MAX) return -1;
    r->n = (uint32_t)n;
    r->message = (int32_t)((int64_t)message - 1);
    r->offset = (uint32_t)offset;
    return 0;
}

static int get_runs(struct str s, struct arena *a, struct stream_sample *out, struct err *e)
{
    size_t count = 0;
    const char *p = s.p, *end = s.p + s.n;
    for (struct stream_run r; p < end; count++)
        if (get_run(&p, end, &r)) return bad(e, "a run is malformed");
    struct stream_run *runs = arena_alloc(a, count * sizeof *runs, e);
    if (!runs) return -1;
    p = s.p;
    for (size_t i = 0; i < count; i++) get_run(&p, end, &runs[i]);
    out->runs = runs;
    out->nruns = (uint32_t)count;
    return 0;
}

/* Records in *seen that the field occurs. A second one is an error. */
static int once(unsigned *seen, uint64_t tag, struct err *e)
{
    if (tag < 32 && *seen & 1u << tag) return bad(e, "a field occurs twice");
    if (tag < 32) *seen |= 1u << tag;
    return 0;
}

static int get_sample(struct view v, struct stream_sample *out, struct err *e)
{
    const unsigned all = 1u << SAMPLE_SOURCE | 1u << SAMPLE_IDS | 1u << SAMPLE_RUNS;
    unsigned seen = 0;
    uint64_t tag;
    struct str s;
    int rc;
    while ((rc = next_field(&v, &tag, &s, e)) > 0) {
        if (once(&seen, tag, e)) return -1;
        if (tag == SAMPLE_SOURCE) rc = get_source(s, &out->source, e);
        if (tag == SAMPLE_IDS) rc = get_ids(s, v.a, &out->ids, &out->n, e);
        if (tag == SAMPLE_RUNS) rc = get_runs(s, v.a, out, e);
        if (rc < 0) return -1;
    }
    if (rc == 0 && (seen & all) != all) return bad(e, "a sample lacks its source, ids or runs");
    return rc;
}

static int get_message(struct view v, struct stream_message *m, struct err *e)
{
    unsigned seen = 0;
    uint64_t tag;
    struct str s;
    int rc;
    while ((rc = next_field(&v, &tag, &s, e)) > 0) {
        if (once(&seen, tag, e)) return -1;
        if (tag == MESSAGE_ROLE) m->role.text = s;
        if (tag == MESSAGE_CONTENT) m->content.text = s;
        if (tag == MESSAGE_EXTRA) m->extra = s;
        if (tag == MESSAGE_IDS && get_ids(s, v.a, &m->content.ids, &m->content.nids, e)) return -1;
    }
    if (rc == 0 && !(seen & 1u << MESSAGE_ROLE)) return bad(e, "a message lacks its role");
    return rc;
}

static int get_turns(struct view v, struct stream_record *rec, struct err *e)
{
    int64_t n = count_fields(v, TURNS_MESSAGE, e);
    if (n < 0) return -1;
    if ((uint64_t)n > STREAM_MAX_MESSAGES) return bad(e, "too many messages");
    rec->messages = arena_alloc(v.a, (size_t)n * sizeof *rec->messages, e);
    if (!rec->messages) return -1;
    unsigned seen = 0;
    uint64_t tag;
    struct str s;
    int rc;
    while ((rc = next_field(&v, &tag, &s, e)) > 0) {
        struct view inner = {s.p, s.p + s.n, v.a};
        if (tag != TURNS_MESSAGE && once(&seen, tag, e)) return -1;
        if (tag == TURNS_SOURCE) rc = get_source(s, &rec->source, e);
        if (tag == TURNS_TOOLS) rec->tools = s;
        if (tag == TURNS_KWARGS) rec->kwargs = s;
        if (tag == TURNS_MESSAGE) rc = get_message(inner, &rec->messages[rec->nmessages++], e);
        if (rc < 0) return -1;
    }
    if (rc == 0 && !(seen & 1u << TURNS_SOURCE)) return bad(e, "a conversation lacks its source");
    return rc;
}

static int get_row(struct view v, struct stream_record *rec, uint64_t *sum, struct err *e)
{
    int64_t n = count_fields(v, ROW_SAMPLE, e);
    if (n < 0) return -1;
    if ((uint64_t)n > (size_t)(v.end - v.p) / LEAST_SAMPLE)
        return bad(e, "a sample lacks its source, ids or runs");
    rec->samples = arena_alloc(v.a, (size_t)n * sizeof *rec->samples, e);
    if (!rec->samples) return -1;
    unsigned seen = 0;
    uint64_t tag;
    struct str s;
    int rc;
    while ((rc = next_field(&v, &tag, &s, e)) > 0) {
        struct view inner = {s.p, s.p + s.n, v.a};
        if (tag != ROW_SAMPLE && once(&seen, tag, e)) return -1;
        if (tag == ROW_STEP &&
            (varint_get(&inner.p, inner.end, &rec->step) || inner.p != inner.end))
            return bad(e, "the step is malformed");
        if (tag != ROW_SAMPLE) continue;
        *sum += hash64(s.p, s.n, 0);
        if (get_sample(inner, &rec->samples[rec->nsamples++], e)) return -1;
    }
    if (rc == 0 && !(seen & 1u << ROW_STEP)) return bad(e, "a row lacks its step");
    return rc;
}

int record_decode(enum stream_kind kind, const char *p, size_t n, struct arena *a,
                  struct stream_record *rec, uint64_t *checksum, struct err *e)
{
    struct view v = {p, p + n, a};
    *rec = (struct stream_record){.kind = kind};
    if (kind == STREAM_PACKED) return get_row(v, rec, checksum, e);
    *checksum += hash64(p, n, 0);
    if (kind == STREAM_TURNS) return get_turns(v, rec, e);
    rec->samples = arena_alloc(a, sizeof *rec->samples, e);
    if (!rec->samples) return -1;
    rec->nsamples = 1;
    return get_sample(v, &rec->samples[0], e);
}
