/* SPDX-License-Identifier: Apache-2.0 */
/* Plans: what a packed stream promises is kept, at both ends; several streams read as one. */
#include "base/io.h"
#include "stream_make.h"
#include "test.h"

static char dir[200];

static const char *at(const char *name)
{
    static char path[4][300];
    static int turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

/* Rows of one sample of 5 tokens each, or of as many as `samples` says. */
struct row {
    uint64_t step;
    uint32_t samples;
};

static struct stream_header plan_header(enum pack_mode mode, uint64_t steps, uint64_t rows,
                                        uint64_t samples)
{
    struct stream_header h = make_header(STREAM_PACKED);
    h.mode = mode;
    h.length = 10;
    h.global_batch = 2;
    h.steps = steps;
    h.rows = rows;
    h.samples = samples;
    h.tokens = samples * 5;
    h.label_tokens = samples * 4;
    h.epochs = 1.5;
    h.seed = INT64_MAX;
    return h;
}

static int put_rows(const char *path, const struct stream_header *h, const struct row *rows, int n,
                    struct err *e)
{
    const uint32_t ids[] = {9, 8, 7, 6, 5};
    const struct stream_run run = {5, 1, 0, 0};
    struct stream_sample s[4];
    struct stream_writer *w = stream_create(path, h, 1, e);
    int rc = w ? 0 : -1;
    for (int i = 0; rc == 0 && i < n; i++) {
        for (uint32_t k = 0; k < rows[i].samples; k++)
            s[k] = (struct stream_sample){{0, k}, 5, ids, &run, 1};
        rc = stream_put(w,
                        &(struct stream_record){.kind = STREAM_PACKED,
                                                .samples = s,
                                                .nsamples = rows[i].samples,
                                                .step = rows[i].step},
                        e);
    }
    if (rc == 0) return stream_finish(w, e);
    stream_abort(w);
    return -1;
}

static void test_good(void)
{
    struct err e = {0};
    const struct row rows[] = {{0, 2}, {1, 1}, {1, 1}, {2, 1}};
    struct stream_header h = plan_header(PACK_BATCH, 3, 4, 5);
    CHECK("plan stream: rows are written", put_rows(at("plan"), &h, rows, 4, &e) == 0);
    stream_header_free(&h);
    struct stream_reader *r = stream_open(at("plan"), STREAM_PACKED, &e);
    const struct stream_header *g = r ? stream_header(r) : NULL;
    CHECK("plan stream: the header has the plan's numbers",
          g && g->mode == PACK_BATCH && g->length == 10 && g->global_batch == 2 && g->steps == 3 &&
              g->rows == 4 && g->samples == 5 && g->tokens == 25 && g->label_tokens == 20 &&
              g->epochs == 1.5 && g->seed == INT64_MAX && !g->in_order);
    const struct stream_record *rec;
    CHECK("plan stream: the first row has its samples",
          r && stream_next(r, &rec, &e) == 1 && rec->nsamples == 2 && rec->step == 0 &&
              rec->samples[1].ids[4] == 5 && rec->samples[1].source.row == 1);
    while (r && stream_next(r, &rec, &e) > 0) {}
    CHECK("plan stream: the first token of a sample is no label",
          stream_counts(r).label_tokens == 20);
    stream_close(r);
}

static void refuse(const char *name, struct stream_header h, const struct row *rows, int n)
{
    struct err e = {0};
    bool refused = put_rows(at("bad"), &h, rows, n, &e) < 0 && e.msg[0];
    CHECK_IN("plan stream refused", name, refused && !io_exists(at("bad"), NULL));
    stream_header_free(&h);
}

static void test_rules(void)
{
    const struct row gap[] = {{0, 1}, {2, 1}}, late[] = {{1, 1}}, back[] = {{0, 1}, {1, 1}, {0, 1}};
    const struct row long_row[] = {{0, 3}}, full[] = {{0, 2}, {0, 1}}, empty[] = {{0, 0}};
    const struct row two[] = {{0, 2}}, one[] = {{0, 1}}, three[] = {{0, 1}, {0, 1}, {0, 1}};
    refuse("a step is missing", plan_header(PACK_BATCH, 3, 2, 2), gap, 2);
    refuse("steps start at 0", plan_header(PACK_BATCH, 2, 1, 1), late, 1);
    refuse("steps do not fall", plan_header(PACK_BATCH, 2, 3, 3), back, 3);
    refuse("a row over length", plan_header(PACK_DENSE, 1, 1, 3), long_row, 1);
    refuse("a step over its batch", plan_header(PACK_BATCH, 1, 2, 3), full, 2);
    refuse("dense: rows over the batch", plan_header(PACK_DENSE, 1, 3, 3), three, 3);
    refuse("a row of nothing", plan_header(PACK_BATCH, 1, 1, 0), empty, 1);
    refuse("none: a row of two", plan_header(PACK_NONE, 1, 1, 2), two, 1);
    refuse("fewer rows than promised", plan_header(PACK_BATCH, 1, 2, 1), one, 1);
    refuse("more samples than promised", plan_header(PACK_BATCH, 1, 1, 1), two, 1);
    refuse("more steps than promised", plan_header(PACK_BATCH, 2, 1, 1), one, 1);
}

static void test_set(void)
{
    struct err e = {0};
    const struct stream_record *rec;
    char a[300], b[300];
    char *paths[] = {a, b, a};
    snprintf(a, sizeof a, "%s", at("a"));
    snprintf(b, sizeof b, "%s", at("b"));
    CHECK("stream set: two streams are written",
          make_samples(a, 10, 1, &e) == 0 && make_samples(b, 7, 1, &e) == 0);
    struct stream_set *s = stream_set_open(paths, 3, STREAM_SAMPLES, &e);
    uint32_t n = 0, wrong = 0;
    for (; s && stream_set_next(s, &rec, &e) > 0; n++) {
        uint32_t stream = n < 10 ? 0 : n < 17 ? 1 : 2, i = n - (uint32_t[]){0, 10, 17}[stream];
        wrong +=
            rec->samples[0].source.row != i || rec->samples[0].source.file != 2 * stream + i % 2;
    }
    CHECK("stream set: they are read as one", s && n == 27 && e.code == ERR_OK);
    CHECK("stream set: file numbers count on", wrong == 0);
    CHECK("stream set: equal stages stand once",
          s && strcmp(stream_set_header(s)->stages.data,
                      "{\"command\":\"test\",\"version\":\"1\"}") == 0);
    stream_set_close(s);
    paths[1] = (char *)(uintptr_t)at("plan");
    CHECK("stream set: streams of different kinds are refused",
          !stream_set_open(paths, 2, STREAM_SAMPLES, &e) && e.code == ERR_DATA);
}

int main(void)
{
    const char *tmp = getenv("TEST_TMP");
    snprintf(dir, sizeof dir, "%s/plan.XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir)) return 70;
    struct err e = {0};
    test_good();
    test_rules();
    test_set();
    io_remove_tree(dir, &e);
    TEST_END();
}
