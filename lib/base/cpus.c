/* SPDX-License-Identifier: Apache-2.0 */
/* How many workers to use, and the nearest word for a mistyped one. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/opt.h"
#include "base/opt_impl.h"

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

/* A small file of the kernel's as a C string; false when there is none. */
static bool kernel_file(const char *path, struct buf *b)
{
    buf_reset(b);
    return io_slurp(path, 1 << 20, b, NULL) == 0 && b->data;
}

/* Whole CPUs that quota/period microseconds give; 0: no limit. */
static int quota_cpus(long long quota, long long period)
{
    if (quota <= 0 || period <= 0) return 0;
    return quota < period ? 1 : quota / period > 1 << 20 ? 1 << 20 : (int)(quota / period);
}

/* The limit that one cgroup folder sets; 0: none. */
static int folder_cpus(const char *folder, bool v2)
{
    char path[4400];
    struct buf a = {0}, b = {0};
    long long quota = 0, period = 0;
    snprintf(path, sizeof path, "%s/%s", folder, v2 ? "cpu.max" : "cpu.cfs_quota_us");
    if (kernel_file(path, &a)) {
        char *end;
        quota = strtoll(a.data, &end, 10); /* "max 100000": 0 */
        if (v2) period = strtoll(end, NULL, 10);
        snprintf(path, sizeof path, "%s/cpu.cfs_period_us", folder);
        if (!v2 && kernel_file(path, &b)) period = strtoll(b.data, NULL, 10);
    }
    buf_free(&a);
    buf_free(&b);
    return quota_cpus(quota, period);
}

/* The smallest limit on the way from group up to the mount; inside a container the path may be one
 * of the host's, of which only the top exists here. */
static int tree_cpus(const char *mount, const char *group, bool v2)
{
    char folder[4200];
    int n = snprintf(folder, sizeof folder, "%s%s", mount, group), least = 0;
    if (n < 0 || (size_t)n >= sizeof folder) return 0;
    for (size_t top = strlen(mount);;) {
        int limit = folder_cpus(folder, v2);
        if (limit && (!least || limit < least)) least = limit;
        char *slash = strrchr(folder, '/');
        if (!slash || (size_t)(slash - folder) < top) return least;
        *slash = 0;
    }
}

/* Lines of /proc/self/cgroup: "0::/group" (version 2), "4:cpu,cpuacct:/group" (version 1). */
static int cgroup_cpus(void)
{
    struct buf b = {0};
    int least = 0;
    char *save = NULL;
    if (!kernel_file("/proc/self/cgroup", &b)) goto end;
    for (char *line = strtok_r(b.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *names = strchr(line, ':'), *group = names ? strchr(names + 1, ':') : NULL;
        if (!group) continue;
        *group++ = 0;
        names++;
        bool v2 = *names == 0, cpu = strcmp(names, "cpu") == 0 || strncmp(names, "cpu,", 4) == 0 ||
                                     strstr(names, ",cpu,") || strcmp(names, "cpuacct,cpu") == 0;
        int n = v2    ? tree_cpus("/sys/fs/cgroup", group, true)
                : cpu ? tree_cpus("/sys/fs/cgroup/cpu", group, false)
                      : 0;
        if (n && (!least || n < least)) least = n;
    }
end:
    buf_free(&b);
    return least;
}

int opt_threads(int64_t n)
{
    if (n > 0) return n < 4096 ? (int)n : 4096;
    int cpus = affinity_cpus(), quota = cgroup_cpus();
    if (quota && quota < cpus) cpus = quota;
    return cpus < 4096 ? cpus : 4096;
}

/* ---- the nearest word ---- */
enum { WORD_MAX = 64 };

static size_t least3(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;
    return m < c ? m : c;
}

/* Edits (insert, delete, replace, swap of neighbours) that turn a into b; both at most WORD_MAX. */
static size_t distance(const char *a, size_t n, const char *b, size_t m)
{
    size_t row[3][WORD_MAX + 1];
    size_t *before = row[0], *last = row[1], *now = row[2];
    for (size_t k = 0; k <= m; k++) last[k] = k;
    for (size_t i = 1; i <= n; i++) {
        now[0] = i;
        for (size_t k = 1; k <= m; k++) {
            size_t same = a[i - 1] == b[k - 1] ? 0 : 1;
            now[k] = least3(last[k] + 1, now[k - 1] + 1, last[k - 1] + same);
            bool swapped = i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1];
            if (swapped && before[k - 2] + 1 < now[k]) now[k] = before[k - 2] + 1;
        }
        size_t *t = before;
        before = last;
        last = now;
        now = t;
    }
    return last[m];
}

const char *opt_nearest(const char *s, const char *const *words)
{
    const char *best = NULL;
    size_t n = strlen(s), least = n / 3 + 2; /* one edit in a short word, more in a long one */
    if (n > WORD_MAX) return NULL;
    for (; *words; words++) {
        size_t m = strlen(*words);
        if (m > WORD_MAX) continue;
        size_t d = distance(s, n, *words, m);
        if (d >= least || d >= m || d >= n) continue;
        least = d;
        best = *words;
    }
    return best;
}
