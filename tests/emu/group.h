/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks that run together: barriers, and what must be over when a block ends. */
#ifndef EMU_GROUP_H
#define EMU_GROUP_H

#include "emu.h"

/* Prints where a warp waits. */
void wait_tell(const struct warp *w);
/* Fails if the block ends before its copies and products do; completes its stores. */
void group_check(struct block *b);
/* Frees what the block still has. */
void group_drop(struct block *b);

/* Lanes of a warp arrive at the barrier of the instruction, and wait if it says so. */
void barrier_arrive(struct warp *w, const struct instr *i, uint32_t on);
/* Releases barriers that all live threads, or as many as were asked for, have reached. */
void barrier_settle(struct block *b);
bool decode_barrier(struct instr *i);

/* Checks an instruction's registers against products in flight, and notes those that it writes. */
void wgmma_registers(struct warp *w, const struct instr *i, uint32_t on);
/* Notes what wgmma_registers needs of a decoded instruction. */
void wgmma_note(struct instr *i);

#endif
