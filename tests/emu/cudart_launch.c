/* SPDX-License-Identifier: Apache-2.0 */
/* The CUDA runtime functions that launch kernels. */
#include <stdlib.h>
#include <string.h>

#include "runtime.h"

enum { SHARED_PLAIN = 48 << 10, SHARED_MOST = 227 << 10, THREADS_MOST = 1024 };
static unsigned char *gather_params(const struct kernel *k, void **args)
{
    unsigned char *p = malloc(k->params ? k->params : 1);
    if (!p) emu_die("out of memory");
    memset(p, 0xff, k->params);
    for (int i = 0; i < k->nparams; i++) memcpy(p + k->param[i].offset, args[i], k->param[i].size);
    return p;
}

static bool possible(const struct kernel *k, dim3 grid, dim3 block, size_t dynamic)
{
    const uint64_t threads = (uint64_t)block.x * block.y * block.z;
    const size_t most = k->most_shared > SHARED_PLAIN ? (size_t)k->most_shared : SHARED_PLAIN;
    return threads > 0 && threads <= THREADS_MOST && (uint64_t)grid.x * grid.y * grid.z > 0 &&
           grid.x <= INT32_MAX && grid.y <= 65535 && grid.z <= 65535 && dynamic <= most &&
           dynamic + k->shared <= SHARED_MOST;
}

static bool cluster_fits(dim3 grid, dim3 c)
{
    const uint64_t n = (uint64_t)c.x * c.y * c.z;
    if (!c.x && !c.y && !c.z) return true;
    return n > 0 && n <= CLUSTER_MOST / 2 && grid.x % c.x == 0 && grid.y % c.y == 0 &&
           grid.z % c.z == 0;
}

static const dim3 no_cluster = {0, 0, 0};
static cudaError_t launch(struct kernel *k, dim3 grid, dim3 block, dim3 cluster, void **args,
                          size_t dynamic, cudaStream_t s)
{
    if (!k) return runtime_told(cudaErrorInvalidDeviceFunction);
    if (!cluster.x && k->cluster[0]) cluster = (dim3){k->cluster[0], k->cluster[1], k->cluster[2]};
    if (!possible(k, grid, block, dynamic)) return runtime_told(cudaErrorInvalidConfiguration);
    if (!cluster_fits(grid, cluster)) return runtime_told(cudaErrorInvalidClusterSize);
    struct work w = {.kind = WORK_LAUNCH,
                     .launch = {.kernel = k,
                                .grid = {grid.x, grid.y, grid.z},
                                .size = {block.x, block.y, block.z},
                                .cluster = {cluster.x, cluster.y, cluster.z},
                                .dynamic = (uint32_t)dynamic,
                                .params = gather_params(k, args)}};
    pthread_mutex_lock(&runtime_lock);
    const cudaError_t e = stream_add(s, &w);
    pthread_mutex_unlock(&runtime_lock);
    return runtime_told(e);
}

static struct kernel *kernel_of(const void *host)
{
    pthread_mutex_lock(&runtime_lock);
    struct kernel *k = fatbin_kernel(host);
    pthread_mutex_unlock(&runtime_lock);
    return k;
}

cudaError_t cudaLaunchKernel(const void *host, dim3 grid, dim3 block, void **args, size_t dynamic,
                             cudaStream_t s)
{
    return launch(kernel_of(host), grid, block, no_cluster, args, dynamic, s);
}
cudaError_t __cudaGetKernel(cudaKernel_t *kernel, const void *host)
{
    *kernel = (cudaKernel_t)(void *)kernel_of(host);
    return *kernel ? cudaSuccess : runtime_told(cudaErrorInvalidDeviceFunction);
}
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void **args,
                               size_t dynamic, cudaStream_t s)
{
    return launch((struct kernel *)(void *)kernel, grid, block, no_cluster, args, dynamic, s);
}
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t *c, const void *host, void **args)
{
    dim3 cluster = {0, 0, 0};
    for (unsigned k = 0; k < c->numAttrs; k++)
        if (c->attrs[k].id == cudaLaunchAttributeClusterDimension)
            cluster = (dim3){c->attrs[k].val.clusterDim.x, c->attrs[k].val.clusterDim.y,
                             c->attrs[k].val.clusterDim.z};
    return launch(kernel_of(host), c->gridDim, c->blockDim, cluster, args, c->dynamicSmemBytes,
                  c->stream);
}
cudaError_t cudaFuncSetAttribute(const void *host, enum cudaFuncAttribute a, int value)
{
    struct kernel *k = kernel_of(host);
    if (!k || (a == cudaFuncAttributeMaxDynamicSharedMemorySize &&
               (size_t)value + k->shared > SHARED_MOST))
        return runtime_told(cudaErrorInvalidValue);
    if (a == cudaFuncAttributeMaxDynamicSharedMemorySize) k->most_shared = value;
    return cudaSuccess;
}

/* A <<<...>>> launch has two steps. */
static __thread struct {
    dim3 grid, block;
    size_t shared;
    cudaStream_t stream;
} pushed;
unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, cudaStream_t stream)
{
    pushed.grid = grid, pushed.block = block, pushed.shared = shared, pushed.stream = stream;
    return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3 *grid, dim3 *block, size_t *shared, void *stream)
{
    *grid = pushed.grid, *block = pushed.block, *shared = pushed.shared,
    *(cudaStream_t *)stream = pushed.stream;
    return cudaSuccess;
}
