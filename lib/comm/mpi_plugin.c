/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin that connects ranks by MPI, built as lib/sft/mpi.so. No other file uses MPI. */
#include <mpi.h>
#include <stdio.h>
#include <string.h>

#include "comm/plugin.h"

enum { TAG = 1 };
_Static_assert(sizeof(MPI_Comm) <= sizeof(comm_handle), "a communicator fits a handle");
_Static_assert(sizeof(MPI_Request) <= sizeof(comm_handle), "a request fits a handle");

static comm_handle of_comm(MPI_Comm c)
{
    comm_handle h = 0;
    memcpy(&h, &c, sizeof c);
    return h;
}
static MPI_Comm to_comm(comm_handle h)
{
    MPI_Comm c;
    memcpy(&c, &h, sizeof c);
    return c;
}

/* Stores the requests of a transfer; a collective has only one. */
static void put(struct comm_transfer *t, MPI_Request first, MPI_Request second)
{
    memcpy(&t->part[0], &first, sizeof first);
    memcpy(&t->part[1], &second, sizeof second);
}

/* Finds the lowest rank of this node, and the position of this rank on the node. */
static int find_node(struct comm_place *p)
{
    MPI_Comm node;
    int rc =
        MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, p->rank, MPI_INFO_NULL, &node);
    if (rc) return rc;
    if (rc == 0) rc = MPI_Comm_rank(node, &p->node_rank);
    if (rc == 0) rc = MPI_Comm_size(node, &p->node_size);
    p->node = p->rank;
    if (rc == 0) rc = MPI_Bcast(&p->node, 1, MPI_INT, 0, node);
    int freed = MPI_Comm_free(&node);
    return rc ? rc : freed;
}

static void name_library(struct comm_place *p)
{
    char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
    int n;
    if (MPI_Get_library_version(text, &n)) return;
    text[strcspn(text, ",\n")] = 0; /* "Open MPI v4.1.4, package: ..." */
    snprintf(p->library, sizeof p->library, "%.90s", text);
}

/* Several threads may call MPI only if the libraries of all ranks support it. */
static int agree_threads(struct comm_place *p, int level)
{
    p->threads = level >= MPI_THREAD_MULTIPLE;
    return MPI_Allreduce(MPI_IN_PLACE, &p->threads, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
}

/* MPI_ERRORS_RETURN: by default MPI ends the process on an error. */
static int start(struct comm_place *p)
{
    int level, rc = MPI_Init_thread(NULL, NULL, MPI_THREAD_MULTIPLE, &level);
    if (rc == 0) rc = MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    if (rc == 0) rc = MPI_Comm_rank(MPI_COMM_WORLD, &p->rank);
    if (rc == 0) rc = MPI_Comm_size(MPI_COMM_WORLD, &p->size);
    if (rc == 0) rc = find_node(p);
    if (rc == 0) rc = agree_threads(p, level);
    if (rc == 0) name_library(p);
    p->all = of_comm(MPI_COMM_WORLD);
    return rc;
}

static int finish(void) { return MPI_Finalize(); }
static void abandon(int status) { MPI_Abort(MPI_COMM_WORLD, status); }

static int group_open(const int *ranks, int n, comm_handle *group)
{
    MPI_Group all, some;
    MPI_Comm c = MPI_COMM_NULL;
    int rc = MPI_Comm_group(MPI_COMM_WORLD, &all);
    if (rc) return rc;
    rc = MPI_Group_incl(all, n, ranks, &some);
    MPI_Group_free(&all);
    if (rc) return rc;
    rc = MPI_Comm_create_group(MPI_COMM_WORLD, some, TAG, &c);
    MPI_Group_free(&some);
    if (rc == 0) rc = MPI_Comm_set_errhandler(c, MPI_ERRORS_RETURN);
    *group = of_comm(c);
    return rc;
}

static int group_close(comm_handle group)
{
    MPI_Comm c = to_comm(group);
    return MPI_Comm_free(&c);
}

static int exchange(comm_handle group, void *dst, const void *src, size_t each,
                    struct comm_transfer *t)
{
    MPI_Request r = MPI_REQUEST_NULL;
    int rc = MPI_Ialltoall(src, (int)each, MPI_BYTE, dst, (int)each, MPI_BYTE, to_comm(group), &r);
    put(t, r, MPI_REQUEST_NULL);
    return rc;
}

static int gather(comm_handle group, void *dst, const void *src, size_t each,
                  struct comm_transfer *t)
{
    MPI_Request r = MPI_REQUEST_NULL;
    MPI_Comm c = to_comm(group);
    int rank, rc = MPI_Comm_rank(c, &rank);
    if (rc) return rc;
    if (src == (char *)dst + (size_t)rank * each)
        rc = MPI_Iallgather(MPI_IN_PLACE, 0, MPI_BYTE, dst, (int)each, MPI_BYTE, c, &r);
    else
        rc = MPI_Iallgather(src, (int)each, MPI_BYTE, dst, (int)each, MPI_BYTE, c, &r);
    put(t, r, MPI_REQUEST_NULL);
    return rc;
}

static int broadcast(comm_handle group, void *buf, size_t bytes, int root, struct comm_transfer *t)
{
    MPI_Request r = MPI_REQUEST_NULL;
    int rc = MPI_Ibcast(buf, (int)bytes, MPI_BYTE, root, to_comm(group), &r);
    put(t, r, MPI_REQUEST_NULL);
    return rc;
}

static int send_receive(comm_handle group, const void *src, size_t sent, int to, void *dst,
                        size_t received, int from, struct comm_transfer *t)
{
    MPI_Request in = MPI_REQUEST_NULL, out = MPI_REQUEST_NULL;
    MPI_Comm c = to_comm(group);
    int rc = from < 0 ? 0 : MPI_Irecv(dst, (int)received, MPI_BYTE, from, TAG, c, &in);
    if (rc == 0 && to >= 0) rc = MPI_Isend(src, (int)sent, MPI_BYTE, to, TAG, c, &out);
    put(t, in, out);
    return rc;
}

static int test(struct comm_transfer *t, int *done)
{
    MPI_Request r[2];
    for (int i = 0; i < 2; i++) memcpy(&r[i], &t->part[i], sizeof r[i]);
    int rc = MPI_Testall(2, r, done, MPI_STATUSES_IGNORE);
    put(t, r[0], r[1]);
    return rc;
}

static void explain(int code, char *text, size_t size)
{
    char message[MPI_MAX_ERROR_STRING] = "";
    int n;
    if (MPI_Error_string(code, message, &n)) message[0] = 0;
    snprintf(text, size, "%s", message[0] ? message : "unknown error");
}

__attribute__((visibility("default"))) extern const struct comm_plugin sft_comm_plugin;
const struct comm_plugin sft_comm_plugin = {.version = COMM_PLUGIN_VERSION,
                                            .start = start,
                                            .finish = finish,
                                            .abandon = abandon,
                                            .group_open = group_open,
                                            .group_close = group_close,
                                            .exchange = exchange,
                                            .gather = gather,
                                            .broadcast = broadcast,
                                            .send_receive = send_receive,
                                            .test = test,
                                            .explain = explain};
