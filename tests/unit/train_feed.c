/* SPDX-License-Identifier: Apache-2.0 */
/* Reading ahead: the same steps, checksums and failures for any depth, in memory of a known size.
 */
#include "data/feed.h"

#include <pthread.h>
#include <signal.h>

#include "base/io.h"
#include "stream_make.h"
#include "test.h"

enum { STEPS = 3000, BATCH = 4, LENGTH = 64, ROWS = STEPS * 2, SAMPLES = STEPS * BATCH };
static const struct model_vocab vocabulary = {.size = MAKE_VOCAB};
static const unsigned depths[] = {0, 1, 2, 7, 400};
enum { DEPTHS = sizeof depths / sizeof *depths };

/* A plan of two rows a step with two samples each. */
static int make_plan(struct buf *bytes, struct err *e)
{
    const char *tmp = getenv("TEST_TMP");
    char path[300];
    snprintf(path, sizeof path, "%s/train_feed-%d", tmp ? tmp : "/tmp", (int)getpid());
    struct stream_header h = make_header(STREAM_PACKED);
    h.mode = PACK_BATCH;
    h.length = LENGTH;
    h.global_batch = BATCH;
    h.epochs = 1;
    h.steps = STEPS;
    h.rows = ROWS;
    h.samples = SAMPLES;
    for (uint32_t i = 0; i < SAMPLES; i++) h.tokens += i % 17 + 2, h.label_tokens += i % 17 + 1;
    struct stream_writer *w = stream_create(path, &h, 1, e);
    stream_header_free(&h);
    int rc = w ? 0 : -1;
    for (uint32_t row = 0; rc == 0 && row < ROWS; row++) {
        uint32_t ids[2][32];
        struct stream_run runs[2][3];
        struct stream_sample s[2] = {make_sample(2 * row, ids[0], runs[0]),
                                     make_sample(2 * row + 1, ids[1], runs[1])};
        const struct stream_record r = {
            .kind = STREAM_PACKED, .samples = s, .nsamples = 2, .step = row / 2};
        rc = stream_put(w, &r, e);
    }
    if (rc == 0)
        rc = stream_finish(w, e);
    else
        stream_abort(w);
    if (rc == 0) rc = io_slurp(path, 1 << 24, bytes, e);
    unlink(path);
    return rc;
}

/* The result of reading a feed to its end: a line a step, then the message. */
struct outcome {
    struct buf text;
    uint64_t steps;
};

static void put_step(struct outcome *o, const struct feed_step *s, uint64_t checksum)
{
    uint64_t h = hash64(s->ids, s->tokens * sizeof *s->ids, 1);
    h = hash64(s->weights, s->tokens * sizeof *s->weights, h);
    for (size_t i = 0; i < s->nsamples; i++)
        h = h * 31 + s->samples[i].source.row * 7 + s->samples[i].n;
    buf_printf(&o->text, "%llu: %zu tokens, %zu rows, weight %.17g, %llx, %llx\n",
               (unsigned long long)s->step, s->tokens, s->nrows, s->weight, (unsigned long long)h,
               (unsigned long long)checksum);
    o->steps++;
}

/* depth -1: not read ahead. */
static struct outcome read_all(const char *path, int64_t vocab, const struct feed_room *room,
                               int depth)
{
    struct outcome o = {0};
    struct feed_step s = {0};
    struct err e = {0};
    struct feed *f = feed_open(path, false, &(struct model_vocab){.size = vocab}, &e);
    int rc = f ? 1 : -1;
    if (f && depth >= 0 && feed_prefetch(f, room, (unsigned)depth, NULL, &e)) rc = -1;
    while (rc == 1 && (rc = feed_next(f, &s, &e)) == 1) put_step(&o, &s, feed_checksum(f));
    if (rc < 0 && f) { /* again the same */
        struct err again = {0};
        rc = feed_next(f, &s, &again) == -1 || depth < 0 ? -1 : 1;
    }
    buf_printf(&o.text, "%d %s\n", rc, rc < 0 ? e.msg : "");
    feed_step_free(&s);
    feed_close(f);
    return o;
}

static const struct feed_room room = {.tokens = LENGTH * BATCH, .samples = BATCH, .rows = BATCH};

/* Every depth gives what no reading ahead gives; how many steps that is. */
static uint64_t same(const char *name, const char *path, int64_t vocab, const char *message)
{
    struct outcome plain = read_all(path, vocab, &room, -1);
    bool fine = plain.text.data && strstr(plain.text.data, message);
    for (int i = 0; i < DEPTHS; i++) {
        struct outcome o = read_all(path, vocab, &room, (int)depths[i]);
        fine &= EXPECT(name, o.text.data && strcmp(o.text.data, plain.text.data) == 0);
        buf_free(&o.text);
    }
    if (!fine) printf("# %s\n", plain.text.data ? plain.text.data : "");
    CHECK(name, fine);
    buf_free(&plain.text);
    return plain.steps;
}

/* A pipe into which a thread writes the first n bytes; it then closes it, or leaves it open. */
struct source {
    const char *p;
    size_t n;
    int fd[2];
    bool ends;
    pthread_t thread;
    char path[64];
};
static void *pour(void *arg)
{
    struct source *s = arg;
    for (size_t at = 0; at < s->n;) {
        ssize_t k = write(s->fd[1], s->p + at, s->n - at);
        if (k <= 0) break;
        at += (size_t)k;
    }
    if (s->ends) close(s->fd[1]);
    return NULL;
}
static bool source_open(struct source *s, const struct buf *b, size_t n, bool ends)
{
    *s = (struct source){.p = b->data, .n = n, .ends = ends};
    if (pipe(s->fd)) return false;
    snprintf(s->path, sizeof s->path, "/proc/self/fd/%d", s->fd[0]);
    return pthread_create(&s->thread, NULL, pour, s) == 0;
}
static void source_close(struct source *s)
{
    close(s->fd[0]);
    pthread_join(s->thread, NULL);
    if (!s->ends) close(s->fd[1]);
}

/* The steps that come out of a pipe that ends after n bytes. */
static struct outcome piped(const struct buf *b, size_t n, int depth)
{
    struct source s;
    struct outcome o = {0};
    if (!source_open(&s, b, n, true)) return o;
    o = read_all(s.path, MAKE_VOCAB, &room, depth);
    char *at = o.text.data ? strstr(o.text.data, "/proc/") : NULL;
    if (at) memset(at, '-', strcspn(at, ":")); /* descriptors may differ */
    source_close(&s);
    return o;
}

static void cut_short(const struct buf *b)
{
    struct outcome plain = piped(b, b->len / 2, -1);
    bool fine = plain.steps < STEPS && strstr(plain.text.data, "ended early");
    for (int i = 0; i < DEPTHS; i++) {
        struct outcome o = piped(b, b->len / 2, (int)depths[i]);
        fine &= o.text.data && strcmp(o.text.data, plain.text.data) == 0;
        buf_free(&o.text);
    }
    if (!fine) printf("# %s\n", plain.text.data ? plain.text.data : "");
    CHECK("feed: a pipe that ends early fails where it would without reading ahead", fine);
    buf_free(&plain.text);
}

static bool take(struct feed *f, uint64_t steps)
{
    struct feed_step s = {0};
    struct err e;
    for (uint64_t k = 0; k < steps; k++)
        if (feed_next(f, &s, &e) != 1 || s.step != k) return false;
    return true;
}

/* A writer that has not written all yet does not hold up the end of a run. */
static void closing(const struct buf *b, const char *path)
{
    struct err e = {0};
    struct source s;
    bool fine = source_open(&s, b, b->len - 20, false);
    struct feed *f = fine ? feed_open(s.path, false, &vocabulary, &e) : NULL;
    fine = f && feed_prefetch(f, &room, STEPS, NULL, &e) == 0;
    feed_close(f);
    source_close(&s);
    CHECK("feed closing: it can be closed while it waits for input", fine);
    f = feed_open(path, false, &vocabulary, &e);
    fine = f && feed_prefetch(f, &room, 3, NULL, &e) == 0 && take(f, 2);
    feed_close(f);
    CHECK("feed closing: it can be closed with steps that nobody took", fine);
}

/* The rows of a step that is larger than the room come one part after the other. */
static bool in_parts(const char *path, const struct feed_room *small)
{
    struct feed_step s = {0}, whole = {0};
    struct err e = {0};
    struct feed *f = feed_open(path, false, &vocabulary, &e);
    struct feed *g = feed_open(path, false, &vocabulary, &e);
    bool fine = f && g && feed_prefetch(f, small, 0, NULL, &e) == 0;
    uint64_t steps = 0, more = 0;
    int rc = 0;
    for (; fine && (rc = feed_next(g, &whole, &e)) == 1; steps++) {
        size_t tokens = 0, rows = 0;
        double weight = 0;
        for (; fine && rows < whole.nrows; tokens += s.tokens, rows += s.nrows) {
            fine = feed_next(f, &s, &e) == 1 && s.step == whole.step &&
                   memcmp(s.ids, whole.ids + tokens, s.tokens * sizeof *s.ids) == 0;
            weight += s.weight;
            more += s.nrows < whole.nrows;
        }
        fine = fine && tokens == whole.tokens && fabs(weight - whole.weight) < 1e-6;
    }
    fine = fine && rc == 0 && steps == STEPS && feed_next(f, &s, &e) == 0 &&
           feed_checksum(f) == feed_checksum(g) && more > STEPS / 10;
    feed_step_free(&whole);
    feed_close(f);
    feed_close(g);
    return fine;
}

static void parts(const char *path)
{
    const uint64_t many = LENGTH * BATCH;
    CHECK("feed parts: they have at most so many rows",
          in_parts(path, &(struct feed_room){many, many, 1, .parts = true}));
    CHECK("feed parts: they have at most so many samples",
          in_parts(path, &(struct feed_room){many, 3, BATCH, .parts = true}));
    CHECK("feed parts: they have at most so many tokens",
          in_parts(path, &(struct feed_room){40, many, BATCH, .parts = true}));
}

static void rooms(const char *path)
{
    struct feed_room r = feed_room(LENGTH, BATCH, PACK_BATCH), dense;
    CHECK("feed room: a step needs its tokens, rows and samples",
          r.tokens == LENGTH * BATCH && r.rows == BATCH && r.samples == BATCH);
    dense = feed_room(LENGTH, BATCH, PACK_DENSE);
    CHECK("feed room: a dense step may have as many samples as tokens",
          dense.samples == LENGTH * BATCH);
    CHECK("feed room: its bytes are 8 a token and the ends of samples and rows",
          feed_room_bytes(&r, 0) == LENGTH * BATCH * 8 + BATCH * sizeof(struct feed_sample) +
                                        (BATCH * sizeof(struct feed_row) + 63) / 64 * 64 &&
              feed_room_bytes(&r, 4) == 5 * feed_room_bytes(&r, 0));
    r = feed_room(UINT64_MAX / 2, 16, PACK_BATCH);
    CHECK("feed room: a size that overflows is told", feed_room_bytes(&r, 1) == SIZE_MAX);
    const struct feed_room small[] = {{.tokens = 20, .samples = BATCH, .rows = BATCH},
                                      {.tokens = LENGTH * BATCH, .samples = 3, .rows = BATCH},
                                      {.tokens = LENGTH * BATCH, .samples = BATCH, .rows = 1}};
    bool fine = true;
    for (size_t i = 0; i < sizeof small / sizeof *small; i++) {
        struct outcome o = read_all(path, MAKE_VOCAB, &small[i], 2);
        fine &= o.steps < STEPS && strstr(o.text.data, "its step is larger than the global batch");
        buf_free(&o.text);
    }
    CHECK("feed room: a step that is too large is refused", fine);
}

int main(void)
{
    struct buf b = {0};
    struct err e = {0};
    char path[64];
    signal(SIGPIPE, SIG_IGN);
    bool made = make_plan(&b, &e) == 0;
    int fd = made ? make_memory(b.data, b.len, path) : -1;
    if (!made) printf("# %s\n", e.msg);
    CHECK("feed: a plan is made", made && fd >= 0 && b.len > 300000);
    if (!made) return 1;
    CHECK("feed: it gives all steps",
          same("feed: any depth, the same steps", path, MAKE_VOCAB, "\n0 \n") == STEPS);
    uint64_t n = same("feed: any depth, the same failure", path, MAKE_VOCAB - 40, "vocabulary");
    CHECK("feed: damage is told after the same steps at any depth", n < STEPS);
    cut_short(&b);
    closing(&b, path);
    rooms(path);
    parts(path);
    close(fd);
    buf_free(&b);
    TEST_END();
}
