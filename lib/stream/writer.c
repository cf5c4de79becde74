/* SPDX-License-Identifier: Apache-2.0 */
/* Writes a stream. Records collect in a frame; the pool compresses frames, which are written in
 * order. The first write happens when the first frame is full, or at the end, so that a command
 * that fails early leaves its output empty. */
#include <string.h>
#include <zstd.h>

#include "base/pool.h"
#include "stream/format.h"

struct job {
    struct buf raw, packed;
    uint64_t records;
};

struct stream_writer {
    struct io_out *out;
    struct stream_header header;
    struct hash64 *hash; /* of every byte written */
    struct pool *pool;
    ZSTD_CCtx **zstd; /* [threads] */
    int threads;
    struct job *job; /* the frame that records are added to */
    struct buf tmp[3];
    struct buf head; /* the header frame until it is written */
    struct stream_tally tally;
    bool failed;
};

static void job_free(struct job *j)
{
    if (!j) return;
    buf_free(&j->raw);
    buf_free(&j->packed);
    mem_free(j);
}

/* ---- callbacks of the pool ---- */
static int job_work(void *arg, void *job, int worker, struct err *e)
{
    struct stream_writer *w = arg;
    struct job *j = job;
    size_t bound = ZSTD_compressBound(j->raw.len);
    char *to = buf_room(&j->packed, bound);
    if (!to) return buf_check(&j->packed, e);
    size_t n = ZSTD_compress2(w->zstd[worker], to, bound, j->raw.data, j->raw.len);
    if (ZSTD_isError(n))
        return err_set(e, zstd_code(n, ERR_INTERNAL), "zstd: %s", ZSTD_getErrorName(n));
    j->packed.len = n;
    return 0;
}

static int put_bytes(struct stream_writer *w, const void *p, size_t n, struct err *e)
{
    hash64_add(w->hash, p, n);
    return io_write(w->out, p, n, e);
}

static int put_head(struct stream_writer *w, struct err *e)
{
    int rc = w->head.len ? put_bytes(w, w->head.data, w->head.len, e) : 0;
    buf_reset(&w->head);
    return rc;
}

static int job_done(void *arg, void *job, struct err *e)
{
    struct stream_writer *w = arg;
    struct job *j = job;
    struct stream_frame f = {j->packed.len, j->raw.len, j->records};
    int rc = put_head(w, e);
    if (rc == 0) rc = put_bytes(w, j->packed.data, j->packed.len, e);
    if (rc == 0) rc = tally_frame(&w->tally, &f, e);
    job_free(j);
    return rc;
}

static void job_drop(void *arg, void *job)
{
    (void)arg;
    job_free(job);
}

/* ---- opening ---- */
/* Appends a skippable frame with the JSON to `out`. Its last 8 bytes are the XXH64 of every byte of
 * the file before them; `before` is the hash of the bytes before this frame. */
static int seal(struct hash64 *before, uint32_t magic, const struct buf *json, struct buf *out,
                struct err *e)
{
    buf_u32(out, magic);
    buf_u32(out, (uint32_t)json->len + 8);
    buf_add(out, json->data, json->len);
    if (buf_check(out, e)) return -1;
    hash64_add(before, out->data, out->len);
    buf_u64(out, hash64_value(before));
    return buf_check(out, e);
}

static int make_head(struct stream_writer *w, struct err *e)
{
    struct buf json = {0};
    struct hash64 *own = hash64_new(e);
    int rc = own ? stream_header_json(&w->header, &json, e) : -1;
    if (rc == 0) rc = seal(own, STREAM_MAGIC_HEADER, &json, &w->head, e);
    hash64_free(own);
    buf_free(&json);
    return rc;
}

static int copy_header(struct stream_writer *w, const struct stream_header *h, struct err *e)
{
    w->header = *h;
    w->header.stages = (struct buf){0};
    if (h->stages.len) buf_add(&w->header.stages, h->stages.data, h->stages.len);
    return buf_check(&w->header.stages, e);
}

static int make_workers(struct stream_writer *w, int threads, struct err *e)
{
    w->threads = threads < 1 ? 1 : threads;
    w->zstd = mem_alloc((size_t)w->threads, sizeof(ZSTD_CCtx *), e);
    if (!w->zstd) return -1;
    for (int i = 0; i < w->threads; i++) {
        ZSTD_CCtx *z = w->zstd[i] = ZSTD_createCCtx();
        if (!z) return err_set(e, ERR_MEMORY, "out of memory");
        ZSTD_CCtx_setParameter(z, ZSTD_c_compressionLevel, STREAM_LEVEL);
        ZSTD_CCtx_setParameter(z, ZSTD_c_windowLog, STREAM_WINDOW_LOG);
        ZSTD_CCtx_setParameter(z, ZSTD_c_checksumFlag, 1);
    }
    const struct pool_ops ops = {job_work, job_done, job_drop, w};
    w->pool = pool_new(w->threads, 2 * w->threads + 1, &ops, e);
    return w->pool ? 0 : -1;
}

static int open_output(struct stream_writer *w, const char *path, struct err *e)
{
    w->out = io_create(path, e);
    if (!w->out) return -1;
    if (io_out_is_tty(w->out))
        return err_set(e, ERR_USAGE,
                       "a stream is binary and is not written to a terminal; "
                       "use -o FILE, or pipe it into sft-view");
    return 0;
}

struct stream_writer *stream_create(const char *path, const struct stream_header *h, int threads,
                                    struct err *e)
{
    struct stream_writer *w = mem_alloc(1, sizeof *w, e);
    if (!w) return NULL;
    w->hash = hash64_new(e);
    if (w->hash && copy_header(w, h, e) == 0 && make_head(w, e) == 0 &&
        open_output(w, path, e) == 0 && make_workers(w, threads, e) == 0)
        return w;
    stream_abort(w);
    return NULL;
}

/* ---- records ---- */
static int put_frame(struct stream_writer *w, struct err *e)
{
    struct job *j = w->job;
    w->job = NULL;
    return pool_put(w->pool, j, e);
}

static int put_record(struct stream_writer *w, const struct stream_record *rec, struct err *e)
{
    if (rec->kind != w->header.kind)
        return err_set(e, ERR_INTERNAL, "a record and its stream have different kinds");
    if (tally_record(&w->tally, &w->header, rec, e)) return -1;
    if (!w->job && !(w->job = mem_alloc(1, sizeof *w->job, e))) return -1;
    if (record_encode(rec, &w->job->raw, w->tmp, &w->tally.checksum, e)) return -1;
    w->job->records++;
    return w->job->raw.len >= STREAM_FRAME ? put_frame(w, e) : 0;
}

int stream_put(struct stream_writer *w, const struct stream_record *rec, struct err *e)
{
    if (w->failed) return err_set(e, ERR_INTERNAL, "write to a stream that has failed");
    int rc = put_record(w, rec, e);
    w->failed = rc;
    return rc;
}

int stream_add_input(struct stream_writer *w, const char digest[HASH128_HEX], struct err *e)
{
    return tally_input(&w->tally, digest, e);
}

int stream_add_note(struct stream_writer *w, const char *name, uint64_t n, struct err *e)
{
    return tally_note(&w->tally, str_z(name), n, e);
}

/* ---- the end ---- */
static int put_trailer(struct stream_writer *w, struct err *e)
{
    struct buf json = {0}, tail = {0};
    trailer_write(&w->tally, &json);
    int rc = buf_check(&json, e);
    buf_u32(&json, (uint32_t)json.len + 20); /* size of the frame, for a reader at the file's end */
    if (rc == 0) rc = buf_check(&json, e);
    if (rc == 0 && json.len > STREAM_MAX_TRAILER - 8)
        rc = err_set(e, ERR_DATA, "too many records for one stream; make several");
    if (rc == 0) rc = seal(w->hash, STREAM_MAGIC_TRAILER, &json, &tail, e);
    if (rc == 0) rc = io_write(w->out, tail.data, tail.len, e);
    buf_free(&tail);
    buf_free(&json);
    return rc;
}

static int finish(struct stream_writer *w, struct err *e)
{
    if (w->failed) return err_set(e, ERR_INTERNAL, "end of a stream that has failed");
    if (w->job && put_frame(w, e)) return -1;
    if (pool_finish(w->pool, e) || put_head(w, e)) return -1;
    if (tally_end(&w->tally, &w->header, e) || put_trailer(w, e)) return -1;
    struct io_out *out = w->out;
    w->out = NULL;
    return io_commit(out, e);
}

int stream_finish(struct stream_writer *w, struct err *e)
{
    int rc = finish(w, e);
    stream_abort(w);
    return rc;
}

void stream_abort(struct stream_writer *w)
{
    if (!w) return;
    job_free(w->job);
    pool_free(w->pool);
    for (int i = 0; w->zstd && i < w->threads; i++) ZSTD_freeCCtx(w->zstd[i]);
    mem_free(w->zstd);
    io_abort(w->out);
    hash64_free(w->hash);
    for (int i = 0; i < 3; i++) buf_free(&w->tmp[i]);
    buf_free(&w->head);
    stream_header_free(&w->header);
    tally_free(&w->tally);
    mem_free(w);
}
