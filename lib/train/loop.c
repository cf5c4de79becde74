/* SPDX-License-Identifier: Apache-2.0 */
/* Steps, and after each of them metrics, validation and checkpoints when they are due. */
#include <math.h>
#include <stdio.h>

#include "base/log.h"
#include "train/checkpoint.h"
#include "train/loop_impl.h"
#include "train/numbers.h"

uint64_t loop_steps(const struct loop_options *o, const struct stream_header *h)
{
    return o->max_steps && o->max_steps < h->steps ? o->max_steps : h->steps;
}

/* All ranks continue, or all end with the error of the one that failed. */
static int agreed(const struct loop *l, int rc, struct err *e)
{
    return mesh_agree(l->trainer->mesh, rc, e);
}

static bool writes(const struct loop *l) { return mesh_writes(l->trainer->mesh); }

/* Measures the peak rate, by which sft_train/mfu divides, after each of the first PEAKS steps: a
 * busy moment of the machine spoils one measurement only, and no run begins later for it. */
static int measure_peak(struct loop *l, struct err *e)
{
    enum { PEAKS = 8 };
    if (l->peaks == PEAKS) return 0;
    double rate = trainer_peak(l->trainer, e);
    if (agreed(l, rate < 0 ? -1 : 0, e)) return -1;
    if (rate > l->peak) l->peak = rate;
    l->peaks++;
    return 0;
}

static int validate(struct loop *l, struct numbers *a, double *loss, struct err *e)
{
    struct trainer_report r;
    const double start = log_clock();
    const struct trainer_watch watch = {loop_tell_validating, l};
    const struct feed_rooms *rooms = &l->trainer->o.rooms;
    loop_tell_validating(l, 0, 0);
    void *memory = feed_rooms_validation(rooms, l->trainer->steps);
    struct feed *f = feed_open(l->validation, false, &l->vocab, e);
    int rc = agreed(l, f ? feed_check(f, &l->validation_wanted, e) : -1, e);
    if (rc == 0) rc = agreed(l, feed_prefetch(f, &rooms->validation, 0, memory, e), e);
    if (rc == 0) rc = trainer_validate(l->trainer, f, &watch, &r, e);
    feed_close(f);
    if (rc) return err_prefix(e, "validation");
    *loss = r.loss;
    eta_measure(&l->eta, ETA_VALIDATION, log_clock() - start);
    eta_done(&l->eta, ETA_VALIDATION);
    loop_tell_validation(l, &r);
    numbers_add(a, "sft_train/val_loss", r.loss);
    numbers_add(a, "time/val", r.time.step);
    return 0;
}

/* Adds the first weight that is not finite to the message. Returns -1. */
static int explain(const struct loop *l, struct err *e)
{
    char text[200];
    weights_find_nonfinite(&l->trainer->weights, text, sizeof text);
    return err_set(e, ERR_NONFINITE, "%s; %s", e->msg, text);
}

/* A validation loss that is not finite ends the run, as the loss of a step does: after
 * metrics.jsonl has it, and before a checkpoint has such weights. */
static int judge_validation(const struct loop *l, double loss, struct err *e)
{
    char text[200];
    if (isfinite(loss)) return 0;
    snprintf(text, sizeof text, "%s: after step %llu the validation loss is %g, not finite",
             l->validation, (unsigned long long)l->trainer->step, loss);
    if (l->trainer->guard.o.skip_nonfinite) {
        if (l->hooks.say) l->hooks.say(l->hooks.arg, text);
        return 0;
    }
    err_set(e, ERR_NONFINITE, "%s", text);
    return writes(l) ? explain(l, e) : -1;
}

/* Adds a save that has ended to the result and the numbers. wait: first until it has ended. */
static int note_saved(struct loop *l, struct loop_result *r, struct numbers *a, bool wait,
                      struct err *e)
{
    struct saver_report s = {0};
    int rc = wait ? saver_wait(l->saver, &s, e) : saver_poll(l->saver, &s, e);
    if (rc <= 0) return rc;
    const double rate = (double)s.bytes / s.seconds * 1e-6;
    eta_measure(&l->eta, ETA_LAST, s.seconds);
    loop_tell_saved(l, &s, rate);
    mem_free(r->checkpoint);
    r->checkpoint = s.path;
    r->saved_bytes += (double)s.bytes;
    r->saving += s.seconds;
    if (!a) return 0;
    numbers_add(a, "time/checkpoint_write", s.seconds);
    numbers_add(a, "checkpoint/MB_per_s", rate);
    return 0;
}

/* metrics.jsonl is synced first, so that it has every step that the checkpoint has. */
static int begin_save(struct loop *l, struct loop_result *r, struct err *e)
{
    int rc = writes(l) ? track_sync(l->track, e) : 0;
    if (rc == 0) rc = note_saved(l, r, NULL, true, e);
    if (agreed(l, rc, e)) return -1;
    return checkpoint_save(l->trainer, l->saver, l->train, l->best, l->settings, e);
}

/* No checkpoint is written before a weight has changed: a run that starts again is the same. */
static int save(struct loop *l, struct loop_result *r, struct err *e)
{
    const double start = log_clock();
    if (trainer_updates(l->trainer) == 0) return loop_tell_unsaved(l), 0;
    loop_tell_saving(l);
    const int rc = begin_save(l, r, e);
    eta_measure(&l->eta, ETA_SAVE, log_clock() - start);
    eta_done(&l->eta, ETA_SAVE);
    loop_tell_beside(l);
    return rc;
}

/* Adds all rows of the step to the numbers, as text in `rows`. */
static int suspects(struct numbers *a, const struct feed_step *s, struct buf *rows, struct err *e)
{
    guard_rows(s, rows);
    if (buf_check(rows, e)) return -1;
    numbers_json(a, "sft_train/suspect_rows", rows->data);
    return 0;
}

/* Prints the finding of the guard and adds all rows of the step to the numbers, as text in `rows`.
 */
static int tell_finding(const struct loop *l, const struct trainer_report *r,
                        const struct feed_step *s, struct numbers *a, struct buf *rows,
                        struct err *e)
{
    if (l->hooks.say) l->hooks.say(l->hooks.arg, r->finding.text);
    if (isfinite(r->finding.median)) numbers_add(a, "sft_train/loss_median", r->finding.median);
    return suspects(a, s, rows, e);
}

/* Writes loss, norm and rows of the step at which the guard ended the run; its message has no room
 * for all rows. Returns -1. */
static int last_words(struct loop *l, const struct trainer_report *r, const struct feed_step *s,
                      struct err *e)
{
    struct numbers a = {0};
    struct buf rows = {0};
    if (!r->finding.found || !writes(l)) return -1;
    if (!isfinite(r->loss) || !isfinite(r->grad_norm)) explain(l, e);
    numbers_add(&a, "sft_train/loss", r->loss);
    numbers_add(&a, "sft_train/grad_norm", r->grad_norm);
    if (suspects(&a, s, &rows, NULL) == 0)
        track_put(l->track, l->trainer->step + 1, a.v, a.n, true, NULL);
    buf_free(&rows);
    return -1;
}

static bool due(uint64_t every, uint64_t k) { return every && k % every == 0; }

/* Adds the seconds that training waited for saving since the last step, of the rank that waited
 * longest. */
static int stalled(const struct loop *l, struct numbers *a, struct err *e)
{
    const double mine = saver_stalled(l->saver);
    const double *all = mesh_notes(l->trainer->mesh, &mine, sizeof mine, e);
    double most = 0;
    for (int i = 0; all && i < mesh_ranks(l->trainer->mesh); i++) most = fmax(most, all[i]);
    numbers_add(a, "time/checkpoint", most);
    return all ? 0 : -1;
}

static int write_step(struct loop *l, struct loop_result *r, struct numbers *a, bool mark,
                      struct err *e)
{
    if (note_saved(l, r, a, false, e)) return -1;
    if (!writes(l)) return 0;
    numbers_system(a);
    return track_put(l->track, l->trainer->step, a->v, a->n, mark, e);
}

/* Validates, writes metrics and saves after an update. */
static int after_step(struct loop *l, struct loop_result *r, const struct trainer_report *s,
                      struct numbers *a, bool last, struct err *e)
{
    const uint64_t k = l->trainer->step;
    const bool saves = last || due(l->o.save_steps, k), judges = last || due(l->o.eval_steps, k),
               validates = l->validation && judges;
    if (validates && validate(l, a, &r->val_after, e)) return -1;
    if (validates && loop_judge_best(l, r, a, saves, e)) return -1;
    const bool end = last || r->stopped || r->early;
    r->steps++;
    r->tokens += s->tokens;
    r->label_tokens += s->label_tokens;
    r->seconds += s->time.step;
    r->flops += s->flops;
    if (s->label_tokens) r->loss = s->loss;
    if (stalled(l, a, e)) return -1;
    if (agreed(l, write_step(l, r, a, end || k == 1 || due(l->o.logging_steps, k), e), e))
        return -1;
    if (validates && judge_validation(l, r->val_after, e)) return -1;
    if (judges && loop_answer(l, r->val_after, e)) return -1;
    return end || saves ? save(l, r, e) : 0;
}

/* start: when the loop asked for the rows of this step. */
static int one_step(struct loop *l, const struct feed_step *s, double start, uint64_t total,
                    struct loop_result *r, struct err *e)
{
    struct numbers a = {0};
    struct buf rows = {0};
    struct trainer_report report;
    struct trainer *t = l->trainer;
    const double waited = log_clock() - start;
    if (trainer_step(t, s, sched_rate(&l->sched, t->step + 1), &report, e))
        return last_words(l, &report, s, e);
    if (measure_peak(l, e)) return -1;
    numbers_step(&a, t, feed_header(l->train), &report, s->nsamples, l->peak);
    numbers_add(&a, "time/data", waited);
    eta_measure(&l->eta, ETA_STEP, log_clock() - start);
    eta_done(&l->eta, ETA_STEP);
    loop_tell_step(l, &report, total);
    bool last = t->step >= total;
    int stop = mesh_any(t->mesh, l->hooks.stop && l->hooks.stop(l->hooks.arg), e);
    if (stop < 0) return -1;
    r->stopped = !last && stop;
    int rc = agreed(l, report.finding.found ? tell_finding(l, &report, s, &a, &rows, e) : 0, e);
    if (rc == 0) rc = after_step(l, r, &report, &a, last, e);
    buf_free(&rows);
    return rc;
}

static int first_validation(struct loop *l, struct loop_result *r, struct err *e)
{
    struct numbers a = {0};
    if (!l->validation) return 0;
    if (validate(l, &a, &r->val_before, e)) return -1;
    numbers_system(&a);
    if (agreed(l, writes(l) ? track_put(l->track, 0, a.v, a.n, true, e) : 0, e)) return -1;
    return judge_validation(l, r->val_before, e);
}

/* Validates and answers before the first update. */
static int before_steps(struct loop *l, struct loop_result *r, struct err *e)
{
    if (l->trainer->step > 0) return 0;
    return first_validation(l, r, e) || loop_answer(l, r->val_before, e) ? -1 : 0;
}

/* ERR_DATA or ERR_NONFINITE for a run that ended and changed no weight. A stream's header promises
 * trained tokens, but the first steps of a pipe may have none. */
static int check_learnt(const struct loop *l, const struct loop_result *r, struct err *e)
{
    const unsigned long long steps = l->trainer->step;
    if (trainer_updates(l->trainer) > 0) return 0;
    if (r->label_tokens == 0)
        return err_set(e, ERR_DATA,
                       "%s: no trained token in the %llu steps of the run: nothing was learnt, and "
                       "no checkpoint is written",
                       feed_name(l->train), steps);
    return err_set(e, ERR_NONFINITE,
                   "%s: each of the %llu steps of the run was left out: nothing was learnt, and no "
                   "checkpoint is written",
                   feed_name(l->train), steps);
}

int loop_run(struct loop *l, struct loop_result *r, struct err *e)
{
    const uint64_t total = loop_steps(&l->o, feed_header(l->train));
    struct feed_step s = {0};
    *r = (struct loop_result){.loss = NAN, .val_before = NAN, .val_after = NAN};
    loop_expect(l, total);
    int rc = before_steps(l, r, e);
    r->early = best_ends(l->best);
    while (rc == 0 && l->trainer->step < total && !r->stopped && !r->early) {
        double start = log_clock();
        rc = feed_next(l->train, &s, e);
        if (rc == 0) rc = err_set(e, ERR_DATA, "the stream has fewer steps than its header says");
        rc = agreed(l, rc == 1 ? 0 : -1, e);
        if (rc == 0) rc = one_step(l, &s, start, total, r, e);
    }
    feed_step_free(&s);
    if (rc == 0 && !r->stopped) rc = check_learnt(l, r, e);
    /* a save that has begun is finished after a failure too, and reports its own failure */
    if (trainer_updates(l->trainer) > 0) loop_tell_saving(l);
    int saved = note_saved(l, r, NULL, true, rc ? NULL : e);
    if (rc == 0 && saved == 0 && !r->stopped) loop_tell_best(l, r);
    return agreed(l, rc || saved ? -1 : 0, e);
}
