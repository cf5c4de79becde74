/* SPDX-License-Identifier: Apache-2.0 */
/* Unnamed temporary files: what does not fit memory is written once and read back mapped. */
#ifndef SFT_BASE_SCRATCH_H
#define SFT_BASE_SCRATCH_H

#include "base/io.h"

struct scratch;
/* A file without a name in $TMPDIR (or /tmp): gone when the process ends, however it ends. */
struct scratch *scratch_new(struct err *e);
/* Appends n bytes; ERR_IO names the folder when it is full. */
int scratch_add(struct scratch *s, const void *p, size_t n, struct err *e);
uint64_t scratch_size(const struct scratch *s);
/* All that was added, valid until scratch_free; nothing may be added afterwards. */
const void *scratch_map(struct scratch *s, struct err *e);
void scratch_free(struct scratch *s); /* NULL is fine */

#endif
