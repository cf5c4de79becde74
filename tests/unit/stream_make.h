/* SPDX-License-Identifier: Apache-2.0 */
/* Small streams for tests, in memory: a memfd has a path, so no file system is needed. */
#ifndef SFT_TEST_STREAM_MAKE_H
#define SFT_TEST_STREAM_MAKE_H

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "stream/stream.h"

#define MAKE_TOKENIZER "0123456789abcdef0123456789abcdef"
enum { MAKE_VOCAB = 50000 };

static inline struct stream_header make_header(enum stream_kind kind)
{
    struct stream_header h = {.kind = kind, .vocab_size = MAKE_VOCAB};
    memcpy(h.tokenizer, MAKE_TOKENIZER, HASH128_HEX);
    if (kind != STREAM_TURNS) memcpy(h.template_id, MAKE_TOKENIZER, HASH128_HEX);
    buf_puts(&h.stages, "{\"command\":\"test\",\"version\":\"1\"}");
    return h;
}

/* Sample i: i % 17 + 2 tokens in two or three runs, a few with a weight of their own. */
static inline struct stream_sample make_sample(uint32_t i, uint32_t ids[32],
                                               struct stream_run runs[3])
{
    uint32_t n = i % 17 + 2;
    for (uint32_t k = 0; k < n; k++) ids[k] = (i * 2654435761u + k * 40503u) % MAKE_VOCAB;
    runs[0] = (struct stream_run){1, 0, -1, 0};
    runs[1] = (struct stream_run){n - 1, i % 5 == 0 ? 0.25f : 1, (int32_t)(i % 3), i % 7};
    return (struct stream_sample){{i % 2, i}, n, ids, runs, 2};
}

/* 0 and the stream's bytes in the file behind fd, or -1. */
static inline int make_samples(const char *path, uint32_t count, int threads, struct err *e)
{
    struct stream_header h = make_header(STREAM_SAMPLES);
    struct stream_writer *w = stream_create(path, &h, threads, e);
    stream_header_free(&h);
    int rc = w ? 0 : -1;
    for (uint32_t i = 0; rc == 0 && i < count; i++) {
        uint32_t ids[32];
        struct stream_run runs[3];
        struct stream_sample s = make_sample(i, ids, runs);
        rc = stream_put(
            w, &(struct stream_record){.kind = STREAM_SAMPLES, .samples = &s, .nsamples = 1}, e);
    }
    for (int i = 0; rc == 0 && i < 2; i++) rc = stream_add_input(w, MAKE_TOKENIZER, e);
    if (rc == 0) return stream_finish(w, e);
    stream_abort(w);
    return -1;
}

/* n bytes as a file without a name; its path is written to `path`. The descriptor, or -1. */
static inline int make_memory(const void *p, size_t n, char path[64])
{
    int fd = memfd_create("stream", 0);
    snprintf(path, 64, "/proc/self/fd/%d", fd);
    if (fd < 0 || write(fd, p, n) != (ssize_t)n) return -1;
    return fd;
}

/* Reads everything: the number of records, or -1 with a message. */
static inline int64_t make_count(const char *path, struct err *e)
{
    struct stream_reader *r = stream_open_any(path, e);
    const struct stream_record *rec;
    int64_t n = 0;
    int rc = r ? 0 : -1;
    while (r && (rc = stream_next(r, &rec, e)) > 0) n++;
    stream_close(r);
    return rc < 0 ? -1 : n;
}

#endif
