/* SPDX-License-Identifier: Apache-2.0 */
/* Opens the folders of a run, or tells what prevents that. */
#include <stdlib.h>
#include <string.h>

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
                 "%s: an earlier attempt left no checkpoint to continue from; its metrics and "
                 "configuration are kept as %s",
                 f->logs, f->kept.data);
    buf_reset(&f->aside);
    buf_reset(&f->kept);
}

/* ---- config.yaml, as lib/save asks for it ---- */
static int read_config(void *unused, const char *path, struct run_owner *o, struct err *e)
{
    struct config_run c;
    (void)unused;
    if (config_run_read(path, &c, e)) return -1;
    *o = (struct run_owner){.id = c.id,
                            .output = c.output,
                            .logs = c.logs,
                            .process = c.process,
                            .host = c.host,
                            .started = c.started,
                            .output_dir = c.output_dir,
                            .memory = c.memory};
    return 0;
}

static int write_config(void *config, const struct run_owner *o, struct buf *text, struct err *e)
{
    const struct config_run c = {.id = o->id,
                                 .output = o->output,
                                 .logs = o->logs,
                                 .process = o->process,
                                 .host = o->host,
                                 .started = o->started};
    return config_run_put(config, &c, e) || config_write_yaml(config, text, e) ? -1 : 0;
}

static struct run_names names_of(const struct run *r)
{
    struct config *c = r->config;
    return (struct run_names){.output_dir = c->output_dir,
                              .logging_dir = c->logging_dir,
                              .exp_name = c->exp_name,
                              .tensorboard =
                                  c->track_with && strcmp(c->track_with, "tensorboard") == 0,
                              .events = c->tracker_kwargs.log_dir,
                              .read = read_config,
                              .write = write_config,
                              .arg = c};
}

/* sft-run names the lock that it holds here. */
static const char *lent_lock(void) { return getenv("SFT_LOCK"); }

int run_check(struct run *r, struct err *e)
{
    const struct run_names names = names_of(r);
    r->resumes = r->resume;
    if (!r->check || r->silent) return 0;
    return run_folder_check(&names, r->resume, lent_lock(), &r->resumes, e);
}

static int open_folders(struct run *r, struct err *e)
{
    const struct run_names names = names_of(r);
    if (run_folder_open(&r->folder, &names, r->resume, lent_lock(), e)) return -1;
    r->log_fd = io_append_fd(r->folder.log, e);
    if (r->log_fd < 0) return -1;
    log_tee(r->log_fd);
    log_line(LOG_INFO, "run %s: checkpoints in %s, logs in %s", r->folder.id, r->folder.root,
             r->folder.logs);
    run_tell_aside(r);
    return 0;
}

int run_fall_back(struct run *r, struct err *e)
{
    const struct run_names names = names_of(r);
    return r->silent ? 0 : run_folder_fall_back(&r->folder, &names, e);
}

/* Rank 0 opens the folders for all ranks. */
int run_folders(struct run *r, struct err *e)
{
    if (run_agreed(r, r->silent ? 0 : open_folders(r, e), e)) return -1;
    return run_broadcast_resume(r, e);
}
