/* SPDX-License-Identifier: Apache-2.0 */
/* Device memory: one range of addresses that fault on the host, and a second view of the same pages
 * for the emulator. New memory is all ones, a NaN in every format. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "emu.h"

enum { MOST = 1 << 16, ALIGN = 512, LARGE = 1 << 18 };
static const size_t SPACE = (size_t)64 << 30;
static struct {
    unsigned char *device, *host, *known; /* device: no access */
    size_t end, used;
    struct allocation {
        size_t at, n;
    } all[MOST]; /* in rising order */
    int count;
    unsigned version; /* increases when an allocation ends */
} memory;
/* The last allocation that this thread accessed. */
static __thread struct {
    size_t at, end;
    unsigned version;
} last;

static void open_memory(void)
{
    const int file = memfd_create("device", 0);
    if (file < 0 || ftruncate(file, (off_t)SPACE)) emu_die("no memory for a device");
    memory.host = mmap(NULL, SPACE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file, 0);
    memory.device =
        mmap(NULL, SPACE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    memory.known = mmap(NULL, SPACE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory.host == MAP_FAILED || memory.device == MAP_FAILED || memory.known == MAP_FAILED)
        emu_die("no addresses for a device");
    close(file);
}

/* Resets memory. A large allocation is returned to the system and becomes zeros, for speed; reads
 * of uninitialised memory are reported in any case. */
static void refresh(size_t at, size_t n)
{
    const size_t page = 4096, begin = (at + page - 1) / page * page, end = (at + n) / page * page;
    if (n <= LARGE || !emu_setting("EMU_CHECK", 1)) {
        memset(memory.host + at, 0xff, n);
        memset(memory.known + at, 0, n);
        return;
    }
    madvise(memory.host + begin, end - begin, MADV_REMOVE);
    madvise(memory.known + begin, end - begin, MADV_DONTNEED);
    memset(memory.known + at, 0, begin - at);
    memset(memory.known + end, 0, at + n - end);
}

/* Allocates the first hole that is large enough, with guard space around it. */
uint64_t device_alloc(size_t n)
{
    const size_t size = (n + ALIGN - 1) / ALIGN * ALIGN + ALIGN;
    size_t at = ALIGN;
    int k = 0;
    if (!memory.host) open_memory();
    if (n > SPACE / 2 || memory.count == MOST) return 0;
    for (; k < memory.count; k++) {
        if (memory.all[k].at >= at + size) break;
        at = (memory.all[k].at + memory.all[k].n + ALIGN - 1) / ALIGN * ALIGN + ALIGN;
    }
    if (at + size > SPACE) return 0;
    memmove(&memory.all[k + 1], &memory.all[k], (size_t)(memory.count - k) * sizeof *memory.all);
    memory.all[k] = (struct allocation){at, n};
    memory.count++;
    memory.used += n;
    refresh(at, n);
    return (uint64_t)(uintptr_t)(memory.device + at);
}

bool device_owns(uint64_t address)
{
    return memory.device && address - (uint64_t)(uintptr_t)memory.device < SPACE;
}

static int find(size_t at)
{
    int low = 0, high = memory.count;
    while (low < high) {
        const int mid = (low + high) / 2;
        if (memory.all[mid].at <= at)
            low = mid + 1;
        else
            high = mid;
    }
    return low - 1;
}

int device_free(uint64_t address)
{
    const size_t at = (size_t)(address - (uint64_t)(uintptr_t)memory.device);
    const int k = device_owns(address) ? find(at) : -1;
    if (k < 0 || memory.all[k].at != at) return -1;
    memory.used -= memory.all[k].n;
    memory.version++;
    memmove(&memory.all[k], &memory.all[k + 1],
            (size_t)(memory.count - k - 1) * sizeof *memory.all);
    memory.count--;
    return 0;
}

void *device_see(uint64_t address, size_t n)
{
    const size_t at = (size_t)(address - (uint64_t)(uintptr_t)memory.device);
    if (!device_owns(address)) return NULL;
    if (at >= last.at && at < last.end && n <= last.end - at && last.version == memory.version)
        return memory.host + at;
    const int k = find(at);
    if (k < 0 || at - memory.all[k].at > memory.all[k].n ||
        n > memory.all[k].n - (at - memory.all[k].at))
        return NULL;
    last.at = memory.all[k].at, last.end = last.at + memory.all[k].n, last.version = memory.version;
    return memory.host + at;
}

unsigned char *device_known(uint64_t address)
{
    return memory.known + (address - (uint64_t)(uintptr_t)memory.device);
}

size_t device_used(void) { return memory.used; }
