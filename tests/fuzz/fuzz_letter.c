/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as letters of another host: the board stays one of this job, and whatever it tells is
 * one line. The first byte chooses how many of the ranks are there. */
#include "comm/letter.h"
#include "fuzz/fuzz.h"

enum { RANKS = 6, OWN = 0 };

/* A board of rank 0's host and another one, whose first rank is `owner`. */
static void begin(struct board *b, int owner)
{
    memset(b, 0, board_bytes(RANKS));
    for (int r = 0; r < RANKS; r++) {
        b->rank[r].pid = 100 + r;
        b->rank[r].node = r < owner ? OWN : owner;
        snprintf(b->rank[r].host, sizeof b->rank[r].host, "host%d", r >= owner);
        atomic_store(&b->rank[r].state, BOARD_HERE);
        board_take(&b->rank[r], "all", 0, RANKS);
    }
    board_enter(&b->rank[OWN], &b->rank[OWN].slot[0], BOARD_AGREEMENT, 1);
}

static void need_line(const char *text, size_t n)
{
    need(memchr(text, 0, n) != NULL);
    for (; *text; text++) need((unsigned char)*text >= 0x20 && *text != 0x7f);
}

static void check(const struct board *b, int owner)
{
    char text[BOARD_TEXT];
    for (int r = 0; r < RANKS; r++) {
        const struct board_rank *x = &b->rank[r];
        need(x->pid == 100 + r && x->node == (r < owner ? OWN : owner));
        need(x->last < BOARD_SLOTS && x->state <= BOARD_DEAD);
        need(strcmp(x->host, r < owner ? "host0" : "host1") == 0);
        for (int cause = BOARD_DIED; cause <= BOARD_WAITS; cause++) {
            board_tell(b, RANKS, r, (enum board_cause)cause, 7, "advice", text, sizeof text);
            need_line(text, sizeof text);
        }
    }
    if (board_text(b)) need_line(board_text(b), BOARD_TEXT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static union {
        struct board board;
        char room[1 << 14];
    } memory;
    _Static_assert(sizeof memory >= sizeof(struct board) + RANKS * sizeof(struct board_rank), "");
    struct board *b = &memory.board;
    if (size == 0) return 0;
    const int owner = 1 + data[0] % (RANKS - 1);
    const size_t n = letter_bytes(RANKS - owner);
    struct letter *x = calloc(1, n);
    bool last = false;
    need(x != NULL);
    begin(b, owner);
    letter_write(x, b, RANKS, owner, false); /* a short letter leaves the rest of the one before */
    for (data++, size--; size > 0 && !last;) {
        const size_t part = size < n ? size : n;
        memcpy(x, data, part);
        data += part;
        size -= part;
        last = letter_read(x, b, RANKS, owner);
        check(b, owner);
    }
    free(x);
    return 0;
}
