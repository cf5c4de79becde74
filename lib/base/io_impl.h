/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the I/O module share among themselves. */
#ifndef SFT_BASE_IO_IMPL_H
#define SFT_BASE_IO_IMPL_H

#include "base/io.h"

/* The calls of io_sys, repeated while a signal interrupts them. */
int sys_open(const char *path, int flags, mode_t mode);
int sys_fsync(int fd);
int sys_rename(const char *from, const char *to);
int sys_close(int fd);                              /* the descriptor is gone in any case */
int sys_write_all(int fd, const void *p, size_t n); /* 0 or -1 with errno */
int sys_pwrite_all(int fd, const void *p, size_t n, off_t at);

/* fsync of a folder, or of the folder that holds path. 0 or -1 with errno. */
int sys_sync_dir(const char *dir);
int sys_sync_parent(const char *path);

/* The folder part of path, without the last "/": "." for a bare name. Released with mem_free(). */
char *path_parent(const char *path, struct err *e);

/* Temporaries to be removed when the process ends early. temp_new makes up a name beside path and
 * notes it (a slot >= 0; -1 on failure); temp_name gives it; temp_forget is called when the file
 * was renamed or removed. */
int temp_new(const char *path, struct err *e);
const char *temp_name(int slot);
void temp_forget(int slot);

#endif
