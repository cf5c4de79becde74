/* SPDX-License-Identifier: Apache-2.0 */
/* The GPU and the versions of its libraries, the rate of a large product by the plugin, and that of
 * copies. Lines "NAME<tab>VALUE". */
#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include "gpu.h"

static void need(cudaError_t rc, const char *what)
{
    if (rc == cudaSuccess) return;
    fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(rc));
    exit(1);
}

static void card(void)
{
    struct cudaDeviceProp p;
    int driver, runtime;
    size_t left, all;
    need(cudaGetDeviceProperties(&p, 0), "the properties of the GPU");
    need(cudaDriverGetVersion(&driver), "the version of the driver");
    need(cudaRuntimeGetVersion(&runtime), "the version of the runtime");
    need(cudaMemGetInfo(&left, &all), "the memory of the GPU");
    printf("gpu\t%s\nmultiprocessors\t%d\nmemory\t%.2f\nfree\t%.2f\n", p.name,
           p.multiProcessorCount, (double)all / (1 << 30), (double)left / (1 << 30));
    printf("driver\t%d.%d\nruntime\t%d.%d\ncublaslt\t%zu\n", driver / 1000, driver % 1000 / 10,
           runtime / 1000, runtime % 1000 / 10, cublasLtGetVersion());
}

/* TF of a product of bf16 matrices of n x n. */
static void product(int64_t n)
{
    const size_t bytes = (size_t)(n * n) * 2;
    const struct op_matmul p = {.c = gpu_room(bytes),
                                .a = gpu_filled(bytes),
                                .b = gpu_filled(bytes),
                                .m = n,
                                .n = n,
                                .k = n,
                                .tb = true,
                                .ab_dtype = DT_BF16,
                                .c_dtype = DT_BF16};
    const double seconds = gpu_seconds(OP_matmul, &p, sizeof p);
    printf("product\t%.4g\n", 2e-12 * (double)n * (double)n * (double)n / seconds);
    gpu->ops->free(gpu, p.c, bytes);
    gpu->ops->free(gpu, (void *)(uintptr_t)p.a, bytes);
    gpu->ops->free(gpu, (void *)(uintptr_t)p.b, bytes);
}

/* GB/s, read and written, of a copy on the device by the runtime. */
static void copy(const char *name, size_t bytes)
{
    const int rounds = tiny() ? 1 : 10;
    char *to = gpu_room(bytes), *from = gpu_filled(bytes);
    cudaEvent_t at[2];
    float ms;
    need(cudaEventCreate(&at[0]), "an event");
    need(cudaEventCreate(&at[1]), "an event");
    need(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, 0), "a copy");
    need(cudaEventRecord(at[0], 0), "an event");
    for (int i = 0; i < rounds; i++)
        need(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, 0), "a copy");
    need(cudaEventRecord(at[1], 0), "an event");
    need(cudaDeviceSynchronize(), "a copy");
    need(cudaEventElapsedTime(&ms, at[0], at[1]), "an event");
    printf("%s\t%.4g\n", name, 2e-6 * (double)bytes * rounds / (double)ms);
    gpu->ops->free(gpu, to, bytes);
    gpu->ops->free(gpu, from, bytes);
}

int main(void)
{
    gpu_open();
    card();
    product(tiny() ? 256 : 8192);
    copy("copy 1 GiB", (size_t)1 << (tiny() ? 18 : 30));
    copy("copy 4 GiB", (size_t)4 << (tiny() ? 18 : 30));
    device_close(gpu);
    return 0;
}
