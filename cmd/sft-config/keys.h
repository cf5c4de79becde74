/* SPDX-License-Identifier: Apache-2.0 */
/* The table of configuration keys as text. */
#ifndef SFT_CMD_CONFIG_KEYS_H
#define SFT_CMD_CONFIG_KEYS_H

#include "base/buf.h"

void keys_print(struct buf *b); /* appends Markdown */

#endif
