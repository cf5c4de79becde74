/* SPDX-License-Identifier: Apache-2.0 */
/* Atomic operations and reductions in memory. */
#include <math.h>
#include <string.h>

#include "half.h"
#include "order.h"

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

/* An operation on one or two halves. */
static uint64_t half_result(const struct instr *i, uint64_t old, uint64_t x)
{
    const enum half_format f = i->type.kind == 'h' ? HALF_BF16 : HALF_F16;
    uint64_t r = 0;
    for (int k = 0; k < i->type.bits; k += 16) {
        const uint16_t a = (uint16_t)(old >> k), b = (uint16_t)(x >> k);
        r |= (uint64_t)(i->mode == ATOM_ADD ? half_add(f, a, b)
                                            : half_pick(f, a, b, i->mode == ATOM_MAX, false))
             << k;
    }
    return r;
}

/* Sums in device memory take subnormals for 0. */
static float flushed(float x) { return fabsf(x) < 0x1p-126f ? copysignf(0, x) : x; }

static uint64_t atom_result(const struct instr *i, uint64_t old, uint64_t x, uint64_t y)
{
    if (i->compare) return half_result(i, old, x);
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
    if (i->space != SPACE_SHARED) a = flushed(a), b = flushed(b);
    a += b;
    if (i->space != SPACE_SHARED) a = flushed(a);
    uint32_t r = a != a ? 0x7fffffff : 0;
    if (!r) memcpy(&r, &a, 4);
    return r;
}

/* Runs the lanes one after the other; kernels must not rely on the order. */
static void atom_lanes(struct warp *w, const struct instr *i, uint32_t on)
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
        for (unsigned c = 0; c < i->count; c++) {
            const uint64_t address = memory_address(w, a, l) + c * n;
            uint64_t old = 0;
            /* atomic operations do not race with each other */
            unsigned char *p = memory_at(w, i, l, i->space, address, n,
                                         i->space == SPACE_SHARED ? ACCESS_READ : ACCESS_BOTH);
            memcpy(&old, p, n);
            const uint64_t v = atom_result(i, old, lane_get(w, x + c, l), lane_get(w, y + c, l));
            memcpy(p, &v, n);
            if (returns) lane_put(w, operand(i, 0) + c, l, old);
        }
    }
}

/* Blocks may run at the same time; a fault leaves the function, and so the lock, by longjmp. */
static void atom(struct warp *w, const struct instr *i, uint32_t on)
{
    memory_lock(w, true);
    atom_lanes(w, i, on);
    memory_lock(w, false);
}

/* Exchanges 16 bytes. */
static void exch_128(struct warp *w, const struct instr *i, uint32_t on)
{
    uint64_t *d = wide(w, operand(i, 0)), *x = wide(w, operand(i, 2));
    memory_lock(w, true);
    for (int l = 0; l < LANES; l++) {
        if (!(on >> l & 1)) continue;
        uint64_t v[2];
        unsigned char *p =
            memory_at(w, i, l, i->space, memory_address(w, operand(i, 1), l), 16, ACCESS_BOTH);
        memcpy(v, p, 16);
        memcpy(p, &x[l], 8), memcpy(p + 8, &x[LANES + l], 8);
        d[l] = v[0], d[LANES + l] = v[1];
    }
    memory_lock(w, false);
}

/* Takes the type; compare: it is of halves. */
static bool type_of(const char **p, struct instr *i)
{
    static const struct {
        const char *name;
        struct type type;
    } halves[] = {
        {"f16", {'f', 16}}, {"bf16", {'h', 16}}, {"f16x2", {'f', 32}}, {"bf16x2", {'h', 32}}};
    for (int k = 0; k < 4; k++)
        if (ptx_suffix(p, halves[k].name)) return i->type = halves[k].type, i->compare = 1, true;
    return ptx_type(p, &i->type);
}

static bool decode_atom(struct instr *i, const char *p, bool returns)
{
    static const char *const words[] = {"add", "min",  "max", "and", "or",
                                        "xor", "exch", "cas", "inc", "dec"};
    int found = -1;
    i->trans = returns;
    i->count = 1;
    i->compare = 0;
    for (;;) {
        if (memory_suffix(&p, i)) continue;
        if (ptx_suffix(&p, "v2")) i->count = 2;
        if (ptx_suffix(&p, "v4")) i->count = 4;
        int k = 0;
        while (k < 10 && !ptx_suffix(&p, words[k])) k++;
        if (k == 10) break;
        found = k;
    }
    i->mode = (uint8_t)found;
    i->run = atom;
    if (found == ATOM_EXCH && !strcmp(p, ".b128")) return i->run = exch_128, true;
    return found >= 0 && type_of(&p, i) && !*p && i->type.bits >= 16;
}

bool decode_atom_red(struct instr *i)
{
    const char *p = i->text + strcspn(i->text, ".");
    if (!strncmp(i->text, "atom.", 5)) return decode_atom(i, p, true);
    return !strncmp(i->text, "red.", 4) && strncmp(i->text, "red.async", 9) &&
           decode_atom(i, p, false);
}
