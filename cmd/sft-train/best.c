/* SPDX-License-Identifier: Apache-2.0 */
/* The best checkpoint of a run: what it needs, how a resumed run goes on with it, and the folder of
 * its model. */
#include "run.h"
#include "save/ckpt.h"

int run_check_best(const struct run *r, struct err *e)
{
    if (!r->config->run.keeps_best || r->validation || r->plan) return 0;
    return err_set(e, ERR_CONFIG,
                   "%s: the best checkpoint (load_best_model_at_end, metric_for_best_model) is "
                   "that with the least validation loss; set validation.data_args.file_name for "
                   "sft-run, or add --val STREAM",
                   r->config_path);
}

/* The checkpoint may be in another folder, or removed since. Only the rank that writes looks for
 * it, as only this one keeps and names it. */
static int look_for_best(struct run *r, struct err *e)
{
    struct best *b = &r->best;
    if (r->silent || b->step == 0) return 0;
    const int there = ckpt_has(r->folder.root, b->step, e);
    if (there < 0) return -1;
    if (there) return 0;
    log_line(LOG_WARN,
             "%s: has no checkpoint-%llu, the best so far with val_loss %.4f; the best is chosen "
             "among the checkpoints from here on",
             r->folder.root, (unsigned long long)b->step, b->loss);
    best_forget(b);
    return 0;
}

int run_restore_best(struct run *r, const struct restore_cursor *c, struct err *e)
{
    if (!r->best.o.on) return 0;
    if (best_read(&r->best, c->best, e)) {
        if (e && e->code == ERR_DATA) e->code = ERR_CONFIG; /* the file is as it was written */
        return err_prefix(e, "%s", c->path);
    }
    return look_for_best(r, e);
}

int run_best_model(struct run *r, const struct loop_result *x, struct err *e)
{
    if (r->silent || x->stopped || !r->best.step) return 0;
    if (!r->config->sft_train.training_args.load_best_model_at_end) return 0;
    if (ckpt_model(r->folder.root, r->best.step, "best", &r->best_model, e)) return -1;
    log_line(LOG_INFO, "%s: the model of checkpoint-%llu", r->best_model,
             (unsigned long long)r->best.step);
    return 0;
}
