/* SPDX-License-Identifier: Apache-2.0 */
/* Unnamed temporary files, for data that does not fit memory: written once, then mapped. */
#ifndef SFT_BASE_SCRATCH_H
#define SFT_BASE_SCRATCH_H

#include "base/io.h"

struct scratch;
/* Creates a file without a name in $TMPDIR (or /tmp). It disappears when the process ends, even
 * when it is killed. NULL with ERR_CREATE. */
struct scratch *scratch_new(struct err *e);
/* Appends n bytes. 0, or -1 with ERR_IO and a message that names the folder. */
int scratch_add(struct scratch *s, const void *p, size_t n, struct err *e);
uint64_t scratch_size(const struct scratch *s); /* bytes added */
/* Maps all bytes added, read-only, until scratch_free; no scratch_add may follow. NULL with ERR_IO.
 */
const void *scratch_map(struct scratch *s, struct err *e);
void scratch_free(struct scratch *s); /* NULL is fine */

#endif
