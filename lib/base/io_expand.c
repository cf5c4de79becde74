/* SPDX-License-Identifier: Apache-2.0 */
/* Reads compressed input: zstd, and gzip where zlib was there at build time. */
#include <string.h>
#include <zstd.h>
#ifdef HAVE_ZLIB
#include <zlib.h>
#endif

#include "base/io_impl.h"
#include "base/mem.h"

/* A frame may need a window of 128 MiB, zstd's own limit; memory is bounded by that. */
enum { CHUNK = 128 << 10, MAGIC = 4, WINDOW_LOG = 27 };

struct expander {
    struct io_source from; /* the compressed bytes */
    const char *name;      /* of the input */
    unsigned char in[CHUNK];
    size_t at, have;
    bool eof;    /* of the compressed bytes */
    bool inside; /* a frame or member has begun and has not ended */
    int (*step)(struct expander *x, char *p, size_t n, size_t *made, struct err *e);
    ZSTD_DCtx *zstd;
#ifdef HAVE_ZLIB
    z_stream gzip;
#endif
};

static int corrupt(const struct expander *x, const char *what, const char *why, struct err *e)
{
    return err_set(e, ERR_DATA, "%s: the %s data is damaged: %s", x->name, what, why);
}

/* ---- each form: expands some of in[at, have) to at most n bytes at p ---- */
static int step_plain(struct expander *x, char *p, size_t n, size_t *made, struct err *e)
{
    (void)e;
    *made = x->have - x->at < n ? x->have - x->at : n;
    memcpy(p, x->in + x->at, *made);
    x->at += *made;
    return 0;
}

static int step_zstd(struct expander *x, char *p, size_t n, size_t *made, struct err *e)
{
    ZSTD_inBuffer from = {x->in, x->have, x->at};
    ZSTD_outBuffer to = {p, n, 0};
    *made = 0;
    if (!x->inside && x->at == x->have) return 0; /* zstd would wait for another frame */
    size_t rc = ZSTD_decompressStream(x->zstd, &to, &from);
    if (ZSTD_isError(rc)) return corrupt(x, "zstd", ZSTD_getErrorName(rc), e);
    x->inside = rc != 0;
    x->at = from.pos;
    *made = to.pos;
    return 0;
}

#ifdef HAVE_ZLIB
static voidpf zlib_alloc(voidpf arg, uInt count, uInt size)
{
    (void)arg;
    return mem_alloc(count, size, NULL);
}

static void zlib_free(voidpf arg, voidpf p)
{
    (void)arg;
    mem_free(p);
}

static int step_gzip(struct expander *x, char *p, size_t n, size_t *made, struct err *e)
{
    z_stream *z = &x->gzip;
    const size_t room = n < CHUNK ? n : CHUNK;
    z->next_in = x->in + x->at;
    z->avail_in = (uInt)(x->have - x->at);
    z->next_out = (unsigned char *)p;
    z->avail_out = (uInt)room;
    x->inside |= z->avail_in > 0;
    int rc = inflate(z, Z_NO_FLUSH);
    x->at = x->have - z->avail_in;
    *made = room - z->avail_out;
    if (rc == Z_MEM_ERROR) return err_set(e, ERR_MEMORY, "%s: out of memory", x->name);
    if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
        return corrupt(x, "gzip", z->msg ? z->msg : "unknown form", e);
    if (rc != Z_STREAM_END) return 0;
    x->inside = false;
    return inflateReset(z) == Z_OK ? 0 : corrupt(x, "gzip", "another member", e);
}
#endif

/* ---- reading ---- */
static int refill(struct expander *x, struct err *e)
{
    ssize_t k = x->from.read(x->from.arg, x->in, CHUNK, e);
    if (k < 0) return -1;
    x->at = 0;
    x->have = (size_t)k;
    x->eof = k < CHUNK;
    return 0;
}

static ssize_t expand_read(void *arg, void *to, size_t n, struct err *e)
{
    struct expander *x = arg;
    size_t got = 0, made;
    while (got < n) {
        if (x->at == x->have && !x->eof && refill(x, e)) return -1;
        const size_t before = x->at;
        if (x->step(x, (char *)to + got, n - got, &made, e)) return -1;
        got += made;
        if (made || x->at != before || x->at < x->have || !x->eof) continue;
        if (!x->inside) break;
        return err_set(e, ERR_DATA, "%s: the compressed data ends early; it has been cut short",
                       x->name);
    }
    return (ssize_t)got;
}

static void expand_free(void *arg)
{
    struct expander *x = arg;
    ZSTD_freeDCtx(x->zstd);
#ifdef HAVE_ZLIB
    if (x->step == step_gzip) inflateEnd(&x->gzip);
#endif
    if (x->from.free) x->from.free(x->from.arg);
    mem_free(x);
}

/* ---- the form, by the first bytes ---- */
static int start_zstd(struct expander *x, struct err *e)
{
    x->zstd = ZSTD_createDCtx();
    if (!x->zstd) return err_set(e, ERR_MEMORY, "%s: out of memory", x->name);
    ZSTD_DCtx_setParameter(x->zstd, ZSTD_d_windowLogMax, WINDOW_LOG);
    x->step = step_zstd;
    return 0;
}

static int start_gzip(struct expander *x, struct err *e)
{
#ifdef HAVE_ZLIB
    x->gzip = (z_stream){.zalloc = zlib_alloc, .zfree = zlib_free};
    if (inflateInit2(&x->gzip, 16 + MAX_WBITS) != Z_OK)
        return err_set(e, ERR_MEMORY, "%s: out of memory", x->name);
    x->step = step_gzip;
    return 0;
#else
    return err_set(e, ERR_DATA,
                   "%s: is gzip-compressed, and this program was built without zlib; decompress it "
                   "first (gzip -dc)",
                   x->name);
#endif
}

int io_expand(struct io_in *in, struct err *e)
{
    struct expander *x = mem_alloc(1, sizeof *x, e);
    if (!x) return -1;
    x->from = io_source(in);
    x->name = io_name(in);
    x->step = step_plain;
    int rc = refill(x, e);
    if (!rc && x->have >= MAGIC && memcmp(x->in, "\x28\xb5\x2f\xfd", 4) == 0) rc = start_zstd(x, e);
    if (!rc && x->have >= 2 && memcmp(x->in, "\x1f\x8b", 2) == 0) rc = start_gzip(x, e);
    if (rc) {
        x->from.free = NULL; /* the caller keeps the input */
        expand_free(x);
        return -1;
    }
    io_set_source(in, (struct io_source){expand_read, expand_free, x});
    return 0;
}
