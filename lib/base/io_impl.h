/* SPDX-License-Identifier: Apache-2.0 */
/* Internal declarations of the I/O files. */
#ifndef SFT_BASE_IO_IMPL_H
#define SFT_BASE_IO_IMPL_H

#include "base/io.h"

/* Opens a file for reading and stats it. -1 with ERR_NOINPUT when it is missing, unreadable, a
 * folder, or not regular where it has to be; -1 with ERR_DATA when it is a git-lfs pointer. */
enum file_kind { ANY_FILE, REGULAR_FILE };
int file_open(const char *path, enum file_kind kind, struct stat *st, struct err *e);

/* The calls of io_sys, repeated while a signal interrupts them. */
int sys_open(const char *path, int flags, mode_t mode);
int sys_fsync(int fd);
int sys_rename(const char *from, const char *to);
int sys_rename_new(const char *from, const char *to); /* EEXIST when `to` exists */
int sys_link(const char *from, const char *to);
int sys_mkdir(const char *path);
int sys_rmdir(const char *path);
int sys_unlink(const char *path);
int sys_ftruncate(int fd, off_t size);
int sys_close(int fd);                              /* a failure closes the descriptor too */
int sys_write_all(int fd, const void *p, size_t n); /* 0 or -1 with errno */
int sys_pwrite_all(int fd, const void *p, size_t n, off_t at);

/* Where io_read() takes bytes from: `read` returns n bytes, fewer only at the end, or -1. */
struct io_source {
    ssize_t (*read)(void *arg, void *p, size_t n, struct err *e);
    void (*free)(void *arg); /* NULL: nothing to free */
    void *arg;
};
struct io_source io_source(const struct io_in *in);
void io_set_source(struct io_in *in, struct io_source s); /* io_close() frees it */

/* Syncs a folder, or the folder that contains path. 0, or -1 with errno. */
int sys_sync_dir(const char *dir);
int sys_sync_parent(const char *path);

/* Takes the exclusive advisory lock of an open file or folder without waiting. 0, or -1 with errno:
 * EWOULDBLOCK when another process holds it. */
int sys_lock(int fd);
/* True when path still names the file that fd has open. */
bool sys_is_at(int fd, const char *path);

/* The folder part of path, without the last "/": "." for a bare name. Released by mem_free(). */
char *path_parent(const char *path, struct err *e);

/* Temporary files and folders: FOLDER/.NAME.XXXXXXXX.sft-tmp with random letters, locked while they
 * are written, removed when the process ends early. temp_new removes the leftovers of killed
 * processes for the target path, then creates an empty file or folder. It returns a slot >= 0, or
 * -1 with ERR_CREATE. The slot ends with temp_remove, or with temp_forget after a rename. */
int temp_new(const char *path, bool folder, struct err *e);
const char *temp_name(int slot);
int temp_fd(int slot);
void temp_remove(int slot);
void temp_forget(int slot);
enum { TEMP_LETTERS = 8 };
#define TEMP_END ".sft-tmp"
/* Returns the length of NAME for a target path, cut so that the temporary name fits NAME_MAX. Sets
 * *folder to the length of FOLDER with its "/". */
size_t temp_stem(const char *path, size_t *folder);
/* Removes the temporaries of a target that no process has locked. */
void temp_clean(const char *path);

#endif
