/* SPDX-License-Identifier: Apache-2.0 */
/* Running kernels. The lanes of a warp with the lowest place in the code run together, so that
 * lanes which went apart meet again; warps and blocks take turns in a random order that a seed
 * sets. */
#include <omp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emu.h"

char emu_message[512];

long emu_setting(const char *name, long otherwise)
{
    const char *s = getenv(name);
    return s && *s ? strtol(s, NULL, 0) : otherwise;
}

void emu_die(const char *text, ...)
{
    va_list a;
    va_start(a, text);
    fprintf(stderr, "emulator: ");
    vfprintf(stderr, text, a);
    fputc('\n', stderr);
    exit(70);
}

uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

/* The first fault of a launch is told. */
static void note(struct block *b, const struct instr *i, int thread, const char *text)
{
    const struct module *m = b->launch->kernel->module;
    const char *file = i && i->file < m->nfiles && m->files[i->file] ? m->files[i->file] : "?";
    const char *slash = strrchr(file, '/');
#pragma omp critical(emu_note)
    if (!b->launch->failed) {
        b->launch->failed = 1;
        snprintf(emu_message, sizeof emu_message, "%s:%u: %s: block %u,%u,%u thread %d: %s",
                 slash ? slash + 1 : file, i ? i->line : 0, b->launch->kernel->name, b->at[0],
                 b->at[1], b->at[2], thread, text);
        fprintf(stderr, "emulator: %s\n", emu_message);
    }
}

void fault(struct warp *w, const struct instr *i, int lane, const char *text, ...)
{
    char line[256];
    va_list a;
    va_start(a, text);
    vsnprintf(line, sizeof line, text, a);
    va_end(a);
    const size_t n = strlen(line);
    snprintf(line + n, sizeof line - n, " [%s]", i->text);
    note(w->block, i, w->index * LANES + lane, line);
    longjmp(w->block->end, 1);
}

/* ---- opcodes of flow ---- */
static void nothing(struct warp *w, const struct instr *i, uint32_t on)
{
    (void)w, (void)i, (void)on;
}
static void trap(struct warp *w, const struct instr *i, uint32_t on)
{
    fault(w, i, __builtin_ctz(on), "the kernel stops itself");
}

bool decode_flow(struct instr *i)
{
    const char *t = i->text;
    i->run = nothing;
    if (!strcmp(t, "bra") || !strcmp(t, "bra.uni")) return i->flow = FLOW_BRANCH, true;
    if (!strcmp(t, "ret") || !strcmp(t, "exit") || !strcmp(t, "ret.uni"))
        return i->flow = FLOW_EXIT, true;
    if (!strcmp(t, "bar.sync") || !strcmp(t, "barrier.sync") ||
        !strcmp(t, "barrier.sync.aligned") || !strcmp(t, "barrier.cta.sync") ||
        !strcmp(t, "barrier.cta.sync.aligned") || !strcmp(t, "bar.arrive"))
        return i->flow = FLOW_BARRIER, i->mode = !strcmp(t, "bar.arrive"), true;
    if (!strcmp(t, "trap")) return i->run = trap, true;
    return !strncmp(t, "membar", 6) || !strncmp(t, "fence", 5) || !strncmp(t, "prefetch", 8) ||
           !strncmp(t, "griddepcontrol", 14) || !strcmp(t, "nanosleep.u32") || !strcmp(t, "brkpt");
}

/* ---- barriers ---- */
static uint32_t live_threads(const struct block *b)
{
    uint32_t n = 0;
    for (int k = 0; k < b->count; k++) n += (uint32_t)__builtin_popcount(b->warps[k].live);
    return n;
}

static void release(struct block *b, int id)
{
    b->barrier[id].arrived = b->barrier[id].expected = 0;
    b->epoch++;
    for (int k = 0; k < b->count; k++) {
        struct warp *w = &b->warps[k];
        for (int l = 0; l < LANES; l++)
            if (w->blocked >> l & 1 && w->barrier[l] == id) w->blocked &= ~(1u << l);
    }
}

/* All threads that have not ended, or as many as the instruction says. */
static void settle_barriers(struct block *b)
{
    for (int id = 0; id < BARRIERS; id++) {
        const uint32_t n = b->barrier[id].expected ? b->barrier[id].expected : live_threads(b);
        if (b->barrier[id].arrived && b->barrier[id].arrived >= n) release(b, id);
    }
}

static void arrive(struct warp *w, const struct instr *i, uint32_t on)
{
    struct block *b = w->block;
    const uint64_t id = lane_get(w, operand(i, 0), __builtin_ctz(on));
    if (id >= BARRIERS)
        fault(w, i, __builtin_ctz(on), "there is no barrier %llu", (unsigned long long)id);
    if (i->groups > 1)
        b->barrier[id].expected = (uint32_t)lane_get(w, operand(i, 1), __builtin_ctz(on));
    b->barrier[id].arrived += (uint32_t)__builtin_popcount(on);
    if (!i->mode) {
        EACH_LANE(on, w->barrier[l] = (int)id;);
        w->blocked |= on;
    }
    settle_barriers(b);
}

/* ---- a warp ---- */
/* The lanes that an instruction needs beside those that are there; 0: none. */
static uint32_t missing(struct warp *w, const struct instr *i, uint32_t on)
{
    uint32_t need = w->threads;
    if (i->gather == GATHER_NONE) return 0;
    if (i->gather == GATHER_MASK) {
        need = (uint32_t)lane_get(w, operand(i, i->mask), __builtin_ctz(on));
        if (on & ~need)
            fault(w, i, __builtin_ctz(on & ~need), "executes it and is not in its mask %#x", need);
        need &= w->threads;
    }
    return need & ~on;
}

/* Runs lanes until they end, wait or meet others; false: no lane can run. */
static bool run_lanes(struct warp *w, int *budget)
{
    const struct instr *code = w->kernel->code;
    uint32_t ready = w->live & ~w->parked & ~w->blocked, on = 0;
    bool alone = false; /* no other lane can come to where these are parked */
    if (!ready && w->parked) {
        ready = w->parked;
        w->parked = 0;
        alone = true;
    }
    if (!ready) return false;
    int pc = INT32_MAX, next = INT32_MAX;
    EACH_LANE(ready, if (w->pc[l] < pc) pc = w->pc[l];);
    EACH_LANE(ready, if (w->pc[l] == pc) on |= 1u << l; else if (w->pc[l] < next) next = w->pc[l];);
    while (on && pc < next && (*budget)-- > 0) {
        if (pc >= w->kernel->count) emu_die("%s runs over its end", w->kernel->name);
        const struct instr *i = &code[pc];
        uint32_t act = on;
        if (i->guard_slot >= 0) {
            const uint32_t p = *(const uint32_t *)(const void *)(w->registers + i->guard_slot);
            act &= i->guard_not ? ~p : p;
        }
        if (act && i->gather != GATHER_NONE) {
            const uint32_t gone = missing(w, i, act);
            if (gone & w->live && !alone) {
                w->parked |= act;
                EACH_LANE(act, w->pc[l] = pc;);
                on &= ~act;
                pc++;
                break;
            }
            if (gone)
                fault(w, i, __builtin_ctz(gone), "lanes %#x of the warp do not execute it", gone);
        }
        alone = false;
        if (i->flow == FLOW_NEXT) {
            if (act) i->run(w, i, act);
            pc++;
        } else if (i->flow == FLOW_BRANCH) {
            const uint32_t rest = on & ~act;
            if (act && rest) {
                EACH_LANE(act, w->pc[l] = i->target;);
                EACH_LANE(rest, w->pc[l] = pc + 1;);
                return true;
            }
            pc = act ? i->target : pc + 1;
        } else if (i->flow == FLOW_EXIT) {
            w->live &= ~act;
            on &= ~act;
            pc++;
            settle_barriers(w->block);
        } else {
            pc++;
            EACH_LANE(on, w->pc[l] = pc;);
            if (act) arrive(w, i, act);
            return true;
        }
    }
    EACH_LANE(on, w->pc[l] = pc;);
    return true;
}

/* ---- a block ---- */
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
            while (budget > 0 && run_lanes(w, &budget)) ran = true;
        }
        if (!left) return;
        if (!ran) stuck(b);
    }
}

/* The memory of a block is kept by its thread for the next block. The epochs of touches
 * go on, so that those of an earlier block do not count. */
static __thread struct {
    unsigned char *memory;
    size_t size, used;
    uint32_t epoch, shared; /* shared: bytes that the touches there are of */
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

/* Every block once: steps of a width that has no factor in common with their number meet all. */
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
