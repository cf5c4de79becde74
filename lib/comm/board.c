/* SPDX-License-Identifier: Apache-2.0 */
/* Writing to the board and reading it. Each place has one writer, its rank; the others read at any
 * time, so counters are atomic, and a label is complete before its first collective is counted. */
#include "comm/board.h"

#include <stdio.h>
#include <string.h>

#include "comm/comm_impl.h"

const char *board_kind(unsigned kind)
{
    if (kind == BOARD_AGREEMENT) return "agreement";
    if (kind == BOARD_BROADCAST) return "broadcast";
    return kind < COMM_KINDS ? comm_kind_name((enum comm_kind)kind) : "collective";
}

void board_write(struct board *b, const char *text)
{
    unsigned none = 0;
    if (!atomic_compare_exchange_strong(&b->written, &none, 1)) return;
    snprintf(b->text, sizeof b->text, "%s", text);
    atomic_store(&b->written, 2);
}

const char *board_text(const struct board *b)
{
    return atomic_load(&b->written) == 2 ? b->text : NULL;
}

void board_enter(struct board_rank *r, struct board_slot *slot, unsigned kind, uint64_t number)
{
    if (!slot) return;
    atomic_store(&slot->was, 1 + kind);
    atomic_store(&slot->number, number);
    atomic_store(&slot->kind, 1 + kind);
    atomic_store(&r->last, (unsigned)(slot - r->slot));
    atomic_fetch_add(&r->moves, 1);
}

void board_leave(struct board_rank *r, struct board_slot *slot)
{
    if (!slot) return;
    atomic_store(&slot->kind, 0);
    atomic_fetch_add(&r->moves, 1);
}

struct board_slot *board_take(struct board_rank *r, const char *label, int first, int size)
{
    int i = 0;
    while (i < BOARD_SLOTS && r->slot[i].label[0]) i++;
    if (i == BOARD_SLOTS) return NULL;
    struct board_slot *s = &r->slot[i];
    s->first = first;
    s->size = size;
    atomic_store(&s->kind, 0);
    atomic_store(&s->number, 0);
    snprintf(s->label, sizeof s->label, "%s", label);
    return s;
}

const struct board_slot *board_same(const struct board_rank *r, const struct board_slot *s)
{
    for (int i = 0; i < BOARD_SLOTS; i++)
        if (r->slot[i].first == s->first && r->slot[i].size == s->size &&
            strncmp(r->slot[i].label, s->label, BOARD_LABEL) == 0)
            return &r->slot[i];
    return NULL;
}

bool board_in(const struct board_rank *r)
{
    for (int i = 0; i < BOARD_SLOTS; i++)
        if (atomic_load(&r->slot[i].kind)) return true;
    return false;
}
