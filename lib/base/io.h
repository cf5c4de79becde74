/* SPDX-License-Identifier: Apache-2.0 */
/* Files. No other module opens, writes, renames or removes a file. */
#ifndef SFT_BASE_IO_H
#define SFT_BASE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

/* Every system call that reads or changes a file goes through this table, so that a test can make
 * each of them fail. */
struct io_sys {
    int (*open)(const char *path, int flags, mode_t mode);
    ssize_t (*read)(int fd, void *p, size_t n);
    ssize_t (*pread)(int fd, void *p, size_t n, off_t at);
    ssize_t (*write)(int fd, const void *p, size_t n);
    ssize_t (*pwrite)(int fd, const void *p, size_t n, off_t at);
    int (*fsync)(int fd);
    int (*close)(int fd);
    int (*rename)(const char *from, const char *to);
    int (*rename_new)(const char *from, const char *to); /* EEXIST when `to` exists */
    int (*link)(const char *from, const char *to);
    int (*unlink)(const char *path);
    int (*mkdir)(const char *path, mode_t mode);
    int (*rmdir)(const char *path);
    int (*ftruncate)(int fd, off_t size);
};
extern struct io_sys io_sys;

/* Opens /dev/null on each standard descriptor that is closed, so that no file opened later becomes
 * standard output or receives messages. Reading or writing such a descriptor still fails. Ignores
 * SIGXFSZ, so that a file that exceeds its size limit is an error, like a full disk. Must run
 * before anything is opened; opt_parse calls it. */
int io_standard(struct err *e);

/* ---- reading ---- */
struct io_in; /* an unbuffered reader */
/* Every function that opens a file to read it refuses a git-lfs pointer, the few lines of text that
 * a clone without git-lfs has in the place of a large file, with ERR_DATA. */
/* Opens path, or standard input for "-". NULL with ERR_NOINPUT when missing or unreadable. */
struct io_in *io_open(const char *path, struct err *e);
/* Opens a regular file, as the members of model folders and checkpoints are; anything else is
 * ERR_NOINPUT at once, where io_open would wait for the writer of a FIFO. */
struct io_in *io_open_regular(const char *path, struct err *e);
/* Reads n bytes, fewer only at the end of the input. Returns their number, or -1 with ERR_IO. */
ssize_t io_read(struct io_in *in, void *p, size_t n, struct err *e);
/* Lets io_read return the contents of an input that is compressed with zstd or gzip, by its first
 * bytes; any other input stays as it is. Must run before io_tap and the first io_read. -1 with
 * ERR_DATA for gzip in a program without zlib. Memory is bounded by a window of 128 MiB. */
int io_expand(struct io_in *in, struct err *e);
/* Passes every byte that io_read returns from now on to f, in order (for a digest of the input). */
void io_tap(struct io_in *in, void (*f)(void *arg, const void *p, size_t n), void *arg);
const char *io_name(const struct io_in *in); /* the path, or "<stdin>" */
void io_close(struct io_in *in);

/* A whole regular file mapped read-only; p is never NULL. io_map returns 0, or -1 with ERR_NOINPUT
 * or ERR_IO. */
struct io_map {
    const unsigned char *p;
    size_t n;
};
int io_map(const char *path, struct io_map *m, struct err *e);
void io_unmap(struct io_map *m);
/* A file that becomes shorter while it is mapped reads as zeros from there on, instead of ending
 * the process (SIGBUS). Returns 0, or -1 with ERR_IO, for the rest of the process, when that has
 * happened to any file. Those who use what they read call it afterwards; io_commit and
 * io_folder_commit do, so that no output is made of it, and log_fail tells it in place of the
 * errors that follow from it. */
MUST_CHECK int io_intact(struct err *e);
/* Tells the kernel that the n bytes at p, which lie in the mapping, are not needed for now: their
 * pages leave this process's memory until they are read again. */
void io_forget(const struct io_map *m, const void *p, size_t n);

/* Appends a whole regular file to b. More than max bytes are ERR_DATA. */
int io_slurp(const char *path, size_t max, struct buf *b, struct err *e);
/* The same for a file that the user named, which may be a FIFO or standard input, "-". */
int io_slurp_any(const char *path, size_t max, struct buf *b, struct err *e);
/* Reads the first room - 1 bytes of a file as a C string, without allocating memory: for the small
 * files of /proc and /sys. false when the file cannot be read. */
bool io_glance(const char *path, char *text, size_t room);

/* ---- memory that processes share ---- */
struct io_shared {
    void *p; /* n bytes, at first zero */
    size_t n;
    int fd;
};
/* Makes such memory; no name leads to it, and it ends with the last process that has it. ERR_IO. */
int io_shared_make(struct io_shared *s, size_t n, struct err *e);
/* Opens the memory that process `pid` of this user made, whose descriptor there is `theirs`. */
int io_shared_open(struct io_shared *s, long pid, int theirs, size_t n, struct err *e);
void io_shared_close(struct io_shared *s);
/* Holds byte `at` until this process ends or closes the memory; 0, or -1 when another has it. */
int io_shared_hold(const struct io_shared *s, size_t at);
/* True if another process holds the byte, or if the system cannot tell. */
bool io_shared_held(const struct io_shared *s, size_t at);

/* ---- writing: a file appears complete under its name, or not at all ---- */
struct io_out;
/* Starts an output; NULL with ERR_CREATE. "-" is standard output, without a buffer; io_commit
 * checks its close. A device, a FIFO or the like is written directly. Any other path is written to
 * a temporary file in the same folder, with a unique name and the permissions of the umask; a
 * symbolic link to a file replaces the file it points to. io_abort, exit and SIGINT, SIGTERM,
 * SIGHUP and SIGPIPE remove the temporary file, unless the program handles these signals itself.
 * The next writer of the same path removes the temporary file of a killed process. */
struct io_out *io_create(const char *path, struct err *e);
int io_write(struct io_out *out, const void *p, size_t n, struct err *e);
uint64_t io_written(const struct io_out *out); /* bytes passed to io_write so far */
/* Makes io_write bypass the page cache (O_DIRECT), where the file system supports it, with a buffer
 * of IO_PAST_CACHE bytes. Must run before the first io_write; for large files. */
enum { IO_PAST_CACHE = 4 << 20 };
void io_past_cache(struct io_out *out);
bool io_out_is_tty(const struct io_out *out);
/* Syncs and renames the file, then syncs the folder; frees out in either case. A failure leaves no
 * new file behind, except when only the sync of the folder failed. */
int io_commit(struct io_out *out, struct err *e);
void io_abort(struct io_out *out); /* removes the temporary file, frees out; NULL is fine */
/* Creates, writes and commits a file. */
int io_put(const char *path, const void *p, size_t n, struct err *e);
/* Makes `to`, which is not there, a second name (hard link) of the regular file `from`, which no
 * one changes any more; or a copy of it where the file system has no such names. */
int io_duplicate(const char *from, const char *to, struct err *e);

/* Appends to a file, opened with O_APPEND (metrics.jsonl, event files). Each io_append writes one
 * whole record. */
struct io_log;
/* Creates the file if it is missing, and syncs its name. keep >= 0 first truncates a longer file to
 * that many bytes. */
struct io_log *io_log_open(const char *path, int64_t keep, struct err *e);
/* Creates the file. Returns 0; 1 when it exists already; -1 on failure. */
int io_log_new(const char *path, struct io_log **log, struct err *e);
int io_append(struct io_log *l, const void *p, size_t n, struct err *e);
int io_log_sync(struct io_log *l, struct err *e);  /* fsync */
int io_log_close(struct io_log *l, struct err *e); /* fsync and close; NULL is fine */
/* Returns a descriptor that appends, or -1 with ERR_CREATE. The caller closes it. */
int io_append_fd(const char *path, struct err *e);

/* ---- folders ---- */
/* io_exists tests for a file of any type, io_is_dir for a folder, io_has for dir/name. Links are
 * followed. Each returns 1 or 0, or -1 with ERR_NOINPUT when the system cannot tell. */
MUST_CHECK int io_exists(const char *path, struct err *e);
MUST_CHECK int io_is_dir(const char *path, struct err *e);
MUST_CHECK int io_has(const char *dir, const char *name, struct err *e);
int io_stat(const char *path, struct stat *st, struct err *e); /* ERR_NOINPUT */
/* Makes a folder, or finds it there, and syncs its name. ERR_CREATE, or ERR_IO. */
int io_mkdir(const char *path, struct err *e);
/* The same for all folders of the path, as mkdir -p. */
int io_mkdirs(const char *path, struct err *e);
/* Calls f for each entry except . and .. in byte order of the names. Stops at the first result that
 * is not 0 and returns it. */
int io_list(const char *dir, int (*f)(void *arg, const char *name, struct err *e), void *arg,
            struct err *e);
int io_remove_tree(const char *path, struct err *e); /* links are removed, not followed */
/* Syncs the folder `from`, renames it, syncs the parent. ERR_CREATE when `to` exists. */
int io_rename_dir(const char *from, const char *to, struct err *e);
/* A new folder that appears complete under its name, or not at all: it has a temporary name until
 * the commit. The target must not exist, neither now nor at the commit (ERR_CREATE). Missing
 * parents are created. */
struct io_folder;
struct io_folder *io_folder_new(const char *path, struct err *e);
const char *io_folder_path(const struct io_folder *f); /* the temporary path, for its files */
/* Renames the folder and syncs it; frees f in either case. */
int io_folder_commit(struct io_folder *f, struct err *e);
void io_folder_abort(struct io_folder *f); /* removes the folder, frees f; NULL is fine */

/* ---- locks: exclusive and advisory, until io_unlock or the end of the process ---- */
/* Locks path, creating it if it is missing. Returns 0; 1 with ERR_CREATE "in use by another
 * process" when another process holds the lock; -1 on failure. */
int io_lock(const char *path, int *fd, struct err *e);
/* Does the same and writes a line "PROCESS HOST TIME" about the holder into the file; the message
 * of a refusal repeats it. `lent` is NULL, or the text by which a process passes its lock to the
 * processes it starts; other text is ignored. "FD" is the descriptor on which the parent opened
 * path; this process has inherited it, and the line then names the parent. "FD LINE" means the same
 * after the parent wrote LINE; a process that has not inherited FD (as under mpirun) also gets the
 * lock if the file contains LINE. *fd is -1 for a lent lock. */
int io_lock_named(const char *path, const char *lent, int *fd, struct err *e);
void io_unlock(int fd);       /* -1 is fine */
void io_unlock_named(int fd); /* also empties the file */
/* The absolute path of a file or folder that exists, with links resolved; released by mem_free().
 */
char *io_real(const char *path, struct err *e);
/* Appends path to out, with the home folder in place of a leading ~ or ~USER. -1 with ERR_CONFIG
 * when there is no home folder; the message does not contain the path. */
int io_expand_home(const char *path, struct buf *out, struct err *e);
/* dir + "/" + name, released by mem_free(). */
char *io_path(const char *dir, const char *name, struct err *e);

#endif
