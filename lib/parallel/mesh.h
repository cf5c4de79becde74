/* SPDX-License-Identifier: Apache-2.0 */
/* How the ranks of a run are arranged, and which part of what each of them holds. */
#ifndef SFT_PARALLEL_MESH_H
#define SFT_PARALLEL_MESH_H

#include "comm/comm.h"
#include "model/model.h"

/* A mesh of dp x pp x cp x tp ranks; tensor-parallel ranks are adjacent. */
enum mesh_axis { MESH_DP, MESH_PP, MESH_CP, MESH_TP, MESH_AXES };
struct mesh {
    int size[MESH_AXES], at[MESH_AXES]; /* at: this rank's coordinate */
    struct comm *comm[MESH_AXES];       /* the ranks along the axis through this one */
    struct world *world;                /* all of them; not the mesh's own */
};

/* The mesh of this process alone. */
int mesh_self(struct mesh *m, struct device *d, struct err *e);
/* All ranks of the world in data parallelism; the world must outlive the mesh. A world of one gives
 * the same as mesh_self. */
int mesh_world(struct mesh *m, struct world *w, struct device *d, struct err *e);
void mesh_close(struct mesh *m);

/* Part `at` of `parts` of n elements, cut at multiples of `align`: [*begin, *end). Parts are in
 * order, cover everything, and differ by at most one unit of align. */
void mesh_part(size_t n, size_t align, int parts, int at, size_t *begin, size_t *end);

/* The block of a whole tensor that this rank holds. ERR_CONFIG when the tensor does not divide; the
 * vocabulary may be cut unevenly. */
int mesh_shard(const struct mesh *m, const struct param *p, struct shard_block *b, struct err *e);

#endif
