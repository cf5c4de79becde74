/* SPDX-License-Identifier: Apache-2.0 */
/* Who started this process: itself, or a launcher of many ranks, told by the environment. */
#ifndef SFT_COMM_LAUNCH_H
#define SFT_COMM_LAUNCH_H

#include <stdbool.h>

struct launch {
    const char *by; /* for people: "mpirun (Open MPI)"; NULL: no launcher, or one of Slurm's tasks
                     * without a way to the others (tasks > 1) */
    int size;       /* ranks; 0: only MPI itself can tell */
    int rank;       /* of this process, also among tasks; -1: only MPI itself can tell */
    int tasks;      /* that srun started, where no launcher of ranks is seen; else 0 */
    bool srun;      /* started by srun, and not by an mpirun inside of it */
};

/* lookup: getenv, or a test's. Strings are not kept. */
struct launch launch_detect(char *(*lookup)(const char *name));

#endif
