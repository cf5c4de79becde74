/* SPDX-License-Identifier: Apache-2.0 */
/* The time that a run still takes: how often each kind comes, and their measured means. */
#include "train/loop_impl.h"

#include "test.h"

/* Returns what a run of 10 steps that begins after `from` expects. */
static struct eta expected(uint64_t from, const char *validation)
{
    struct trainer t = {.step = from};
    struct loop l = {.o = {.eval_steps = 4, .save_steps = 3}, .trainer = &t};
    l.validation = validation;
    loop_expect(&l, 10);
    return l.eta;
}

static void test_run(void)
{
    const struct eta a = expected(0, "val"), b = expected(4, "val"), c = expected(0, NULL);
    CHECK("run: a new one validates before the first step, when due and at the end",
          a.of[ETA_STEP].todo == 10 && a.of[ETA_VALIDATION].todo == 4);
    CHECK("run: it saves when due and at the end",
          a.of[ETA_SAVE].todo == 3 && a.of[ETA_LAST].todo == 1);
    CHECK("run: a continued one has done a part of both",
          b.of[ETA_STEP].todo == 6 && b.of[ETA_VALIDATION].todo == 2 && b.of[ETA_SAVE].todo == 2);
    CHECK("run: without a stream for it nothing is validated", c.of[ETA_VALIDATION].todo == 0);
}

int main(void)
{
    test_run();
    CHECK("times: each multiple and the last step count", eta_times(4, 0, 10) == 3);
    CHECK("times: a last step that is a multiple counts once", eta_times(5, 0, 10) == 2);
    CHECK("times: those at and before the first step are over", eta_times(4, 4, 10) == 2);
    CHECK("times: without an interval only the last counts", eta_times(0, 3, 10) == 1);
    CHECK("times: after the last step none is left", eta_times(4, 10, 10) == 0);
    struct eta a = {0};
    a.of[ETA_STEP].todo = 10;
    a.of[ETA_VALIDATION].todo = 3;
    a.of[ETA_SAVE].todo = 2;
    a.of[ETA_LAST].todo = 1;
    CHECK("left: nothing is known before anything is measured", eta_left(&a) == 0);
    eta_measure(&a, ETA_STEP, 1);
    eta_measure(&a, ETA_STEP, 3);
    eta_done(&a, ETA_STEP);
    CHECK("left: steps count at their mean", eta_left(&a) == 9 * 2);
    eta_measure(&a, ETA_VALIDATION, 5);
    CHECK("left: validations to come count at theirs", eta_left(&a) == 18 + 3 * 5);
    eta_measure(&a, ETA_SAVE, 0.5);
    eta_measure(&a, ETA_LAST, 8);
    CHECK("left: so do saves, the last with all of its time", eta_left(&a) == 33 + 1 + 8);
    for (int i = 0; i < 12; i++) eta_done(&a, ETA_STEP);
    CHECK("left: what is over does not count", eta_left(&a) == 15 + 1 + 8);
    TEST_END();
}
