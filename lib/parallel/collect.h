/* SPDX-License-Identifier: Apache-2.0 */
/* The collectives that the passes of a model run, as operations on its device: called like
 * op_matmul, in the same order on all ranks of the group. `group` is one of mesh.comm; NULL stands
 * for this rank alone. On another device than the group's, such as that of a rehearsal, nothing
 * runs. A failure is kept for mesh_finish. Sums run in rank
 * order, bf16 in fp32. The buffers may be used again after collect_join. */
#ifndef SFT_PARALLEL_COLLECT_H
#define SFT_PARALLEL_COLLECT_H

#include "ops/ops.h"

struct comm;

int collect_size(const struct comm *group);
int collect_rank(const struct comm *group);
/* buf[n] = the ranks' sum, or their largest elements. fp32, fp64 or bf16. */
void collect_sum(struct device *d, struct comm *group, void *buf, size_t n, enum dtype t);
void collect_max(struct device *d, struct comm *group, void *buf, size_t n, enum dtype t);
/* dst[n_each] = the sum of the ranks' src[size * n_each] at block `rank` */
void collect_reduce_scatter(struct device *d, struct comm *group, void *dst, const void *src,
                            size_t n_each, enum dtype t);
/* dst[size * n_each] = the ranks' src[n_each] */
void collect_all_gather(struct device *d, struct comm *group, void *dst, const void *src,
                        size_t n_each, enum dtype t);
/* Block p of src[size * n_each] goes to rank p; block p of dst comes from it. */
void collect_all_to_all(struct device *d, struct comm *group, void *dst, const void *src,
                        size_t n_each, enum dtype t);
void collect_broadcast(struct device *d, struct comm *group, void *buf, size_t bytes, int root);
/* Sends src to rank `to` while dst comes from rank `from`; a rank below 0: neither. */
void collect_send_receive(struct device *d, struct comm *group, const void *src, size_t sent,
                          int to, void *dst, size_t received, int from);
/* Work that the device is given from now on begins after the group's collectives so far. */
void collect_join(struct device *d, struct comm *group);

#endif
