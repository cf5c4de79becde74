/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a run: a summary on standard output, for people or as JSON. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "run.h"

static const char *checkpoint_of(const struct run *r, const struct loop_result *x)
{
    const char *path = x->checkpoint ? x->checkpoint : r->folder.resume;
    return path ? path : "";
}

static double rate(double n, double seconds) { return n / (seconds > 0 ? seconds : INFINITY); }

/* ---- as JSON ---- */
static void put(struct buf *b, const char *name, double v, int digits)
{
    buf_printf(b, "\"%s\":", name);
    buf_json_number(b, v, digits);
    buf_putc(b, ',');
}

/* The best checkpoint, and with load_best_model_at_end the folder of its model. */
static void put_best(const struct run *r, const struct loop_result *x, struct buf *b)
{
    if (!r->best.o.on) return;
    if (r->best.o.patience) buf_printf(b, "\"stopped_early\":%s,", x->early ? "true" : "false");
    buf_printf(b, "\"best_step\":%llu,", (unsigned long long)r->best.step);
    put(b, "best_val_loss", r->best.step ? r->best.loss : NAN, 9);
    if (!r->best_model) return;
    buf_puts(b, "\"best_model\":");
    buf_json(b, str_z(r->best_model));
    buf_putc(b, ',');
}

static void put_object(const struct run *r, const struct loop_result *x, struct buf *b)
{
    buf_printf(b, "{\"step\":%llu,\"steps\":%llu,\"tokens\":%llu,\"label_tokens\":%llu,",
               (unsigned long long)r->trainer.step, (unsigned long long)x->steps,
               (unsigned long long)x->tokens, (unsigned long long)x->label_tokens);
    put(b, "seconds", x->seconds, 6);
    put(b, "tokens_per_s", rate((double)x->tokens, x->seconds), 6);
    put(b, "gflops", rate(x->flops, x->seconds) * 1e-9, 6);
    put(b, "skipped_steps", (double)r->trainer.guard.skipped, 6);
    put(b, "loss", x->loss, 9);
    if (r->validation) {
        put(b, "val_loss_before", x->val_before, 9);
        put(b, "val_loss_after", x->val_after, 9);
    }
    if (x->saving > 0) put(b, "checkpoint_MB_per_s", x->saved_bytes / x->saving * 1e-6, 4);
    put_best(r, x, b);
    buf_puts(b, "\"checkpoint\":");
    buf_json(b, str_z(checkpoint_of(r, x)));
    buf_puts(b, "}\n");
}

/* ---- for people ---- */
static void put_line(struct buf *b, const char *name, const char *text)
{
    buf_printf(b, "  %-11s %s\n", name, text);
}

static void put_work(const struct run *r, const struct loop_result *x, struct buf *b)
{
    char text[160], time[24];
    progress_time(time, sizeof time, log_clock() - r->progress.started);
    const int n = snprintf(text, sizeof text, "%llu of %llu", (unsigned long long)r->trainer.step,
                           (unsigned long long)r->steps);
    if (r->first_step)
        snprintf(text + n, sizeof text - (size_t)n, ", %llu of them now",
                 (unsigned long long)x->steps);
    put_line(b, "steps", text);
    snprintf(text, sizeof text, "%llu, %.0f per second", (unsigned long long)x->tokens,
             rate((double)x->tokens, x->seconds));
    put_line(b, "tokens", text);
    put_line(b, "time", time);
}

static void put_losses(const struct loop_result *x, struct buf *b)
{
    char text[80];
    snprintf(text, sizeof text, "%.4f", x->loss);
    put_line(b, "loss", isfinite(x->loss) ? text : "none: no trained token");
    if (isfinite(x->val_before) && isfinite(x->val_after))
        snprintf(text, sizeof text, "%.4f, before training %.4f", x->val_after, x->val_before);
    else if (isfinite(x->val_before))
        snprintf(text, sizeof text, "%.4f before training", x->val_before);
    else
        snprintf(text, sizeof text, "%.4f", x->val_after);
    if (isfinite(x->val_before) || isfinite(x->val_after)) put_line(b, "val_loss", text);
}

static void put_best_line(const struct run *r, struct buf *b)
{
    char text[100];
    if (!r->best.step) return;
    snprintf(text, sizeof text, "checkpoint-%llu, val_loss %.4f", (unsigned long long)r->best.step,
             r->best.loss);
    put_line(b, "best", text);
    if (r->best_model) put_line(b, "best model", r->best_model);
}

/* The command that tries the model. */
static void put_try(const struct run *r, const char *checkpoint, struct buf *b)
{
    buf_puts(b, "sft-eval -m ");
    if (adapter_on(r->adapter)) {
        run_quote(b, r->model_dir);
        buf_puts(b, " --adapter ");
    }
    run_quote(b, checkpoint);
    buf_puts(b, " --prompt TEXT\n");
}

/* The command that goes on. sft-run tells how it was called; the rows of a pipe and the command of
 * another launcher are not known here. */
static void put_again(const struct run *r, struct buf *b)
{
    const char *typed = getenv("SFT_TYPED");
    const char *option = trainer_updates(&r->trainer) ? " --resume auto" : "";
    if (typed && *typed)
        buf_printf(b, "%s%s\n", typed, option);
    else if (r->launch.size > 1 || str_is(str_z(r->stream), "-"))
        buf_printf(b, "the same command%s%s\n", *option ? " with" : "", option);
    else
        buf_printf(b, "%s%s\n", r->typed.data, option);
}

/* sft-run itself tells what to try after a run that is done. */
static void put_next(const struct run *r, const struct loop_result *x, const char *model,
                     struct buf *b)
{
    const char *typed = getenv("SFT_TYPED");
    if (!x->stopped && typed && *typed) return;
    buf_printf(b, "  %-11s ", "next");
    if (x->stopped)
        put_again(r, b);
    else
        put_try(r, model, b);
}

static void put_text(const struct run *r, const struct loop_result *x, struct buf *b)
{
    const char *checkpoint = checkpoint_of(r, x);
    buf_puts(b, x->stopped ? "stopped\n" : "done\n");
    put_work(r, x, b);
    put_losses(x, b);
    if (*checkpoint) put_line(b, "checkpoint", checkpoint);
    put_best_line(r, b);
    put_next(r, x, r->best_model ? r->best_model : checkpoint, b);
}

/* ---- either ---- */
static int summary(struct run *r, const struct loop_result *x, struct err *e)
{
    struct buf b = {0};
    const bool people = r->launch.size <= 1 && io_out_is_tty(r->out); /* mpirun gives ranks one */
    (people ? put_text : put_object)(r, x, &b);
    const int rc = buf_check(&b, e) ? -1 : io_write(r->out, b.data, b.len, e);
    buf_free(&b);
    return rc;
}

static int report(struct run *r, const struct loop_result *x, struct err *e)
{
    int rc = track_close(r->track, e);
    r->track = NULL;
    if (r->trainer.guard.skipped)
        log_line(LOG_WARN, "%llu of %llu steps were left out; suspect_rows in %s names their rows",
                 (unsigned long long)r->trainer.guard.skipped, (unsigned long long)r->trainer.step,
                 r->folder.metrics);
    if (rc || summary(r, x, e)) return -1;
    struct io_out *out = r->out;
    r->out = NULL;
    return io_commit(out, e);
}

int run_report(struct run *r, const struct loop_result *x, struct err *e)
{
    if (run_agreed(r, r->silent ? 0 : report(r, x, e), e)) return -1;
    if (!x->stopped) return 0;
    if (trainer_updates(&r->trainer) == 0)
        return err_set(e, ERR_STOPPED,
                       "stopped as asked after step %llu; nothing was learnt yet, so there is no "
                       "checkpoint: start it again",
                       (unsigned long long)r->trainer.step);
    return err_set(e, ERR_STOPPED,
                   "stopped as asked after step %llu, saved as %s; --resume auto continues it",
                   (unsigned long long)r->trainer.step, x->checkpoint ? x->checkpoint : "");
}
