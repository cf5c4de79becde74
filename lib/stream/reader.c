/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a stream. The reader verifies each frame before it returns its records, and reports an
 * error at the end unless the trailer matches. */
#include <inttypes.h>
#include <string.h>
#include <zstd.h>

#include "stream/input.h"

enum { OPEN, ENDED, FAILED };

struct stream_reader {
    struct stream_input in;
    int state;
    struct stream_header header;
    ZSTD_DCtx *zstd;
    struct buf frame; /* content of the current frame */
    size_t frame_at;
    struct stream_frame now;
    struct arena arena;
    struct stream_record rec;
    struct stream_tally tally;
};

/* ---- header ---- */
static int not_a_stream(struct stream_reader *r, struct err *e)
{
    unsigned char c = input_has(&r->in) ? *input_next(&r->in) : 0;
    if (c == '{' || c == '[')
        return err_set(e, ERR_DATA, "is JSON, not a token stream; convert it with sft-tokenize");
    return err_set(e, ERR_DATA, "is not a token stream");
}

static int read_header(struct stream_reader *r, struct err *e)
{
    unsigned char magic[4] = {'S', 0x2A, 0x4D, 0x18};
    if (input_fill(&r->in, 8, e)) return -1;
    size_t n = input_has(&r->in);
    if (memcmp(input_next(&r->in), magic, n < 4 ? n : 4) != 0) return not_a_stream(r, e);
    struct buf json = {0};
    int rc = input_sealed(&r->in, "header", STREAM_MAX_HEADER, &json, e);
    if (rc == 0) rc = header_parse(json.data, json.len, &r->header, e);
    buf_free(&json);
    return rc;
}

/* ---- frames ---- */
static int zstd_failed(struct stream_reader *r, size_t result, struct err *e)
{
    const char *why = ZSTD_getErrorName(result);
    if (zstd_code(result, ERR_DATA) == ERR_MEMORY) return err_set(e, ERR_MEMORY, "zstd: %s", why);
    return err_set(e, ERR_DATA, "damaged near byte %" PRIu64 ": %s", r->in.offset, why);
}

/* Decompresses the next frame into r->frame. */
static int read_frame(struct stream_reader *r, struct err *e)
{
    const size_t max = stream_max_record(r->header.kind) + STREAM_FRAME + 16, step = 256 << 10;
    uint64_t start = r->in.offset;
    /* Frame_Header_Descriptor: bit 2 announces a checksum, bits 0 and 1 a dictionary. */
    if ((input_next(&r->in)[4] & 7) != 4)
        return err_set(
            e, ERR_DATA,
            "damaged: the frame at byte %" PRIu64 " lacks a checksum or needs a dictionary", start);
    ZSTD_DCtx_reset(r->zstd, ZSTD_reset_session_only);
    buf_reset(&r->frame);
    for (size_t more = 1; more != 0;) {
        if (input_fill(&r->in, 1, e)) return -1;
        size_t had = r->frame.len;
        if (had > max) return err_set(e, ERR_DATA, "damaged: a frame of more than %zu bytes", max);
        char *to = buf_room(&r->frame, step);
        if (!to) return buf_check(&r->frame, e);
        ZSTD_inBuffer in = {input_next(&r->in), input_has(&r->in), 0};
        ZSTD_outBuffer out = {to, step, 0};
        more = ZSTD_decompressStream(r->zstd, &out, &in);
        r->frame.len = had + out.pos;
        if (ZSTD_isError(more)) return zstd_failed(r, more, e);
        if (in.size == 0 && out.pos == 0 && more != 0) return input_cut_short(&r->in, e);
        input_take(&r->in, in.pos);
    }
    r->frame_at = 0;
    r->now = (struct stream_frame){r->in.offset - start, r->frame.len, 0};
    return 0;
}

/* Checks and removes the size of the trailer's frame, which precedes the hash. */
static int strip_size(struct buf *json, struct err *e)
{
    if (json->len < 4 ||
        le32((const unsigned char *)json->data + json->len - 4) != json->len - 4 + 20)
        return err_set(e, ERR_DATA, "damaged: the trailer contains a wrong size");
    json->len -= 4;
    return 0;
}

static int read_trailer(struct stream_reader *r, struct err *e)
{
    struct buf json = {0};
    struct stream_tally stored = {0};
    int rc = input_sealed(&r->in, "trailer", STREAM_MAX_TRAILER, &json, e);
    if (rc == 0) rc = strip_size(&json, e);
    if (rc == 0) rc = trailer_parse(json.data, json.len, &stored, e);
    if (rc == 0) rc = trailer_check(&r->tally, &stored, e);
    if (rc == 0) rc = tally_end(&r->tally, &r->header, e);
    if (rc == 0) rc = input_fill(&r->in, 1, e);
    if (rc == 0 && input_has(&r->in))
        rc = err_set(e, ERR_DATA, "bytes after the trailer, from byte %" PRIu64, r->in.offset);
    tally_free(&stored);
    buf_free(&json);
    return rc;
}

/* Reads the next frame. Returns 1, 0 at the verified end, or -1. */
static int advance(struct stream_reader *r, struct err *e)
{
    if (input_need(&r->in, 8, e)) return -1;
    uint32_t magic = le32(input_next(&r->in));
    if (magic == STREAM_MAGIC_TRAILER) return read_trailer(r, e) ? -1 : 0;
    if (magic != STREAM_MAGIC_ZSTD)
        return err_set(e, ERR_DATA, "damaged: neither a frame nor the trailer at byte %" PRIu64,
                       r->in.offset);
    if (read_frame(r, e)) return -1;
    return r->frame.len ? 1 : err_set(e, ERR_DATA, "damaged: an empty frame");
}

static int next_record(struct stream_reader *r, struct err *e)
{
    const char *p = r->frame.data + r->frame_at, *end = r->frame.data + r->frame.len;
    uint64_t n;
    if (varint_get(&p, end, &n) || n > stream_max_record(r->header.kind) || n > (uint64_t)(end - p))
        return err_set(e, ERR_DATA, "record: exceeds its frame");
    arena_reset(&r->arena);
    if (record_decode(r->header.kind, p, n, &r->arena, &r->rec, &r->tally.checksum, e)) return -1;
    r->frame_at = (size_t)(p - r->frame.data) + n;
    r->now.records++;
    if (tally_record(&r->tally, &r->header, &r->rec, e)) return -1;
    if (r->frame_at == r->frame.len) return tally_frame(&r->tally, &r->now, e);
    return 0;
}

/* Prefixes the file name, which a read error already contains. */
static void name_failure(const struct stream_reader *r, struct err *e)
{
    if (e && e->code != ERR_IO) err_prefix(e, "%s", stream_name(r));
}

int stream_next(struct stream_reader *r, const struct stream_record **rec, struct err *e)
{
    if (r->state == ENDED) return 0;
    if (r->state == FAILED) return err_set(e, ERR_DATA, "%s: has failed before", stream_name(r));
    int rc = r->frame_at < r->frame.len ? 1 : advance(r, e);
    if (rc > 0 && next_record(r, e)) {
        err_prefix(e, "record %" PRIu64, r->tally.records);
        rc = -1;
    }
    if (rc < 0) name_failure(r, e);
    if (rc <= 0) r->state = rc < 0 ? FAILED : ENDED;
    *rec = rc > 0 ? &r->rec : NULL;
    return rc;
}

/* ---- open and close ---- */
static int start(struct stream_reader *r, const char *path, struct err *e)
{
    r->state = OPEN;
    if (input_open(&r->in, path, e)) return -1;
    if (!(r->zstd = ZSTD_createDCtx())) return err_set(e, ERR_MEMORY, "out of memory");
    ZSTD_DCtx_setParameter(r->zstd, ZSTD_d_windowLogMax, STREAM_WINDOW_LOG);
    if (read_header(r, e) == 0) return 0;
    name_failure(r, e);
    return -1;
}

struct stream_reader *stream_open_any(const char *path, struct err *e)
{
    struct stream_reader *r = mem_alloc(1, sizeof *r, e);
    if (!r || start(r, path, e) == 0) return r;
    stream_close(r);
    return NULL;
}

struct stream_reader *stream_open(const char *path, enum stream_kind kind, struct err *e)
{
    struct stream_reader *r = stream_open_any(path, e);
    if (!r || r->header.kind == kind) return r;
    err_set(e, ERR_DATA, "%s: is a stream of %s, not of %s; %s makes those", stream_name(r),
            stream_kind_name(r->header.kind), stream_kind_name(kind), stream_kind_maker(kind));
    stream_close(r);
    return NULL;
}

const struct stream_header *stream_header(const struct stream_reader *r) { return &r->header; }

const char *stream_name(const struct stream_reader *r) { return io_name(r->in.in); }

uint64_t stream_checksum(const struct stream_reader *r) { return r->tally.checksum; }

struct stream_counts stream_counts(const struct stream_reader *r)
{
    const struct stream_tally *t = &r->tally;
    return (struct stream_counts){t->records, t->samples, t->tokens, t->label_tokens};
}

size_t stream_inputs(const struct stream_reader *r) { return r->tally.ninputs; }

const char *stream_input(const struct stream_reader *r, size_t i) { return r->tally.inputs[i]; }

size_t stream_notes(const struct stream_reader *r) { return r->tally.nnotes; }

const struct stream_note *stream_note(const struct stream_reader *r, size_t i)
{
    return &r->tally.notes[i];
}

size_t stream_room(uint64_t length)
{
    enum { TOKEN = 256 }; /* bytes of a sample of one token, encoded and decoded, buffers growing */
    size_t bytes;
    return length > SIZE_MAX || mem_mul((size_t)length, TOKEN, &bytes) ||
                   mem_add(bytes, 4 * STREAM_FRAME, &bytes)
               ? SIZE_MAX / 8
               : bytes;
}

void stream_close(struct stream_reader *r)
{
    if (!r) return;
    input_close(&r->in);
    ZSTD_freeDCtx(r->zstd);
    stream_header_free(&r->header);
    buf_free(&r->frame);
    arena_free(&r->arena);
    tally_free(&r->tally);
    mem_free(r);
}
