/* SPDX-License-Identifier: Apache-2.0 */
/* CPUs and memory that this process may use: affinity, control groups (both versions), resource
 * limits, and what the kernel says is available. Formats: Linux, Documentation/admin-guide/
 * cgroup-v2.rst and cgroup-v1/, proc(5). */
#include "base/limits.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/io.h"

/* A small file of the kernel's as a C string; false when there is none. */
static bool kernel_file(struct buf *b, const char *folder, const char *name)
{
    char path[4400];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    buf_reset(b);
    return io_slurp(path, 1 << 20, b, NULL) == 0 && b->data;
}

/* ---- control groups ---- */

/* The limit that one folder of a group sets; UINT64_MAX: none. */
typedef uint64_t folder_limit(const char *folder, bool v2);

/* The smallest limit on the way from group up to the mount; inside a container the path may be one
 * of the host's, of which only the top exists here. */
static uint64_t tree_limit(const char *mount, const char *group, bool v2, folder_limit *limit)
{
    char folder[4200];
    int n = snprintf(folder, sizeof folder, "%s%s", mount, group);
    uint64_t least = UINT64_MAX;
    if (n < 0 || (size_t)n >= sizeof folder) return least;
    for (size_t top = strlen(mount);;) {
        uint64_t here = limit(folder, v2);
        if (here < least) least = here;
        char *slash = strrchr(folder, '/');
        if (!slash || (size_t)(slash - folder) < top) return least;
        *slash = 0;
    }
}

static bool listed(const char *names, const char *name)
{
    for (const size_t n = strlen(name); *names;
         names += strcspn(names, ","), names += *names == ',')
        if (strcspn(names, ",") == n && memcmp(names, name, n) == 0) return true;
    return false;
}

/* Lines of /proc/self/cgroup: "0::/group" (version 2), "4:cpu,cpuacct:/group" (version 1). */
static uint64_t cgroup_limit(const char *controller, folder_limit *limit)
{
    struct buf b = {0};
    uint64_t least = UINT64_MAX;
    char mount[64], *save = NULL;
    snprintf(mount, sizeof mount, "/sys/fs/cgroup/%s", controller);
    char *line = kernel_file(&b, "/proc/self", "cgroup") ? strtok_r(b.data, "\n", &save) : NULL;
    for (; line; line = strtok_r(NULL, "\n", &save)) {
        char *names = strchr(line, ':'), *group = names ? strchr(names + 1, ':') : NULL;
        if (!group) continue;
        *group++ = 0;
        bool v2 = *++names == 0;
        if (!v2 && !listed(names, controller)) continue;
        uint64_t n = tree_limit(v2 ? "/sys/fs/cgroup" : mount, group, v2, limit);
        if (n < least) least = n;
    }
    buf_free(&b);
    return least;
}

/* ---- CPUs ---- */

/* CPUs of the affinity mask; the kernel refuses a mask smaller than its own. */
static int affinity_cpus(void)
{
    for (int most = 1024; most <= 1 << 20; most *= 4) {
        cpu_set_t *set = CPU_ALLOC((size_t)most);
        if (!set) return 1;
        size_t size = CPU_ALLOC_SIZE((size_t)most);
        int n = sched_getaffinity(0, size, set) == 0 ? CPU_COUNT_S(size, set) : 0;
        CPU_FREE(set);
        if (n > 0) return n;
    }
    return 1;
}

/* Whole CPUs that quota/period microseconds give; "max" or -1: no limit. */
static uint64_t folder_cpus(const char *folder, bool v2)
{
    struct buf a = {0}, b = {0};
    long long quota = 0, period = 0;
    if (kernel_file(&a, folder, v2 ? "cpu.max" : "cpu.cfs_quota_us")) {
        char *end;
        quota = strtoll(a.data, &end, 10); /* "max 100000": 0 */
        if (v2) period = strtoll(end, NULL, 10);
        if (!v2 && kernel_file(&b, folder, "cpu.cfs_period_us")) period = strtoll(b.data, NULL, 10);
    }
    buf_free(&a);
    buf_free(&b);
    if (quota <= 0 || period <= 0) return UINT64_MAX;
    return quota < period ? 1 : (uint64_t)(quota / period);
}

int limits_cpus(void)
{
    const uint64_t quota = cgroup_limit("cpu", folder_cpus);
    const int cpus = affinity_cpus();
    return quota < (uint64_t)cpus ? (int)quota : cpus;
}

/* ---- memory ---- */

/* The number after `word` at the start of a line; UINT64_MAX: none. */
static uint64_t number_after(const struct buf *b, const char *word)
{
    for (const char *p = b->data; p; p = strchr(p, '\n'), p += p ? 1 : 0)
        if (strncmp(p, word, strlen(word)) == 0) return strtoull(p + strlen(word), NULL, 10);
    return UINT64_MAX;
}

/* What a group has left; file pages that nobody uses would be given up for it. */
static uint64_t folder_memory(const char *folder, bool v2)
{
    struct buf b = {0};
    uint64_t most = UINT64_MAX, used = 0, idle = 0;
    if (kernel_file(&b, folder, v2 ? "memory.max" : "memory.limit_in_bytes"))
        most = number_after(&b, ""); /* "max": 0 */
    if (most == 0) most = UINT64_MAX;
    if (most != UINT64_MAX &&
        kernel_file(&b, folder, v2 ? "memory.current" : "memory.usage_in_bytes"))
        used = number_after(&b, "");
    if (used && kernel_file(&b, folder, "memory.stat"))
        idle = number_after(&b, v2 ? "inactive_file " : "total_inactive_file ");
    buf_free(&b);
    if (most == UINT64_MAX) return most;
    if (idle < used) used -= idle;
    return used < most ? most - used : 0;
}

/* What the resource limit of address space or data leaves; both count what is used already. */
static uint64_t resource_memory(void)
{
    struct rlimit space, data;
    struct buf b = {0};
    uint64_t least = UINT64_MAX, used = 0;
    if (kernel_file(&b, "/proc/self", "status") &&
        (used = number_after(&b, "VmSize:")) != UINT64_MAX && getrlimit(RLIMIT_AS, &space) == 0 &&
        space.rlim_cur != RLIM_INFINITY)
        least = space.rlim_cur > used << 10 ? space.rlim_cur - (used << 10) : 0;
    if (b.data && (used = number_after(&b, "VmData:")) != UINT64_MAX &&
        getrlimit(RLIMIT_DATA, &data) == 0 && data.rlim_cur != RLIM_INFINITY) {
        uint64_t left = data.rlim_cur > used << 10 ? data.rlim_cur - (used << 10) : 0;
        if (left < least) least = left;
    }
    buf_free(&b);
    return least;
}

uint64_t limits_memory(void)
{
    struct buf b = {0};
    uint64_t least = UINT64_MAX, kib;
    if (kernel_file(&b, "/proc", "meminfo") &&
        (kib = number_after(&b, "MemAvailable:")) < least >> 10)
        least = kib << 10;
    buf_free(&b);
    const uint64_t group = cgroup_limit("memory", folder_memory), own = resource_memory();
    if (group < least) least = group;
    return own < least ? own : least;
}
