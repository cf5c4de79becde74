/* SPDX-License-Identifier: Apache-2.0 */
/* The best checkpoint and early stopping: which losses improve, which checkpoint may be the best,
 * what a resumed run remembers. tests/cli/best.sh compares whole runs with the rule. */
#include "train/best.h"

#include <math.h>

#include "test.h"

static struct best with(uint64_t patience, double threshold)
{
    struct best b;
    best_init(&b, &(struct best_options){true, patience, threshold});
    return b;
}

/* Losses after steps 1 to n, all of which are saved; returns the step at which the run ends, or n.
 */
static int see(struct best *b, const double *losses, int n)
{
    for (int i = 1; i <= n; i++) {
        best_see(b, (uint64_t)i, losses[i - 1], true);
        if (best_ends(b)) return i;
    }
    return n;
}

static void patience(void)
{
    const double v[] = {5, 4, 4.5, 3, 3, 3.5, 2, 9};
    struct best b = with(2, 0), never = with(0, 0);
    CHECK("best patience: an equal loss is no improvement, and two of these end the run",
          see(&b, v, 8) == 6 && b.waited == 2 && b.least == 3 && b.step == 4);
    CHECK("best patience: without it the run goes on",
          see(&never, v, 8) == 8 && !best_ends(&never));
    CHECK("best patience: the best is that of the least loss", never.step == 7 && never.loss == 2);
}

/* transformers lowers the least loss by any improvement, also one within the threshold. */
static void threshold(void)
{
    const double slow[] = {5, 4.75, 4.5, 4.25}, fast[] = {5, 4.75, 4, 3.75};
    struct best b = with(3, 0.25), c = with(3, 0.25);
    CHECK("best threshold: improvements of the threshold do not count",
          see(&b, slow, 4) == 4 && b.waited == 3 && best_ends(&b) && b.least == 4.25);
    CHECK("best threshold: their checkpoints are the best all the same", b.step == 4);
    CHECK("best threshold: a larger one resets the counter",
          see(&c, fast, 4) == 4 && c.waited == 1);
}

static void saved(void)
{
    struct best b = with(2, 0);
    best_see(&b, 1, 3, false);
    CHECK("best saved: a step that is not saved is not the best", b.step == 0 && b.least == 3);
    best_see(&b, 2, 4, true);
    CHECK("best saved: the first that is saved is", b.step == 2 && b.loss == 4 && b.waited == 1);
    best_see(&b, 3, 3.5, false);
    CHECK("best saved: the step at which the run ends early is saved, and may be the best",
          best_ends(&b) && b.step == 3 && b.loss == 3.5);
    best_forget(&b);
    best_see(&b, 4, 8, true);
    CHECK("best saved: after a loss of the best the next one is", b.step == 4 && b.least == 3);
}

static void nonfinite(void)
{
    struct best b = with(2, 0);
    best_see(&b, 1, NAN, true);
    CHECK("best not finite: it is no best, and the first validation waits for none",
          b.step == 0 && b.waited == 0 && isinf(b.least));
    best_see(&b, 2, INFINITY, true);
    CHECK("best not finite: it is no improvement", b.step == 0 && b.waited == 1);
    best_see(&b, 3, 7, true);
    CHECK("best not finite: any finite loss improves on it", b.step == 3 && b.waited == 0);
}

/* Reads text as a state. */
static int restore(struct best *b, const char *text, struct err *e)
{
    struct arena a = {0};
    const struct json *v = json_parse(text, strlen(text), &a, e);
    int rc = v ? best_read(b, v, e) : -1;
    arena_free(&a);
    return rc;
}

static bool same(const struct best *a, const struct best *b)
{
    return a->seen == b->seen && a->least == b->least && a->waited == b->waited &&
           a->step == b->step && a->loss == b->loss;
}

static void states(void)
{
    const double v[] = {1.0 / 3, 0.1, 2.0 / 3};
    struct best b = with(9, 0), again = with(9, 0), none = with(9, 0);
    struct buf text = {0}, empty = {0};
    struct err e = {0};
    see(&b, v, 3);
    best_write(&b, &text);
    CHECK("best state: a state is read back, to the last bit",
          restore(&again, text.data, &e) == 0 && same(&again, &b) && again.o.patience == 9);
    best_see(&none, 1, NAN, true);
    best_write(&none, &empty);
    CHECK("best state: so is one without a finite loss",
          restore(&again, empty.data, &e) == 0 && same(&again, &none));
    CHECK("best state: without a state it begins anew",
          best_read(&again, NULL, &e) == 0 && again.seen == 0 && isinf(again.least));
    CHECK("best state: a damaged state is refused",
          restore(&again, "{\"validations\":-1}", &e) == -1 && e.code == ERR_DATA &&
              strstr(e.msg, "validations") &&
              restore(&again, "{\"validations\":1,\"least\":\"x\"}", &e) == -1 &&
              strstr(e.msg, "least"));
    buf_free(&text);
    buf_free(&empty);
}

int main(void)
{
    patience();
    threshold();
    saved();
    nonfinite();
    states();
    TEST_END();
}
