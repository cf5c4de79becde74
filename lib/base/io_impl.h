/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the I/O module share among themselves. */
#ifndef SFT_BASE_IO_IMPL_H
#define SFT_BASE_IO_IMPL_H

#include "base/io.h"

/* The calls of io_sys, repeated while a signal interrupts them. */
int sys_open(const char *path, int flags, mode_t mode);
int sys_fsync(int fd);
int sys_rename(const char *from, const char *to);
int sys_rename_new(const char *from, const char *to); /* EEXIST when there is anything at to */
int sys_close(int fd);                                /* the descriptor is gone in any case */
int sys_write_all(int fd, const void *p, size_t n);   /* 0 or -1 with errno */
int sys_pwrite_all(int fd, const void *p, size_t n, off_t at);

/* fsync of a folder, or of the folder that holds path. 0 or -1 with errno. */
int sys_sync_dir(const char *dir);
int sys_sync_parent(const char *path);

/* The exclusive advisory lock of an open file or folder, without waiting: 0, or -1 with errno,
 * EWOULDBLOCK when another has it. */
int sys_lock(int fd);
/* path still names what is open. */
bool sys_is_at(int fd, const char *path);

/* The folder part of path, without the last "/": "." for a bare name. Released with mem_free(). */
char *path_parent(const char *path, struct err *e);

/* Temporaries: FOLDER/.NAME.XXXXXXXX.sft-tmp, the letters at random, locked for as long as they are
 * written, removed when the process ends early. temp_new makes an empty file or folder for the
 * target path, after it has removed what killed processes left for the same target (a slot >= 0; -1
 * with ERR_CREATE). It ends with temp_remove, or with temp_forget when it was renamed. */
int temp_new(const char *path, bool folder, struct err *e);
const char *temp_name(int slot);
int temp_fd(int slot);
void temp_remove(int slot);
void temp_forget(int slot);
enum { TEMP_LETTERS = 8 };
#define TEMP_END ".sft-tmp"
/* Of a target: the length of *folder, with its "/", and of NAME, which is cut so that the file
 * system takes the whole. */
size_t temp_stem(const char *path, size_t *folder);
/* Removes the temporaries of a target that nobody has locked. */
void temp_clean(const char *path);

#endif
