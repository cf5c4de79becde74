/* SPDX-License-Identifier: Apache-2.0 */
/* Names, checks and messages of calls, for all implementations of a group. */
#include <stdio.h>

#include "comm/comm_impl.h"

const char *comm_kind_name(enum comm_kind kind)
{
    static const char *const names[COMM_KINDS] = {
        [COMM_ALL_REDUCE] = "all_reduce", [COMM_REDUCE_SCATTER] = "reduce_scatter",
        [COMM_ALL_GATHER] = "all_gather", [COMM_ALL_TO_ALL] = "all_to_all",
        [COMM_BROADCAST] = "broadcast",   [COMM_SEND_RECEIVE] = "send_receive"};
    return names[kind];
}

static bool reduces(const struct comm_call *k)
{
    return k->kind == COMM_ALL_REDUCE || k->kind == COMM_REDUCE_SCATTER;
}

/* Returns true if all_to_all sends or receives a number of rows below 0. */
static bool counts_are_wrong(const struct comm *c, const struct comm_call *k)
{
    for (int r = 0; r < c->size && k->kind == COMM_ALL_TO_ALL; r++)
        if (k->sends[r] < 0 || k->accepts[r] < 0) return true;
    return false;
}

size_t comm_rows_before(const int32_t *rows, int rank)
{
    size_t n = 0;
    for (int r = 0; r < rank; r++) n += (size_t)rows[r];
    return n;
}

int comm_check(const struct comm *c, const struct comm_call *k, struct err *e)
{
    const char *name = comm_kind_name(k->kind);
    if (reduces(k) && k->type != DT_F32 && k->type != DT_F64 && k->type != DT_BF16)
        return err_set(e, ERR_INTERNAL, "%s: %s is not reduced", name, dtype_name(k->type));
    if (k->to >= c->size || k->from >= c->size || k->to < -1 || k->from < -1)
        return err_set(e, ERR_INTERNAL, "%s: rank %d or %d of a group of %d", name, k->to, k->from,
                       c->size);
    if (counts_are_wrong(c, k))
        return err_set(e, ERR_INTERNAL, "%s: a rank has fewer than 0 rows", name);
    return 0;
}

void comm_name_members(char text[COMM_MEMBERS], const int *ranks, int n)
{
    size_t at = 0;
    const size_t size = COMM_MEMBERS;
    for (int i = 0; i < n && at + 30 < size; i++) {
        const char *between = i == 0 ? "ranks " : i == n - 1 ? " and " : ", ";
        at += (size_t)snprintf(text + at, size - at, "%s%d", between, ranks[i]);
        if (at + 30 >= size && i < n - 1) snprintf(text + at, size - at, ", ...");
    }
}

int comm_prefix(struct err *e, const struct comm_call *k, const char *members)
{
    const bool rows = k->kind == COMM_ALL_TO_ALL;
    const bool bytes = rows || k->kind == COMM_BROADCAST || k->kind == COMM_SEND_RECEIVE;
    return err_prefix(e, "%s of %s%zu %s among %s", comm_kind_name(k->kind), rows ? "rows of " : "",
                      k->n, bytes ? "bytes" : dtype_name(k->type), members);
}
