/* SPDX-License-Identifier: Apache-2.0 */
/* Where warps wait, and what must be over when a block ends. */
#include "group.h"

#include <stdio.h>
#include <stdlib.h>

#include "bulk.h"
#include "wgmma.h"

void wait_tell(const struct warp *w)
{
    const struct module *m = w->kernel->module;
    const struct instr *i = w->waits;
    if (w->blocked) i = &w->kernel->code[w->pc[__builtin_ctz(w->blocked)] - 1];
    const char *file = i && i->file < m->nfiles && m->files[i->file] ? m->files[i->file] : "?";
    fprintf(stderr, "emulator: block %u,%u,%u warp %d waits at %s:%u [%s]\n", w->block->at[0],
            w->block->at[1], w->block->at[2], w->index, file, i ? i->line : 0, i ? i->text : "?");
    if (!w->blocked) mbarrier_tell(w);
}

/* Fails if a copy is in flight; a store may end after the block if its source has been read. */
static void check_bulks(struct warp *w, int lane)
{
    for (struct bulk *b = w->bulks[lane]; b; b = b->next) {
        if (!b->ended)
            fault(w, b->landing.instr, lane,
                  "the block ends while the copy still reads its shared memory");
        bulk_write(b);
    }
}

void group_check(struct block *b)
{
    for (const struct mbarrier *m = b->mbarriers; m; m = m->next)
        if (m->landings)
            fault(m->landings->warp, m->landings->instr, m->landings->lane,
                  "the block ends while the copy is in flight");
    for (int k = 0; k < b->count; k++) {
        for (int l = 0; l < LANES; l++) check_bulks(&b->warps[k], l);
        wgmma_check(&b->warps[k]);
    }
}

void group_drop(struct block *b)
{
    for (int k = 0; k < b->count; k++) {
        struct warp *w = &b->warps[k];
        async_drop(w);
        wgmma_drop(w);
        for (int l = 0; l < LANES; l++)
            while (w->bulks[l]) {
                struct bulk *x = w->bulks[l];
                w->bulks[l] = x->next;
                bulk_drop(&x->landing);
            }
    }
    mbarrier_drop(b);
    wgmma_forget(b);
    for (int k = 0; k < BARRIERS; k++) free(b->barrier[k].order);
}
