/* SPDX-License-Identifier: Apache-2.0 */
/* The arrangement of a run's ranks, and the agreement among them. */
#ifndef SFT_PARALLEL_MESH_H
#define SFT_PARALLEL_MESH_H

#include "model/model.h"
#include "ops/ops.h"

struct comm;
struct plan;
struct world;

/* The axes in Megatron-LM's order, the fastest first:
 * rank = tp + TP (cp + CP (dp + DP pp)). */
enum mesh_axis { MESH_TP, MESH_CP, MESH_DP, MESH_PP, MESH_AXES };
/* Groups of ranks. An axis is also a group: the ranks that differ from this rank along that axis
 * only. */
enum mesh_group {
    MESH_DP_CP = MESH_AXES, /* dp x cp: the ranks that hold the same parameters */
    MESH_MODEL,             /* tp x pp: the ranks that hold one copy of the model */
    MESH_ENDS,              /* the first and the last stage, which share a tied embedding */
    MESH_SHARD,             /* of MESH_DP_CP: those that share one copy of what ZeRO has in parts */
    MESH_REPLICATE,         /* of MESH_DP_CP: those that have the same parts */
    MESH_EP,                /* of MESH_DP_CP: those that share out the experts of one copy */
    MESH_EDP,               /* of MESH_DP_CP: those that have the same experts */
    MESH_ESHARD,            /* of MESH_SHARD: those that have the same experts */
    MESH_GROUPS
};
struct mesh_sizes {
    int axis[MESH_AXES];     /* ranks along each axis, at least 1 */
    int chunks;              /* chunks of layers that each stage of the pipeline has; 0: 1 */
    int experts;             /* ranks of MESH_EP, which divide MESH_SHARD: experts parallel; 0: 1 */
    const char *experts_key; /* its key, for messages; NULL: expert_model_parallel_size */
    int shard;               /* adjacent ranks of MESH_SHARD, which divide MESH_DP_CP, as FSDP's
                              * hybrid sharding does; 0: all of it */
};

struct mesh {
    int size[MESH_AXES], at[MESH_AXES]; /* at: this rank's coordinate */
    int chunks;                         /* of each stage, at least 1 */
    struct comm *comm[MESH_GROUPS];     /* MESH_ENDS: NULL between the ends; groups of
                                         * the same ranks share one, but not with cp or ep */
    int shard;                          /* ranks of MESH_SHARD, at least 1 */
    int experts;                        /* ranks of MESH_EP, at least 1 */
    const char *experts_key;            /* of mesh_sizes; NULL: the default */
    struct world *world;                /* all ranks; the mesh does not own it */
};

/* Opens a mesh with all ranks of the world in a grid. Fails with ERR_CONFIG if the sizes do not
 * match. The world must outlive the mesh, and a device or a memory plan that its groups use. On
 * failure nothing stays open. */
int mesh_open(struct mesh *m, const struct mesh_sizes *s, struct world *w, struct device *d,
              struct err *e);
/* Opens the mesh of rank 0 of a future run with such a grid, to plan its memory; it cannot exchange
 * data. */
int mesh_planned(struct mesh *m, const struct mesh_sizes *s, struct device *d, struct err *e);
/* Makes a mesh of all ranks of the world, data-parallel and without groups: for exchange in host
 * memory alone, as below. There is nothing to close. */
void mesh_host(struct mesh *m, struct world *w);
void mesh_close(struct mesh *m);
/* Waits on the host for the collectives of all groups. Returns 0, or fails with their first failure
 * since the last call: ERR_DEVICE for a lost rank or a timeout; the run then has to end. */
int mesh_finish(const struct mesh *m, struct err *e);

/* ---- the grid ---- */
int mesh_ranks(const struct mesh *m);
/* Returns the number of the rank with coordinates at[]. */
int mesh_rank_at(const int size[MESH_AXES], const int at[MESH_AXES]);
/* Computes at[] = the coordinates of rank r. */
void mesh_locate(const int size[MESH_AXES], int r, int at[MESH_AXES]);
/* Writes the numbers of the ranks of the group that contains at[] to ranks[], in increasing order;
 * returns how many. A rank between the ends has no MESH_ENDS: 0. ranks has space for all ranks of
 * the grid. The groups that divide MESH_DP_CP are those of one copy on all its ranks, which have
 * all experts. */
int mesh_members(const int size[MESH_AXES], const int at[MESH_AXES], int group, int *ranks);
/* Writes the members of one of the groups that divide MESH_DP_CP, from MESH_SHARD on, as
 * mesh_members does. The ranks of MESH_SHARD and of MESH_EP are adjacent in MESH_DP_CP, where the
 * ranks of cp come first, as FSDP and Megatron-LM have them. */
int mesh_divided_members(const struct mesh *m, int group, int *ranks);
/* Returns the first of the data-parallel coordinates of this rank's MESH_EP, and sets *end to the
 * one behind the last: these ranks' micro-batches have the tokens that MESH_EP gathers. */
int mesh_expert_rows(const struct mesh *m, int *end);
/* Return the number of ranks that hold the same parameters, MESH_DP_CP, and this rank's index among
 * them. */
int mesh_replicas(const struct mesh *m);
int mesh_replica(const struct mesh *m);
/* Sets the coordinates in at[] of the rank with this index in MESH_DP_CP. */
void mesh_locate_replica(const int size[MESH_AXES], int replica, int at[MESH_AXES]);
/* Returns true on the one rank that writes the run's log, metrics and checkpoints. */
bool mesh_writes(const struct mesh *m);

/* Returns true if ranks have parts of the model: by tensors, by layers, by experts. */
bool mesh_cuts(const struct mesh *m);
/* Sets the part of a model that the rank with coordinates at[] has. */
void mesh_params(const struct mesh *m, const int at[MESH_AXES], struct params_options *o);

/* ---- groups ---- */
/* Returns the name of a group: "tp". A group that has the same ranks as an earlier one has that
 * one's. */
const char *mesh_group_name(int group);
/* Returns a group of mesh.comm; NULL if this rank is not in the group, or alone in it. */
struct comm *mesh_group(const struct mesh *m, int group);
/* Declares the staging of the groups of a mesh. bytes: the size of each group's largest collective;
 * 0: the group has none, or another user declares its memory. Groups of the same ranks share the
 * memory. */
void mesh_plan(const struct mesh *m, const size_t bytes[MESH_GROUPS], struct plan *p);

/* ---- all ranks, in host memory; see comm/world.h for details ---- */
/* Agrees on an error. rc, and e if rc is not 0, are this rank's. Returns 0 if rc is 0 on all ranks;
 * else returns -1, and all ranks get the error of the lowest rank that failed. */
int mesh_agree(const struct mesh *m, int rc, struct err *e);
/* Tells all ranks if v is true on any of them: returns 1 or 0; -1 on failure. */
int mesh_any(const struct mesh *m, bool v, struct err *e);
/* Gathers the ranks' notes of at most 64 bytes in rank order, valid until the next call; returns
 * NULL on failure. */
const void *mesh_notes(const struct mesh *m, const void *note, size_t bytes, struct err *e);
/* Gathers dst[ranks * each] = the ranks' src[each] in rank order, in bytes. */
int mesh_gather(const struct mesh *m, void *dst, const void *src, size_t each, struct err *e);
/* Broadcasts buf from the rank that writes (mesh_writes). */
int mesh_broadcast(const struct mesh *m, void *buf, size_t bytes, struct err *e);
/* Send and receive a message between two ranks, separate from the collectives, one at a time. */
int mesh_side_send(const struct mesh *m, const void *buf, size_t bytes, int to, struct err *e);
int mesh_side_receive(const struct mesh *m, void *buf, size_t bytes, int from, struct err *e);
/* Returns true if another thread may send and receive these messages. */
bool mesh_side_threads(const struct mesh *m);

#endif
