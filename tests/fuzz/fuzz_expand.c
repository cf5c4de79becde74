/* SPDX-License-Identifier: Apache-2.0 */
/* Compressed input. The first byte chooses what the rest is: a file as it stands, or bytes that are
 * compressed as one or two frames of zstd or members of gzip and then edited. What is read does not
 * depend on the sizes of the reads, and without an edit it is what was compressed. */
#include <zstd.h>
#ifdef HAVE_ZLIB
#include <zlib.h>
#endif

#include "fuzz/fuzz.h"

enum { MOST = 8 << 20 }; /* a bomb is read so far */

/* Reads the file in parts of so many bytes; false when it is refused. */
static bool read_all(size_t part, struct buf *b, struct err *e)
{
    static char room[1 << 16];
    struct io_in *in = io_open(fuzz_path("data"), e);
    ssize_t n = in && io_expand(in, e) == 0 ? 1 : -1;
    buf_reset(b);
    while (n > 0 && b->len < MOST && (n = io_read(in, room, part, e)) > 0)
        buf_add(b, room, (size_t)n);
    io_close(in);
    need(!b->failed);
    return n >= 0;
}

static void add_zstd(struct buf *b, const void *p, size_t n)
{
    const size_t room = ZSTD_compressBound(n);
    void *to = buf_room(b, room);
    const size_t used = ZSTD_compress(to, room, p, n, 1);
    need(to && !ZSTD_isError(used));
    b->len -= room - used;
}

static void add_gzip(struct buf *b, const void *p, size_t n)
{
#ifdef HAVE_ZLIB
    z_stream z = {.next_in = (Bytef *)(uintptr_t)p, .avail_in = (uInt)n};
    need(deflateInit2(&z, 1, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    const size_t room = deflateBound(&z, n);
    z.next_out = buf_room(b, room);
    z.avail_out = (uInt)room;
    need(deflate(&z, Z_FINISH) == Z_STREAM_END);
    b->len -= z.avail_out;
    deflateEnd(&z);
#else
    add_zstd(b, p, n);
#endif
}

/* The parts before the first NUL byte and before the second one, compressed; then the edits. */
static bool make_file(unsigned how, const uint8_t *data, size_t size, struct buf *file,
                      struct buf *plain)
{
    static struct buf whole;
    const struct str one = fuzz_part(&data, &size), two = fuzz_part(&data, &size);
    buf_reset(&whole);
    buf_reset(plain);
    buf_str(plain, one);
    how & 1 ? add_gzip(&whole, one.p, one.n) : add_zstd(&whole, one.p, one.n);
    if (two.n) {
        buf_str(plain, two);
        how & 2 ? add_gzip(&whole, two.p, two.n) : add_zstd(&whole, two.p, two.n);
    }
    fuzz_edit(file, whole.data, whole.len, data, size);
    const bool same = file->len == whole.len && memcmp(file->data, whole.data, whole.len) == 0;
    return same && (!two.n || !(how & 1) == !(how & 2)); /* two forms in one file are refused */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct buf file, plain, first, second;
    struct err e = {0}, again = {0};
    if (size == 0) return 0;
    const unsigned how = data[0];
    bool must = false;
    if (how & 4)
        must = make_file(how, data + 1, size - 1, &file, &plain);
    else
        fuzz_edit(&file, data + 1, size - 1, NULL, 0);
    fuzz_put(fuzz_path("data"), file.data, file.len);
    const bool good = read_all(1 << 16, &first, &e), same = read_all(7, &second, &again);
    need(good == same || first.len >= MOST || second.len >= MOST);
    need(good || !must);
    if (!good) need_refusal(&e);
    if (good && first.len < MOST)
        need(second.len == first.len &&
             (!first.len || !memcmp(first.data, second.data, first.len)));
    if (must)
        need(first.len == plain.len && (!plain.len || !memcmp(first.data, plain.data, plain.len)));
    return 0;
}
