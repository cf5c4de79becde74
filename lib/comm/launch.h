/* SPDX-License-Identifier: Apache-2.0 */
/* Detects from the environment whether a launcher started this process as one of several ranks. */
#ifndef SFT_COMM_LAUNCH_H
#define SFT_COMM_LAUNCH_H

#include <stdbool.h>

#include "comm/world.h"

struct launch {
    const char *by; /* for messages: "mpirun (Open MPI)"; NULL: no launcher, or a task of Slurm that
                     * cannot reach the other tasks (tasks > 1) */
    int size;       /* number of ranks; 0: only MPI knows it */
    int rank;       /* of this process, or its number among tasks; -1: only MPI knows it */
    int tasks;      /* tasks that srun started, when no launcher of ranks is found; else 0 */
    bool srun;      /* srun started this process, not an mpirun inside it */
};

/* lookup: getenv, or a replacement in a test. The result keeps none of its strings. */
struct launch launch_detect(char *(*lookup)(const char *name));
/* Joins the ranks that a launcher started, see world_join, which agree that MPI sees as many as it
 * started. 0, or -1 with ERR_DEVICE on all ranks that have met. */
int launch_join(const struct launch *l, struct world *w, struct err *e);

#endif
