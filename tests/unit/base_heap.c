/* SPDX-License-Identifier: Apache-2.0 */
/* The buddy allocator against a map of its atoms; and a sealed program, which allocates from it. */
#include "base/heap.h"

#include <pthread.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/rng.h"
#include "test.h"

/* Sizes from a byte to `most`, small ones as likely as large ones. */
static size_t draw_size(uint64_t i, size_t most)
{
    const uint64_t r = rng_u64(3, RNG_TEST, i, 0);
    return (size_t)(r >> 8) % (((size_t)1 << (r % 24)) < most ? (size_t)1 << (r % 24) : most) + 1;
}

static size_t power_above(size_t n)
{
    size_t p = HEAP_ATOM;
    while (p < n) p *= 2;
    return p;
}

static void fill(unsigned char *p, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) p[i] = (unsigned char)(seed * 31 + i * 7);
}
static bool filled(const unsigned char *p, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] != (unsigned char)(seed * 31 + i * 7)) return false;
    return true;
}

/* ---- against a map ---- */
enum { ROOM = (3 << 20) + 5 * HEAP_ATOM, ATOMS = ROOM / HEAP_ATOM, PARTS = 300 };
struct model {
    struct heap *h;
    char *base; /* where its first atom is */
    bool taken[ATOMS];
    size_t used;
    struct {
        unsigned char *p;
        size_t n, size; /* asked for; taken */
        uint64_t seed;
    } parts[PARTS];
};

/* Some part of this size, which begins at a multiple of it, is free. */
static bool room_for(const struct model *m, size_t size)
{
    const size_t n = size / HEAP_ATOM;
    for (size_t at = 0; at + n <= ATOMS; at += n) {
        size_t i = 0;
        while (i < n && !m->taken[at + i]) i++;
        if (i == n) return true;
    }
    return false;
}

/* Marks the part; false where some of it was so already, or is outside. */
static bool mark(struct model *m, const unsigned char *p, size_t size, bool taken)
{
    const size_t at = (size_t)((const char *)p - m->base) / HEAP_ATOM;
    bool ok = (uintptr_t)p >= (uintptr_t)m->base && at + size / HEAP_ATOM <= ATOMS;
    for (size_t i = 0; ok && i < size / HEAP_ATOM; i++) {
        ok = m->taken[at + i] != taken;
        m->taken[at + i] = taken;
    }
    m->used += taken ? size : -size;
    return ok;
}

static bool model_alloc(struct model *m, size_t part, uint64_t step)
{
    const size_t n = draw_size(step, ROOM), size = power_above(n);
    unsigned char *p = heap_alloc(m->h, n);
    if (!p) return EXPECT("heap: NULL only when nothing fits", !room_for(m, size));
    m->parts[part].p = p;
    m->parts[part].n = n;
    m->parts[part].size = size;
    m->parts[part].seed = step;
    fill(p, n, step);
    const uintptr_t align = size < HEAP_PAGE ? size : HEAP_PAGE;
    return EXPECT("heap: a part is aligned", (uintptr_t)p % align == 0) &&
           EXPECT("heap: parts do not overlap", mark(m, p, size, true)) &&
           EXPECT("heap: a part is an address of the heap",
                  heap_has(m->h, p) && heap_has(m->h, p + n - 1));
}

static bool model_free(struct model *m, size_t part)
{
    unsigned char *p = m->parts[part].p;
    m->parts[part].p = NULL;
    return EXPECT("heap: the contents of a part are kept",
                  filled(p, m->parts[part].n, m->parts[part].seed)) &&
           EXPECT("heap: a place within a part cannot be freed",
                  m->parts[part].size == HEAP_ATOM || !heap_free(m->h, p + HEAP_ATOM)) &&
           EXPECT("heap: released", heap_free(m->h, p)) && mark(m, p, m->parts[part].size, false) &&
           EXPECT("heap: not twice", !heap_free(m->h, p) && !heap_fit(m->h, p, 1));
}

static bool model_fit(struct model *m, size_t part, uint64_t step)
{
    unsigned char *p = m->parts[part].p;
    const size_t n = draw_size(step, 2 * m->parts[part].size), size = m->parts[part].size;
    const size_t kept = n < m->parts[part].n ? n : m->parts[part].n;
    if (!EXPECT("heap: fitting succeeds exactly within the room of a part",
                heap_fit(m->h, p, n) == (n <= size)) ||
        !EXPECT("heap: fitting keeps the contents", filled(p, kept, m->parts[part].seed)))
        return false;
    if (n > size) return true;
    m->parts[part].n = n;
    fill(p, n, m->parts[part].seed);
    return true;
}

static void test_model(void)
{
    static struct model m;
    size_t most = 0;
    bool ok = true;
    char *block = malloc(heap_bytes(ROOM) + 8);
    m.h = heap_make(block + 8, ROOM);
    CHECK("heap: a new heap has all its room", heap_room(m.h) == ROOM && heap_peak(m.h) == 0);
    m.base = heap_alloc(m.h, 1); /* the whole tree is free: its first atom, or its last five */
    heap_free(m.h, m.base);
    while (heap_has(m.h, m.base - HEAP_ATOM)) m.base -= HEAP_ATOM;
    CHECK("heap: its parts lie within its block, aligned",
          m.base >= block + 8 && m.base + ROOM <= block + 8 + heap_bytes(ROOM) &&
              !heap_has(m.h, m.base + ROOM) && (uintptr_t)m.base % HEAP_PAGE == 0);
    for (uint64_t step = 0; ok && step < 200000; step++) {
        const uint64_t r = rng_u64(4, RNG_TEST, step, 0);
        /* now and then everything goes, so that large parts are asked of a heap that was in use */
        const bool emptying = step / 1000 % 5 == 4;
        const size_t part = r % PARTS;
        if (!m.parts[part].p)
            ok = emptying || model_alloc(&m, part, step);
        else
            ok = emptying || r & 1 << 20 ? model_free(&m, part) : model_fit(&m, part, step);
        if (m.used > most) most = m.used;
        ok = ok && EXPECT("heap: the peak is that of the calls", heap_peak(m.h) == most);
    }
    CHECK("heap: 200 000 random calls do as a map of the bytes says", ok);
    for (size_t i = 0; i < PARTS; i++)
        if (m.parts[i].p) ok &= model_free(&m, i);
    CHECK("heap: everything is released at the end", ok && m.used == 0);
    void *large[3];
    for (int i = 0; i < 3; i++) large[i] = heap_alloc(m.h, (size_t)1 << (20 + !i));
    CHECK("heap: released parts are joined again", large[0] && large[1] && !large[2]);
    CHECK("heap: addresses that it never gave out are refused",
          !heap_free(m.h, &m) && !heap_free(m.h, (char *)large[0] + HEAP_ATOM) &&
              !heap_free(m.h, (char *)large[0] + 1) && !heap_free(m.h, NULL));
    heap_end(m.h);
    memset(block, 1, heap_bytes(ROOM) + 8);
    free(block);
}

static void test_sizes(void)
{
    static const size_t rooms[] = {1, HEAP_ATOM, HEAP_ATOM + 1, 3 * HEAP_ATOM, 100000, 1 << 20};
    bool ok = true;
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++) {
        const size_t atoms = (rooms[i] + HEAP_ATOM - 1) / HEAP_ATOM;
        void *block = malloc(heap_bytes(rooms[i]));
        struct heap *h = heap_make(block, rooms[i]);
        size_t n = 0;
        for (unsigned char *p; (p = heap_alloc(h, HEAP_ATOM)); n++) fill(p, HEAP_ATOM, n);
        ok &= EXPECT("heap: every atom is given out", n == atoms && heap_peak(h) == heap_room(h));
        heap_end(h);
        free(block);
    }
    CHECK("heap: all of it can be given out", ok);
    CHECK("heap: a room beyond all memory has no size", heap_bytes(SIZE_MAX - 5) == SIZE_MAX);
}

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
static void test_poison(void)
{
    char *block = malloc(heap_bytes(1 << 16));
    struct heap *h = heap_make(block, 1 << 16);
    char *p = heap_alloc(h, 100);
    CHECK("heap poison: the bytes asked for may be used", !__asan_region_is_poisoned(p, 100));
    CHECK("heap poison: the bytes behind a part may not be used",
          __asan_address_is_poisoned(p + 104));
    CHECK("heap poison: fitting moves the bound",
          heap_fit(h, p, 200) && !__asan_region_is_poisoned(p, 200) && heap_fit(h, p, 8) &&
              __asan_address_is_poisoned(p + 8));
    heap_free(h, p);
    CHECK("heap poison: released bytes may not be used", __asan_address_is_poisoned(p));
    heap_end(h);
    CHECK("heap poison: a closed heap leaves no poison",
          !__asan_region_is_poisoned(block, heap_bytes(1 << 16)));
    free(block);
}
#else
static void test_poison(void) {}
#endif

/* ---- a sealed program ---- */
enum { SEALED = 1 << 20 };
static bool within(const void *p, const char *block)
{
    return (uintptr_t)p - (uintptr_t)block < mem_reserve(SEALED);
}

static void test_sealed(void)
{
    struct err e = {0};
    char *block = malloc(mem_reserve(SEALED));
    char *before = mem_strndup("of the system", 13, &e);
    int *grown = NULL;
    size_t cap = 0;
    bool ok = mem_grow(&grown, &cap, 10, sizeof *grown, &e) == 0;
    for (int i = 0; i < 10; i++) grown[i] = i;
    CHECK("sealed heap: there is none at first", mem_sealed().room == 0);
    memset(block, 0xff, mem_reserve(SEALED));
    mem_seal(block, SEALED);
    CHECK("sealed heap: it has the room asked for",
          mem_sealed().room == SEALED && mem_sealed().most == 0);

    unsigned char *zero = mem_alloc(100, 3, &e);
    for (int i = 0; i < 300; i++) ok &= zero[i] == 0;
    CHECK("sealed heap: allocations lie in the block, zeroed", ok && within(zero, block));
    char *page = mem_aligned(4096, 8192, &e);
    CHECK("sealed heap: aligned allocations lie in the block too",
          within(page, block) && (uintptr_t)page % 4096 == 0);
    ok = mem_grow(&grown, &cap, 1000, sizeof *grown, &e) == 0;
    for (int i = 0; i < 10; i++) ok &= grown[i] == i;
    CHECK("sealed heap: an array that grows moves there with its contents",
          ok && within(grown, block) && cap >= 1000);
    mem_free(before);
    mem_free(zero);
    mem_free(NULL);

    char *large = mem_alloc(SEALED, 2, &e), *wide = mem_aligned(1 << 16, 100, &e);
    CHECK("sealed heap: the system gives what does not fit",
          large && !within(large, block) && !large[SEALED]);
    CHECK("sealed heap: the system gives what is aligned to more than a page",
          wide && !within(wide, block) && (uintptr_t)wide % (1 << 16) == 0);
    large = mem_resize(large, SEALED * 2, SEALED * 3, &e);
    CHECK("sealed heap: a system allocation that shrinks stays where it is",
          large && !within(large, block));
    ok = mem_grow(&grown, &cap, SEALED, sizeof *grown, &e) == 0;
    for (int i = 0; i < 10; i++) ok &= grown[i] == i;
    CHECK("sealed heap: an array that outgrows the block leaves it", ok && !within(grown, block));
    CHECK("sealed heap: each allocation beyond the block is counted", mem_sealed().beyond == 4);
    large = mem_resize(large, SEALED * 3, 10, &e);
    CHECK("sealed heap: its room is given out again after a release", within(large, block));
    mem_free(large);
    mem_free(wide);
    mem_free(page);
    CHECK("sealed heap: it counts the most in use at any time",
          mem_sealed().most >= 8192 && mem_sealed().most < SEALED);

    mem_unseal();
    memset(block, 0xff, mem_reserve(SEALED));
    zero = mem_alloc(10, 1, &e);
    CHECK("sealed heap: unsealed, the system allocates again",
          mem_sealed().room == 0 && zero && !within(zero, block));
    mem_free(zero);
    mem_free(grown);
    free(block);
}

/* ---- threads ---- */
enum { THREADS = 4, ROUNDS = 20000, SLOTS = 50 };
static void *worker(void *arg)
{
    const uint64_t me = (uint64_t)(uintptr_t)arg;
    struct {
        unsigned char *p;
        size_t n;
        uint64_t seed;
    } slot[SLOTS] = {0};
    bool ok = true;
    for (uint64_t i = 0; i < ROUNDS; i++) {
        const uint64_t r = rng_u64(me, RNG_TEST, i, 1);
        const size_t k = r % SLOTS, n = draw_size(r, 60000);
        if (slot[k].p) ok &= filled(slot[k].p, slot[k].n, slot[k].seed);
        if (slot[k].p && r >> 62) {
            const size_t kept = n < slot[k].n ? n : slot[k].n;
            slot[k].p = mem_resize(slot[k].p, slot[k].n, n, NULL);
            ok &= filled(slot[k].p, kept, slot[k].seed);
        } else {
            mem_free(slot[k].p);
            slot[k].p = mem_resize(NULL, 0, n, NULL);
        }
        slot[k].n = n;
        slot[k].seed = r;
        fill(slot[k].p, n, r);
    }
    for (size_t k = 0; k < SLOTS; k++) mem_free(slot[k].p);
    return ok ? arg : NULL;
}

static void test_threads(void)
{
    pthread_t thread[THREADS];
    bool ok = true;
    void *block = malloc(mem_reserve(SEALED)); /* some of what they want */
    mem_seal(block, SEALED);
    for (uintptr_t i = 0; i < THREADS; i++)
        ok &= pthread_create(&thread[i], NULL, worker, (void *)(i + 1)) == 0;
    for (uintptr_t i = 0; i < THREADS; i++) {
        void *done = NULL;
        ok &= pthread_join(thread[i], &done) == 0 && done == (void *)(i + 1);
    }
    CHECK("heap threads: each keeps its contents", ok && mem_sealed().beyond > 0);
    void *all = mem_alloc(SEALED, 1, NULL);
    CHECK("heap threads: the block is whole after them",
          (uintptr_t)all - (uintptr_t)block < mem_reserve(SEALED));
    mem_unseal();
    free(block);
}

int main(void)
{
    test_model();
    test_sizes();
    test_poison();
    test_sealed();
    test_threads();
    TEST_END();
}
