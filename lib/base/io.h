/* SPDX-License-Identifier: Apache-2.0 */
/* Files: the only place that opens, writes, renames or removes anything. */
#ifndef SFT_BASE_IO_H
#define SFT_BASE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

/* Every system call that reads or changes a file goes through this table, so that a test can fail
 * each of them. */
struct io_sys {
    int (*open)(const char *path, int flags, mode_t mode);
    ssize_t (*read)(int fd, void *p, size_t n);
    ssize_t (*write)(int fd, const void *p, size_t n);
    ssize_t (*pwrite)(int fd, const void *p, size_t n, off_t at);
    int (*fsync)(int fd);
    int (*close)(int fd);
    int (*rename)(const char *from, const char *to);
    int (*rename_new)(const char *from, const char *to); /* EEXIST when there is anything at to */
    int (*unlink)(const char *path);
    int (*mkdir)(const char *path, mode_t mode);
    int (*rmdir)(const char *path);
    int (*ftruncate)(int fd, off_t size);
};
extern struct io_sys io_sys;

/* Puts /dev/null in the place of standard descriptors that are closed, so that no file that is
 * opened later becomes standard output or receives messages; to use them still fails. Before
 * anything is opened; opt_parse does it. */
int io_standard(struct err *e);

/* ---- reading ---- */
struct io_in; /* a buffered-by-the-caller reader; "-" is standard input */
struct io_in *io_open(const char *path, struct err *e); /* ERR_NOINPUT when missing or unreadable */
/* Up to n bytes; fewer only at the end; 0 at the end; -1 with ERR_IO. */
ssize_t io_read(struct io_in *in, void *p, size_t n, struct err *e);
/* f sees every byte that io_read gives out from now on, in order (a digest of the input). */
void io_tap(struct io_in *in, void (*f)(void *arg, const void *p, size_t n), void *arg);
const char *io_name(const struct io_in *in); /* the path, or "<stdin>" */
void io_close(struct io_in *in);

/* The whole file mapped read-only (size 0: p is a valid empty pointer). */
struct io_map {
    const unsigned char *p;
    size_t n;
};
int io_map(const char *path, struct io_map *m, struct err *e);
void io_unmap(struct io_map *m);
/* The n bytes at p, which lie in the mapping, are not needed for now: what was read of the file so
 * far no longer counts as this process's memory. */
void io_forget(const struct io_map *m, const void *p, size_t n);

/* The whole file appended to b; more than max bytes is ERR_DATA. */
int io_slurp(const char *path, size_t max, struct buf *b, struct err *e);
/* The same of a small file of the kernel's, without allocating: a C string of at most room - 1
 * bytes, of which the rest is left. false when it cannot be read. */
bool io_glance(const char *path, char *text, size_t room);

/* ---- writing: a file appears whole under its name, or not at all ---- */
struct io_out;
/* path "-": standard output, unbuffered by us, commit checks the close. Else a temporary in the
 * same folder, with the permissions that the umask gives and a name that no other writer has.
 * ERR_CREATE on failure. A path that is a device, a FIFO or the like is written directly; one that
 * is a symbolic link to a file replaces that file. An unfinished temporary is removed by io_abort,
 * at exit and on SIGINT/SIGTERM/SIGHUP/SIGPIPE, unless the program has set these signals otherwise;
 * what a killed process left, by the next one that writes the same path. A file that grows over its
 * limit (SIGXFSZ) is an error, as a full disk is. */
struct io_out *io_create(const char *path, struct err *e);
int io_write(struct io_out *out, const void *p, size_t n, struct err *e);
uint64_t io_written(const struct io_out *out); /* bytes given to io_write so far */
/* Before the first io_write of a large file: what is given to it goes to the disk past the page
 * cache, so many bytes at a time, which are kept in memory, where the file system can do that. */
enum { IO_PAST_CACHE = 4 << 20 };
void io_past_cache(struct io_out *out);
bool io_out_is_tty(const struct io_out *out);
/* fsync, rename, fsync of the folder; frees out in either case. After a failure there is no file
 * that was not there before, except when only the fsync of the folder failed. */
int io_commit(struct io_out *out, struct err *e);
void io_abort(struct io_out *out); /* NULL is fine */
/* One call: create, write, commit. */
int io_put(const char *path, const void *p, size_t n, struct err *e);

/* Appending to a log-like file (metrics.jsonl, event files): opened O_APPEND, created if missing.
 * Each io_append writes one whole record. keep >= 0 first shortens a longer file to that size. */
struct io_log;
struct io_log *io_log_open(const char *path, int64_t keep, struct err *e);
/* Creates the file. 0; 1 when it exists already; -1. */
int io_log_new(const char *path, struct io_log **log, struct err *e);
int io_append(struct io_log *l, const void *p, size_t n, struct err *e);
int io_log_sync(struct io_log *l, struct err *e);  /* fsync */
int io_log_close(struct io_log *l, struct err *e); /* fsync and close; NULL is fine */
/* A bare descriptor that appends, or -1. */
int io_append_fd(const char *path, struct err *e);

/* ---- folders ---- */
/* Something is at path, or a folder is (links are followed): 1 or 0, or -1 with ERR_NOINPUT when
 * that cannot be told. */
MUST_CHECK int io_exists(const char *path, struct err *e);
MUST_CHECK int io_is_dir(const char *path, struct err *e);
MUST_CHECK int io_has(const char *dir, const char *name, struct err *e); /* the same of dir/name */
int io_stat(const char *path, struct stat *st, struct err *e);
int io_mkdirs(const char *path, struct err *e); /* as mkdir -p; ERR_CREATE */
/* Calls f for each entry but . and .. in byte order of the names; stops at the first non-zero. */
int io_list(const char *dir, int (*f)(void *arg, const char *name, struct err *e), void *arg,
            struct err *e);
int io_remove_tree(const char *path, struct err *e); /* links are removed, not followed */
/* fsync of the folder `from`, rename, fsync of the parent. ERR_CREATE when there is anything at to.
 */
int io_rename_dir(const char *from, const char *to, struct err *e);
/* A new folder, of which the same holds as of a file above: it is filled under a temporary name and
 * appears whole, or not at all. Its target must not exist (ERR_CREATE), neither now nor at the
 * commit; folders above it are made. */
struct io_folder;
struct io_folder *io_folder_new(const char *path, struct err *e);
const char *io_folder_path(const struct io_folder *f); /* where its files go */
int io_folder_commit(struct io_folder *f,
                     struct err *e);       /* renames, durably; frees f in either case */
void io_folder_abort(struct io_folder *f); /* removes it; NULL is fine */

/* ---- locks: exclusive and advisory, for the life of the process or until io_unlock ---- */
/* A lock on path, which is created if missing. 0; 1 with ERR_CREATE "in use by another process"
 * when another has it; -1. */
int io_lock(const char *path, int *fd, struct err *e);
/* As io_lock, and the file says who holds the lock, in a line "PROCESS HOST TIME" that the message
 * of a refusal repeats. lent: NULL, or the text by which a process passes its lock on to those it
 * starts. "FD": the descriptor on which it opened path, which this process has inherited; the line
 * then names the parent. "FD LINE": the same after LINE was written; a process that has not
 * inherited FD (as under mpirun) may go on too if the file has LINE. *fd is -1 when the lock was
 * lent. Other text is ignored. */
int io_lock_named(const char *path, const char *lent, int *fd, struct err *e);
void io_unlock(int fd);       /* -1 is fine */
void io_unlock_named(int fd); /* the file names nobody any more */
/* The absolute path, without links, of a file or folder that exists; mem_free(). */
char *io_real(const char *path, struct err *e);
/* dir + "/" + name in a buffer the caller frees with mem_free(). */
char *io_path(const char *dir, const char *name, struct err *e);

#endif
