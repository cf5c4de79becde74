/* SPDX-License-Identifier: Apache-2.0 */
/* Internal declarations of the log and the progress line. */
#ifndef SFT_BASE_LOG_IMPL_H
#define SFT_BASE_LOG_IMPL_H

/* Draws text over the current line of the terminal; NULL erases it. */
void log_bar(const char *text);

#endif
