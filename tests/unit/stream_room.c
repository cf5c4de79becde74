/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a packed stream allocates no more than stream_room says, also where every token is a
 * sample of its own, and where it has a run of its own. */
#include "base/mem.h"
#include "stream_make.h"
#include "test.h"

enum { BYTES = 6 << 20, LONGEST = 1 << 16 }; /* content: several frames; tokens of a row */

/* One row of n samples of one token each, or of one sample of n runs. */
static int put_row(struct stream_writer *w, uint64_t step, uint32_t n, bool many, struct err *e)
{
    static struct stream_sample samples[LONGEST];
    static struct stream_run runs[LONGEST];
    static uint32_t ids[LONGEST];
    for (uint32_t i = 0; i < n; i++) {
        ids[i] = MAKE_VOCAB - 1 - i % 100;
        runs[i] = (struct stream_run){1, 0.25F, 3, i};
        samples[i] =
            (struct stream_sample){{0, 1 << 30}, many ? 1 : n, ids + i, runs + i, many ? 1 : n};
    }
    const struct stream_record r = {
        .kind = STREAM_PACKED, .samples = samples, .nsamples = many ? n : 1, .step = step};
    return stream_put(w, &r, e);
}

static int make(const char *path, uint32_t length, bool many, struct err *e)
{
    struct stream_header h = make_header(STREAM_PACKED);
    h.mode = PACK_DENSE;
    h.length = length;
    h.global_batch = 1;
    h.epochs = 1;
    h.steps = h.rows = BYTES / length / 8;
    h.samples = h.rows * (many ? length : 1);
    h.tokens = h.rows * length;
    h.label_tokens = many ? 0 : h.rows * (length - 1);
    struct stream_writer *w = stream_create(path, &h, 1, e);
    stream_header_free(&h);
    int rc = w ? 0 : -1;
    for (uint64_t i = 0; rc == 0 && i < h.rows; i++) rc = put_row(w, i, length, many, e);
    if (rc == 0) return stream_finish(w, e);
    stream_abort(w);
    return rc;
}

/* Reads all within `room` bytes; what did not fit. */
static uint64_t beyond(const char *path, size_t room, int64_t *rows, struct err *e)
{
    void *block = malloc(mem_reserve(room));
    mem_seal(block, room);
    *rows = stream_whole(path, e) ? -1 : make_count(path, e);
    const struct mem_sealed s = mem_sealed();
    mem_unseal();
    free(block);
    printf("# %.2f of %.2f MiB\n", (double)s.most / (1 << 20), (double)room / (1 << 20));
    return s.beyond;
}

int main(void)
{
    static const uint32_t lengths[] = {16, 2048, LONGEST};
    const char *tmp = getenv("TEST_TMP");
    char path[300], name[100];
    snprintf(path, sizeof path, "%s/stream_room-%d", tmp ? tmp : "/tmp", (int)getpid());
    for (int i = 0; i < 6; i++) {
        const uint32_t length = lengths[i / 2];
        struct err e = {0};
        int64_t rows = -1;
        int rc = make(path, length, i % 2, &e);
        uint64_t more = rc ? 1 : beyond(path, stream_room(length), &rows, &e);
        snprintf(name, sizeof name, "room: it holds rows of %u, %s of one token", (unsigned)length,
                 i % 2 ? "samples" : "runs");
        if (rows < 0) printf("# %s\n", e.msg);
        CHECK(name, rc == 0 && rows == BYTES / length / 8 && more == 0);
        if (i == 5)
            CHECK("room: a quarter of it is not enough",
                  beyond(path, stream_room(length) / 4, &rows, &e) > 0);
        unlink(path);
    }
    CHECK("room: it is bounded for rows of any length", stream_room(UINT64_MAX) > SIZE_MAX / 16);
    TEST_END();
}
