/* SPDX-License-Identifier: Apache-2.0 */
/* All ranks compute on one kind of device, each on a GPU of its own. */
#include <stdlib.h>
#include <string.h>

#include "comm/comm.h"

/* Each rank tells the others this about its device. */
struct device_note {
    int32_t gpu;
    unsigned char id[16];
};
_Static_assert(sizeof(struct device_note) <= WORLD_NOTE, "the device fits a note");

static struct device_note note_of(const struct device *d)
{
    struct device_note n = {.gpu = d->card != NULL};
    if (d->card) memcpy(n.id, d->card->id, sizeof n.id);
    return n;
}

static int shared(const struct world *w, const struct device *d, int other, struct err *e)
{
    const int gpus = d->card->gpus;
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    return err_set(e, ERR_CONFIG,
                   "computes on the GPU of rank %d: this node has %d ranks, and there %s %d GPU%s "
                   "for them%s%s; start as many ranks on a node as it has GPUs",
                   other, w->place.node_size, gpus == 1 ? "is" : "are", gpus, gpus == 1 ? "" : "s",
                   visible ? "; CUDA_VISIBLE_DEVICES=" : "", visible ? visible : "");
}

/* Compares the devices of all ranks. */
static int check(struct world *w, const struct device *d, struct err *e)
{
    const struct device_note mine = note_of(d);
    const struct device_note *all = world_notes(w, &mine, sizeof mine, e);
    if (!all) return -1;
    for (int i = 0; i < w->place.size; i++) {
        if (mine.gpu < all[i].gpu)
            return err_set(e, ERR_DEVICE,
                           "finds no GPU, and rank %d has one: all ranks compute on the same kind "
                           "of device; repair the GPU's driver there, leave this node out, or use "
                           "--device cpu",
                           i);
        if (i != w->place.rank && mine.gpu && all[i].gpu &&
            !memcmp(mine.id, all[i].id, sizeof mine.id))
            return shared(w, d, i, e);
    }
    return 0;
}

/* The rank is part of the message, since world_agree adds none for rank 0. */
int comm_check_devices(struct world *w, const struct device *d, struct err *e)
{
    if (w->place.size == 1) return 0;
    const int rc = check(w, d, e);
    if (rc && w->place.rank == 0) err_prefix(e, "rank 0");
    return world_agree(w, rc, e);
}
