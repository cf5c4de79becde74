/* SPDX-License-Identifier: Apache-2.0 */
/* Learning rates and numbers of steps equal transformers' (tests/oracle/make_schedule_golden.py),
 * through the configuration that a user writes; arguments that do not fit are refused. */
#include "config_make.h"
#include "golden.h"
#include "options/options.h"
#include "pack/pack.h"

/* The configuration of one case; JSON is YAML. */
static struct made load(const struct json *args)
{
    struct buf b = {0};
    buf_puts(&b, BASE "sft_train:\n  training_args: ");
    json_write(args, &b);
    buf_putc(&b, '\n');
    struct made m = make_config(b.data, NULL, NULL);
    if (!m.rc)
        m.rc = config_check_trainable(m.c, &(struct config_start){1, "sft-train", false}, &m.e);
    if (m.rc) printf("# %s\n", m.e.msg);
    buf_free(&b);
    return m;
}

/* The worst relative difference of any rate of a case; where transformers' is 0, so is ours. */
static double off(const struct json *c, const struct sched_options *o)
{
    const struct json *want = json_get(c, "rates");
    double steps = golden_number(c, "steps"), bad = 0;
    if (!want || (double)want->count < steps) return INFINITY;
    struct sched s = sched_make(o, (uint64_t)steps);
    for (size_t i = 0; i < want->count; i++) {
        double w = golden_at(want, i), r = sched_rate(&s, i + 1);
        bad = worse(bad, w == 0 ? fabs(r) * 1e300 : apart(r, w));
    }
    return bad;
}

static void rates(const struct json *cases)
{
    enum { TYPES = SCHED_WARMUP_STABLE_DECAY + 1 };
    double bad[TYPES] = {0};
    int seen[TYPES] = {0};
    char name[80];
    for (size_t i = 0; cases && i < cases->count; i++) {
        const struct json *c = &cases->items[i];
        struct made m = load(json_get(c, "training_args"));
        struct train_options o;
        if (m.rc) continue;
        double d = train_options_from(m.c, false, &o, &m.e) ? INFINITY : off(c, &o.sched);
        if (!(d <= 1e-12)) printf("# case %zu: %g\n", i, d);
        bad[o.sched.type] = worse(bad[o.sched.type], d);
        seen[o.sched.type]++;
        config_free(m.c);
    }
    for (int k = 0; k < TYPES; k++) {
        printf("# schedule %d: %d cases, worst %.2g\n", k, seen[k], bad[k]);
        snprintf(name, sizeof name, "schedule: rates of number %d equal transformers'", k);
        CHECK(name, seen[k] > 0 && bad[k] <= 1e-12);
    }
}

static int last_step(void *arg, const struct pack_row *row, struct err *e)
{
    (void)e;
    *(uint64_t *)arg = row->step + 1;
    return 0;
}

/* Samples that are alone in their row: the steps of a run as Trainer counts them. */
static void steps(const struct json *plans)
{
    static uint32_t lengths[1000];
    bool fine = plans && plans->count > 0;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) lengths[i] = 1;
    for (size_t i = 0; plans && i < plans->count; i++) {
        const struct json *p = &plans->items[i];
        uint64_t got = 0;
        struct err e;
        const struct pack_options o = {.by = PACK_BY_STEP,
                                       .length = 8,
                                       .global_batch = (uint32_t)golden_number(p, "global_batch"),
                                       .epochs = golden_number(p, "epochs")};
        if (pack_plan(&o, lengths, (uint32_t)golden_number(p, "samples"), last_step, &got, &e))
            got = 0;
        bool same = got == (uint64_t)golden_number(p, "steps");
        if (!same) printf("# plan %zu: %llu steps\n", i, (unsigned long long)got);
        fine &= same;
    }
    CHECK("schedule: steps of whole and fractional epochs equal transformers'", fine);
}

#define ARGS(text) "sft_train: {training_args: {" text "}}\n"
#define MEGA(text)                                                                                 \
    "sft_train: {strategy_args: {strategy_name: megatron_train, strategy_config: {" text "}}}\n"
#define KWARGS(text) "lr_scheduler_kwargs: {" text "}"

static void arguments(void)
{
    CHECK("schedule arguments: an unknown argument names the nearest",
          refused(ARGS("lr_scheduler_type: cosine_with_min_lr, " KWARGS("min_lrs: 1e-6")),
                  "did you mean sft_train.training_args.lr_scheduler_kwargs.min_lr?"));
    CHECK("schedule arguments: an argument of another schedule names the nearest",
          refused(ARGS("lr_scheduler_type: cosine_with_min_lr, " KWARGS("min_lr_ratio: 0.1")),
                  "cosine_with_min_lr takes num_cycles, min_lr, min_lr_rate; did you mean "
                  "min_lr_rate?"));
    CHECK("schedule arguments: linear takes none",
          refused(ARGS(KWARGS("num_cycles: 1")),
                  "linear takes no arguments; it is an argument of cosine"));
    CHECK(
        "schedule arguments: those in strategy_config are checked too",
        refused(MEGA("lr_scheduler_type: cosine, " KWARGS("timescale: 4")),
                "strategy_config.lr_scheduler_kwargs.timescale: cosine takes num_cycles; it is an "
                "argument of inverse_sqrt"));
    CHECK("schedule arguments: a wrong type",
          refused(ARGS("lr_scheduler_type: cosine, " KWARGS("num_cycles: few")),
                  "'few' is not a number"));
    CHECK("schedule arguments: a wrong word",
          refused(ARGS("lr_scheduler_type: warmup_stable_decay, " KWARGS(
                      "num_decay_steps: 3, decay_type: sqrt")),
                  "none of: linear, cosine, 1-sqrt"));
    CHECK("schedule arguments: not a mapping",
          refused(ARGS("lr_scheduler_kwargs: 3"), "is not a mapping"));
    CHECK("schedule arguments: one of min_lr and min_lr_rate is needed",
          refused(ARGS("lr_scheduler_type: cosine_with_min_lr"), "needs one of min_lr"));
    CHECK("schedule arguments: both of min_lr and min_lr_rate are refused",
          refused(ARGS("lr_scheduler_type: cosine_warmup_with_min_lr, " KWARGS(
                      "min_lr: 0, min_lr_rate: 0.1")),
                  "only one of"));
    CHECK("schedule arguments: min_lr needs a rate",
          refused(ARGS("learning_rate: 0, lr_scheduler_type: "
                       "cosine_with_min_lr, " KWARGS("min_lr: 0")),
                  "learning_rate above 0"));
    CHECK("schedule arguments: the polynomial's lr_end is below the rate",
          refused(ARGS("lr_scheduler_type: polynomial, " KWARGS("lr_end: 1")), "above lr_end"));
    CHECK("schedule arguments: num_decay_steps is required",
          refused(ARGS("lr_scheduler_type: warmup_stable_decay"), "needs num_decay_steps"));
    CHECK("schedule arguments: null is not set",
          gives(ARGS("lr_scheduler_kwargs: null"), "max_grad_norm", "1.0\n") &&
              gives(ARGS(KWARGS("min_lr: null")), "max_grad_norm", "1.0\n"));
    CHECK("schedule arguments: strategy_config goes before training_args",
          gives(MEGA("lr_scheduler_type: cosine_with_min_lr, " KWARGS("min_lr: 1e-7")),
                "sft_train.training_args.lr_scheduler_kwargs.min_lr", "1e-07\n"));
}

int main(void)
{
    struct golden g = golden_open("tests/golden/train/schedules.json");
    CHECK("schedule: the golden values are there", g.root);
    rates(g.root ? json_get(g.root, "cases") : NULL);
    steps(g.root ? json_get(g.root, "plans") : NULL);
    arguments();
    golden_close(&g);
    TEST_END();
}
