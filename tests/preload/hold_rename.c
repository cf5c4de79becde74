/* SPDX-License-Identifier: Apache-2.0 */
/* Loaded before a program (LD_PRELOAD): it waits before it renames anything to $HOLD, for as long
 * as the file $HOLD.held is there, which it makes and writes its process id into. So another writer
 * of the same name can come between. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PUBLIC __attribute__((visibility("default")))

static void hold(const char *to)
{
    char flag[4096];
    const char *wanted = getenv("HOLD");
    if (!wanted || strcmp(wanted, to) != 0) return;
    snprintf(flag, sizeof flag, "%s.held", wanted);
    int fd = open(flag, O_WRONLY | O_CREAT, 0666);
    if (fd < 0) return;
    dprintf(fd, "%ld\n", (long)getpid());
    close(fd);
    for (int i = 0; i < 6000 && access(flag, F_OK) == 0; i++) usleep(10000); /* a minute at most */
}

PUBLIC int rename(const char *from, const char *to)
{
    static int (*real)(const char *, const char *);
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, "rename");
    hold(to);
    return real(from, to);
}

PUBLIC int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    static int (*real)(int, const char *, int, const char *, unsigned);
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, "renameat2");
    hold(to);
    return real(from_dir, from, to_dir, to, flags);
}
