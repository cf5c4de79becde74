/* SPDX-License-Identifier: Apache-2.0 */
/* Collectives as operations on a device. */
#include "parallel/collect.h"

#include "comm/comm.h"

bool collect_runs(const struct device *d, const struct comm *group)
{
    return group && group->device == d;
}

int collect_size(const struct comm *group) { return group ? group->size : 1; }
int collect_rank(const struct comm *group) { return group ? group->rank : 0; }

void collect_sum(struct device *d, struct comm *group, void *buf, size_t n, enum dtype t)
{
    if (collect_runs(d, group)) comm_all_reduce(group, buf, n, t, COMM_SUM);
}

void collect_max(struct device *d, struct comm *group, void *buf, size_t n, enum dtype t)
{
    if (collect_runs(d, group)) comm_all_reduce(group, buf, n, t, COMM_MAX);
}

void collect_reduce_scatter(struct device *d, struct comm *group, void *dst, const void *src,
                            size_t n_each, enum dtype t)
{
    if (collect_runs(d, group)) comm_reduce_scatter(group, dst, src, n_each, t);
}

void collect_all_gather(struct device *d, struct comm *group, void *dst, const void *src,
                        size_t n_each, enum dtype t)
{
    if (collect_runs(d, group)) comm_all_gather(group, dst, src, n_each, t);
}

void collect_all_to_all(struct device *d, struct comm *group, void *dst, const int32_t *accepts,
                        const void *src, const int32_t *sends, size_t bytes)
{
    if (collect_runs(d, group)) comm_all_to_all(group, dst, accepts, src, sends, bytes);
}

void collect_read(struct device *d, struct comm *group, void *to, const void *from, size_t bytes)
{
    if (collect_runs(d, group)) comm_read(group, to, from, bytes);
}

void collect_broadcast(struct device *d, struct comm *group, void *buf, size_t bytes, int root)
{
    if (collect_runs(d, group)) comm_broadcast(group, buf, bytes, root);
}

void collect_send_receive(struct device *d, struct comm *group, const void *src, size_t sent,
                          int to, void *dst, size_t received, int from)
{
    if (collect_runs(d, group)) comm_send_receive(group, src, sent, to, dst, received, from);
}

void collect_join(struct device *d, struct comm *group)
{
    if (collect_runs(d, group)) comm_join(group);
}
