/* SPDX-License-Identifier: Apache-2.0 */
/* The watcher of a rank: a thread that notices ranks that died or stand still. Internal to
 * lib/comm. */
#ifndef SFT_COMM_WATCH_H
#define SFT_COMM_WATCH_H

#include "comm/board.h"
#include "comm/world.h"

/* A rank that runs may be outside of collectives for so many times the time-out: it loads, saves,
 * validates or computes. */
enum { WATCH_PATIENCE = 6 };

/* Meets the other ranks at the boards of their nodes and starts the watcher. All ranks call it,
 * before the world has a time-out. NULL with ERR_DEVICE or ERR_MEMORY. */
struct watch *watch_open(struct world *w, struct err *e);
/* Ends the thread. The end of a rank that has not told before that it left is a death. */
void watch_close(struct watch *watch);
void watch_leave(struct watch *watch); /* before the ranks part: closes the links of hosts */
void watch_left(struct watch *watch);  /* after they have parted */

struct board *watch_board(const struct watch *watch);
struct board_rank *watch_mine(const struct watch *watch); /* this rank's place */
/* Seconds of a clock that does not count the time in which this process was stopped. */
double watch_clock(const struct watch *watch);
/* True if the others may wait longer: a rank works outside of collectives, or one is not heard of.
 */
bool watch_busy(const struct watch *watch);
/* Looks for a moment whether a host is silent, for the launcher seems to know of a loss. */
void watch_doubt(struct watch *watch);
/* Waits a moment for the reason why a transfer failed, as a watcher sees it a moment later than
 * MPI. NULL: nobody knows. */
const char *watch_reason(const struct watch *watch);

#endif
