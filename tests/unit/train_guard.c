/* SPDX-License-Identifier: Apache-2.0 */
/* Guards: which losses are spikes, what is done about them, what a resumed run remembers. */
#include "train/guard.h"

#include "test.h"

enum { SAMPLES = 10 };

static struct feed_step rows(void)
{
    static struct feed_sample s[SAMPLES];
    for (uint32_t i = 0; i < SAMPLES; i++) s[i].source = (struct stream_source){i % 2, 100 + i};
    return (struct feed_step){.samples = s, .nsamples = SAMPLES, .weight = 1};
}

static struct guard with(struct guard_options o)
{
    struct guard g;
    guard_init(&g, &o);
    return g;
}

/* Step k with this loss and a finite gradient. */
static int put(struct guard *g, uint64_t k, double loss, struct guard_finding *f, struct err *e)
{
    struct feed_step s = rows();
    return guard_check(g, k, &s, loss, 1, f, e);
}

/* n losses of 2, none of which is a finding. */
static bool usual(struct guard *g, int n)
{
    struct guard_finding f;
    struct err e;
    bool fine = true;
    for (int i = 0; i < n; i++) fine &= put(g, (uint64_t)i + 1, 2, &f, &e) == 0 && !f.found;
    return fine;
}

static void spikes(void)
{
    struct guard_finding f;
    struct err e;
    struct guard g = with((struct guard_options){.spike_factor = 3, .window = 8});
    CHECK("guard: four losses are too few to judge by",
          usual(&g, 4) && put(&g, 5, 100, &f, &e) == 0 && !f.found);
    CHECK("guard: five losses are enough",
          put(&g, 6, 100, &f, &e) == 0 && f.found && !f.skip && f.median == 2);
    CHECK("guard: the line names step, median and rows",
          strcmp(f.text, "step 6: loss 100 is 50 times the median of the last 5 (2); the step's "
                         "samples (file:row) are 0:100 1:101 0:102 1:103 0:104 1:105 0:106 1:107 "
                         "and 2 more, which metrics.jsonl names") == 0);
    CHECK("guard: at the factor itself there is no spike", put(&g, 7, 6, &f, &e) == 0 && !f.found);
    g = with((struct guard_options){.spike_factor = 3, .window = 8});
    usual(&g, 8);
    int found = 0; /* 8 losses of 2; the median of 8 is 2 until four of them are 7, then 4.5 */
    for (uint64_t k = 9; k < 20; k++) found += put(&g, k, 7, &f, &e) == 0 && f.found;
    CHECK("guard: the window moves on", found == 4);
    struct feed_step s = rows();
    s.weight = 0;
    g = with((struct guard_options){.spike_factor = 3, .window = 8});
    usual(&g, 5);
    for (uint64_t k = 6; k < 20; k++) guard_check(&g, k, &s, 0, 0, &f, &e);
    CHECK("guard: steps without a trained token are not compared with",
          put(&g, 20, 2, &f, &e) == 0 && !f.found && put(&g, 21, 7, &f, &e) == 0 && f.found);
    CHECK("guard: steps without a trained token are left out, whatever their loss is",
          g.skipped == 14 && guard_check(&g, 22, &s, NAN, NAN, &f, &e) == 0 && f.found && f.skip &&
              isnan(f.median) && g.skipped == 15 &&
              strcmp(f.text, "step 22: no trained token, nothing to learn; the step's samples "
                             "(file:row) are 0:100 1:101 0:102 1:103 0:104 1:105 0:106 1:107 and 2 "
                             "more, which metrics.jsonl names; no update made") == 0);
    g = with((struct guard_options){.window = 8});
    CHECK("guard: a factor of 0 turns it off",
          usual(&g, 8) && put(&g, 9, 1e9, &f, &e) == 0 && !f.found);
}

static void actions(void)
{
    struct guard_finding f;
    struct err e = {0};
    struct guard_options o = {.spike_factor = 2, .window = 5, .spike_action = GUARD_SKIP};
    struct guard g = with(o);
    usual(&g, 5);
    CHECK("skip: no update, and it is counted",
          put(&g, 6, 9, &f, &e) == 0 && f.skip && g.skipped == 1 && strstr(f.text, "no update"));
    o.spike_action = GUARD_STOP;
    g = with(o);
    usual(&g, 5);
    CHECK("stop: an error that names rows and overrides",
          put(&g, 6, 9, &f, &e) == -1 && e.code == ERR_NONFINITE && strstr(e.msg, "step 6: ") &&
              strstr(e.msg, "0:100 1:101") && strstr(e.msg, "sft.spike_action=warn"));
}

static void nonfinite(void)
{
    struct guard_finding f;
    struct feed_step s = rows();
    struct err e = {0};
    struct guard g = with((struct guard_options){.window = 5});
    CHECK("guard not finite: a loss that is not finite ends the run",
          guard_check(&g, 7, &s, INFINITY, 1, &f, &e) == -1 && e.code == ERR_NONFINITE &&
              strstr(e.msg, "step 7: loss inf") && strstr(e.msg, "0:100 1:101") &&
              strstr(e.msg, "sft.skip_nonfinite=true"));
    CHECK("guard not finite: a gradient that is not finite ends the run",
          guard_check(&g, 7, &s, 1, NAN, &f, &e) == -1);
    g = with((struct guard_options){.window = 5, .skip_nonfinite = true, .spike_factor = 3});
    usual(&g, 5);
    CHECK("guard not finite: skip_nonfinite leaves the update out and counts it",
          guard_check(&g, 6, &s, NAN, 1, &f, &e) == 0 && f.found && f.skip && isnan(f.median) &&
              g.skipped == 1 && strstr(f.text, "no update made"));
    CHECK("guard not finite: a loss that is skipped is not compared with",
          g.seen == 5 && usual(&g, 1));
    struct buf b = {0};
    s.nsamples = 3;
    guard_rows(&s, &b);
    CHECK("guard: all rows are written as JSON",
          b.data && strcmp(b.data, "[[0,100],[1,101],[0,102]]") == 0);
    buf_free(&b);
}

/* Reads text as a state. */
static int restore(struct guard *g, const char *text, struct err *e)
{
    struct arena a = {0};
    const struct json *v = json_parse(text, strlen(text), &a, e);
    int rc = v ? guard_read(g, v, e) : -1;
    arena_free(&a);
    return rc;
}

static void states(void)
{
    const struct guard_options o = {.spike_factor = 2, .window = 7, .skip_nonfinite = true};
    struct guard g = with(o), again = with(o);
    struct guard_finding f, x;
    struct feed_step s = rows();
    struct buf b = {0};
    struct err e;
    bool same = true;
    for (uint64_t k = 1; k < 20; k++) put(&g, k, 1.0 / (double)(k * k % 11 + 1), &f, &e);
    guard_check(&g, 20, &s, NAN, 1, &f, &e);
    guard_write(&g, &b);
    CHECK("guard state: a state is read back",
          restore(&again, b.data, &e) == 0 && again.skipped == 1);
    for (uint64_t k = 21; k < 60; k++) {
        double loss = (double)(k * k % 13);
        same &= put(&g, k, loss, &f, &e) == put(&again, k, loss, &x, &e) && f.found == x.found &&
                (!f.found || strcmp(f.text, x.text) == 0);
    }
    CHECK("guard state: a restored one judges as the one that went on", same);
    CHECK("guard state: without a state it begins anew",
          guard_read(&again, NULL, &e) == 0 && again.seen == 0 && again.skipped == 0);
    CHECK("guard state: a damaged state is refused",
          restore(&again, "{\"losses\":[1,\"x\"],\"skipped\":0}", &e) == -1 && e.code == ERR_DATA &&
              restore(&again, "{\"losses\":3,\"skipped\":0}", &e) == -1 &&
              restore(&again, "{\"losses\":[],\"skipped\":-1}", &e) == -1 &&
              restore(&again, "{\"losses\":[]}", &e) == -1);
    buf_free(&b);
}

int main(void)
{
    spikes();
    actions();
    nonfinite();
    states();
    TEST_END();
}
