/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the environment variables that launchers set for each rank, and joins the ranks. */
#include "comm/launch.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

/* In the order of the search: the variables of a launcher come before those of PMI and PMIx,
 * because mpirun of Open MPI sets both. */
static const struct {
    const char *by, *size, *rank;
    bool own; /* variables of one launcher, not of PMI or PMIx */
} launchers[] = {
    {"mpirun (Open MPI)", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", true},
    {"mpirun (MVAPICH)", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK", true},
    {"a launcher that speaks PMI", "PMI_SIZE", "PMI_RANK", false},
    {"a launcher that speaks PMIx", NULL, "PMIX_RANK", false},
};

/* Parses a decimal number up to a million; -1 when it is missing or something else. */
static int number(const char *text)
{
    char *end;
    if (!text || *text < '0' || *text > '9') return -1;
    errno = 0;
    long v = strtol(text, &end, 10);
    return errno || *end || v > 1000000 ? -1 : (int)v;
}

struct launch launch_detect(char *(*lookup)(const char *name))
{
    const int step = number(lookup("SLURM_STEP_NUM_TASKS")); /* tasks of srun, inside a step */
    for (size_t i = 0; i < sizeof launchers / sizeof *launchers; i++) {
        int size = launchers[i].size ? number(lookup(launchers[i].size)) : -1;
        int rank = number(lookup(launchers[i].rank));
        if (launchers[i].size ? size < 1 : rank < 0) continue;
        if (!launchers[i].size) size = step;
        if (size < 1) size = 0;
        if (size && rank >= size) rank = -1;
        return (struct launch){.by = launchers[i].by,
                               .size = size,
                               .rank = rank,
                               .srun = !launchers[i].own && size && size == step};
    }
    /* A job without a step is the script of sbatch or the shell of salloc: one process, although
     * SLURM_NTASKS has the number of tasks that the job may start. Outside a job, SLURM_NTASKS is
     * the only source. */
    int tasks = step < 0 && !lookup("SLURM_JOB_ID") ? number(lookup("SLURM_NTASKS")) : step;
    int rank = number(lookup("SLURM_PROCID"));
    if (tasks < 2) return (struct launch){.size = 1, .srun = tasks > 0};
    return (struct launch){.size = 1, .rank = rank > 0 ? rank : 0, .tasks = tasks, .srun = true};
}

int launch_join(const struct launch *l, struct world *w, struct err *e)
{
    if (world_join(w, "mpi", e)) return -1;
    const struct comm_place *p = &w->place;
    int rc = 0;
    if (l->size && p->size != l->size)
        rc = err_set(e, ERR_DEVICE,
                     "%s started %d processes, but %s sees %d: they are of different MPIs; use the "
                     "mpirun that belongs to the mpicc that this was built with",
                     l->by, l->size, p->library, p->size);
    return world_agree(w, rc, e);
}
