/* SPDX-License-Identifier: Apache-2.0 */
/* Letters between two boards, by a plugin that keeps what is sent as long as it is told to. Rank 0
 * is alone: what it sends comes back as the letters of rank 1. */
#include <string.h>
#include <time.h>

#include "comm/comm_impl.h"
#include "comm/letter.h"
#include "comm/link.h"
#include "test.h"

enum { MOST = 8, BYTES = 1 << 13, RECEIVES = 1 };
static char kept[MOST][BYTES]; /* the letters on their way, the oldest first */
static size_t kept_bytes[MOST];
static int n_kept;
static bool held; /* none of them arrives */
static void *wanted;

static int group_open(const int *ranks, int n, comm_handle *group)
{
    *group = ranks[n - 1];
    return 0;
}
static int group_close(comm_handle group) { return group < 0; }

static int gather(comm_handle group, void *dst, const void *src, size_t bytes,
                  struct comm_transfer *t)
{
    (void)group;
    memmove((char *)dst + bytes, src, bytes);
    memmove(dst, (char *)dst + bytes, bytes);
    *t = (struct comm_transfer){0};
    return 0;
}

static int send_receive(comm_handle group, const void *src, size_t sent, int to, void *dst,
                        size_t received, int from, struct comm_transfer *t)
{
    (void)group, (void)received;
    if (from >= 0) {
        wanted = dst;
        t->part[0] = RECEIVES;
    }
    if (to < 0) return 0;
    if (n_kept == MOST || sent > BYTES) return 1;
    memcpy(kept[n_kept], src, sent);
    kept_bytes[n_kept++] = sent;
    return 0;
}

static int test(struct comm_transfer *t, int *done)
{
    *done = t->part[0] != RECEIVES || (!held && n_kept > 0);
    if (t->part[0] != RECEIVES || !*done) return 0;
    memcpy(wanted, kept[0], kept_bytes[0]);
    memmove(kept[0], kept[1], sizeof kept[0] * (MOST - 1));
    memmove(kept_bytes, kept_bytes + 1, sizeof kept_bytes[0] * (MOST - 1));
    n_kept--;
    return 0;
}

static const struct comm_plugin plugin = {.version = COMM_PLUGIN_VERSION,
                                          .group_open = group_open,
                                          .group_close = group_close,
                                          .gather = gather,
                                          .send_receive = send_receive,
                                          .test = test};

/* Rank 0 writes letters that count its beats, none of which arrives. */
static void write_letters(struct link *l, struct board *b, int n)
{
    held = true;
    while (n_kept < n) {
        atomic_fetch_add(&b->rank[0].beats, 1);
        link_turn(l);
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    held = false;
}

/* A letter of any bytes but that there is no other behind it. */
static void write_garbled(void)
{
    memset(kept[n_kept], 0xff, BYTES);
    memset(kept[n_kept] + offsetof(struct letter, last), 0, sizeof(uint32_t));
    kept_bytes[n_kept++] = letter_bytes(1);
}

static void damage(struct link *l, struct board *b)
{
    char text[BOARD_TEXT];
    snprintf(b->rank[1].host, sizeof b->rank[1].host, "other");
    write_garbled();
    link_turn(l);
    const struct board_rank *r = &b->rank[1];
    CHECK("link: a garbled letter moves no rank to another host or process",
          r->node == 1 && r->pid == 0 && strcmp(r->host, "other") == 0);
    CHECK("link: what is taken of it is within bounds",
          r->last < BOARD_SLOTS && strlen(r->slot[0].label) < BOARD_LABEL);
    CHECK("link: its reason is one text", board_text(b) && strlen(board_text(b)) < BOARD_TEXT);
    board_tell(b, 2, 1, BOARD_DIED, 0, NULL, text, sizeof text);
    CHECK("link: a rank that it is of can be told of",
          strstr(text, "rank 1 on other (process 0) died") == text);
}

int main(void)
{
    static union {
        struct board board;
        char room[BYTES];
    } memory;
    char notes[2 * WORLD_NOTE];
    struct err e = {0};
    struct link *l;
    struct world w = *world_self();
    struct board *b = &memory.board;
    w.plugin = &plugin;
    w.place = (struct comm_place){.size = 2, .threads = 1};
    w.notes = notes;
    b->rank[1].node = 1;
    CHECK("link: boards of two hosts are linked", link_open(&l, &w, b, &e) == 0 && l);
    write_letters(l, b, 3);
    const unsigned long long newest = atomic_load(&b->rank[0].beats);
    CHECK("link: a rank of another host is there before its first letter",
          atomic_load(&b->rank[1].state) == BOARD_HERE && atomic_load(&b->rank[1].beats) == 0);
    CHECK("link: letters on their way tell nothing", atomic_load(&b->rank[1].beats) == 0);
    link_turn(l);
    CHECK("link: all that have arrived are read at once, so the board shows the newest",
          n_kept <= 1 && atomic_load(&b->rank[1].beats) >= newest);
    damage(l, b);
    link_close(l);
    TEST_END();
}
