/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a stream. The reader hashes every byte, verifies each frame before it returns its records,
 * and reports an error at the end unless the trailer matches. */
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "stream/format.h"

enum { RAW = 64 << 10, OPEN, ENDED, FAILED };

struct stream_reader {
    struct io_in *in;
    bool pipe; /* the previous stage causes an early end */
    int state;
    struct stream_header header;
    struct hash64 *hash; /* of every byte consumed so far */
    unsigned char raw[RAW];
    size_t at, end;  /* raw[at, end) is not yet consumed */
    uint64_t offset; /* of raw[at] in the file */
    ZSTD_DCtx *zstd;
    struct buf frame; /* content of the current frame */
    size_t frame_at;
    struct stream_frame now;
    struct arena arena;
    struct stream_record rec;
    struct stream_tally tally;
};

/* ---- bytes ---- */
static int cut_short(struct stream_reader *r, struct err *e)
{
    uint64_t at = r->offset + (r->end - r->at);
    if (r->pipe)
        return err_set(e, ERR_DATA,
                       "ended early, after %" PRIu64 " bytes: the stage before it "
                       "failed or was interrupted",
                       at);
    if (at == 0) return err_set(e, ERR_DATA, "the file is empty; make the stream again");
    return err_set(e, ERR_DATA, "cut short at byte %" PRIu64 "; make the stream again", at);
}

/* Makes at least n bytes (n <= RAW) available, fewer only at the end. -1 on a read error. */
static int fill(struct stream_reader *r, size_t n, struct err *e)
{
    if (r->end - r->at >= n) return 0;
    memmove(r->raw, r->raw + r->at, r->end - r->at);
    r->end -= r->at;
    r->at = 0;
    ssize_t k = io_read(r->in, r->raw + r->end, RAW - r->end, e);
    if (k < 0) return -1;
    r->end += (size_t)k;
    return 0;
}

static void take(struct stream_reader *r, size_t n)
{
    hash64_add(r->hash, r->raw + r->at, n);
    r->at += n;
    r->offset += n;
}

static uint32_t le32(const unsigned char *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Appends n bytes of the input to b. */
static int read_bytes(struct stream_reader *r, size_t n, struct buf *b, struct err *e)
{
    while (n > 0) {
        if (fill(r, 1, e)) return -1;
        size_t k = r->end - r->at < n ? r->end - r->at : n;
        if (k == 0) return cut_short(r, e);
        buf_add(b, r->raw + r->at, k);
        if (buf_check(b, e)) return -1;
        take(r, k);
        n -= k;
    }
    return 0;
}

/* Reads the payload of the next skippable frame into b, and checks its last 8 bytes: the XXH64 of
 * every byte of the file before them. */
static int read_sealed(struct stream_reader *r, const char *what, size_t max, struct buf *b,
                       struct err *e)
{
    if (fill(r, 8, e)) return -1;
    if (r->end - r->at < 8) return cut_short(r, e);
    size_t n = le32(r->raw + r->at + 4);
    if (n < 8 || n > max) return err_set(e, ERR_DATA, "damaged: a %s of %zu bytes", what, n);
    take(r, 8);
    if (read_bytes(r, n - 8, b, e)) return -1;
    uint64_t hash = hash64_value(r->hash), stored = 0;
    if (read_bytes(r, 8, b, e)) return -1;
    for (int i = 7; i >= 0; i--) stored = stored << 8 | (unsigned char)b->data[n - 8 + (size_t)i];
    if (hash != stored)
        return err_set(e, ERR_DATA, "damaged: the hash of the %s does not match", what);
    b->len = n - 8;
    return 0;
}

/* ---- header ---- */
static int not_a_stream(struct stream_reader *r, struct err *e)
{
    unsigned char c = r->end > r->at ? r->raw[r->at] : 0;
    if (c == '{' || c == '[')
        return err_set(e, ERR_DATA, "is JSON, not a token stream; convert it with sft-tokenize");
    return err_set(e, ERR_DATA, "is not a token stream");
}

static int read_header(struct stream_reader *r, struct err *e)
{
    unsigned char magic[4] = {'S', 0x2A, 0x4D, 0x18};
    if (fill(r, 8, e)) return -1;
    size_t n = r->end - r->at;
    if (memcmp(r->raw + r->at, magic, n < 4 ? n : 4) != 0) return not_a_stream(r, e);
    struct buf json = {0};
    int rc = read_sealed(r, "header", STREAM_MAX_HEADER, &json, e);
    if (rc == 0) rc = header_parse(json.data, json.len, &r->header, e);
    buf_free(&json);
    return rc;
}

/* ---- frames ---- */
static int zstd_failed(struct stream_reader *r, size_t result, struct err *e)
{
    const char *why = ZSTD_getErrorName(result);
    if (zstd_code(result, ERR_DATA) == ERR_MEMORY) return err_set(e, ERR_MEMORY, "zstd: %s", why);
    return err_set(e, ERR_DATA, "damaged near byte %" PRIu64 ": %s", r->offset, why);
}

/* Decompresses the next frame into r->frame. */
static int read_frame(struct stream_reader *r, struct err *e)
{
    const size_t max = STREAM_MAX_RECORD + STREAM_FRAME + 16, step = 256 << 10;
    uint64_t start = r->offset;
    /* Frame_Header_Descriptor: bit 2 announces a checksum, bits 0 and 1 a dictionary. */
    if ((r->raw[r->at + 4] & 7) != 4)
        return err_set(
            e, ERR_DATA,
            "damaged: the frame at byte %" PRIu64 " lacks a checksum or needs a dictionary", start);
    ZSTD_DCtx_reset(r->zstd, ZSTD_reset_session_only);
    buf_reset(&r->frame);
    for (size_t more = 1; more != 0;) {
        if (fill(r, 1, e)) return -1;
        size_t had = r->frame.len;
        if (had > max) return err_set(e, ERR_DATA, "damaged: a frame of more than %zu bytes", max);
        char *to = buf_room(&r->frame, step);
        if (!to) return buf_check(&r->frame, e);
        ZSTD_inBuffer in = {r->raw + r->at, r->end - r->at, 0};
        ZSTD_outBuffer out = {to, step, 0};
        more = ZSTD_decompressStream(r->zstd, &out, &in);
        r->frame.len = had + out.pos;
        if (ZSTD_isError(more)) return zstd_failed(r, more, e);
        if (in.size == 0 && out.pos == 0 && more != 0) return cut_short(r, e);
        take(r, in.pos);
    }
    r->frame_at = 0;
    r->now = (struct stream_frame){r->offset - start, r->frame.len, 0};
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
    int rc = read_sealed(r, "trailer", STREAM_MAX_TRAILER, &json, e);
    if (rc == 0) rc = strip_size(&json, e);
    if (rc == 0) rc = trailer_parse(json.data, json.len, &stored, e);
    if (rc == 0) rc = trailer_check(&r->tally, &stored, e);
    if (rc == 0) rc = tally_end(&r->tally, &r->header, e);
    if (rc == 0) rc = fill(r, 1, e);
    if (rc == 0 && r->end > r->at)
        rc = err_set(e, ERR_DATA, "bytes after the trailer, from byte %" PRIu64, r->offset);
    tally_free(&stored);
    buf_free(&json);
    return rc;
}

/* Reads the next frame. Returns 1, 0 at the verified end, or -1. */
static int advance(struct stream_reader *r, struct err *e)
{
    if (fill(r, 8, e)) return -1;
    if (r->end - r->at < 8) return cut_short(r, e);
    uint32_t magic = le32(r->raw + r->at);
    if (magic == STREAM_MAGIC_TRAILER) return read_trailer(r, e) ? -1 : 0;
    if (magic != STREAM_MAGIC_ZSTD)
        return err_set(e, ERR_DATA, "damaged: neither a frame nor the trailer at byte %" PRIu64,
                       r->offset);
    if (read_frame(r, e)) return -1;
    return r->frame.len ? 1 : err_set(e, ERR_DATA, "damaged: an empty frame");
}

static int next_record(struct stream_reader *r, struct err *e)
{
    const char *p = r->frame.data + r->frame_at, *end = r->frame.data + r->frame.len;
    uint64_t n;
    if (varint_get(&p, end, &n) || n > STREAM_MAX_RECORD || n > (uint64_t)(end - p))
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
    if (e && e->code != ERR_IO) err_prefix(e, "%s", io_name(r->in));
}

int stream_next(struct stream_reader *r, const struct stream_record **rec, struct err *e)
{
    if (r->state == ENDED) return 0;
    if (r->state == FAILED) return err_set(e, ERR_DATA, "%s: has failed before", io_name(r->in));
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
static bool is_pipe(const char *path)
{
    struct stat st;
    bool standard = strcmp(path, "-") == 0;
    if ((standard ? fstat(STDIN_FILENO, &st) : stat(path, &st)) != 0) return false;
    return S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode);
}

struct stream_reader *stream_open_any(const char *path, struct err *e)
{
    if (strcmp(path, "-") == 0 && isatty(STDIN_FILENO) == 1) {
        err_set(e, ERR_USAGE, "no stream to read: name a file, or pipe one in");
        return NULL;
    }
    struct stream_reader *r = mem_alloc(1, sizeof *r, e);
    if (!r) return NULL;
    r->state = OPEN;
    r->pipe = is_pipe(path);
    r->in = io_open(path, e);
    r->hash = r->in ? hash64_new(e) : NULL;
    r->zstd = ZSTD_createDCtx();
    if (!r->hash || !r->zstd) {
        if (r->hash) err_set(e, ERR_MEMORY, "out of memory");
        stream_close(r);
        return NULL;
    }
    ZSTD_DCtx_setParameter(r->zstd, ZSTD_d_windowLogMax, STREAM_WINDOW_LOG);
    if (read_header(r, e)) {
        name_failure(r, e);
        stream_close(r);
        return NULL;
    }
    return r;
}

struct stream_reader *stream_open(const char *path, enum stream_kind kind, struct err *e)
{
    struct stream_reader *r = stream_open_any(path, e);
    if (!r || r->header.kind == kind) return r;
    err_set(e, ERR_DATA, "%s: is a stream of %s, not of %s; %s makes those", io_name(r->in),
            stream_kind_name(r->header.kind), stream_kind_name(kind), stream_kind_maker(kind));
    stream_close(r);
    return NULL;
}

const struct stream_header *stream_header(const struct stream_reader *r) { return &r->header; }

const char *stream_name(const struct stream_reader *r) { return io_name(r->in); }

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
    io_close(r->in);
    hash64_free(r->hash);
    ZSTD_freeDCtx(r->zstd);
    stream_header_free(&r->header);
    buf_free(&r->frame);
    arena_free(&r->arena);
    tally_free(&r->tally);
    mem_free(r);
}
