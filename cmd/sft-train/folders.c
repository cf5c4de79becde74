/* SPDX-License-Identifier: Apache-2.0 */
/* The folders of a run: opened, or asked what stands in the way. */
#include <stdlib.h>

#include "base/io.h"
#include "run.h"

void run_tell_aside(struct run *r)
{
    struct run_folder *f = &r->folder;
    if (f->aside.len)
        log_line(LOG_WARN, "%s in %s: not complete; set aside as damaged-checkpoint-STEP",
                 f->aside.data, f->root);
    if (f->kept.len)
        log_line(LOG_WARN,
                 "%s: an earlier attempt left no checkpoint to go on from; what it measured is "
                 "kept as %s",
                 f->logs, f->kept.data);
    buf_reset(&f->aside);
    buf_reset(&f->kept);
}

/* sft-run has taken the lock already, and says so here. */
static const char *lent_lock(void) { return getenv("SFT_LOCK"); }

int run_check(struct run *r, struct err *e)
{
    if (!r->check || r->silent) return 0;
    return run_folder_check(r->config, r->resume, lent_lock(), e);
}

static int open_folders(struct run *r, struct err *e)
{
    if (run_folder_open(&r->folder, r->config, r->resume, lent_lock(), e)) return -1;
    r->log_fd = io_append_fd(r->folder.log, e);
    if (r->log_fd < 0) return -1;
    log_tee(r->log_fd);
    log_line(LOG_INFO, "run %s: checkpoints in %s, logs in %s", r->folder.id, r->folder.root,
             r->folder.logs);
    run_tell_aside(r);
    return 0;
}

/* Rank 0's folders are the run's. */
int run_folders(struct run *r, struct err *e)
{
    if (run_agreed(r, r->silent ? 0 : open_folders(r, e), e)) return -1;
    return run_share_resume(r, e);
}
