/* SPDX-License-Identifier: Apache-2.0 */
/* Detects the launcher, joins the other ranks, and keeps the command line for messages. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "run.h"

void run_quote(struct buf *b, const char *s)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "-_./=,:@%+";
    if (*s && s[strspn(s, plain)] == 0) {
        buf_puts(b, s);
        return;
    }
    buf_puts(b, "'");
    for (; *s; s++) {
        if (*s == '\'')
            buf_puts(b, "'\\''");
        else
            buf_putc(b, *s);
    }
    buf_puts(b, "'");
}

/* Reads what the launcher tells, before any rank is joined. */
int run_begin(struct run *r, int argc, char *const *argv, struct err *e)
{
    r->world = *world_self();
    r->launch = launch_detect(getenv);
    r->silent = r->launch.rank > 0;
    buf_puts(&r->typed, "sft-train");
    for (int i = 1; i < argc; i++) {
        buf_puts(&r->typed, " ");
        run_quote(&r->typed, argv[i]);
    }
    return buf_check(&r->typed, e) ? -1 : 0;
}

/* sft-run has nothing to add then, whatever mpirun ends with. */
static void note_told(void)
{
    static const char line[] = "lost\n";
    const char *path = getenv("SFT_LOST");
    const int fd = path ? io_append_fd(path, NULL) : -1;
    if (fd < 0) return;
    (void)!io_sys.write(fd, line, sizeof line - 1);
    io_sys.close(fd);
}

/* A signal that asks the run to stop would say so after this: the launcher may send one. */
static void tell_lost(void *arg, const char *text)
{
    struct run *r = arg;
    signals_over();
    progress_erase(&r->progress);
    log_line(LOG_ERROR, "%s", text);
    note_told();
}

/* The other threads may wait for ever, and the ranks that the launcher did not end do the same. */
static void end_lost(void *arg)
{
    (void)arg;
    _exit(ERR_DEVICE);
}

int run_launch(struct run *r, struct err *e)
{
    const struct launch l = r->launch;
    if (l.size == 1) return 0;
    r->world.hooks =
        (struct world_hooks){.tell = tell_lost,
                             .end = end_lost,
                             .arg = r,
                             .advice = "--resume auto goes on from the newest checkpoint"};
    if (launch_join(&l, &r->world, e)) return -1;
    r->world.timeout = (double)r->comm_timeout;
    if (!r->launch.srun) signals_under_mpirun(&r->world);
    const struct comm_place *p = &r->world.place;
    r->silent = p->rank > 0;
    if (r->silent) log_init("sft-train", LOG_ERROR);
    log_line(LOG_INFO, "%d ranks: %s, %s", p->size, l.by, p->library);
    return 0;
}

bool run_alone(const struct run *r) { return r->plan || r->check; }

/* A plan needs no other rank. Tasks of srun that no PMI joins would each train alone, and write the
 * same files. */
int run_check_start(struct run *r, struct err *e)
{
    const int tasks = r->launch.tasks;
    const struct config_start start = {
        .processes = tasks ? tasks : r->world.place.size, r->typed.data, r->launch.srun};
    const struct config_start any = {0};
    const bool alone = run_alone(r) && !r->world.plugin;
    if (config_check_trainable(r->config, alone ? &any : &start, e)) return -1;
    if (alone || !tasks) return 0;
    return err_set(e, ERR_CONFIG,
                   "%d tasks (SLURM_NTASKS), but no PMI joins them: each would train alone; type: "
                   "srun --mpi=pmix -n %d %s",
                   tasks, tasks, r->typed.data);
}

int run_agreed(struct run *r, int rc, struct err *e) { return world_agree(&r->world, rc, e); }

int run_broadcast_resume(struct run *r, struct err *e)
{
    struct run_folder *f = &r->folder;
    struct {
        uint64_t step, bytes;
        bool automatic;
    } x = {f->step, f->resume ? strlen(f->resume) + 1 : 0, f->automatic};
    if (r->world.place.size == 1) return 0;
    if (world_broadcast(&r->world, &x, sizeof x, 0, e)) return -1;
    if (r->silent) {
        mem_free(f->resume);
        f->resume = x.bytes ? mem_alloc(x.bytes, 1, e) : NULL;
        f->step = x.step;
        f->automatic = x.automatic;
    }
    if (run_agreed(r, x.bytes && !f->resume ? -1 : 0, e)) return -1;
    return world_broadcast(&r->world, f->resume, x.bytes, 0, e);
}
