/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin that joins ranks by MPI: the only file that knows it. Built as lib/sft/mpi.so. */
#include <mpi.h>
#include <stdio.h>
#include <string.h>

#include "comm/plugin.h"

enum { TAG = 1 };
static const MPI_Comm *const world = &(const MPI_Comm){MPI_COMM_WORLD};
static MPI_Comm side;             /* the same ranks, with messages of its own */
static MPI_Request side_transfer; /* the one under way */

/* Lowest rank of this node, and this rank's place on it. */
static int find_node(struct comm_place *p)
{
    MPI_Comm node;
    int rc = MPI_Comm_split_type(*world, MPI_COMM_TYPE_SHARED, p->rank, MPI_INFO_NULL, &node);
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

/* Where one rank's library cannot be called by two threads at a time no rank does. */
static int open_side(struct comm_place *p, int threads)
{
    p->beside = threads >= MPI_THREAD_MULTIPLE;
    int rc = MPI_Allreduce(MPI_IN_PLACE, &p->beside, 1, MPI_INT, MPI_MIN, *world);
    if (rc == 0) rc = MPI_Comm_dup(*world, &side);
    return rc ? rc : MPI_Comm_set_errhandler(side, MPI_ERRORS_RETURN);
}

/* Errors are returned, where MPI would end the process. */
static int start(struct comm_place *p)
{
    int have, rc = MPI_Init_thread(NULL, NULL, MPI_THREAD_MULTIPLE, &have);
    if (rc == 0) rc = MPI_Comm_set_errhandler(*world, MPI_ERRORS_RETURN);
    if (rc == 0) rc = MPI_Comm_rank(*world, &p->rank);
    if (rc == 0) rc = MPI_Comm_size(*world, &p->size);
    if (rc == 0) rc = find_node(p);
    if (rc == 0) rc = open_side(p, have);
    if (rc == 0) name_library(p);
    return rc;
}

static int finish(void)
{
    int freed = MPI_Comm_free(&side), rc = MPI_Finalize();
    return freed ? freed : rc;
}
static void abandon(int status) { MPI_Abort(*world, status); }

static int exchange(void *dst, const void *src, size_t each)
{
    return MPI_Alltoall(src, (int)each, MPI_BYTE, dst, (int)each, MPI_BYTE, *world);
}

static int gather(void *dst, const void *src, size_t each)
{
    int rank, rc = MPI_Comm_rank(*world, &rank);
    if (rc) return rc;
    if (src == (char *)dst + (size_t)rank * each)
        return MPI_Allgather(MPI_IN_PLACE, 0, MPI_BYTE, dst, (int)each, MPI_BYTE, *world);
    return MPI_Allgather(src, (int)each, MPI_BYTE, dst, (int)each, MPI_BYTE, *world);
}

static int broadcast(void *buf, size_t bytes, int root)
{
    return MPI_Bcast(buf, (int)bytes, MPI_BYTE, root, *world);
}

static int send(const void *buf, size_t bytes, int to)
{
    return MPI_Send(buf, (int)bytes, MPI_BYTE, to, TAG, *world);
}

static int receive(void *buf, size_t bytes, int from)
{
    return MPI_Recv(buf, (int)bytes, MPI_BYTE, from, TAG, *world, MPI_STATUS_IGNORE);
}

static int barrier(void) { return MPI_Barrier(*world); }

static int side_send(const void *buf, size_t bytes, int to)
{
    return MPI_Isend(buf, (int)bytes, MPI_BYTE, to, TAG, side, &side_transfer);
}

static int side_receive(void *buf, size_t bytes, int from)
{
    return MPI_Irecv(buf, (int)bytes, MPI_BYTE, from, TAG, side, &side_transfer);
}

static int side_done(int *done) { return MPI_Test(&side_transfer, done, MPI_STATUS_IGNORE); }

static void explain(int code, char *text, size_t size)
{
    char said[MPI_MAX_ERROR_STRING] = "";
    int n;
    if (MPI_Error_string(code, said, &n)) said[0] = 0;
    snprintf(text, size, "%s", said[0] ? said : "unknown error");
}

__attribute__((visibility("default"))) extern const struct comm_plugin sft_comm_plugin;
const struct comm_plugin sft_comm_plugin = {.version = COMM_PLUGIN_VERSION,
                                            .start = start,
                                            .finish = finish,
                                            .abandon = abandon,
                                            .exchange = exchange,
                                            .gather = gather,
                                            .broadcast = broadcast,
                                            .send = send,
                                            .receive = receive,
                                            .barrier = barrier,
                                            .side_send = side_send,
                                            .side_receive = side_receive,
                                            .side_done = side_done,
                                            .explain = explain};
