/* SPDX-License-Identifier: Apache-2.0 */
/* Links between boards: each rank that owns a board sends the places of its ranks to the owners of
 * the others, so that a board shows the ranks of all hosts. Internal to lib/comm. */
#ifndef SFT_COMM_LINK_H
#define SFT_COMM_LINK_H

#include "comm/board.h"
#include "comm/world.h"

struct link;
/* Opens the links of a job, whose boards have one owner or several. All ranks call it, after the
 * places are taken; from then on the board has all ranks as here. A job of one board, or whose MPI
 * allows one thread only, has none: *link is NULL. Returns 0, or -1 with ERR_DEVICE or ERR_MEMORY.
 */
int link_open(struct link **link, struct world *w, struct board *b, struct err *e);
/* Sends and receives what is due; called often, by one thread. */
void link_turn(struct link *link);
/* Lets the others know that no more will come, and waits until they do so, for some seconds. */
void link_leave(struct link *link);
/* Frees the links, which link_turn uses no more. After link_leave all ranks call it. */
void link_close(struct link *link);

#endif
