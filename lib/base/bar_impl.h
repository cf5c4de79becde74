/* SPDX-License-Identifier: Apache-2.0 */
/* The last line of the terminal, which shows progress, and the writes that go beside it. */
#ifndef SFT_BASE_BAR_IMPL_H
#define SFT_BASE_BAR_IMPL_H

#include <stddef.h>

/* Draws text over the current line of the terminal; NULL removes it. */
void bar_set(const char *text);
/* Writes a line to standard error in one write. A bar goes away before it and is drawn again after
 * it. line: with its newline, at most BAR_LINE bytes. */
enum { BAR_LINE = 4096 };
void bar_write(const char *line, size_t n);
/* Writes n bytes. A failure is ignored, because there is no other place for a message. */
void bar_put(int fd, const char *p, size_t n);
/* Removes the bar while something else writes to standard output, if that is a terminal too;
 * bar_show, which must follow, draws it again. */
void bar_hide(void);
void bar_show(void);

#endif
