/* SPDX-License-Identifier: Apache-2.0 */
/* The memory that saving a list of tensors takes. */
#include "save/list.h"

#include "base/io.h"
#include "save/ring_impl.h"

size_t saver_staging(const struct saver_list *l, size_t limit)
{
    size_t all = 0, largest = 0;
    for (size_t i = 0; i < l->ntensors; i++) {
        const struct saver_tensor *t = &l->tensors[i];
        const size_t size = dtype_size(t->dtype);
        const size_t piece = ring_room((t->n < SAVER_PIECE ? t->n : SAVER_PIECE) * saver_room(t));
        if (mem_add(all, ring_room(t->n * size), &all)) all = SIZE_MAX / 2;
        if (piece > largest) largest = piece;
    }
    if (all < largest) all = largest;
    if (limit < largest) limit = largest;
    return all < limit ? all : limit;
}

/* The last bytes of each file; of each tensor its places in lists, names and header; the buffers
 * that small files are hashed through; paths and the manifest. An index is made when the last file
 * is closed, so that its tree has the memory of that file's last bytes. */
size_t saver_reserve(const struct saver_list *l)
{
    enum { TENSOR = 1 << 10, REST = 2 << 20 };
    return (size_t)l->nfiles * IO_PAST_CACHE + l->ntensors * TENSOR + REST;
}
