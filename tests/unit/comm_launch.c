/* SPDX-License-Identifier: Apache-2.0 */
/* The launcher of the process, as the environment of each launcher tells; a world of one. */
#include <stdint.h>

#include "comm/launch.h"
#include "comm/world.h"
#include "test.h"

/* The environment of a case: NAME=VALUE, ended by NULL. */
static const char *const *environment;

static char *lookup(const char *name)
{
    size_t n = strlen(name);
    for (const char *const *v = environment; *v; v++)
        if (strncmp(*v, name, n) == 0 && (*v)[n] == '=') return (char *)(uintptr_t)(*v + n + 1);
    return NULL;
}

static bool gives(const char *const *env, const char *by, int size, int rank, int tasks)
{
    environment = env;
    struct launch l = launch_detect(lookup);
    bool same = l.size == size && l.rank == rank && l.tasks == tasks &&
                (by ? l.by && strstr(l.by, by) : !l.by);
    if (!same)
        printf("# %s size %d rank %d tasks %d\n", l.by ? l.by : "-", l.size, l.rank, l.tasks);
    return same;
}
#define ENV(...)                                                                                   \
    (const char *const[]) { __VA_ARGS__, NULL }

static bool srun_started(const char *const *env)
{
    environment = env;
    return launch_detect(lookup).srun;
}

/* The environment of Slurm 22.05 in a job of two tasks: the job's part, and a task's of a step. */
#define JOB                                                                                        \
    "SLURM_JOBID=7", "SLURM_JOB_ID=7", "SLURM_JOB_NUM_NODES=1", "SLURM_NNODES=1",                  \
        "SLURM_NPROCS=2", "SLURM_NTASKS=2", "SLURM_TASKS_PER_NODE=2"
#define TASK(id)                                                                                   \
    "SLURM_GTIDS=0,1", "SLURM_LOCALID=" id, "SLURM_NODEID=0", "SLURM_PROCID=" id,                  \
        "SLURM_STEPID=0", "SLURM_STEP_ID=0", "SLURM_STEP_NUM_NODES=1", "SLURM_STEP_NUM_TASKS=2",   \
        "SLURM_STEP_TASKS_PER_NODE=2"
#define SCRIPT                                                                                     \
    "ENVIRONMENT=BATCH", "SLURM_GTIDS=0", "SLURM_LOCALID=0", "SLURM_NODEID=0", "SLURM_PROCID=0"
#define PMIX(id) "PMIX_NAMESPACE=slurm.pmix.7.0", "PMIX_RANK=" id, "PMIX_VERSION=4.2.2rc2"

static void slurm(void)
{
    const char *const *pmix = ENV(JOB, TASK("1"), PMIX("1"), "SLURM_MPI_TYPE=pmix");
    const char *const *pmi2 = ENV(JOB, TASK("1"), "PMI_FD=11", "PMI_JOBID=7.0", "PMI_RANK=1",
                                  "PMI_SIZE=2", "SLURM_MPI_TYPE=pmi2");
    const char *const *none = ENV(JOB, TASK("1"));
    const char *const *mpirun = ENV(JOB, SCRIPT, PMIX("1"), "OMPI_COMM_WORLD_LOCAL_RANK=1",
                                    "OMPI_COMM_WORLD_RANK=1", "OMPI_COMM_WORLD_SIZE=2");
    const char *const *one =
        ENV("SLURM_NTASKS=1", "SLURM_STEP_ID=0", "SLURM_STEP_NUM_TASKS=1", JOB, SCRIPT);
    CHECK("launchers: srun --mpi=pmix starts ranks",
          gives(pmix, "PMIx", 2, 1, 0) && srun_started(pmix));
    CHECK("launchers: srun --mpi=pmi2 starts ranks",
          gives(pmi2, "PMI", 2, 1, 0) && srun_started(pmi2));
    CHECK("launchers: srun --mpi=none starts tasks that are no ranks",
          gives(none, NULL, 1, 1, 2) && srun_started(none));
    CHECK("launchers: mpirun in a script of sbatch starts ranks",
          gives(mpirun, "Open MPI", 2, 1, 0) && !srun_started(mpirun));
    CHECK("launchers: the script itself is one process", gives(ENV(JOB, SCRIPT), NULL, 1, 0, 0));
    CHECK("launchers: the shell of salloc is one process", gives(ENV(JOB), NULL, 1, 0, 0));
    CHECK("launchers: srun -n 1 in a larger job is one process",
          gives(one, NULL, 1, 0, 0) && srun_started(one));
    CHECK("launchers: a shell of srun --mpi=pmix --pty is one rank",
          gives(ENV(JOB, "SLURM_STEP_NUM_TASKS=1", "SLURM_PROCID=0", PMIX("0")), "PMIx", 1, 0, 0));
    CHECK("launchers: ranks that mpirun starts by a daemon on each node are Open MPI's",
          gives(ENV(JOB, TASK("1"), "OMPI_COMM_WORLD_RANK=3", "OMPI_COMM_WORLD_SIZE=4"), "Open MPI",
                4, 3, 0) &&
              !srun_started(ENV(JOB, TASK("1"), "PMI_RANK=3", "PMI_SIZE=4")));
}

int main(void)
{
    CHECK("launchers: without any there is one process", gives(ENV("HOME=/"), NULL, 1, 0, 0));
    CHECK("launchers: the variables of Open MPI are read",
          gives(ENV("OMPI_COMM_WORLD_SIZE=4", "OMPI_COMM_WORLD_RANK=3"), "Open MPI", 4, 3, 0));
    CHECK("launchers: Open MPI goes before Slurm and PMIx",
          gives(ENV("SLURM_NTASKS=8", "PMIX_RANK=1", "OMPI_COMM_WORLD_SIZE=2",
                    "OMPI_COMM_WORLD_RANK=1"),
                "Open MPI", 2, 1, 0));
    CHECK("launchers: the variables of MPICH are read",
          gives(ENV("PMI_RANK=0", "PMI_SIZE=2"), "PMI", 2, 0, 0));
    CHECK("launchers: the size of srun with PMIx is Slurm's",
          gives(ENV("SLURM_NTASKS=8", "SLURM_STEP_NUM_TASKS=4", "PMIX_RANK=2"), "PMIx", 4, 2, 0));
    CHECK("launchers: PMIx alone does not tell the size",
          gives(ENV("PMIX_RANK=2"), "PMIx", 0, 2, 0));
    CHECK("launchers: srun without PMI starts tasks that are no ranks",
          gives(ENV("SLURM_NTASKS=2", "SLURM_PROCID=1"), NULL, 1, 1, 2));
    CHECK("launchers: a Slurm job of one task is one process",
          gives(ENV("SLURM_NTASKS=1"), NULL, 1, 0, 0));
    CHECK("launchers: variables without a number are no launcher",
          gives(ENV("OMPI_COMM_WORLD_SIZE=many", "PMI_SIZE=-2", "PMIX_RANK=", "SLURM_NTASKS=2x"),
                NULL, 1, 0, 0));
    CHECK("launchers: a rank beyond the size is not believed",
          gives(ENV("OMPI_COMM_WORLD_SIZE=2", "OMPI_COMM_WORLD_RANK=2"), "Open MPI", 2, -1, 0));

    slurm();

    struct world *w = world_self();
    struct err e = {0};
    int note = 5, share = 0;
    CHECK("world: a world of one gathers its own note",
          world_notes(w, &note, sizeof note, &e) == &note && world_any(w, true, &e) == 1 &&
              world_any(w, false, &e) == 0 && world_share_cpus(w, 7, &share, &e) == 0 &&
              share == 7);
    int copy = 0;
    CHECK("world: a world of one gathers its own bytes",
          world_gather(w, &copy, &note, sizeof note, &e) == 0 && copy == 5);
    err_set(&e, ERR_DATA, "why");
    CHECK("world: a world of one agrees with itself",
          world_agree(w, 0, NULL) == 0 && world_agree(w, -1, &e) == -1 && e.code == ERR_DATA &&
              strcmp(e.msg, "why") == 0);
    CHECK("world: a world of one has nobody to send to",
          world_side_send(w, &note, 1, 1, &e) && e.code == ERR_INTERNAL);

    struct world none = *world_self();
    setenv("SFT_PLUGIN_PATH", "/nowhere", 1);
    CHECK("launchers: a plugin that is missing says what to install",
          world_join(&none, "mpi", &e) && e.code == ERR_DEVICE &&
              strstr(e.msg, "/nowhere/mpi.so") && strstr(e.msg, "libopenmpi-dev"));
    TEST_END();
}
