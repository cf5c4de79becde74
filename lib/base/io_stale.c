/* SPDX-License-Identifier: Apache-2.0 */
/* Removes the temporary files of killed processes. Their names match a pattern, and their locks
 * ended with the processes. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/io_impl.h"

int sys_lock(int fd)
{
    int rc;
    do rc = flock(fd, LOCK_EX | LOCK_NB);
    while (rc && errno == EINTR);
    return rc;
}

bool sys_is_at(int fd, const char *path)
{
    struct stat open, named;
    return fstat(fd, &open) == 0 && lstat(path, &named) == 0 && open.st_ino == named.st_ino &&
           open.st_dev == named.st_dev;
}

size_t temp_stem(const char *path, size_t *folder)
{
    enum { MOST = NAME_MAX - 2 - TEMP_LETTERS - (sizeof TEMP_END - 1) };
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/') end--;
    for (*folder = end; *folder > 0 && path[*folder - 1] != '/';) --*folder;
    return end - *folder < MOST ? end - *folder : MOST;
}

/* ".NAME.XXXXXXXX.sft-tmp" */
static bool is_temp(const char *entry, const char *name, size_t n)
{
    const size_t len = strlen(entry), end = sizeof TEMP_END - 1;
    if (len != n + 2 + TEMP_LETTERS + end || entry[0] != '.' || entry[n + 1] != '.') return false;
    return memcmp(entry + 1, name, n) == 0 && memcmp(entry + len - end, TEMP_END, end) == 0;
}

/* Opens a file for writing, because network file systems need that for an exclusive lock. They do
 * not lock folders, so a stale folder there stays. */
static int open_stale(const char *path)
{
    const int flags = O_NOFOLLOW | O_NONBLOCK;
    int fd = sys_open(path, O_RDWR | flags, 0);
    return fd < 0 && errno == EISDIR ? sys_open(path, O_RDONLY | O_DIRECTORY | flags, 0) : fd;
}

static void remove_stale(const char *path)
{
    int fd = open_stale(path);
    if (fd < 0) return;
    if (sys_lock(fd) == 0 && sys_is_at(fd, path)) io_remove_tree(path, NULL);
    sys_close(fd);
}

void temp_clean(const char *path)
{
    char full[PATH_MAX];
    size_t folder, n = temp_stem(path, &folder);
    if (snprintf(full, sizeof full, "%.*s", (int)folder, path) >= (int)sizeof full) return;
    DIR *d = opendir(folder ? full : ".");
    if (!d) return;
    for (const struct dirent *entry; (entry = readdir(d));) {
        if (!is_temp(entry->d_name, path + folder, n)) continue;
        int k = snprintf(full, sizeof full, "%.*s%s", (int)folder, path, entry->d_name);
        if (k > 0 && (size_t)k < sizeof full) remove_stale(full);
    }
    closedir(d);
}
