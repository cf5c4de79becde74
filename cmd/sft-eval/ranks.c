/* SPDX-License-Identifier: Apache-2.0 */
/* The processes that compute the loss of a stream together. One process alone loads no MPI. */
#include <string.h>
#include <unistd.h>

#include "eval.h"

/* Refuses an answer from several processes: each would give the same. */
static int check_task(const struct eval *v, int processes, struct err *e)
{
    const bool piped = v->prompts && strcmp(v->prompts, "-") == 0;
    if (processes <= 1 || v->stream || (v->prompts && !piped)) return 0;
    if (piped)
        return err_set(e, ERR_USAGE,
                       "%d processes were started, of which one has the standard input; give "
                       "--prompts a file",
                       processes);
    return err_set(e, ERR_USAGE,
                   "%d processes were started; only a STREAM and --prompts are shared out to "
                   "several: type %s without the launcher",
                   processes, v->prompt ? "--prompt" : "--chat");
}

/* Refuses tasks of srun that no PMI joins: each would compute and print everything. */
static int check_joined(const struct launch *l, struct err *e)
{
    if (!l->tasks) return 0;
    return err_set(e, ERR_CONFIG,
                   "%d tasks (SLURM_NTASKS), but no PMI joins them: each would compute all of it; "
                   "start them by srun --mpi=pmix -n %d",
                   l->tasks, l->tasks);
}

static void tell_lost(void *arg, const char *text)
{
    struct eval *v = arg;
    progress_erase(&v->progress);
    log_line(LOG_ERROR, "%s", text);
}

/* Another thread may wait for ever. */
static void end_lost(void *arg)
{
    (void)arg;
    _exit(ERR_DEVICE);
}

static int join(struct eval *v, struct err *e)
{
    struct world *w = &v->world;
    w->hooks = (struct world_hooks){.tell = tell_lost, .end = end_lost, .arg = v};
    if (launch_join(&v->launch, w, e)) return -1;
    w->timeout = (double)v->comm_timeout;
    v->silent = w->place.rank > 0;
    v->level = log_level() < LOG_WARN ? log_level() : LOG_WARN;
    if (v->silent) log_init("sft-eval", LOG_ERROR);
    log_line(LOG_INFO, "%d ranks: %s, %s", w->place.size, v->launch.by, w->place.library);
    return check_task(v, w->place.size, e);
}

int eval_join(struct eval *v, int64_t threads, struct err *e)
{
    const struct launch *l = &v->launch;
    if (check_task(v, l->tasks ? l->tasks : l->size, e) || check_joined(l, e)) return -1;
    if (l->size != 1 && join(v, e)) return -1;
    mesh_host(&v->mesh, &v->world);
    v->threads = opt_threads(threads);
    return threads ? 0 : world_share_cpus(&v->world, v->threads, &v->threads, e);
}
