/* SPDX-License-Identifier: Apache-2.0 */
/* A small stream that expands to a large one is refused before its content takes memory. */
#include <zstd.h>

#include "base/io.h"
#include "stream/format.h"
#include "stream_make.h"
#include "test.h"

/* Appends a frame of n zeros, as a writer compresses it. */
static void put_zeros(struct buf *b, size_t n)
{
    void *zeros = calloc(n, 1), *to = buf_room(b, ZSTD_compressBound(n));
    ZSTD_CCtx *z = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(z, ZSTD_c_windowLog, STREAM_WINDOW_LOG);
    ZSTD_CCtx_setParameter(z, ZSTD_c_checksumFlag, 1);
    const size_t made = ZSTD_compress2(z, to, ZSTD_compressBound(n), zeros, n);
    b->len -= ZSTD_compressBound(n) - made;
    ZSTD_freeCCtx(z);
    free(zeros);
}

/* A header of samples, then a frame of 100 MiB. */
static void test_frame(void)
{
    struct buf b = {0};
    struct err e = {0};
    const char *tmp = getenv("TEST_TMP");
    char whole[300], path[64];
    snprintf(whole, sizeof whole, "%s/stream_bounds-%d", tmp ? tmp : "/tmp", (int)getpid());
    bool made = make_samples(whole, 0, 1, &e) == 0 && io_slurp(whole, 1 << 20, &b, &e) == 0;
    unlink(whole);
    b.len = made ? 8 + ((unsigned char)b.data[4] | (size_t)(unsigned char)b.data[5] << 8) : 0;
    put_zeros(&b, (size_t)100 << 20);
    int fd = make_memory(b.data, b.len, path);
    int64_t n = make_count(path, &e);
    CHECK("stream bounds: the file of a large frame is small", made && b.len < 100000);
    CHECK("stream bounds: a frame over the largest record is refused",
          n < 0 && e.code == ERR_DATA && strstr(e.msg, "a frame of more than"));
    buf_free(&b);
    close(fd);
}

/* Decodes a body in at most 1 MiB. */
static enum err_code decode(enum stream_kind kind, const struct buf *b)
{
    struct arena a = {.max = 1 << 20};
    struct stream_record rec;
    struct err e = {0};
    uint64_t sum = 0;
    record_decode(kind, b->data, b->len, &a, &rec, &sum, &e);
    arena_free(&a);
    return e.code;
}

static void test_records(void)
{
    struct buf b = {0};
    const size_t samples = (size_t)10 << 20, ids = STREAM_MAX_TOKENS + 1;
    buf_puts(&b, "\x01\x01\x01");
    for (size_t i = 0; i < samples; i++) buf_add(&b, "\x02\0", 2);
    CHECK("stream bounds: millions of empty samples are bad data",
          decode(STREAM_PACKED, &b) == ERR_DATA);
    buf_reset(&b);
    buf_varint(&b, SAMPLE_IDS);
    buf_varint(&b, ids);
    memset(buf_room(&b, ids), 0, ids);
    CHECK("stream bounds: so is a text of more tokens than the longest row has bytes",
          decode(STREAM_SAMPLES, &b) == ERR_DATA);
    buf_free(&b);
}

int main(void)
{
    test_frame();
    test_records();
    TEST_END();
}
