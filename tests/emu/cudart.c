/* SPDX-License-Identifier: Apache-2.0 */
/* The CUDA runtime functions that our programs use, except streams and events. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "runtime.h"

pthread_mutex_t runtime_lock = PTHREAD_MUTEX_INITIALIZER;
static cudaError_t sticky;
static __thread cudaError_t last;

cudaError_t runtime_error(void) { return sticky; }
cudaError_t runtime_fail(cudaError_t e) { return sticky = e; }

cudaError_t runtime_told(cudaError_t e) { return e ? last = e : e; }

/* ---- devices: all have the same memory, as each process uses one ---- */
static __thread int device;
/* EMU_FAIL names the step that fails: driver, open, alloc. */
static bool fails(const char *step)
{
    const char *s = getenv("EMU_FAIL");
    return s && strcmp(s, step) == 0;
}

cudaError_t cudaGetDeviceCount(int *n)
{
    *n = (int)emu_setting("EMU_DEVICES", 1);
    if (fails("driver")) return runtime_told(cudaErrorSystemDriverMismatch);
    if (emu_setting("EMU_DRIVER", CUDART_VERSION) < CUDART_VERSION)
        return runtime_told(cudaErrorInsufficientDriver);
    return *n ? cudaSuccess : cudaErrorNoDevice;
}
cudaError_t cudaSetDevice(int n)
{
    int count;
    cudaGetDeviceCount(&count);
    if (fails("open")) return runtime_told(cudaErrorDevicesUnavailable);
    if (n < 0 || n >= count) return runtime_told(cudaErrorInvalidDevice);
    device = n;
    return cudaSuccess;
}
cudaError_t cudaGetDevice(int *n) { return *n = device, cudaSuccess; }
int runtime_device(void) { return device; }
cudaError_t cudaDriverGetVersion(int *v)
{
    *v = (int)emu_setting("EMU_DRIVER", CUDART_VERSION);
    return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int *v) { return *v = CUDART_VERSION, cudaSuccess; }
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *p, int n)
{
    const char *name = getenv("EMU_NAME");
    memset(p, 0, sizeof *p);
    snprintf(p->name, sizeof p->name, "%s", name ? name : "emulated device");
    memset(p->uuid.bytes, n + 1, sizeof p->uuid.bytes);
    p->major = (int)emu_setting("EMU_SM", 90) / 10;
    p->minor = (int)emu_setting("EMU_SM", 90) % 10;
    p->multiProcessorCount = (int)emu_setting("EMU_SMS", 4);
    p->warpSize = LANES;
    return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int *v, enum cudaDeviceAttr a, int n)
{
    (void)n;
    *v = a == cudaDevAttrMultiProcessorCount            ? (int)emu_setting("EMU_SMS", 4)
         : a == cudaDevAttrComputeCapabilityMajor       ? (int)emu_setting("EMU_SM", 90) / 10
         : a == cudaDevAttrMaxSharedMemoryPerBlockOptin ? 227 << 10
                                                        : 0;
    return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t *left, size_t *all)
{
    *all = (size_t)emu_setting("EMU_MEMORY", 32 << 10) << 20;
    *left = *all > device_used() ? *all - device_used() : 0;
    return cudaSuccess;
}

const char *cudaGetErrorString(cudaError_t e)
{
    switch (e) {
    case cudaSuccess:
        return "no error";
    case cudaErrorMemoryAllocation:
        return "out of memory";
    case cudaErrorLaunchFailure:
        return emu_message;
    case cudaErrorIllegalAddress:
        return "an illegal address";
    case cudaErrorInvalidConfiguration:
        return "an invalid launch";
    case cudaErrorInvalidValue:
        return "an invalid value";
    case cudaErrorNoDevice:
        return "no device";
    case cudaErrorInvalidDevice:
        return "no such device";
    case cudaErrorDevicesUnavailable:
        return "the device is busy or unavailable";
    case cudaErrorSystemDriverMismatch:
        return "the kernel's driver is of another version than libcuda";
    case cudaErrorInsufficientDriver:
        return "the driver is too old";
    case cudaErrorNotReady:
        return "not ready";
    default:
        return "an error";
    }
}
const char *cudaGetErrorName(cudaError_t e) { return cudaGetErrorString(e); }
cudaError_t cudaGetLastError(void)
{
    const cudaError_t e = sticky ? sticky : last;
    last = cudaSuccess;
    return e;
}
cudaError_t cudaPeekAtLastError(void) { return sticky ? sticky : last; }

/* ---- memory ---- */
/* With EMU_ALLOC=1 each allocation is a line of standard error, in order with the program's own. */
static void tell_allocation(const char *where, size_t n)
{
    if (emu_setting("EMU_ALLOC", 0))
        fprintf(stderr, "emulator: allocation of %zu bytes, %s\n", n, where);
}

cudaError_t cudaMalloc(void **p, size_t n)
{
    if (fails("alloc")) return runtime_told(cudaErrorIllegalAddress);
    pthread_mutex_lock(&runtime_lock);
    const uint64_t at = device_alloc(n ? n : 1);
    pthread_mutex_unlock(&runtime_lock);
    *p = (void *)(uintptr_t)at;
    tell_allocation("device", n);
    return runtime_told(at ? cudaSuccess : cudaErrorMemoryAllocation);
}
cudaError_t cudaFree(void *p)
{
    if (!p) return cudaSuccess;
    pthread_mutex_lock(&runtime_lock);
    stream_drain(NULL);
    const int rc = device_free((uint64_t)(uintptr_t)p);
    pthread_mutex_unlock(&runtime_lock);
    return runtime_told(rc ? cudaErrorInvalidValue : cudaSuccess);
}

/* Pinned memory; cudaPointerGetAttributes distinguishes it from other host memory. */
enum { PINNED = 4096 };
static struct {
    char *at;
    size_t n;
} pinned[PINNED];
cudaError_t cudaHostAlloc(void **p, size_t n, unsigned flags)
{
    (void)flags;
    int k = 0;
    pthread_mutex_lock(&runtime_lock);
    while (k < PINNED && pinned[k].at) k++;
    char *at = k < PINNED ? aligned_alloc(4096, (n + 4095) / 4096 * 4096) : NULL;
    if (at) {
        memset(at, 0xff, n);
        pinned[k].at = at;
        pinned[k].n = n;
    }
    pthread_mutex_unlock(&runtime_lock);
    *p = at;
    tell_allocation("host", n);
    return runtime_told(at ? cudaSuccess : cudaErrorMemoryAllocation);
}
cudaError_t cudaMallocHost(void **p, size_t n) { return cudaHostAlloc(p, n, 0); }

static int pin_of(const void *p)
{
    for (int k = 0; k < PINNED; k++)
        if (pinned[k].at && (const char *)p >= pinned[k].at &&
            (const char *)p < pinned[k].at + pinned[k].n)
            return k;
    return -1;
}
cudaError_t cudaFreeHost(void *p)
{
    pthread_mutex_lock(&runtime_lock);
    stream_drain(NULL);
    const int k = pin_of(p);
    if (k >= 0) pinned[k].at = NULL;
    pthread_mutex_unlock(&runtime_lock);
    if (k >= 0) free(p);
    return runtime_told(k >= 0 ? cudaSuccess : cudaErrorInvalidValue);
}
cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *a, const void *p)
{
    memset(a, 0, sizeof *a);
    pthread_mutex_lock(&runtime_lock);
    const bool device = device_owns((uint64_t)(uintptr_t)p), host = pin_of(p) >= 0;
    pthread_mutex_unlock(&runtime_lock);
    a->type = device ? cudaMemoryTypeDevice
              : host ? cudaMemoryTypeHost
                     : cudaMemoryTypeUnregistered;
    return cudaSuccess;
}

/* Returns true for unpinned host memory, which is copied before the call returns, as the driver
 * does. */
static bool waits(const void *p) { return !device_owns((uint64_t)(uintptr_t)p) && pin_of(p) < 0; }
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t n, enum cudaMemcpyKind kind,
                            cudaStream_t s)
{
    (void)kind;
    if (!n) return cudaSuccess;
    pthread_mutex_lock(&runtime_lock);
    cudaError_t e =
        stream_add(s, &(struct work){.kind = WORK_COPY, .to = to, .from = from, .n = n});
    if (waits(to) || waits(from)) e = stream_drain(s ? s : cudaStreamLegacy);
    pthread_mutex_unlock(&runtime_lock);
    return runtime_told(e);
}
cudaError_t cudaMemcpy(void *to, const void *from, size_t n, enum cudaMemcpyKind kind)
{
    const cudaError_t e = cudaMemcpyAsync(to, from, n, kind, NULL);
    return e ? e : runtime_told(cudaDeviceSynchronize());
}
cudaError_t cudaMemsetAsync(void *to, int value, size_t n, cudaStream_t s)
{
    if (!n) return cudaSuccess;
    pthread_mutex_lock(&runtime_lock);
    const cudaError_t e =
        stream_add(s, &(struct work){.kind = WORK_SET, .to = to, .value = value, .n = n});
    pthread_mutex_unlock(&runtime_lock);
    return runtime_told(e);
}
cudaError_t cudaMemset(void *to, int value, size_t n)
{
    const cudaError_t e = cudaMemsetAsync(to, value, n, NULL);
    return e ? e : runtime_told(cudaDeviceSynchronize());
}
