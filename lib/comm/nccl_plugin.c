/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between GPUs by NCCL, the second part of the plugin cuda.so. libnccl is loaded when a
 * group is opened, so that one GPU does not need it. Communicators do not block: where a rank is
 * lost, every function still returns. */
#include "comm/nccl_plugin.h"

#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "comm/nccl_abi.h"
#include "kernels/fold.h"
#include "ops/cuda_stream.h"

struct nccl_group {
    struct ncclComm *comm; /* NULL: the entry is free */
    cudaStream_t stream;
    int rank, ranks;
    cudaEvent_t note[NCCL_NOTES]; /* created when first set */
};
/* The plugin allocates no host memory itself. */
enum { MOST = 32, CUDA_CODE = 1000 }; /* CUDA_CODE + a cudaError_t is a code */
static struct nccl_group groups[MOST];

/* ---- the library ---- */
#define X(name, parameters) static int(*name) parameters;
NCCL_FUNCTIONS(X)
#undef X
static const char *(*ncclGetErrorString)(int result);
static const char *(*ncclGetLastError)(struct ncclComm *c);

static int missing(const char *why, struct err *e)
{
    return err_set(e, ERR_DEVICE,
                   "%s; several GPUs need NCCL 2.18 or later (libnccl.so.2): install it, Debian's "
                   "libnccl2 or Python's nvidia-nccl-cu13, where LD_LIBRARY_PATH finds it",
                   why ? why : "no libnccl.so.2");
}

static int find_functions(void *library, struct err *e)
{
    const struct {
        const char *name;
        void *to;
    } all[] = {
#define X(name, parameters) {#name, &name},
        NCCL_FUNCTIONS(X)
#undef X
            {"ncclGetErrorString", &ncclGetErrorString},
        {"ncclGetLastError", &ncclGetLastError}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        void *found = dlsym(library, all[i].name);
        char why[80];
        snprintf(why, sizeof why, "libnccl.so.2: has no %s", all[i].name);
        if (!found) return missing(why, e);
        memcpy(all[i].to, &found, sizeof found);
    }
    return 0;
}

static int load(struct err *e)
{
    static bool loaded;
    int version = 0;
    char why[80];
    if (loaded) return 0;
    void *library = dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
    if (!library) return missing(dlerror(), e);
    if (find_functions(library, e)) return -1;
    ncclGetVersion(&version);
    snprintf(why, sizeof why, "libnccl.so.2: is of version %d.%d", version / 10000,
             version / 100 % 100);
    if (version < NCCL_LEAST) return missing(why, e);
    loaded = true;
    return 0;
}

/* ---- results ---- */
/* The caller polls what is in progress. */
static int code_of(int result) { return result == NCCL_IN_PROGRESS ? 0 : result; }
static int cuda_code(cudaError_t rc) { return rc ? CUDA_CODE + (int)rc : 0; }

static void explain(int code, char *text, size_t size)
{
    if (code >= CUDA_CODE) {
        snprintf(text, size, "CUDA: %s", cudaGetErrorString((cudaError_t)(code - CUDA_CODE)));
        return;
    }
    const char *more = ncclGetLastError(NULL);
    snprintf(text, size, "NCCL: %s%s%s", ncclGetErrorString(code), more && *more ? ": " : "",
             more ? more : "");
}

/* ---- opening and closing ---- */
static int identify(void *id)
{
    struct nccl_id x;
    _Static_assert(sizeof x == NCCL_ID_BYTES, "an id of NCCL fits");
    const int rc = ncclGetUniqueId(&x);
    memcpy(id, &x, sizeof x);
    return rc;
}

static int open_group(struct device *d, const void *id, int ranks, int rank, struct nccl_group **g)
{
    struct nccl_id x;
    struct nccl_config how = {sizeof how, NCCL_CONFIG_MAGIC, NCCL_CONFIG_VERSION, 0};
    int at = 0;
    while (at < MOST && groups[at].comm) at++;
    if (at == MOST) return NCCL_INTERNAL_ERROR;
    memcpy(&x, id, sizeof x);
    *g = &groups[at];
    **g = (struct nccl_group){.stream = cuda_stream(d, QUEUE_COMM), .rank = rank, .ranks = ranks};
    const int rc = code_of(ncclCommInitRankConfig(&(*g)->comm, ranks, x, rank, &how));
    if (rc && (*g)->comm) ncclCommAbort((*g)->comm);
    if (rc) groups[at] = (struct nccl_group){0};
    if (rc) *g = NULL;
    return rc;
}

static int settled(struct nccl_group *g, bool *done)
{
    int result = NCCL_OK;
    const int rc = ncclCommGetAsyncError(g->comm, &result);
    *done = result != NCCL_IN_PROGRESS;
    return rc ? rc : code_of(result);
}

static void drop(struct nccl_group *g)
{
    for (int i = 0; i < NCCL_NOTES; i++)
        if (g->note[i]) cudaEventDestroy(g->note[i]);
    *g = (struct nccl_group){0};
}

static int finalize(struct nccl_group *g) { return code_of(ncclCommFinalize(g->comm)); }

static void close_group(struct nccl_group *g)
{
    ncclCommDestroy(g->comm);
    drop(g);
}

static void abort_group(struct nccl_group *g)
{
    ncclCommAbort(g->comm);
    drop(g);
}

/* ---- work of the queue ---- */
static int begin(void) { return ncclGroupStart(); }

static int send(struct nccl_group *g, const void *src, size_t bytes, int to)
{
    return code_of(ncclSend(src, bytes, NCCL_UINT8, to, g->comm, g->stream));
}

static int receive(struct nccl_group *g, void *dst, size_t bytes, int from)
{
    return code_of(ncclRecv(dst, bytes, NCCL_UINT8, from, g->comm, g->stream));
}

static int end(void) { return code_of(ncclGroupEnd()); }

static int gather(struct nccl_group *g, void *dst, const void *src, size_t bytes)
{
    return code_of(ncclAllGather(src, dst, bytes, NCCL_UINT8, g->comm, g->stream));
}

static int broadcast(struct nccl_group *g, void *buf, size_t bytes, int root)
{
    return code_of(ncclBroadcast(buf, buf, bytes, NCCL_UINT8, root, g->comm, g->stream));
}

static int copy(struct nccl_group *g, void *dst, const void *src, size_t bytes)
{
    return cuda_code(cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDeviceToDevice, g->stream));
}

static int fold(struct nccl_group *g, void *into, const void *own, const void *others, size_t n,
                enum dtype t, bool largest)
{
    const struct fold f = {into, own, others, g->rank, g->ranks, n, t, largest};
    return cuda_code((cudaError_t)kernel_fold(&f, g->stream));
}

static int note(struct nccl_group *g, int slot)
{
    cudaEvent_t *x = &g->note[slot];
    const cudaError_t rc = *x ? cudaSuccess : cudaEventCreateWithFlags(x, cudaEventDisableTiming);
    return cuda_code(rc ? rc : cudaEventRecord(*x, g->stream));
}

static int noted(struct nccl_group *g, int slot, bool *reached)
{
    const cudaError_t rc = cudaEventQuery(g->note[slot]);
    *reached = rc != cudaErrorNotReady;
    return *reached ? cuda_code(rc) : 0;
}

__attribute__((visibility("default"))) extern const struct nccl_plugin sft_nccl_plugin;
const struct nccl_plugin sft_nccl_plugin = {.version = NCCL_PLUGIN_VERSION,
                                            .load = load,
                                            .identify = identify,
                                            .open = open_group,
                                            .settled = settled,
                                            .begin = begin,
                                            .send = send,
                                            .receive = receive,
                                            .end = end,
                                            .gather = gather,
                                            .broadcast = broadcast,
                                            .copy = copy,
                                            .fold = fold,
                                            .note = note,
                                            .noted = noted,
                                            .finalize = finalize,
                                            .close = close_group,
                                            .abort = abort_group,
                                            .explain = explain};
