/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a stream: every byte is hashed as it is taken, frames are decompressed one at a time and
 * verified before their records are given out, and the end is an error unless the trailer agrees.
 */
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "stream/format.h"

enum { RAW = 64 << 10, OPEN, ENDED, FAILED };

struct stream_reader {
    struct io_in *in;
    bool pipe; /* an early end is the fault of the stage before */
    int state;
    struct stream_header header;
    struct hash64 *hash; /* of every byte taken so far */
    unsigned char raw[RAW];
    size_t at, end;  /* what is in raw and not yet taken */
    uint64_t offset; /* in the file, of raw[at] */
    ZSTD_DCtx *zstd;
    struct buf frame; /* content of the present frame */
    size_t frame_at;
    struct stream_frame now;
    struct arena arena;
    struct stream_record rec;
    struct stream_tally tally;
};

/* ---- bytes ---- */
static int cut(struct stream_reader *r, struct err *e)
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

/* Makes at least n bytes (n <= RAW) available unless the input ends before. -1 on a read error. */
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
static int gather(struct stream_reader *r, size_t n, struct buf *b, struct err *e)
{
    while (n > 0) {
        if (fill(r, 1, e) < 0) return -1;
        size_t k = r->end - r->at < n ? r->end - r->at : n;
        if (k == 0) return cut(r, e);
        buf_add(b, r->raw + r->at, k);
        if (buf_check(b, e) < 0) return -1;
        take(r, k);
        n -= k;
    }
    return 0;
}

/* A skippable frame of ours, whose 8 bytes of magic and size are at hand: its payload into b, with
 * the XXH64 of every byte of the file before it checked. */
static int take_sealed(struct stream_reader *r, const char *what, size_t max, struct buf *b,
                       struct err *e)
{
    if (fill(r, 8, e) < 0) return -1;
    if (r->end - r->at < 8) return cut(r, e);
    size_t n = le32(r->raw + r->at + 4);
    if (n < 8 || n > max) return err_set(e, ERR_DATA, "damaged: a %s of %zu bytes", what, n);
    take(r, 8);
    if (gather(r, n - 8, b, e) < 0) return -1;
    uint64_t is = hash64_value(r->hash), said = 0;
    if (gather(r, 8, b, e) < 0) return -1;
    for (int i = 7; i >= 0; i--) said = said << 8 | (unsigned char)b->data[n - 8 + (size_t)i];
    if (is != said) return err_set(e, ERR_DATA, "damaged: the hash of the %s does not match", what);
    b->len = n - 8;
    return 0;
}

/* ---- header ---- */
static int not_ours(struct stream_reader *r, struct err *e)
{
    unsigned char c = r->end > r->at ? r->raw[r->at] : 0;
    if (c == '{' || c == '[')
        return err_set(e, ERR_DATA, "is JSON, not a token stream; sft-tokenize makes one of it");
    return err_set(e, ERR_DATA, "is not a token stream");
}

static int read_header(struct stream_reader *r, struct err *e)
{
    unsigned char magic[4] = {'S', 0x2A, 0x4D, 0x18};
    if (fill(r, 8, e) < 0) return -1;
    size_t n = r->end - r->at;
    if (memcmp(r->raw + r->at, magic, n < 4 ? n : 4) != 0) return not_ours(r, e);
    struct buf json = {0};
    int rc = take_sealed(r, "header", STREAM_MAX_HEADER, &json, e);
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

/* Decompresses the frame that starts at the next byte, whole, into r->frame. */
static int read_frame(struct stream_reader *r, struct err *e)
{
    const size_t max = STREAM_MAX_RECORD + STREAM_FRAME + 16, step = 256 << 10;
    uint64_t start = r->offset;
    /* Frame_Header_Descriptor: bit 2 says that a checksum follows, bits 0 and 1 name a dictionary.
     */
    if ((r->raw[r->at + 4] & 7) != 4)
        return err_set(e, ERR_DATA,
                       "damaged: the frame at byte %" PRIu64 " is not as sft writes "
                       "frames",
                       start);
    ZSTD_DCtx_reset(r->zstd, ZSTD_reset_session_only);
    buf_reset(&r->frame);
    for (size_t more = 1; more != 0;) {
        if (fill(r, 1, e) < 0) return -1;
        size_t had = r->frame.len;
        if (had > max) return err_set(e, ERR_DATA, "damaged: a frame of more than %zu bytes", max);
        char *to = buf_room(&r->frame, step);
        if (!to) return buf_check(&r->frame, e);
        ZSTD_inBuffer in = {r->raw + r->at, r->end - r->at, 0};
        ZSTD_outBuffer out = {to, step, 0};
        more = ZSTD_decompressStream(r->zstd, &out, &in);
        r->frame.len = had + out.pos;
        if (ZSTD_isError(more)) return zstd_failed(r, more, e);
        if (in.size == 0 && out.pos == 0 && more != 0) return cut(r, e);
        take(r, in.pos);
    }
    r->frame_at = 0;
    r->now = (struct stream_frame){r->offset - start, r->frame.len, 0};
    return 0;
}

/* The last four bytes before the hash tell how long the trailer's frame is. */
static int strip_size(struct buf *json, struct err *e)
{
    if (json->len < 4 ||
        le32((const unsigned char *)json->data + json->len - 4) != json->len - 4 + 20)
        return err_set(e, ERR_DATA, "damaged: the trailer's size is not its own");
    json->len -= 4;
    return 0;
}

static int read_trailer(struct stream_reader *r, struct err *e)
{
    struct buf json = {0};
    struct stream_tally said = {0};
    int rc = take_sealed(r, "trailer", STREAM_MAX_TRAILER, &json, e);
    if (rc == 0) rc = strip_size(&json, e);
    if (rc == 0) rc = trailer_parse(json.data, json.len, &said, e);
    if (rc == 0) rc = trailer_check(&r->tally, &said, e);
    if (rc == 0) rc = tally_end(&r->tally, &r->header, e);
    if (rc == 0) rc = fill(r, 1, e);
    if (rc == 0 && r->end > r->at)
        rc = err_set(e, ERR_DATA, "bytes after the trailer, from byte %" PRIu64, r->offset);
    tally_free(&said);
    buf_free(&json);
    return rc;
}

/* Makes records available: 1, or 0 at the verified end. */
static int advance(struct stream_reader *r, struct err *e)
{
    if (fill(r, 8, e) < 0) return -1;
    if (r->end - r->at < 8) return cut(r, e);
    uint32_t magic = le32(r->raw + r->at);
    if (magic == STREAM_MAGIC_TRAILER) return read_trailer(r, e) < 0 ? -1 : 0;
    if (magic != STREAM_MAGIC_ZSTD)
        return err_set(e, ERR_DATA, "damaged: neither a frame nor the trailer at byte %" PRIu64,
                       r->offset);
    if (read_frame(r, e) < 0) return -1;
    return r->frame.len ? 1 : err_set(e, ERR_DATA, "damaged: an empty frame");
}

static int next_record(struct stream_reader *r, struct err *e)
{
    const char *p = r->frame.data + r->frame_at, *end = r->frame.data + r->frame.len;
    uint64_t n;
    if (varint_get(&p, end, &n) < 0 || n > STREAM_MAX_RECORD || n > (uint64_t)(end - p))
        return err_set(e, ERR_DATA, "record: runs over the end of its frame");
    arena_reset(&r->arena);
    if (record_decode(r->header.kind, p, n, &r->arena, &r->rec, &r->tally.checksum, e) < 0)
        return -1;
    r->frame_at = (size_t)(p - r->frame.data) + n;
    r->now.records++;
    if (tally_record(&r->tally, &r->header, &r->rec, e) < 0) return -1;
    if (r->frame_at == r->frame.len) return tally_frame(&r->tally, &r->now, e);
    return 0;
}

/* Whatever failed names its file; that reading failed does so itself. */
static void name_failure(const struct stream_reader *r, struct err *e)
{
    if (e && e->code != ERR_IO) err_prefix(e, "%s", io_name(r->in));
}

int stream_next(struct stream_reader *r, const struct stream_record **rec, struct err *e)
{
    if (r->state == ENDED) return 0;
    if (r->state == FAILED) return err_set(e, ERR_DATA, "%s: was found bad before", io_name(r->in));
    int rc = r->frame_at < r->frame.len ? 1 : advance(r, e);
    if (rc > 0 && next_record(r, e) < 0) {
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
    if (read_header(r, e) < 0) {
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
    enum { TOKEN = 256 }; /* a sample of its own, encoded and decoded, twice while buffers grow */
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
