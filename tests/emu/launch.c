/* SPDX-License-Identifier: Apache-2.0 */
/* Runs kernels: warps and blocks take turns in a random order set by a seed. */
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "emu.h"

static void stuck(struct block *b)
{
    for (int k = 0; k < b->count; k++) {
        struct warp *w = &b->warps[k];
        if (!w->blocked) continue;
        const int l = __builtin_ctz(w->blocked), id = w->barrier[l];
        const struct instr *i = &w->kernel->code[w->pc[l] - 1];
        fault(w, i, l, "%u threads wait at barrier %d for the others, which do not come there",
              b->barrier[id].arrived, id);
    }
    emu_die("%s: no warp can run", b->launch->kernel->name);
}

static void run_block(struct block *b)
{
    for (;;) {
        int left = 0, from = (int)(random_next(&b->random) % (unsigned)b->count);
        bool ran = false;
        for (int k = 0; k < b->count && !ran; k++) {
            struct warp *w = &b->warps[(from + k) % b->count];
            if (!w->live) continue;
            left++;
            int budget = 16 + (int)(random_next(&b->random) % 512);
            while (budget > 0 && warp_run(w, &budget)) ran = true;
        }
        if (!left) return;
        if (!ran) stuck(b);
    }
}

/* A thread reuses the memory of a block for its next block. The epochs of touches continue, so that
 * touches of an earlier block are ignored. */
static __thread struct {
    unsigned char *memory;
    size_t size, used;
    uint32_t epoch, shared; /* shared: bytes that the touches cover */
} pool;

static size_t padded(size_t n) { return (n + 63) & ~(size_t)63; }

static void *take(size_t n)
{
    void *p = pool.memory + pool.used;
    pool.used += padded(n);
    return p;
}

static void need(size_t n)
{
    pool.used = 0;
    if (n <= pool.size) return;
    free(pool.memory);
    pool.memory = aligned_alloc(64, padded(n));
    if (!pool.memory) emu_die("out of memory");
    pool.size = n;
    pool.shared = UINT32_MAX;
}

static void open_block(struct block *b, struct launch *l, uint64_t number)
{
    const struct kernel *k = l->kernel;
    const uint32_t threads = l->size[0] * l->size[1] * l->size[2],
                   statics = (k->shared + 15) & ~15u;
    *b = (struct block){.launch = l,
                        .count = (int)((threads + LANES - 1) / LANES),
                        .shared_size = statics + l->dynamic,
                        .epoch = ++pool.epoch};
    const size_t touches = (b->shared_size / GRAIN + 1) * sizeof(struct touch),
                 local = (size_t)LANES * k->local;
    b->at[0] = (uint32_t)(number % l->grid[0]);
    b->at[1] = (uint32_t)(number / l->grid[0] % l->grid[1]);
    b->at[2] = (uint32_t)(number / l->grid[0] / l->grid[1]);
    b->random = l->seed ^ number * 0x9e3779b97f4a7c15ull;
    need(2 * padded(touches) + 2 * padded(b->shared_size) +
         padded((size_t)b->count * sizeof *b->warps) +
         (size_t)b->count * (padded(k->registers) + padded(local)));
    b->wrote = take(touches);
    b->read = take(touches);
    if (pool.shared != b->shared_size) memset(b->wrote, 0, 2 * padded(touches));
    pool.shared = b->shared_size;
    b->shared = memset(take(b->shared_size), 0xff, b->shared_size);
    b->shared_known = memset(take(b->shared_size), 0, b->shared_size);
    b->warps = take((size_t)b->count * sizeof *b->warps);
    for (int i = 0; i < b->count; i++) {
        struct warp *w = &b->warps[i];
        const uint32_t there = threads - (uint32_t)i * LANES;
        *w = (struct warp){.block = b,
                           .kernel = k,
                           .index = i,
                           .threads = there >= LANES ? ~0u : (1u << there) - 1,
                           .epoch = 1};
        w->live = w->threads;
        w->registers = take(k->registers);
        w->local = take(local);
    }
}

static void run_number(struct launch *l, uint64_t number)
{
    struct block b;
    open_block(&b, l, number);
    if (!setjmp(b.end)) run_block(&b);
    pool.epoch = b.epoch;
    for (int i = 0; i < b.count; i++) async_drop(&b.warps[i]);
}

static uint64_t common_factor(uint64_t a, uint64_t b)
{
    while (b) {
        const uint64_t t = a % b;
        a = b, b = t;
    }
    return a;
}

/* Runs every block once: a step that is coprime with the number of blocks visits all. */
int launch_run(struct launch *l)
{
    const uint64_t n = (uint64_t)l->grid[0] * l->grid[1] * l->grid[2];
    uint64_t random = l->seed, step = random_next(&random) % n + 1;
    const uint64_t first = random_next(&random) % n;
    while (common_factor(step, n) != 1) step++;
#pragma omp parallel for schedule(dynamic) num_threads((int)emu_setting("EMU_THREADS", 1))
    for (uint64_t k = 0; k < n; k++)
        if (!l->failed) run_number(l, (first + k % n * (step % n)) % n);
    return l->failed;
}
