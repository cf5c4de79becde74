/* SPDX-License-Identifier: Apache-2.0 */
/* The collectives that the passes of a model run, as operations on its device. They are called like
 * op_matmul, in the same order on all ranks of the group. `group` is one of mesh.comm; NULL is this
 * rank alone. If the device is not the group's, as in a rehearsal, nothing runs. mesh_finish
 * reports a failure. Sums run in rank order; bf16 is summed in fp32. The caller may use the buffers
 * again after collect_join. */
#ifndef SFT_PARALLEL_COLLECT_H
#define SFT_PARALLEL_COLLECT_H

#include "ops/ops.h"

struct comm;

/* Returns true if collectives of the group run on the device. */
bool collect_runs(const struct device *d, const struct comm *group);
int collect_size(const struct comm *group);
int collect_rank(const struct comm *group);
/* Replace buf[n] by the ranks' sum, or by the ranks' maximum, element by element. fp32, fp64 or
 * bf16. */
void collect_sum(struct device *d, struct comm *group, void *buf, size_t n, enum dtype t);
void collect_max(struct device *d, struct comm *group, void *buf, size_t n, enum dtype t);
/* Computes dst[n_each] = the sum of the ranks' src[size * n_each] at block `rank`. */
void collect_reduce_scatter(struct device *d, struct comm *group, void *dst, const void *src,
                            size_t n_each, enum dtype t);
/* Gathers dst[size * n_each] = the ranks' src[n_each]. */
void collect_all_gather(struct device *d, struct comm *group, void *dst, const void *src,
                        size_t n_each, enum dtype t);
/* Sends sends[p] rows of src to each rank p, and receives accepts[p] rows from it; see
 * comm_all_to_all. */
void collect_all_to_all(struct device *d, struct comm *group, void *dst, const int32_t *accepts,
                        const void *src, const int32_t *sends, size_t bytes);
/* Copies device memory to the host, and waits for that. */
void collect_read(struct device *d, struct comm *group, void *to, const void *from, size_t bytes);
void collect_broadcast(struct device *d, struct comm *group, void *buf, size_t bytes, int root);
/* Sends src to rank `to` while it receives dst from rank `from`; a rank below 0: no message. */
void collect_send_receive(struct device *d, struct comm *group, const void *src, size_t sent,
                          int to, void *dst, size_t received, int from);
/* Makes later work on the device wait for the group's collectives so far. */
void collect_join(struct device *d, struct comm *group);

#endif
