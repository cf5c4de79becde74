/* SPDX-License-Identifier: Apache-2.0 */
/* The table of system calls that touch files, the paths of their arguments, and the recording. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fault.h"

#define CALL(x) SYS_##x, #x
const struct call call_table[] = {
    {CALL(open), CALL_OPEN, -1, -1, 0, -1, -1, -1},
    {CALL(openat), CALL_OPEN, -1, 0, 1, -1, -1, -1},
    {CALL(creat), CALL_OPEN, -1, -1, 0, -1, -1, -1},
    {CALL(read), CALL_READ, 0, -1, -1, -1, -1, 2},
    {CALL(pread64), CALL_READ, 0, -1, -1, -1, -1, 2},
    {CALL(readv), CALL_READ, 0, -1, -1, -1, -1, -1},
    {CALL(getdents64), CALL_READ, 0, -1, -1, -1, -1, -1},
    {CALL(mmap), CALL_READ, 4, -1, -1, -1, -1, -1},
    {CALL(write), CALL_WRITE, 0, -1, -1, -1, -1, 2},
    {CALL(pwrite64), CALL_PWRITE, 0, -1, -1, -1, -1, 2},
    {CALL(writev), CALL_OTHER, 0, -1, -1, -1, -1, -1},
    {CALL(pwritev), CALL_OTHER, 0, -1, -1, -1, -1, -1},
    {CALL(pwritev2), CALL_OTHER, 0, -1, -1, -1, -1, -1},
    {CALL(sendfile), CALL_OTHER, 0, -1, -1, -1, -1, -1},
    {CALL(copy_file_range), CALL_OTHER, 2, -1, -1, -1, -1, -1},
    {CALL(fallocate), CALL_OTHER, 0, -1, -1, -1, -1, -1},
    {CALL(sync_file_range), CALL_OTHER, 0, -1, -1, -1, -1, -1},
    {CALL(fsync), CALL_SYNC, 0, -1, -1, -1, -1, -1},
    {CALL(fdatasync), CALL_SYNC, 0, -1, -1, -1, -1, -1},
    {CALL(close), CALL_CLOSE, 0, -1, -1, -1, -1, -1},
    {CALL(ftruncate), CALL_TRUNCATE, 0, -1, -1, -1, -1, -1},
    {CALL(truncate), CALL_OTHER, -1, -1, 0, -1, -1, -1},
    {CALL(rename), CALL_RENAME, -1, -1, 0, -1, 1, -1},
    {CALL(renameat), CALL_RENAME, -1, 0, 1, 2, 3, -1},
    {CALL(renameat2), CALL_RENAME, -1, 0, 1, 2, 3, -1},
    {CALL(link), CALL_LINK, -1, -1, 0, -1, 1, -1},
    {CALL(linkat), CALL_LINK, -1, 0, 1, 2, 3, -1},
    {CALL(symlink), CALL_OTHER, -1, -1, 1, -1, -1, -1},
    {CALL(symlinkat), CALL_OTHER, -1, 1, 2, -1, -1, -1},
    {CALL(unlink), CALL_UNLINK, -1, -1, 0, -1, -1, -1},
    {CALL(unlinkat), CALL_UNLINK, -1, 0, 1, -1, -1, -1},
    {CALL(rmdir), CALL_UNLINK, -1, -1, 0, -1, -1, -1},
    {CALL(mkdir), CALL_MKDIR, -1, -1, 0, -1, -1, -1},
    {CALL(mkdirat), CALL_MKDIR, -1, 0, 1, -1, -1, -1},
};
const size_t call_count = sizeof call_table / sizeof *call_table;

uint64_t call_arg(const struct stop *s, int i)
{
    const struct user_regs_struct *r = &s->regs;
    const uint64_t args[] = {r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9};
    return args[i];
}

/* Copies n bytes out of the process; fewer at the end of its memory. */
static size_t peek(pid_t tid, uint64_t at, void *to, size_t n)
{
    struct iovec mine = {to, n}, theirs = {(void *)(uintptr_t)at, n}; // NOLINT
    const ssize_t k = process_vm_readv(tid, &mine, 1, &theirs, 1, 0);
    return k < 0 ? 0 : (size_t)k;
}

/* Byte by byte: a string may end just before memory that is not mapped. */
static void peek_text(pid_t tid, uint64_t at, char *to, size_t room)
{
    size_t n = 0;
    while (n + 1 < room && peek(tid, at + n, to + n, 1) == 1 && to[n]) n++;
    to[n] = 0;
}

/* The path to which a link of /proc leads, or "". */
static void follow(pid_t tid, const char *what, int fd, char out[PATH_ROOM])
{
    char link[64];
    if (fd < 0)
        snprintf(link, sizeof link, "/proc/%d/%s", (int)tid, what);
    else
        snprintf(link, sizeof link, "/proc/%d/fd/%d", (int)tid, fd);
    const ssize_t n = readlink(link, out, PATH_ROOM - 1);
    out[n < 0 ? 0 : n] = 0;
}

/* The absolute path of an argument: its folder has no links; its last part may be one, or absent.
 */
static void path_of(const struct stop *s, int dir, int path, char out[PATH_ROOM])
{
    char text[PATH_ROOM], whole[2 * PATH_ROOM], folder[PATH_ROOM] = "";
    peek_text(s->tid, call_arg(s, path), text, sizeof text);
    const int fd = dir < 0 ? -1 : (int)call_arg(s, dir);
    if (*text != '/') follow(s->tid, "cwd", fd, folder);
    snprintf(whole, sizeof whole, "%s%s%s", folder, *folder ? "/" : "", text);
    for (size_t n = strlen(whole); n > 1 && whole[n - 1] == '/';) whole[--n] = 0;
    char *slash = strrchr(whole, '/');
    if (!slash || slash == whole || !*text) {
        snprintf(out, PATH_ROOM, "%.*s", PATH_ROOM - 1, whole);
        return;
    }
    *slash = 0;
    char *real = realpath(whole, NULL);
    snprintf(out, PATH_ROOM, "%s/%s", real ? real : whole, slash + 1);
    free(real);
}

/* The flags with which a descriptor was opened, and its offset. */
static long fd_info(pid_t tid, int fd, const char *key, int base)
{
    char path[64], line[128];
    long value = -1;
    snprintf(path, sizeof path, "/proc/%d/fdinfo/%d", (int)tid, fd);
    FILE *f = fopen(path, "r");
    if (!f) return -1;
    while (fgets(line, sizeof line, f))
        if (strncmp(line, key, strlen(key)) == 0) value = strtol(line + strlen(key), NULL, base);
    fclose(f);
    return value;
}

static bool below(const char *path, const char *folder)
{
    const size_t n = strlen(folder);
    return strncmp(path, folder, n) == 0 && (path[n] == '/' || !path[n]);
}

static bool opens_to_write(const struct stop *s)
{
    if (s->call->number == SYS_creat) return true;
    const int flags = (int)call_arg(s, s->call->path + 1);
    return (flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC);
}

static void look(struct stop *s)
{
    const struct call *c = s->call;
    const int fd = c->fd < 0 ? -1 : (int)call_arg(s, c->fd);
    *s->path = *s->to = 0;
    if (c->fd >= 0 && fd >= 0) follow(s->tid, "", fd, s->path);
    if (c->path >= 0) path_of(s, c->dir, c->path, s->path);
    if (c->to_path >= 0) path_of(s, c->to_dir, c->to_path, s->to);
    s->writes = c->kind != CALL_READ;
    if (c->kind == CALL_OPEN) s->writes = opens_to_write(s);
    if (c->kind == CALL_CLOSE && *s->path)
        s->writes = (fd_info(s->tid, fd, "flags:", 8) & O_ACCMODE) != O_RDONLY;
}

bool call_counts(const struct plan *p, struct stop *s)
{
    look(s);
    if (p->standard && s->call->kind == CALL_WRITE && call_arg(s, 0) == STDOUT_FILENO) return true;
    if (s->writes == p->reads || (p->reads && s->call->kind == CALL_CLOSE)) return false;
    return below(s->path, p->folder) || (*s->to && below(s->to, p->folder));
}

/* ---- the recording ---- */
static const char *rest(const struct plan *p, const char *path)
{
    const char *r = path + strlen(p->folder);
    return *r == '/' ? r + 1 : r;
}

static void record_write(const struct plan *p, const struct stop *s, long n)
{
    const int fd = (int)call_arg(s, 0);
    const long at =
        s->call->kind == CALL_PWRITE ? (long)call_arg(s, 3) : fd_info(s->tid, fd, "pos:", 10) - n;
    char *data = malloc((size_t)n + 1);
    if (!data || peek(s->tid, call_arg(s, 1), data, (size_t)n) != (size_t)n) abort();
    fprintf(p->record, "write %ld %ld %s\n", at, n, rest(p, s->path));
    fwrite(data, 1, (size_t)n, p->record);
    fputc('\n', p->record);
    free(data);
}

static void record_open(const struct plan *p, const struct stop *s)
{
    const int flags = (int)call_arg(s, s->call->path + 1);
    if (flags & O_CREAT) fprintf(p->record, "create 0 0 %s\n", rest(p, s->path));
    if (flags & O_TRUNC) fprintf(p->record, "truncate 0 0 %s\n", rest(p, s->path));
}

void call_record(const struct plan *p, const struct stop *s, long result)
{
    const char *path = rest(p, s->path);
    if (result < 0 || !below(s->path, p->folder)) return;
    switch (s->call->kind) {
    case CALL_OPEN:
        record_open(p, s);
        break;
    case CALL_WRITE:
    case CALL_PWRITE:
        record_write(p, s, result);
        break;
    case CALL_SYNC:
        fprintf(p->record, "sync 0 0 %s\n", path);
        break;
    case CALL_RENAME:
        fprintf(p->record, "rename 0 0 %s\t%s\n", path, rest(p, s->to));
        break;
    case CALL_LINK:
        fprintf(p->record, "link 0 0 %s\t%s\n", path, rest(p, s->to));
        break;
    case CALL_UNLINK:
        fprintf(p->record, "unlink 0 0 %s\n", path);
        break;
    case CALL_MKDIR:
        fprintf(p->record, "mkdir 0 0 %s\n", path);
        break;
    case CALL_TRUNCATE:
        fprintf(p->record, "truncate %ld 0 %s\n", (long)call_arg(s, 1), path);
        break;
    case CALL_OTHER:
        fprintf(p->record, "unknown 0 0 %s\n", s->call->name);
        break;
    default:
        break;
    }
}
