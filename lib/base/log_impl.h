/* SPDX-License-Identifier: Apache-2.0 */
/* What the progress line needs of the log. */
#ifndef SFT_BASE_LOG_IMPL_H
#define SFT_BASE_LOG_IMPL_H

/* Draws text over the terminal's present line; NULL removes what was drawn. */
void log_bar(const char *text);

#endif
