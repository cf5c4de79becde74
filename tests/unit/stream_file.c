/* SPDX-License-Identifier: Apache-2.0 */
/* Streams: what is written is read; no cut and no flipped bit goes unnoticed. */
#include "base/io.h"
#include "stream_make.h"
#include "test.h"

static char dir[200];

static const char *at(const char *name)
{
    static char path[300];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static bool same_sample(const struct stream_sample *a, const struct stream_sample *b)
{
    if (a->n != b->n || a->nruns != b->nruns || a->source.file != b->source.file ||
        a->source.row != b->source.row || memcmp(a->ids, b->ids, a->n * sizeof *a->ids) != 0)
        return false;
    for (uint32_t i = 0; i < a->nruns; i++)
        if (memcmp(&a->runs[i], &b->runs[i], sizeof a->runs[i]) != 0) return false;
    return true;
}

static void test_samples(void)
{
    enum { N = 60000 }; /* several frames */
    struct err e = {0};
    CHECK("samples: a stream is written", make_samples(at("a"), N, 1, &e) == 0);
    struct stream_reader *r = stream_open(at("a"), STREAM_SAMPLES, &e);
    CHECK("samples: a stream is opened", r != NULL);
    if (!r) return;
    CHECK("samples: the header names the tokenizer",
          strcmp(stream_header(r)->tokenizer, MAKE_TOKENIZER) == 0 &&
              stream_header(r)->vocab_size == MAKE_VOCAB);
    CHECK("samples: the header names the stages",
          strcmp(stream_header(r)->stages.data, "{\"command\":\"test\",\"version\":\"1\"}") == 0);
    const struct stream_record *rec;
    uint32_t i = 0, differ = 0;
    int rc;
    while ((rc = stream_next(r, &rec, &e)) > 0) {
        uint32_t ids[32];
        struct stream_run runs[3];
        struct stream_sample s = make_sample(i++, ids, runs);
        differ += !same_sample(&s, &rec->samples[0]);
    }
    CHECK("samples: all records are read, then the end", rc == 0 && i == N);
    CHECK("samples: records are as written", differ == 0);
    CHECK("samples: the trailer has the inputs' digests",
          stream_inputs(r) == 2 && strcmp(stream_input(r, 1), MAKE_TOKENIZER) == 0);
    CHECK("samples: the trailer has the counts",
          stream_counts(r).samples == N && stream_counts(r).records == N);
    CHECK("samples: reading after the end is the end", stream_next(r, &rec, &e) == 0);
    stream_close(r);
    CHECK("samples: another kind is refused, and its command named",
          !stream_open(at("a"), STREAM_PACKED, &e) && e.code == ERR_DATA &&
              strstr(e.msg, "sft-pack"));
}

static void test_threads(void)
{
    struct err e = {0};
    struct buf one = {0}, many = {0};
    CHECK("stream threads: one thread writes",
          make_samples(at("t1"), 100000, 1, &e) == 0 && io_slurp(at("t1"), 1 << 30, &one, &e) == 0);
    for (int threads = 2; threads <= 8; threads *= 2) {
        buf_reset(&many);
        bool made = make_samples(at("t2"), 100000, threads, &e) == 0 &&
                    io_slurp(at("t2"), 1 << 30, &many, &e) == 0;
        CHECK("stream threads: threads change no byte",
              made && one.len == many.len && memcmp(one.data, many.data, one.len) == 0);
    }
    buf_free(&one);
    buf_free(&many);
}

static int put_turns(const char *path, struct err *e)
{
    struct stream_header h = make_header(STREAM_TURNS);
    const uint32_t ids[] = {1, 127, 128, 16383, 16384, 49999};
    struct stream_message m[] = {
        {{STR("user"), NULL, 0}, {STR("hi \xe4\xbd\xa0"), ids, 6}, {NULL, 0}},
        {{STR("assistant"), NULL, 0}, {{NULL, 0}, NULL, 0}, STR("{\"content\":null}")},
        {{STR("assistant"), NULL, 0}, {STR(""), NULL, 0}, {NULL, 0}}};
    struct stream_record rec = {.kind = STREAM_TURNS,
                                .source = {0, UINT64_MAX},
                                .messages = m,
                                .nmessages = 3,
                                .tools = STR("[{}]"),
                                .kwargs = STR("{\"enable_thinking\":false}")};
    struct stream_writer *w = stream_create(path, &h, 1, e);
    stream_header_free(&h);
    if (!w || stream_put(w, &rec, e) < 0) return -1;
    rec.tools = STR("[]");
    rec.kwargs = (struct str){NULL, 0};
    if (stream_put(w, &rec, e) < 0) return -1;
    rec.tools = (struct str){NULL, 0};
    if (stream_put(w, &rec, e) < 0) return -1;
    return stream_finish(w, e);
}

static void test_turns(void)
{
    struct err e = {0};
    CHECK("turns: a stream is written", put_turns(at("turns"), &e) == 0);
    struct stream_reader *r = stream_open(at("turns"), STREAM_TURNS, &e);
    const struct stream_record *rec;
    bool got = r && stream_next(r, &rec, &e) == 1;
    CHECK("turns: a record has its messages and source",
          got && rec->nmessages == 3 && rec->source.row == UINT64_MAX);
    if (!got) return;
    const struct stream_message *m = rec->messages;
    CHECK("turns: texts, roles and tools are kept", str_is(m[0].content.text, "hi \xe4\xbd\xa0") &&
                                                        str_is(m[0].role.text, "user") &&
                                                        str_is(rec->tools, "[{}]"));
    CHECK("turns: ids are kept",
          m[0].content.nids == 6 && m[0].content.ids[2] == 128 && m[0].content.ids[5] == 49999);
    CHECK("turns: a message without content has none",
          !m[1].content.text.p && str_is(m[1].extra, "{\"content\":null}"));
    CHECK("turns: empty content is not none", m[2].content.text.p && m[2].content.text.n == 0);
    CHECK("turns: kwargs are kept", str_is(rec->kwargs, "{\"enable_thinking\":false}"));
    CHECK("turns: an empty list of tools is kept",
          stream_next(r, &rec, &e) == 1 && str_is(rec->tools, "[]") && !rec->kwargs.p);
    CHECK("turns: a record without tools has none",
          stream_next(r, &rec, &e) == 1 && !rec->tools.p && !rec->kwargs.p);
    CHECK("turns: the end is told", stream_next(r, &rec, &e) == 0);
    stream_close(r);
}

/* A stream that is bad in memory: 65 with a message, whatever is done to it. */
static bool refused(const char *p, size_t n)
{
    struct err e = {0};
    char path[64];
    int fd = make_memory(p, n, path);
    int64_t rc = make_count(path, &e);
    close(fd);
    return fd >= 0 && rc < 0 && e.code == ERR_DATA && e.msg[0];
}

static void test_damage(const char *what, const char *path)
{
    struct err e = {0};
    struct buf b = {0};
    char name[64];
    CHECK("damage: the stream is read whole", io_slurp(path, 1 << 20, &b, &e) == 0);
    size_t cuts = 0, flips = 0, more = 0;
    for (size_t n = 0; n < b.len; n++) cuts += refused(b.data, n);
    for (size_t bit = 0; bit < 8 * b.len; bit++) {
        b.data[bit / 8] = (char)(b.data[bit / 8] ^ 1 << bit % 8);
        flips += refused(b.data, b.len);
        b.data[bit / 8] = (char)(b.data[bit / 8] ^ 1 << bit % 8);
    }
    size_t n = b.len;
    for (int c = 0; c < 256; c++) {
        b.len = n;
        buf_putc(&b, (char)c);
        more += refused(b.data, b.len);
    }
    snprintf(name, sizeof name, "%s: cut at every byte (%zu)", what, n);
    CHECK(name, cuts == n);
    snprintf(name, sizeof name, "%s: every bit flipped", what);
    CHECK(name, flips == 8 * n);
    snprintf(name, sizeof name, "%s: a byte after the trailer", what);
    CHECK(name, more == 256);
    buf_add(&b, b.data, n);
    snprintf(name, sizeof name, "%s: another stream after the trailer", what);
    b.len = n;
    buf_add(&b, b.data, n);
    CHECK(name, refused(b.data, b.len));
    b.len = n;
    CHECK("damage: the undamaged stream is taken", !refused(b.data, n));
    buf_free(&b);
}

/* A pipe that ends early blames the stage before. */
static void test_pipe(void)
{
    struct err e = {0};
    struct buf b = {0};
    char path[64];
    int fd[2];
    CHECK("pipe: the stream is read whole",
          io_slurp(at("small"), 1 << 20, &b, &e) == 0 && pipe(fd) == 0);
    bool wrote = write(fd[1], b.data, b.len - 1) == (ssize_t)b.len - 1;
    close(fd[1]);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd[0]);
    CHECK("pipe: an early end names the stage before",
          wrote && make_count(path, &e) == -1 && e.code == ERR_DATA &&
              strstr(e.msg, "the stage before it failed"));
    close(fd[0]);
    buf_free(&b);
}

static void test_refusals(void)
{
    struct err e = {0};
    uint32_t ids[32];
    struct stream_run runs[3];
    struct stream_sample s = make_sample(3, ids, runs);
    struct stream_record rec = {.kind = STREAM_SAMPLES, .samples = &s, .nsamples = 1};
    struct stream_header h = make_header(STREAM_SAMPLES);
    const struct {
        const char *name;
        uint32_t id, run;
    } cases[] = {{"an id outside the vocabulary", MAKE_VOCAB, runs[1].n},
                 {"runs that do not sum up", 1, runs[1].n + 1},
                 {"an empty run", 1, 0}};
    for (size_t i = 0; i < 3; i++) {
        ids[0] = cases[i].id;
        runs[1].n = cases[i].run;
        struct stream_writer *w = stream_create(at("bad"), &h, 1, &e);
        CHECK_IN("stream refused", cases[i].name,
                 w && stream_put(w, &rec, &e) < 0 && stream_finish(w, &e) < 0 &&
                     !io_exists(at("bad"), NULL));
    }
    CHECK("stream refused: a missing file",
          !stream_open_any(at("none"), &e) && e.code == ERR_NOINPUT);
    CHECK("stream refused: a missing folder",
          !stream_create(at("none/x"), &h, 1, &e) && e.code == ERR_CREATE);
    stream_header_free(&h);
}

int main(void)
{
    const char *tmp = getenv("TEST_TMP");
    snprintf(dir, sizeof dir, "%s/stream.XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir)) return 70;
    struct err e = {0};
    test_samples();
    test_threads();
    test_turns();
    CHECK("stream: a small one is written", make_samples(at("small"), 3, 1, &e) == 0);
    test_damage("samples", at("small"));
    test_damage("turns", at("turns"));
    CHECK("stream: one without a sample is written and read",
          make_samples(at("empty"), 0, 1, &e) == 0 && make_count(at("empty"), &e) == 0);
    test_pipe();
    test_refusals();
    io_remove_tree(dir, &e);
    TEST_END();
}
