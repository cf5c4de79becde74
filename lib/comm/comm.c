/* SPDX-License-Identifier: Apache-2.0 */
/* The public functions: each passes a call to the implementation of its group. */
#include <stdio.h>
#include <string.h>

#include "base/trace.h"
#include "comm/board.h"
#include "comm/comm_impl.h"

int comm_fail(struct comm *c, const struct err *e)
{
    if (!c->failed) c->why = *e;
    c->failed = true;
    return -1;
}

int comm_take_failure(struct comm *c, struct err *e)
{
    if (!c->failed) return 0;
    if (e) *e = c->why;
    c->failed = false;
    return -1;
}

void comm_begin(struct comm *c, const struct comm_call *k)
{
    c->running.kind = k->kind;
    c->running.bytes = 0;
    c->running.began = trace_begin();
}

void comm_count(struct comm *c, size_t bytes) { c->running.bytes += bytes; }
void comm_count_each(struct comm *c, size_t bytes) { comm_count(c, bytes * ((size_t)c->size - 1)); }

void comm_end(struct comm *c)
{
    const enum comm_kind kind = c->running.kind;
    c->sent[kind].calls++;
    c->sent[kind].bytes += c->running.bytes;
    trace_end(c->running.began, "comm", comm_kind_name(kind), c->label, (int64_t)c->running.bytes);
}

void comm_label(struct comm *c, const char *label)
{
    c->label = label;
    if (c->slot) snprintf(c->slot->label, sizeof c->slot->label, "%s", label);
}

void comm_close(struct comm *c)
{
    if (c) c->ops->close(c);
}

size_t comm_room(struct comm *c, size_t largest)
{
    c->room = c->ops->room(c, largest);
    return c->room;
}

void comm_all_reduce(struct comm *c, void *buf, size_t n, enum dtype t, enum comm_op op)
{
    c->ops->run(c,
                &(struct comm_call){
                    .kind = COMM_ALL_REDUCE, .op = op, .type = t, .dst = buf, .src = buf, .n = n});
}

void comm_reduce_scatter(struct comm *c, void *dst, const void *src, size_t n_each, enum dtype t)
{
    c->ops->run(c, &(struct comm_call){.kind = COMM_REDUCE_SCATTER,
                                       .op = COMM_SUM,
                                       .type = t,
                                       .dst = dst,
                                       .src = src,
                                       .n = n_each});
}

void comm_all_gather(struct comm *c, void *dst, const void *src, size_t n_each, enum dtype t)
{
    c->ops->run(c, &(struct comm_call){
                       .kind = COMM_ALL_GATHER, .type = t, .dst = dst, .src = src, .n = n_each});
}

void comm_all_to_all(struct comm *c, void *dst, const int32_t *accepts, const void *src,
                     const int32_t *sends, size_t bytes)
{
    c->ops->run(c, &(struct comm_call){.kind = COMM_ALL_TO_ALL,
                                       .dst = dst,
                                       .src = src,
                                       .n = bytes,
                                       .sends = sends,
                                       .accepts = accepts});
}

void comm_broadcast(struct comm *c, void *buf, size_t bytes, int root)
{
    c->ops->run(c, &(struct comm_call){
                       .kind = COMM_BROADCAST, .dst = buf, .src = buf, .n = bytes, .from = root});
}

void comm_send_receive(struct comm *c, const void *src, size_t sent, int to, void *dst,
                       size_t received, int from)
{
    c->ops->run(c, &(struct comm_call){.kind = COMM_SEND_RECEIVE,
                                       .dst = dst,
                                       .src = src,
                                       .n = sent,
                                       .received = received,
                                       .to = to,
                                       .from = from});
}

void comm_join(struct comm *c) { c->ops->join(c); }

void comm_read(struct comm *c, void *to, const void *from, size_t bytes)
{
    struct err e;
    comm_join(c);
    if (c->device->ops->download(c->device, to, from, bytes, &e)) comm_fail(c, &e);
    if (c->failed) memset(to, 0, bytes);
}
int comm_finish(struct comm *c, struct err *e) { return c->ops->finish(c, e); }
