/* SPDX-License-Identifier: Apache-2.0 */
/* Encodes records: fields of (tag, length, payload), numbers as LEB128. */
#include "stream/format.h"

static void put_field(struct buf *b, unsigned tag, const void *p, size_t n)
{
    buf_varint(b, tag);
    buf_varint(b, n);
    if (n) buf_add(b, p, n);
}

static size_t varint_size(uint64_t v)
{
    size_t n = 1;
    for (; v >= 0x80; v >>= 7) n++;
    return n;
}

static void put_source(struct buf *b, unsigned tag, const struct stream_source *s)
{
    buf_varint(b, tag);
    buf_varint(b, varint_size(s->file) + varint_size(s->row));
    buf_varint(b, s->file);
    buf_varint(b, s->row);
}

static void put_ids(struct buf *b, unsigned tag, const uint32_t *ids, size_t n)
{
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++) bytes += varint_size(ids[i]);
    buf_varint(b, tag);
    buf_varint(b, bytes);
    unsigned char *p = buf_room(b, bytes);
    if (!p) return;
    for (size_t i = 0; i < n; i++) {
        uint32_t v = ids[i];
        for (; v >= 0x80; v >>= 7) *p++ = (unsigned char)(v | 0x80);
        *p++ = (unsigned char)v;
    }
}

/* Encodes a weight as 0, 1, or 2 and the four bytes of the float. */
static void put_run(struct buf *b, const struct stream_run *r)
{
    union {
        float f;
        uint32_t u;
    } w = {.f = r->weight};
    buf_varint(b, r->n);
    if (w.u == 0 || r->weight == 1) {
        buf_varint(b, r->weight == 1);
    } else {
        buf_varint(b, 2);
        buf_u32(b, w.u);
    }
    buf_varint(b, (uint64_t)((int64_t)r->message + 1));
    buf_varint(b, r->offset);
}

/* Appends the payload of a sample. tmp is a work buffer. */
static void put_sample(struct buf *b, struct buf *tmp, const struct stream_sample *s)
{
    put_source(b, SAMPLE_SOURCE, &s->source);
    put_ids(b, SAMPLE_IDS, s->ids, s->n);
    size_t at = tmp->len;
    for (uint32_t i = 0; i < s->nruns; i++) put_run(tmp, &s->runs[i]);
    if (!tmp->failed) put_field(b, SAMPLE_RUNS, tmp->data + at, tmp->len - at);
    tmp->len = at;
}

static void put_message(struct buf *b, struct buf *tmp, const struct stream_message *m)
{
    size_t at = tmp->len;
    put_field(tmp, MESSAGE_ROLE, m->role.text.p, m->role.text.n);
    if (m->content.text.p) {
        put_field(tmp, MESSAGE_CONTENT, m->content.text.p, m->content.text.n);
        put_ids(tmp, MESSAGE_IDS, m->content.ids, m->content.nids);
    }
    if (m->extra.n) put_field(tmp, MESSAGE_EXTRA, m->extra.p, m->extra.n);
    if (!tmp->failed) put_field(b, TURNS_MESSAGE, tmp->data + at, tmp->len - at);
    tmp->len = at;
}

static void put_turns(struct buf *b, struct buf *tmp, const struct stream_record *rec)
{
    put_source(b, TURNS_SOURCE, &rec->source);
    if (rec->tools.n) put_field(b, TURNS_TOOLS, rec->tools.p, rec->tools.n);
    if (rec->kwargs.n) put_field(b, TURNS_KWARGS, rec->kwargs.p, rec->kwargs.n);
    for (uint32_t i = 0; i < rec->nmessages; i++) put_message(b, tmp, &rec->messages[i]);
}

static void put_row(struct buf *b, struct buf tmp[2], const struct stream_record *rec,
                    uint64_t *sum)
{
    buf_varint(b, ROW_STEP);
    buf_varint(b, varint_size(rec->step));
    buf_varint(b, rec->step);
    for (uint32_t i = 0; i < rec->nsamples; i++) {
        buf_reset(&tmp[1]);
        put_sample(&tmp[1], &tmp[0], &rec->samples[i]);
        if (tmp[1].failed) break;
        *sum += hash64(tmp[1].data, tmp[1].len, 0);
        put_field(b, ROW_SAMPLE, tmp[1].data, tmp[1].len);
    }
}

static void put_body(struct buf *b, struct buf tmp[2], const struct stream_record *rec,
                     uint64_t *sum)
{
    buf_reset(b);
    buf_reset(&tmp[0]);
    if (rec->kind == STREAM_PACKED) {
        put_row(b, tmp, rec, sum);
        return;
    }
    if (rec->kind == STREAM_TURNS)
        put_turns(b, &tmp[0], rec);
    else
        put_sample(b, &tmp[0], &rec->samples[0]);
    if (!b->failed) *sum += hash64(b->data, b->len, 0);
}

int record_encode(const struct stream_record *rec, struct buf *b, struct buf tmp[3],
                  uint64_t *checksum, struct err *e)
{
    put_body(&tmp[2], tmp, rec, checksum);
    for (int i = 0; i < 3; i++)
        if (buf_check(&tmp[i], e)) return -1;
    const size_t max = stream_max_record(rec->kind);
    if (tmp[2].len > max)
        return err_set(e, ERR_DATA, "a record of %zu bytes; %zu are allowed", tmp[2].len, max);
    for (uint32_t i = 0; i < rec->nmessages; i++)
        if (rec->messages[i].content.nids > STREAM_MAX_TOKENS)
            return err_set(e, ERR_DATA, "message %u has more than %zu tokens", (unsigned)i,
                           STREAM_MAX_TOKENS);
    buf_varint(b, tmp[2].len);
    buf_add(b, tmp[2].data, tmp[2].len);
    return buf_check(b, e);
}
