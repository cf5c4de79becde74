/* SPDX-License-Identifier: Apache-2.0 */
/* The CPUs and the memory that this process may use: affinity, control groups (versions 1 and 2),
 * resource limits, and the available memory of the kernel. Formats: Linux,
 * Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/, proc(5). */
#include "base/limits.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

#include "base/io.h"

/* Reads a small file of /proc or /sys. It allocates nothing, because a failed allocation would look
 * like a missing limit. */
struct text {
    char s[32 << 10];
};
static bool kernel_file(struct text *t, const char *folder, const char *name)
{
    char path[4400];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return io_glance(path, t->s, sizeof t->s);
}

/* ---- control groups ---- */

/* Returns the limit of one cgroup folder; UINT64_MAX: none. */
typedef uint64_t folder_limit(const char *folder, bool v2);

/* Returns the smallest limit on the path from the group up to the mount. Inside a container the
 * path may be that of the host, where only the mount itself exists. */
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

/* Reads lines of /proc/self/cgroup: "0::/group" (version 2), "4:cpu,cpuacct:/group" (version 1). */
static uint64_t cgroup_limit(const char *controller, folder_limit *limit)
{
    struct text groups;
    uint64_t least = UINT64_MAX;
    char mount[64], *save = NULL;
    snprintf(mount, sizeof mount, "/sys/fs/cgroup/%s", controller);
    const bool any = kernel_file(&groups, "/proc/self", "cgroup");
    char *line = any ? strtok_r(groups.s, "\n", &save) : NULL;
    for (; line; line = strtok_r(NULL, "\n", &save)) {
        char *names = strchr(line, ':'), *group = names ? strchr(names + 1, ':') : NULL;
        if (!group) continue;
        *group++ = 0;
        bool v2 = *++names == 0;
        if (!v2 && !listed(names, controller)) continue;
        uint64_t n = tree_limit(v2 ? "/sys/fs/cgroup" : mount, group, v2, limit);
        if (n < least) least = n;
    }
    return least;
}

/* ---- CPUs ---- */

/* The mask is large because the kernel refuses a mask smaller than its own. */
static int affinity_cpus(void)
{
    cpu_set_t set[64]; /* 65536 CPUs */
    const int n = sched_getaffinity(0, sizeof set, set) == 0 ? CPU_COUNT_S(sizeof set, set) : 0;
    return n > 0 ? n : 1;
}

/* Returns quota / period in whole CPUs, at least 1; "max" or -1: no limit. */
static uint64_t folder_cpus(const char *folder, bool v2)
{
    struct text t;
    long long quota = 0, period = 0;
    if (kernel_file(&t, folder, v2 ? "cpu.max" : "cpu.cfs_quota_us")) {
        char *end;
        quota = strtoll(t.s, &end, 10); /* "max 100000": 0 */
        if (v2) period = strtoll(end, NULL, 10);
        if (!v2 && kernel_file(&t, folder, "cpu.cfs_period_us")) period = strtoll(t.s, NULL, 10);
    }
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

/* Returns the number after `word` at the start of a line; UINT64_MAX when there is none. */
static uint64_t number_after(const struct text *t, const char *word)
{
    for (const char *p = t->s; p; p = strchr(p, '\n'), p += p ? 1 : 0)
        if (strncmp(p, word, strlen(word)) == 0) return strtoull(p + strlen(word), NULL, 10);
    return UINT64_MAX;
}

/* Returns the bytes that a group has left. Inactive file pages count as free, because the kernel
 * reclaims them. */
static uint64_t folder_memory(const char *folder, bool v2)
{
    struct text t;
    uint64_t most = UINT64_MAX, used = 0, idle = 0;
    if (kernel_file(&t, folder, v2 ? "memory.max" : "memory.limit_in_bytes"))
        most = number_after(&t, ""); /* "max": 0 */
    if (most == 0) most = UINT64_MAX;
    if (most != UINT64_MAX &&
        kernel_file(&t, folder, v2 ? "memory.current" : "memory.usage_in_bytes"))
        used = number_after(&t, "");
    if (used && kernel_file(&t, folder, "memory.stat"))
        idle = number_after(&t, v2 ? "inactive_file " : "total_inactive_file ");
    if (most == UINT64_MAX) return most;
    if (idle < used) used -= idle;
    return used < most ? most - used : 0;
}

/* Returns the bytes that RLIMIT_AS and RLIMIT_DATA leave after the current use. */
static uint64_t resource_memory(void)
{
    struct rlimit space, data;
    struct text t;
    uint64_t least = UINT64_MAX, used = 0;
    const bool any = kernel_file(&t, "/proc/self", "status");
    if (any && (used = number_after(&t, "VmSize:")) != UINT64_MAX &&
        getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY)
        least = space.rlim_cur > used << 10 ? space.rlim_cur - (used << 10) : 0;
    if (any && (used = number_after(&t, "VmData:")) != UINT64_MAX &&
        getrlimit(RLIMIT_DATA, &data) == 0 && data.rlim_cur != RLIM_INFINITY) {
        uint64_t left = data.rlim_cur > used << 10 ? data.rlim_cur - (used << 10) : 0;
        if (left < least) least = left;
    }
    return least;
}

uint64_t limits_memory(void)
{
    struct text t;
    uint64_t least = UINT64_MAX, kib;
    if (kernel_file(&t, "/proc", "meminfo") &&
        (kib = number_after(&t, "MemAvailable:")) < least >> 10)
        least = kib << 10;
    const uint64_t group = cgroup_limit("memory", folder_memory), own = resource_memory();
    if (group < least) least = group;
    return own < least ? own : least;
}

/* Cuts the last part of a path. False when nothing is left to cut. */
static bool to_parent(char *path)
{
    char *slash = strrchr(path, '/');
    if (strcmp(path, "/") == 0 || strcmp(path, ".") == 0) return false;
    if (!slash)
        memcpy(path, ".", 2);
    else
        slash[slash == path] = 0;
    return true;
}

uint64_t limits_disk(const char *dir)
{
    struct statvfs s;
    char path[PATH_MAX];
    const int n = snprintf(path, sizeof path, "%s", *dir ? dir : ".");
    if (n < 0 || (size_t)n >= sizeof path) return UINT64_MAX;
    while (statvfs(path, &s))
        if (errno != ENOENT || !to_parent(path)) return UINT64_MAX;
    return s.f_blocks ? (uint64_t)s.f_bavail * s.f_frsize : UINT64_MAX;
}
