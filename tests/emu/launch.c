/* SPDX-License-Identifier: Apache-2.0 */
/* Runs kernels: warps and blocks take turns in a random order set by a seed. Blocks of a cluster,
 * and of a small grid, run at the same time. */
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "group.h"
#include "order.h"

enum { SMALL_GRID = 4, VAIN_WAITS = 64 };

/* ---- a group of blocks ---- */
/* Prints where each warp waits, and fails at the first. */
static void stuck(struct group *g)
{
    struct warp *first = NULL;
    for (int r = 0; r < g->count; r++)
        for (int k = 0; k < g->block[r].count; k++) {
            struct warp *w = &g->block[r].warps[k];
            if (!w->live) continue;
            wait_tell(w);
            if (!first || (!first->blocked && w->blocked)) first = w;
        }
    if (!first) return;
    if (!first->blocked && first->waits)
        fault(first, first->waits, __builtin_ctz(first->live), "no thread can end this wait");
    if (!first->blocked) emu_die("%s: no warp can run", first->kernel->name);
    const int l = __builtin_ctz(first->blocked), id = first->barrier[l];
    const struct instr *i = &first->kernel->code[first->pc[l] - 1];
    if (id < 0) fault(first, i, l, "the cluster's other threads do not come to its barrier");
    fault(first, i, l, "%u threads wait at barrier %d for the others, which do not come there",
          first->block->barrier[id].arrived, id);
}

static bool vain(const struct group *g)
{
    for (int r = 0; r < g->count; r++)
        for (int k = 0; k < g->block[r].count; k++) {
            const struct warp *w = &g->block[r].warps[k];
            if (w->live & ~w->blocked && (w->stalled_at != g->changes || w->stalls < VAIN_WAITS))
                return false;
        }
    return true;
}

/* Runs one turn of a randomly chosen warp of the block. Returns the warps that have not ended. */
static int turn(struct block *b, bool *ran)
{
    int left = 0;
    const int from = (int)(random_next(&b->random) % (unsigned)b->count);
    *ran = false;
    for (int k = 0; k < b->count && !*ran; k++) {
        struct warp *w = &b->warps[(from + k) % b->count];
        if (!w->live) continue;
        left++;
        int budget = 16 + (int)(random_next(&b->random) % 512);
        while (budget > 0 && warp_run(w, &budget)) *ran = true;
        if (w->stalls >= VAIN_WAITS && vain(b->group)) stuck(b->group);
    }
    return left;
}

static void run_group(struct group *g)
{
    for (;;) {
        bool ran = false, any = false;
        int left = 0;
        const int from = (int)(random_next(&g->random) % (unsigned)g->count);
        for (int k = 0; k < g->count; k++) {
            struct block *b = &g->block[(from + k) % g->count];
            for (int turns = g->count > 1 ? 8 : 1; turns > 0; turns--) {
                left += turn(b, &ran);
                any |= ran;
                if (!ran) break;
            }
        }
        if (!left) return;
        if (!any) stuck(g);
    }
}

/* ---- memory ---- */
/* Memory that grows, and is zero when it has grown. */
struct room {
    void *memory;
    size_t size;
};
/* A thread reuses the memory of a block for its next block. The time of touches continues, so that
 * touches of an earlier block are ignored. */
struct pool {
    struct room all, wrote, read, chunks;
    size_t used; /* of all */
    uint32_t time;
};
static __thread struct pool pools[CLUSTER_MOST];

static size_t padded(size_t n) { return (n + 63) & ~(size_t)63; }

static void *need(struct room *r, size_t n)
{
    if (n <= r->size) return r->memory;
    free(r->memory);
    r->memory = aligned_alloc(64, padded(n));
    if (!r->memory) emu_die("out of memory");
    r->size = n;
    return memset(r->memory, 0, n);
}

static void *take(struct pool *p, size_t n)
{
    void *at = (unsigned char *)p->all.memory + p->used;
    p->used += padded(n);
    return at;
}

static void forget(struct room *r)
{
    if (r->size) memset(r->memory, 0, r->size);
}

static size_t written_bytes(const struct kernel *k)
{
    return k->async ? (k->registers / 64 + 1) * sizeof(uint32_t) : 0;
}

static void open_warp(struct block *b, struct pool *p, int index, uint32_t threads)
{
    const struct kernel *k = b->launch->kernel;
    struct warp *w = &b->warps[index];
    *w = (struct warp){.block = b,
                       .kernel = k,
                       .index = index,
                       .threads = threads >= LANES ? ~0u : (1u << threads) - 1,
                       .all = b->began,
                       .fenced = b->began,
                       .fences = 1};
    w->live = w->threads;
    w->last_product = &w->products;
    w->registers = take(p, k->registers);
    w->local = take(p, (size_t)LANES * k->local);
    w->order = take(p, sizeof *w->order);
    order_open(w);
    w->written = memset(take(p, written_bytes(k)), 0, written_bytes(k));
    w->flying = memset(take(p, written_bytes(k)), 0, written_bytes(k));
}

/* Gives the block its shared memory and what is recorded of it. */
static void open_shared(struct block *b, struct pool *p)
{
    const size_t n = b->shared_size + CHUNK, grains = n >> b->grain;
    b->wrote = need(&p->wrote, grains * sizeof *b->wrote);
    b->read = need(&p->read, grains * sizeof *b->read);
    b->chunks = need(&p->chunks, (n / CHUNK + 1) * sizeof *b->chunks);
    b->began = ++p->time;
    b->time = b->began + 1;
    b->shared = memset(take(p, n), 0xff, n);
    b->shared_known = memset(take(p, n), 0, n);
}

static void open_block(struct block *b, struct pool *p, uint64_t number)
{
    struct launch *l = b->launch;
    const struct kernel *k = l->kernel;
    const uint32_t threads = l->size[0] * l->size[1] * l->size[2];
    const size_t warps = (threads + LANES - 1) / LANES,
                 n = (k->shared + k->shared_align - 1) / k->shared_align * k->shared_align +
                     l->dynamic + CHUNK;
    static __thread uint64_t opened;
    b->id = ++opened;
    b->count = (int)warps;
    b->shared_size = (uint32_t)n - CHUNK;
    b->random = l->seed ^ number * 0x9e3779b97f4a7c15ull;
    b->async = k->async;
    b->grain = k->grain;
    p->used = 0;
    need(&p->all, 2 * padded(n) + padded(warps * sizeof *b->warps) +
                      warps * (padded(k->registers) + padded((size_t)LANES * k->local) +
                               padded(sizeof(struct order)) + 2 * padded(written_bytes(k))));
    open_shared(b, p);
    b->warps = take(p, warps * sizeof *b->warps);
    for (int i = 0; i < b->count; i++) open_warp(b, p, i, threads - (uint32_t)i * LANES);
}

static void close_block(struct block *b, struct pool *p, bool failed)
{
    p->time = b->time;
    if (failed) forget(&p->chunks); /* copies are in flight */
    if (p->time > UINT32_MAX / 2) {
        forget(&p->wrote), forget(&p->read), forget(&p->chunks);
        p->time = 0;
    }
    group_drop(b);
}

/* ---- a grid ---- */
/* The place of block r of group number n. */
static void place(const struct launch *l, uint64_t n, uint32_t r, uint32_t at[3])
{
    const uint32_t one[3] = {1, 1, 1}, *c = l->cluster[0] ? l->cluster : one;
    const uint32_t x = l->grid[0] / c[0], y = l->grid[1] / c[1];
    at[0] = (uint32_t)(n % x) * c[0] + r % c[0];
    at[1] = (uint32_t)(n / x % y) * c[1] + r / c[0] % c[1];
    at[2] = (uint32_t)(n / x / y) * c[2] + r / c[0] / c[1];
}

static void run_number(struct launch *l, uint64_t number, int size)
{
    struct block blocks[CLUSTER_MOST];
    struct group g = {
        .block = blocks, .count = size, .cluster = l->cluster[0] != 0, .random = l->seed + number};
    for (int r = 0; r < size; r++) {
        struct block *b = &blocks[r];
        *b = (struct block){.group = &g, .launch = l, .rank = r};
        if (g.cluster)
            place(l, number, (uint32_t)r, b->at);
        else
            place(l, number * (uint64_t)size + (uint64_t)r, 0, b->at);
        open_block(b, &pools[r], number * (uint64_t)size + (uint64_t)r);
    }
    const bool failed = setjmp(g.end) != 0;
    if (!failed) {
        run_group(&g);
        for (int r = 0; r < size; r++) group_check(&blocks[r]);
    }
    for (int r = 0; r < size; r++) close_block(&blocks[r], &pools[r], l->failed);
}

static uint64_t common_factor(uint64_t a, uint64_t b)
{
    while (b) {
        const uint64_t t = a % b;
        a = b, b = t;
    }
    return a;
}

/* Runs every block once: a step that is coprime with the number of groups visits all. */
int launch_run(struct launch *l)
{
    const uint64_t blocks = (uint64_t)l->grid[0] * l->grid[1] * l->grid[2];
    const int size = l->cluster[0]          ? (int)(l->cluster[0] * l->cluster[1] * l->cluster[2])
                     : blocks <= SMALL_GRID ? (int)blocks
                                            : 1;
    const uint64_t n = blocks / (uint64_t)size;
    uint64_t random = l->seed, step = random_next(&random) % n + 1;
    const uint64_t first = random_next(&random) % n;
    while (common_factor(step, n) != 1) step++;
#pragma omp parallel for schedule(dynamic) num_threads((int)emu_setting("EMU_THREADS", 1))
    for (uint64_t k = 0; k < n; k++)
        if (!l->failed) run_number(l, (first + k % n * (step % n)) % n, size);
    return l->failed;
}
