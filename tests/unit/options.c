/* SPDX-License-Identifier: Apache-2.0 */
/* Options of training from a configuration: every word that a key takes has a value of its own, and
 * values arrive where they act. */
#include "options/options.h"
#include "config_make.h"
#include "options/words.h"

/* Each word of "a|b|c" is in the table, each with another value, and the table has no more. */
static void table(const char *name, const char *words, const struct option_word *t)
{
    struct err e;
    char check[80], word[64];
    unsigned values = 0, n = 0, rows = 0;
    for (const char *p = words; *p; p += *p == '|', n++) {
        int value = 31;
        const size_t length = strcspn(p, "|");
        snprintf(word, sizeof word, "%.*s", (int)length, p);
        if (option_find(t, name, word, &value, &e)) printf("# %s\n", e.msg);
        values |= 1U << value;
        p += length;
    }
    while (t[rows].word) rows++;
    snprintf(check, sizeof check, "%s: each word has a value of its own", name);
    CHECK(check, n > 1 && rows == n && __builtin_popcount(values) == (int)n && values < 1U << n);
}

static void tables(void)
{
    int value = -1;
    struct err e;
    table("sft.recompute", CONFIG_RECOMPUTE_WORDS, option_recomputes);
    table("sft.spike_action", CONFIG_SPIKE_WORDS, option_spike_actions);
    table("lr_scheduler_type", CONFIG_SCHEDULE_TRAINABLE, option_schedules);
    table("warmup_type", CONFIG_CURVE_WORDS, option_curves);
    table("optim", CONFIG_OPTIMIZER_WORDS, option_optimizers);
    CHECK("words: one that nothing acts on is an error with its key",
          option_find(option_curves, "decay_type", "square", &value, &e) == -1 && value == -1 &&
              e.code == ERR_INTERNAL && strstr(e.msg, "decay_type") && strstr(e.msg, "square"));
    CHECK("words: a recomputation has its word",
          !strcmp(option_recompute(RECOMPUTE_SELECTIVE), "selective"));
}

/* The options of a minimal configuration with these lines added. */
static struct train_options options(const char *lines, bool validates)
{
    struct buf b = {0};
    struct train_options o = {0};
    buf_puts(&b, BASE);
    buf_puts(&b, lines);
    struct made m = make_config(b.data, NULL, NULL);
    if (!m.rc) m.rc = train_options_from(m.c, validates, &o, &m.e);
    if (m.rc) printf("# %s\n", m.e.msg);
    if (m.rc) test_failed = 1;
    config_free(m.c);
    buf_free(&b);
    return o;
}

static void modes(void)
{
    static const struct {
        const char *line;
        enum pack_mode mode;
    } each[] = {{"sft: {pack_mode: batch}\n", PACK_BATCH},
                {"sft: {pack_mode: dense}\n", PACK_DENSE},
                {"sft: {pack_mode: none}\n", PACK_NONE},
                {"sft_train: {use_sequence_packing: true}\n", PACK_BATCH}};
    bool ok = true;
    for (size_t i = 0; i < sizeof each / sizeof *each; i++)
        ok &= EXPECT(each[i].line, options(each[i].line, false).stream.mode == each[i].mode);
    CHECK("options: the stream has the configured pack mode", ok);
}

static void values(void)
{
    const struct train_options o = options(
        "max_steps: 7\neval_steps: 3\nsave_steps: 5\nlogging_steps: 2\nmax_grad_norm: 0.5\n"
        "sft: {spike_action: stop, spike_factor: 4, recompute: selective, moments_dtype: bf16,"
        " master_dtype: bf16, staging: 16}\n"
        "sft_train: {infer_batch_size: 2, training_args: {per_device_train_batch_size: 3,"
        " optim: sgd, optim_args: momentum=0.5, dataloader_num_workers: 2,"
        " lr_scheduler_type: warmup_stable_decay,"
        " lr_scheduler_kwargs: {num_decay_steps: 4, warmup_type: 1-sqrt}}}\n",
        true);
    const struct trainer_options *t = &o.trainer;
    CHECK("options: the loop has its steps", o.loop.max_steps == 7 && o.loop.eval_steps == 3 &&
                                                 o.loop.save_steps == 5 &&
                                                 o.loop.logging_steps == 2);
    CHECK("options: the guard has its factor and window",
          t->guard.spike_action == GUARD_STOP && fabs(t->guard.spike_factor - 4) < 1e-9);
    CHECK("options: the optimizer has its kind and settings",
          t->optimizer.kind == OPTIMIZER_SGD && fabs(t->optimizer.momentum - 0.5) < 1e-9 &&
              t->optimizer.moments == DT_BF16 && t->optimizer.no_master &&
              fabs(t->optimizer.max_norm - 0.5) < 1e-9);
    CHECK("options: the trainer has its types",
          t->compute == DT_BF16 && t->recompute == RECOMPUTE_SELECTIVE &&
              t->tokens == 3 * t->length && t->staging == 16 << 20);
    CHECK("options: the schedule has its kind and settings",
          o.sched.type == SCHED_WARMUP_STABLE_DECAY && o.sched.num_decay_steps == 4 &&
              o.sched.warmup_type == SCHED_CURVE_1_SQRT &&
              o.sched.decay_type == SCHED_CURVE_COSINE);
    CHECK("options: the streams have their rooms",
          t->rooms.validates && t->rooms.ahead == 2 && t->rooms.validation.rows == 2 &&
              t->rooms.validation.parts && t->rooms.training.rows == o.stream.global_batch);
}

/* Training's steps end where validation's begin, and both are within the bytes. */
static void rooms(void)
{
    struct feed_rooms r = {.training = feed_room(64, 4, PACK_BATCH),
                           .ahead = 2,
                           .validation = feed_room(64, 2, PACK_DENSE)};
    static char memory[1 << 16];
    const size_t training = feed_room_bytes(&r.training, 2);
    const size_t alone = feed_rooms_bytes(&r);
    r.validates = true;
    CHECK("rooms: validation adds its bytes",
          alone == training &&
              feed_rooms_bytes(&r) == training + feed_room_bytes(&r.validation, 0));
    CHECK("rooms: validation lies behind training's steps",
          feed_rooms_bytes(&r) <= sizeof memory &&
              feed_rooms_validation(&r, memory) == memory + training);
    CHECK("rooms: two readers need more than one",
          feed_rooms_reading(&r, 64) >
              feed_rooms_reading(&(struct feed_rooms){.training = r.training}, 64));
}

int main(void)
{
    tables();
    modes();
    values();
    rooms();
    TEST_END();
}
