/* SPDX-License-Identifier: Apache-2.0 */
/* The lines and the progress of a run, through the hooks of the loop's caller. */
#include <stdio.h>

#include "train/loop_impl.h"

void loop_expect(struct loop *l, uint64_t total)
{
    const uint64_t from = l->trainer->step, saves = eta_times(l->o.save_steps, from, total);
    l->eta = (struct eta){0};
    l->eta.of[ETA_STEP].todo = total - from;
    const uint64_t judged = eta_times(l->o.eval_steps, from, total) + (from == 0);
    if (l->validation) l->eta.of[ETA_VALIDATION].todo = judged;
    if (l->hooks.answer) l->eta.of[ETA_ANSWER].todo = judged;
    l->eta.of[ETA_SAVE].todo = saves ? saves - 1 : 0;
    l->eta.of[ETA_LAST].todo = saves ? 1 : 0;
}

void loop_tell_step(const struct loop *l, const struct trainer_report *r, uint64_t total)
{
    char note[120];
    int n = r->label_tokens
                ? snprintf(note, sizeof note, "loss %.4f, grad norm %.3g", r->loss, r->grad_norm)
                : snprintf(note, sizeof note, "no trained token");
    snprintf(note + n, sizeof note - (size_t)n, ", lr %.3g, %.0f tokens/s", r->lr,
             (double)r->tokens / r->time.step);
    if (l->hooks.step)
        l->hooks.step(l->hooks.arg, l->trainer->step, total, note, eta_left(&l->eta));
}

static void note(const struct loop *l, const char *text)
{
    if (l->hooks.note) l->hooks.note(l->hooks.arg, text);
}

static void doing(const struct loop *l, const char *what, uint64_t done, uint64_t all)
{
    if (l->hooks.doing) l->hooks.doing(l->hooks.arg, what, done, all);
}

void loop_tell_validating(void *l, uint64_t done, uint64_t all)
{
    doing(l, "validating", done, all);
}

void loop_tell_validation(const struct loop *l, const struct trainer_report *r)
{
    char text[120];
    snprintf(text, sizeof text, "validation after step %llu: val_loss %.4f, %llu tokens in %.2f s",
             (unsigned long long)l->trainer->step, r->loss, (unsigned long long)r->tokens,
             r->time.step);
    note(l, text);
    doing(l, "", 0, 0);
}

void loop_tell_saving(const struct loop *l)
{
    char text[40];
    snprintf(text, sizeof text, "saving checkpoint-%llu", (unsigned long long)l->trainer->step);
    doing(l, text, 0, 0);
}

void loop_tell_beside(const struct loop *l) { doing(l, "", 0, 0); }

void loop_tell_saved(const struct loop *l, const struct saver_report *s, double rate)
{
    char text[200];
    snprintf(text, sizeof text, "checkpoint-%llu: %.1f MB in %.2f s, %.0f MB/s",
             (unsigned long long)s->step, (double)s->bytes * 1e-6, s->seconds, rate);
    note(l, text);
}

void loop_tell_unsaved(const struct loop *l)
{
    char text[100];
    snprintf(text, sizeof text, "checkpoint-%llu: not written, nothing was learnt yet",
             (unsigned long long)l->trainer->step);
    note(l, text);
}
