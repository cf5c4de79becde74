/* SPDX-License-Identifier: Apache-2.0 */
/* The backend "cuda": device memory, one stream per queue, and a separate stream for copies. */
#include "ops/cuda_plugin.h"

#include <cuda_runtime_api.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"
#include "kernels/matmul.h"
#include "ops/cuda_rules.h"
#include "ops/cuda_stream.h"

struct cuda {
    struct device d; /* first, so that a struct device * is one of these */
    struct ops ops;
    struct device_card card;
    char name[16];
    int index;
    cudaStream_t queue[DEVICE_QUEUES], copies;
    cudaEvent_t behind[DEVICE_QUEUES]; /* marks the end of a queue for the other queue */
    void *blas;
    cudaEvent_t mark[DEVICE_MARKS]; /* created when first set */
    bool failed;
    struct err error; /* the first failure since the last sync */
};

/* One entry for each open GPU; the plugin allocates no host memory itself. */
enum { MOST = 64 };
static struct cuda gpus[MOST];

static struct cuda *cuda_of(struct device *d) { return (struct cuda *)d; }

static const char *name_of(enum op_id op)
{
    static const char *const names[] = {
#define X(name) #name,
        OPS_LIST(X)
#undef X
    };
    return (unsigned)op < OP_COUNT ? names[op] : "unknown operation";
}

static int error_of(int rc, const char *what, struct err *e)
{
    const enum err_code code = rc == cudaErrorMemoryAllocation ? ERR_MEMORY : ERR_DEVICE;
    if (rc >= KERNEL_BLAS)
        return err_set(e, ERR_DEVICE, "cuda: %s: cuBLASLt status %d", what, rc - KERNEL_BLAS);
    return err_set(e, code, "cuda: %s: %s", what, cudaGetErrorString((cudaError_t)rc));
}

static void keep(struct cuda *c, int rc, const char *what)
{
    if (rc == 0 || c->failed) return;
    c->failed = true;
    error_of(rc, what, &c->error);
}

struct CUstream_st *cuda_stream(struct device *d, enum device_queue q)
{
    return cuda_of(d)->queue[q];
}

/* ---- waits of the host: by polls where somebody watches ---- */
static int wait_stream(const struct cuda *c, cudaStream_t s)
{
    int rc;
    if (!c->d.watch) return cudaStreamSynchronize(s);
    while ((rc = cudaStreamQuery(s)) == cudaErrorNotReady) {
        device_look(&c->d);
        sched_yield();
    }
    return rc;
}

static int wait_event(const struct cuda *c, cudaEvent_t e)
{
    int rc;
    if (!c->d.watch) return cudaEventSynchronize(e);
    while ((rc = cudaEventQuery(e)) == cudaErrorNotReady) {
        device_look(&c->d);
        sched_yield();
    }
    return rc;
}

/* ---- memory and copies ---- */
static void *cuda_alloc(struct device *d, size_t bytes, struct err *e)
{
    void *p = NULL;
    (void)d;
    const int rc = cudaMalloc(&p, bytes ? bytes : 1);
    if (rc) error_of(rc, "allocation", e);
    return rc ? NULL : p;
}

static void cuda_free(struct device *d, void *p, size_t bytes)
{
    (void)bytes;
    keep(cuda_of(d), cudaFree(p), "free");
}

static void *cuda_host_alloc(struct device *d, size_t bytes, struct err *e)
{
    void *p = NULL;
    (void)d;
    const int rc = cudaHostAlloc(&p, bytes ? bytes : 1, cudaHostAllocDefault);
    if (rc) error_of(rc, "pinned memory of the host", e);
    if (p) memset(p, 0, bytes);
    return rc ? NULL : p;
}

static void cuda_host_free(struct device *d, void *p, size_t bytes)
{
    (void)bytes;
    if (p) keep(cuda_of(d), cudaFreeHost(p), "free");
}

/* Uploads. CUDA reads pinned memory asynchronously; it reads other memory before the call returns,
 * after the call has waited for the stream. */
static void cuda_upload(struct device *d, void *dst, const void *src, size_t n)
{
    struct cuda *c = cuda_of(d);
    if (n)
        keep(c, cudaMemcpyAsync(dst, src, n, cudaMemcpyHostToDevice, c->queue[QUEUE_COMPUTE]),
             "upload");
}

static int cuda_sync(struct device *d, struct err *e)
{
    struct cuda *c = cuda_of(d);
    for (int q = 0; q < DEVICE_QUEUES; q++) keep(c, wait_stream(c, c->queue[q]), "an operation");
    if (!c->failed) return 0;
    c->failed = false;
    return err_set(e, c->error.code, "%s", c->error.msg);
}

static int copy_out(void *dst, const void *src, size_t n, cudaStream_t stream, struct err *e)
{
    int rc = n ? cudaMemcpyAsync(dst, src, n, cudaMemcpyDeviceToHost, stream) : 0;
    if (!rc) rc = cudaStreamSynchronize(stream);
    return rc ? error_of(rc, "download", e) : 0;
}

static int cuda_download(struct device *d, void *dst, const void *src, size_t n, struct err *e)
{
    if (cuda_sync(d, e)) return -1;
    return copy_out(dst, src, n, cuda_of(d)->queue[QUEUE_COMPUTE], e);
}

static int cuda_peek(struct device *d, void *dst, const void *src, size_t n, struct err *e)
{
    const int rc = cudaSetDevice(cuda_of(d)->index); /* safe from any thread */
    return rc ? error_of(rc, "peek", e) : copy_out(dst, src, n, cuda_of(d)->copies, e);
}

static size_t cuda_work(struct device *d, enum op_id op, const void *args)
{
    (void)d;
    return cuda_work_bytes(op, args);
}

static int launch(enum op_id op, const void *args, const struct kernel_context *k)
{
    switch (op) {
#define X(name)                                                                                    \
    case OP_##name:                                                                                \
        return kernel_##name(args, k);
        OPS_LIST(X)
#undef X
    default:
        return cudaErrorInvalidValue;
    }
}

static void cuda_run(struct device *d, enum op_id op, const void *args, size_t size)
{
    struct cuda *c = cuda_of(d);
    const struct kernel_context k = {
        .stream = c->queue[d->queue], .work = d->work[d->queue].p, .blas = c->blas};
    (void)size;
    if (!c->failed) keep(c, launch(op, args, &k), name_of(op));
}

static void cuda_mark(struct device *d, int slot)
{
    struct cuda *c = cuda_of(d);
    if (!c->mark[slot]) keep(c, cudaEventCreate(&c->mark[slot]), "a mark");
    if (c->mark[slot]) keep(c, cudaEventRecord(c->mark[slot], c->queue[QUEUE_COMPUTE]), "a mark");
}

static double cuda_between(struct device *d, int from, int to)
{
    struct cuda *c = cuda_of(d);
    float ms = 0;
    if (!c->mark[from] || !c->mark[to]) return 0;
    keep(c, wait_event(c, c->mark[to]), "a mark");
    keep(c, cudaEventElapsedTime(&ms, c->mark[from], c->mark[to]), "a mark");
    return (double)ms * 1e-3;
}

static void cuda_reached(struct device *d, int slot)
{
    struct cuda *c = cuda_of(d);
    if (c->mark[slot]) keep(c, wait_event(c, c->mark[slot]), "a mark");
}

static void cuda_after(struct device *d, enum device_queue q)
{
    struct cuda *c = cuda_of(d);
    const int other = q == QUEUE_COMPUTE ? QUEUE_COMM : QUEUE_COMPUTE;
    keep(c, cudaEventRecord(c->behind[other], c->queue[other]), "a queue");
    keep(c, cudaStreamWaitEvent(c->queue[q], c->behind[other], 0), "a queue");
}

static void cuda_wait(struct device *d, enum device_queue q)
{
    keep(cuda_of(d), wait_stream(cuda_of(d), cuda_of(d)->queue[q]), "an operation");
}

static void cuda_close(struct device *d)
{
    struct cuda *c = cuda_of(d);
    kernel_blas_close(c->blas);
    for (int i = 0; i < DEVICE_MARKS; i++)
        if (c->mark[i]) cudaEventDestroy(c->mark[i]);
    for (int q = 0; q < DEVICE_QUEUES; q++) {
        if (c->queue[q]) cudaStreamDestroy(c->queue[q]);
        if (c->behind[q]) cudaEventDestroy(c->behind[q]);
    }
    if (c->copies) cudaStreamDestroy(c->copies);
    *c = (struct cuda){0};
}

static const struct ops cuda_ops = {.close = cuda_close,
                                    .alloc = cuda_alloc,
                                    .free = cuda_free,
                                    .host_alloc = cuda_host_alloc,
                                    .host_free = cuda_host_free,
                                    .upload = cuda_upload,
                                    .download = cuda_download,
                                    .peek = cuda_peek,
                                    .sync = cuda_sync,
                                    .work = cuda_work,
                                    .run = cuda_run,
                                    .mark = cuda_mark,
                                    .between = cuda_between,
                                    .reached = cuda_reached,
                                    .after = cuda_after,
                                    .wait = cuda_wait};

/* ---- which GPUs there are ---- */
static int cuda_count(struct err *e)
{
    int n = 0, driver = 0;
    const int rc = cudaGetDeviceCount(&n);
    cudaDriverGetVersion(&driver); /* 0: there is none */
    if (!rc && n > 0) return n;
    err_set(e, ERR_DEVICE, "cuda: no GPU: %s", rc ? cudaGetErrorString(rc) : "there are 0");
    if (!rc || rc == cudaErrorNoDevice || (rc == cudaErrorInsufficientDriver && !driver)) return 0;
    if (rc != cudaErrorInsufficientDriver) return -1;
    return err_set(e, ERR_DEVICE,
                   "cuda: the driver has CUDA %d.%d, older than the runtime's %d.%d; update it, or "
                   "use --device cpu",
                   driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000,
                   CUDART_VERSION % 1000 / 10);
}

static int describe(int index, struct device_card *card, struct err *e)
{
    struct cudaDeviceProp p;
    int rc = cudaGetDeviceProperties(&p, index);
    *card = (struct device_card){.blas = (int)kernel_blas_version()};
    if (!rc) rc = cudaGetDeviceCount(&card->gpus);
    if (!rc) rc = cudaRuntimeGetVersion(&card->runtime);
    if (!rc) rc = cudaDriverGetVersion(&card->driver);
    if (rc) return error_of(rc, "the description of a GPU", e);
    snprintf(card->name, sizeof card->name, "%s", p.name);
    err_clean(card->name);
    card->capability = 10 * p.major + p.minor;
    memcpy(card->id, p.uuid.bytes, sizeof card->id);
    return 0;
}

static int start(struct cuda *c)
{
    int rc = cudaSetDevice(c->index);
    for (int q = 0; q < DEVICE_QUEUES && !rc; q++) {
        rc = cudaStreamCreateWithFlags(&c->queue[q], cudaStreamNonBlocking);
        if (!rc) rc = cudaEventCreateWithFlags(&c->behind[q], cudaEventDisableTiming);
    }
    if (!rc) rc = cudaStreamCreateWithFlags(&c->copies, cudaStreamNonBlocking);
    if (!rc) rc = kernel_blas_open(&c->blas);
    return rc ? rc : (int)cudaMemGetInfo(&c->card.free, &c->card.memory);
}

/* Refuses a GPU that is not there. Both numbers are told, since a launcher may hide GPUs. */
static int check_index(int index, struct err *e)
{
    const int n = cuda_count(e);
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    if (n <= 0) return -1;
    if (index < 0 || index >= n)
        return err_set(e, ERR_CONFIG, "cuda:%d: asks for %d GPU%s, and there %s %d%s%s", index,
                       index + 1, index ? "s" : "", n == 1 ? "is" : "are", n,
                       visible ? "; CUDA_VISIBLE_DEVICES=" : "", visible ? visible : "");
    if (index < MOST && !gpus[index].d.ops) return 0;
    return err_set(e, ERR_DEVICE, "cuda:%d: is open already", index);
}

static struct device *cuda_open(int index, struct err *e)
{
    if (check_index(index, e)) return NULL;
    struct cuda *c = &gpus[index];
    if (describe(index, &c->card, e)) return NULL;
    if (c->card.capability < CUDA_LEAST) {
        err_set(e, ERR_DEVICE,
                "cuda:%d: %s: has compute capability %d.%d, and the kernels need "
                "%d.%d; use --device cpu",
                index, c->card.name, c->card.capability / 10, c->card.capability % 10,
                CUDA_LEAST / 10, CUDA_LEAST % 10);
        return NULL;
    }
    c->ops = cuda_ops;
    snprintf(c->name, sizeof c->name, "cuda:%d", index);
    c->ops.name = c->name;
    c->index = index;
    c->d = (struct device){
        .ops = &c->ops, .card = &c->card, .threads = 1, .head = CUDA_HEAD, .has_bf16 = true};
    const int rc = start(c);
    if (!rc) return &c->d;
    error_of(rc, c->name, e);
    if (e) e->code = ERR_DEVICE; /* a GPU that has no room for its context cannot be used */
    cuda_close(&c->d);
    return NULL;
}

__attribute__((visibility("default")))
const struct cuda_plugin sft_cuda_plugin = {CUDA_PLUGIN_VERSION, cuda_count, cuda_open};
