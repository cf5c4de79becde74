/* SPDX-License-Identifier: Apache-2.0 */
/* Atomic operations and reductions in memory. */
#include <string.h>

#include "emu.h"

enum {
    ATOM_ADD,
    ATOM_MIN,
    ATOM_MAX,
    ATOM_AND,
    ATOM_OR,
    ATOM_XOR,
    ATOM_EXCH,
    ATOM_CAS,
    ATOM_INC,
    ATOM_DEC
};
static uint64_t integer_result(const struct instr *i, uint64_t old, uint64_t x, uint64_t y)
{
    const bool sign = i->type.kind == 's';
    const uint64_t keep = i->type.bits == 64 ? ~0ull : (1ull << i->type.bits) - 1;
    const int64_t a = (int64_t)memory_load(&old, i->type), b = (int64_t)memory_load(&x, i->type);
    const bool less = sign ? a < b : (old & keep) < (x & keep);
    switch (i->mode) {
    case ATOM_ADD:
        return old + x;
    case ATOM_MIN:
        return less ? old : x;
    case ATOM_MAX:
        return less ? x : old;
    case ATOM_AND:
        return old & x;
    case ATOM_OR:
        return old | x;
    case ATOM_XOR:
        return old ^ x;
    case ATOM_EXCH:
        return x;
    case ATOM_CAS:
        return (old & keep) == (x & keep) ? y : old;
    case ATOM_INC:
        return (old & keep) >= (x & keep) ? 0 : old + 1;
    default:
        return (old & keep) == 0 || (old & keep) > (x & keep) ? x : old - 1;
    }
}

static uint64_t atom_result(const struct instr *i, uint64_t old, uint64_t x, uint64_t y)
{
    if (i->type.kind != 'f' || i->mode != ATOM_ADD) return integer_result(i, old, x, y);
    if (i->type.bits == 64) {
        double a, b;
        memcpy(&a, &old, 8), memcpy(&b, &x, 8);
        if (a != a || b != b)
            return (a != a ? old : x) | (uint64_t)(i->space == SPACE_SHARED) << 51;
        a += b;
        memcpy(&old, &a, 8);
        return old;
    }
    float a, b;
    memcpy(&a, &old, 4), memcpy(&b, &x, 4);
    a += b;
    uint32_t r = a != a ? 0x7fffffff : 0;
    if (!r) memcpy(&r, &a, 4);
    return r;
}

/* Runs the lanes one after the other; kernels must not rely on the order. */
static void atom(struct warp *w, const struct instr *i, uint32_t on)
{
    const bool returns = i->groups > 0 && i->trans; /* trans: atom, which has a result; else red */
    const struct operand *a = operand(i, returns), *x = operand(i, 1 + returns),
                         *y = i->groups > 2 + returns ? operand(i, 2 + returns) : x;
    const unsigned n = i->type.bits / 8u;
    const uint64_t from = random_next(&w->block->random);
    w->block->group->changes++;
    for (int k = 0; k < LANES; k++) {
        const int l = (int)((from + (unsigned)k) % LANES);
        if (!(on >> l & 1)) continue;
        const uint64_t address = memory_address(w, a, l);
        uint64_t old = 0;
        /* atomic operations do not race with each other */
        unsigned char *p = memory_at(w, i, l, i->space, address, n,
                                     i->space == SPACE_SHARED ? ACCESS_READ : ACCESS_BOTH);
        memcpy(&old, p, n);
        const uint64_t v = atom_result(i, old, lane_get(w, x, l), lane_get(w, y, l));
        memcpy(p, &v, n);
        if (returns) lane_put(w, operand(i, 0), l, old);
    }
}

static bool decode_atom(struct instr *i, const char *p, bool returns)
{
    static const char *const words[] = {"add", "min",  "max", "and", "or",
                                        "xor", "exch", "cas", "inc", "dec"};
    int found = -1;
    i->trans = returns;
    for (;;) {
        if (memory_suffix(&p, i)) continue;
        int k = 0;
        while (k < 10 && !ptx_suffix(&p, words[k])) k++;
        if (k == 10) break;
        found = k;
    }
    i->mode = (uint8_t)found;
    i->run = atom;
    return found >= 0 && ptx_type(&p, &i->type) && !*p && i->type.bits >= 32;
}

bool decode_atom_red(struct instr *i)
{
    const char *p = i->text + strcspn(i->text, ".");
    if (!strncmp(i->text, "atom.", 5)) return decode_atom(i, p, true);
    return !strncmp(i->text, "red.", 4) && strncmp(i->text, "red.async", 9) &&
           decode_atom(i, p, false);
}
