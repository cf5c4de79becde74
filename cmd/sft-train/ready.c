/* SPDX-License-Identifier: Apache-2.0 */
/* Tests what a run needs later, before it waits for data and computes: the tokenizer, the tensors
 * of the model, and room for checkpoints on the disk. */
#include "base/limits.h"
#include "hf/folder.h"
#include "run.h"
#include "text/tokenizer.h"

static double mib(uint64_t bytes) { return (double)bytes / (1 << 20); }

int run_checkpoint_bytes(const struct run *r, struct checkpoint_bytes *d, struct err *e)
{
    uint64_t all;
    layout_bytes(&r->trainer.layout, &d->model, &all);
    d->state = all - d->model;
    d->model += r->kept_bytes;
    return hf_folder_bytes(r->model_dir, !adapter_on(r->adapter), &d->files, e);
}

int run_tokenizer(struct run *r, struct err *e)
{
    struct tokenizer *t = tokenizer_load(r->model_dir, e);
    if (!t) return -1;
    int rc = tokenizer_identity(t, r->tokenizer, e);
    tokenizer_free(t);
    return rc;
}

/* Reads the headers of the model's files. A run of the whole model that continues from a checkpoint
 * reads no weight of the model. */
static int check_weights(const struct run *r, struct err *e)
{
    if (r->resumes && !adapter_on(r->adapter)) return 0;
    struct safetensors *s = safetensors_open(r->model_dir, e);
    int rc = s ? weights_check(&r->trainer.weights, s, e) : -1;
    safetensors_close(s);
    return rc;
}

/* One checkpoint is written in any case; a write that fails for want of room ends with ERR_IO, too.
 */
static int check_room(const struct run *r, struct err *e)
{
    struct checkpoint_bytes d;
    const char *dir = r->config->output_dir;
    if (run_checkpoint_bytes(r, &d, e)) return -1;
    const uint64_t need = d.model + d.state + d.files, room = limits_disk(dir);
    if (need <= room) return 0;
    return err_set(e, ERR_IO,
                   "%s: a checkpoint takes %.1f MiB, and %.1f MiB of the disk are free; free some, "
                   "or give another output_dir",
                   dir, mib(need), mib(room));
}

int run_ready(struct run *r, struct err *e)
{
    if (r->plan || r->silent) return 0;
    if (r->check && run_tokenizer(r, e)) return -1;
    return check_weights(r, e) ? -1 : check_room(r, e);
}

void run_tell_room(const struct run *r, uint64_t steps)
{
    struct checkpoint_bytes d;
    const struct config *c = r->config;
    const uint64_t every = (uint64_t)c->save_steps;
    uint64_t keep = (uint64_t)c->max_ckpt_to_keep;
    if (keep == 1 && r->best.o.on) keep = 2; /* the best beside the newest */
    const uint64_t left = steps > r->first_step ? steps - r->first_step : 0;
    uint64_t saves = every ? (left + every - 1) / every : 1;
    if (keep && saves > keep + 1) saves = keep + 1; /* one is removed once the next is there */
    if (r->silent || run_checkpoint_bytes(r, &d, NULL)) return;
    const uint64_t one = d.model + d.state + d.files, room = limits_disk(r->folder.root);
    if (one == 0 || saves <= room / one) return;
    log_line(LOG_WARN,
             "%s: %llu checkpoints of %.1f MiB will not fit: %.1f MiB of the disk are free; a "
             "larger save_steps or max_ckpt_to_keep=%llu takes less",
             r->folder.root, (unsigned long long)saves, mib(one), mib(room),
             (unsigned long long)(room / one > 2 ? room / one - 1 : 1));
}
