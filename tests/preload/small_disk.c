/* SPDX-License-Identifier: Apache-2.0 */
/* Preloaded in a test: every file system has as many free bytes as the variable ROOM says. */
#include <stdlib.h>
#include <sys/statvfs.h>

__attribute__((visibility("default"))) int statvfs(const char *path, struct statvfs *s)
{
    const char *room = getenv("ROOM");
    (void)path;
    *s = (struct statvfs){.f_bsize = 1, .f_frsize = 1, .f_blocks = 1};
    s->f_bavail = room ? strtoull(room, NULL, 10) : 0;
    return 0;
}
