/* SPDX-License-Identifier: Apache-2.0 */
/* Streams from hostile hands. The first byte chooses what the rest is: a file as it stands, or a
 * header, a trailer, a record of one kind, or the records of a stream whose hashes are made good,
 * since a fuzzer does not guess those. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zstd.h>

#include "stream/format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(const void *p, size_t n)
{
    struct err e = {0};
    char path[64];
    const struct stream_record *rec;
    int fd = memfd_create("fuzz", 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (fd < 0 || write(fd, p, n) != (ssize_t)n) return;
    struct stream_reader *r = stream_open_any(path, &e);
    while (r && stream_next(r, &rec, &e) > 0) {}
    stream_close(r);
    close(fd);
}

static void seal(struct buf *file, uint32_t magic, const char *json, size_t n)
{
    buf_u32(file, magic);
    buf_u32(file, (uint32_t)n + 8);
    buf_add(file, json, n);
    buf_u64(file, hash64(file->data, file->len, 0));
}

/* A stream of one frame that holds the given content; the trailer is a fixed one. */
static void read_frame(enum stream_kind kind, const void *p, size_t n)
{
    static const char plan[] = ",\"mode\":\"batch\",\"length\":64,\"global_batch\":4,\"epochs\":1,"
                               "\"in_order\":true,\"seed\":0,\"steps\":1,\"rows\":1,\"samples\":1,"
                               "\"tokens\":3,\"label_tokens\":2";
    static const char trailer[] = "{\"records\":1,\"samples\":1,\"tokens\":3,\"label_tokens\":2,"
                                  "\"checksum\":\"0000000000000000\",\"inputs\":[],\"index\":[]}";
    char json[900], packed[1 << 16], end[sizeof trailer + 4];
    const char *id = "0123456789abcdef0123456789abcdef";
    int len =
        snprintf(json, sizeof json,
                 "{\"format\":\"sft-stream\",\"version\":1,\"requires\":[],\"kind\":\"%s\","
                 "\"tokenizer\":\"%s\",\"vocab_size\":200,\"template\":\"%s\"%s,\"stages\":[]}",
                 stream_kind_name(kind), id, id, kind == STREAM_PACKED ? plan : "");
    struct buf file = {0};
    seal(&file, STREAM_MAGIC_HEADER, json, (size_t)len);
    ZSTD_CCtx *z = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(z, ZSTD_c_checksumFlag, 1);
    size_t k = ZSTD_compress2(z, packed, sizeof packed, p, n);
    ZSTD_freeCCtx(z);
    if (!ZSTD_isError(k)) buf_add(&file, packed, k);
    memcpy(end, trailer, sizeof trailer - 1);
    const uint32_t size = sizeof trailer - 1 + 20;
    for (int i = 0; i < 4; i++) end[sizeof trailer - 1 + i] = (char)(size >> 8 * i);
    seal(&file, STREAM_MAGIC_TRAILER, end, sizeof trailer + 3);
    if (!file.failed) read_all(file.data, file.len);
    buf_free(&file);
}

static void decode(enum stream_kind kind, const char *p, size_t n)
{
    struct err e = {0};
    struct arena a = {0};
    struct stream_record rec;
    uint64_t sum = 0;
    struct stream_header h = {.kind = kind, .vocab_size = 200, .length = 64, .global_batch = 4};
    struct stream_tally t = {0};
    if (record_decode(kind, p, n, &a, &rec, &sum, &e) == 0) tally_record(&t, &h, &rec, &e);
    tally_free(&t);
    arena_free(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e = {0};
    struct stream_header h;
    struct stream_tally t;
    if (size < 1) return 0;
    const char *p = (const char *)data + 1;
    size_t n = size - 1;
    int what = data[0] % 9;
    if (what == 0) read_all(p, n);
    if (what == 1 && header_parse(p, n, &h, &e) == 0) stream_header_free(&h);
    if (what == 2 && trailer_parse(p, n, &t, &e) == 0) tally_free(&t);
    if (what >= 3 && what < 6) decode((enum stream_kind)(what - 3), p, n);
    if (what >= 6 && n < 60000) read_frame((enum stream_kind)(what - 6), p, n);
    return 0;
}
