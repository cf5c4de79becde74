/* SPDX-License-Identifier: Apache-2.0 */
/* Known of a stream before anything is trained on it: whether some token is trained in the
 * steps to come, and whether all ids are the model's; how a strange id is told. */
#include "base/io.h"
#include "data/feed_check.h"
#include "stream_make.h"
#include "test.h"

enum { STEPS = 4, STRANGER = 40000 };
static char path[300];

/* A plan of one sample of three tokens a step, of which those in step `trained` are trained
 * (STEPS: none), and of which the second of step `strange` is STRANGER. */
static int make_plan(uint64_t trained, uint64_t strange, struct err *e)
{
    struct stream_header h = make_header(STREAM_PACKED);
    h.mode = PACK_NONE;
    h.length = 8;
    h.global_batch = 1;
    h.epochs = 1;
    h.steps = h.rows = h.samples = STEPS;
    h.tokens = 3 * STEPS;
    h.label_tokens = trained < STEPS ? 2 : 0;
    struct stream_writer *w = stream_create(path, &h, 1, e);
    stream_header_free(&h);
    int rc = w ? 0 : -1;
    for (uint64_t k = 0; rc == 0 && k < STEPS; k++) {
        const uint32_t ids[] = {7, k == strange ? STRANGER : 8, 9};
        const struct stream_run run = {3, k == trained, 0, 0};
        struct stream_sample s = {{1, 100 + k}, 3, ids, &run, 1};
        rc = stream_put(
            w,
            &(struct stream_record){.kind = STREAM_PACKED, .samples = &s, .nsamples = 1, .step = k},
            e);
    }
    if (rc == 0) return stream_finish(w, e);
    stream_abort(w);
    return -1;
}

static void put_text(void *arg, uint32_t id, struct buf *b)
{
    buf_printf(b, "%s%u", (const char *)arg, id);
}

static char prefix[] = "tok";
static const struct model_vocab all = {.size = MAKE_VOCAB},
                                few = {.size = STRANGER, .text = put_text, .arg = prefix};

static bool refused(const struct model_vocab *v, uint64_t steps, const char *why)
{
    struct err e = {0};
    bool is = feed_survey(path, v, steps, &e) == -1 && e.code == ERR_DATA && strstr(e.msg, why);
    if (!is) printf("# %s\n", e.msg);
    return is;
}
static bool fine(const struct model_vocab *v, uint64_t steps)
{
    struct err e = {0};
    return feed_survey(path, v, steps, &e) == 0;
}

static void labels(void)
{
    struct err e = {0};
    bool made = make_plan(2, STEPS, &e) == 0;
    CHECK("survey labels: one in the last step that counts is enough",
          made && fine(&all, 3) && fine(&all, 4));
    CHECK("survey labels: none in the steps that count is refused",
          made && refused(&all, 2,
                          "no trained token in the steps up to "
                          "max_steps (2 of 4)"));
    made = make_plan(STEPS, STEPS, &e) == 0;
    CHECK("survey labels: none in the whole plan is refused",
          made && refused(&all, STEPS, "no trained token in the whole plan"));
    struct feed *f = feed_open(path, false, &all, &e);
    const struct feed_wanted w = {.tokenizer = MAKE_TOKENIZER};
    CHECK("survey labels: the header tells of none too",
          f && feed_check(f, &w, &e) == -1 && e.code == ERR_DATA &&
              strstr(e.msg, "no trained token in the whole plan"));
    feed_close(f);
}

static void ids(void)
{
    static const char *const said =
        "file 1 row 103: token 40000 (\"tok40000\") is not in the model's vocabulary of 40000 "
        "tokens: its embedding has no such row; enlarge it";
    struct err e = {0};
    struct feed_step s = {0};
    bool made = make_plan(0, 3, &e) == 0;
    CHECK("survey ids: an id that the model lacks is refused", made && refused(&few, STEPS, said));
    CHECK("survey ids: one after the steps that count is taken", made && fine(&few, 3));
    CHECK("survey ids: those that the model has are taken", made && fine(&all, STEPS));
    struct feed *f = made ? feed_open(path, false, &few, &e) : NULL;
    int rc = f ? 1 : -1, steps = 0;
    while (rc == 1 && (rc = feed_next(f, &s, &e)) == 1) steps++;
    CHECK("survey ids: an unknown id is refused when its step comes",
          rc == -1 && steps == 3 && e.code == ERR_DATA && strstr(e.msg, ": row 3 (") &&
              strstr(e.msg, "(file 1 row 103): token 40000 (\"tok40000\") is not in"));
    feed_step_free(&s);
    feed_close(f);
}

/* A token's text is cut between characters. */
static void long_text(void)
{
    static char word[200];
    const struct model_vocab v = {.size = 5, .text = put_text, .arg = word};
    struct err e = {0};
    for (int i = 0; i < 66; i++) memcpy(word + 1 + 3 * i, "\xe4\xbd\xa0", 3);
    word[0] = 'x';
    CHECK("survey ids: a long text is cut between characters",
          model_check_id(&v, 4, &e) == 0 && model_check_id(&v, 5, &e) == -1 &&
              strstr(e.msg, "\xe4\xbd\xa0...\") is not") && !strstr(e.msg, "\xe4..."));
    const struct model_vocab none = {.size = 5};
    CHECK("survey ids: an id without a text is named",
          model_check_id(&none, UINT32_MAX, &e) == -1 && strstr(e.msg, "token 4294967295 is not"));
}

int main(void)
{
    const char *tmp = getenv("TEST_TMP");
    snprintf(path, sizeof path, "%s/train_survey-%d", tmp ? tmp : "/tmp", (int)getpid());
    labels();
    ids();
    long_text();
    unlink(path);
    TEST_END();
}
