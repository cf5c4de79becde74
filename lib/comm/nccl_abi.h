/* SPDX-License-Identifier: Apache-2.0 */
/* The part of NCCL's binary interface that is used here, after NVIDIA's "NCCL API" documentation
 * (docs.nvidia.com/deeplearning/nccl, chapter "NCCL API"), so that a build needs no nccl.h. The
 * interface keeps these values from version 2.14 on. The names are our own: a test includes nccl.h
 * beside them and compares. */
#ifndef SFT_COMM_NCCL_ABI_H
#define SFT_COMM_NCCL_ABI_H

#include <stddef.h>

struct ncclComm;    /* a communicator */
struct CUstream_st; /* a CUDA stream */

enum nccl_result {
    NCCL_OK,
    NCCL_CUDA_ERROR,
    NCCL_SYSTEM_ERROR,
    NCCL_INTERNAL_ERROR,
    NCCL_INVALID_ARGUMENT,
    NCCL_INVALID_USAGE,
    NCCL_REMOTE_ERROR,
    NCCL_IN_PROGRESS
};
enum nccl_type { NCCL_UINT8 = 1 };
struct nccl_id { /* identifies a communicator that is to be opened; passed by value */
    char bytes[128];
};
/* ncclConfig_t as of version 2.14; NCCL sets members that later versions added to their defaults.
 */
enum { NCCL_CONFIG_VERSION = 21400, NCCL_LEAST = 21800 };
#define NCCL_CONFIG_MAGIC 0xcafebeefu
struct nccl_config {
    size_t size;
    unsigned magic, version;
    int blocking; /* 0: functions return NCCL_IN_PROGRESS, and the caller polls */
};

/* X(name, parameters): the functions, which return an nccl_result. */
#define NCCL_FUNCTIONS(X)                                                                          \
    X(ncclGetVersion, (int *version))                                                              \
    X(ncclGetUniqueId, (struct nccl_id * id))                                                      \
    X(ncclCommInitRankConfig,                                                                      \
      (struct ncclComm * *c, int ranks, struct nccl_id id, int rank, struct nccl_config *config))  \
    X(ncclCommGetAsyncError, (struct ncclComm * c, int *result))                                   \
    X(ncclCommFinalize, (struct ncclComm * c))                                                     \
    X(ncclCommDestroy, (struct ncclComm * c))                                                      \
    X(ncclCommAbort, (struct ncclComm * c))                                                        \
    X(ncclGroupStart, (void))                                                                      \
    X(ncclGroupEnd, (void))                                                                        \
    X(ncclSend,                                                                                    \
      (const void *src, size_t n, int type, int to, struct ncclComm *c, struct CUstream_st *s))    \
    X(ncclRecv,                                                                                    \
      (void *dst, size_t n, int type, int from, struct ncclComm *c, struct CUstream_st *s))        \
    X(ncclAllGather,                                                                               \
      (const void *src, void *dst, size_t n, int type, struct ncclComm *c, struct CUstream_st *s)) \
    X(ncclBroadcast, (const void *src, void *dst, size_t n, int type, int root,                    \
                      struct ncclComm *c, struct CUstream_st *s))

#endif
