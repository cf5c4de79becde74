/* SPDX-License-Identifier: Apache-2.0 */
/* An emulator of a CUDA device for tests: it runs the PTX that nvcc puts into a library, one warp
 * at a time. This header declares what its files share. */
#ifndef EMU_H
#define EMU_H

#include "program.h"
#include <setjmp.h>
#include <string.h>

/* ---- execution ---- */
struct block;
struct copy;     /* a pending cp.async */
struct bulk;     /* a pending bulk copy */
struct mbarrier; /* mbarrier.h */
struct wgmma;    /* a product in flight */
struct order;    /* order.h */
struct touch;
struct readers;
struct chunk;
struct warp {
    struct block *block;
    const struct kernel *kernel;
    unsigned char *registers, *local; /* local: [LANES][kernel->local] */
    int index;
    uint32_t threads; /* lanes that exist */
    uint32_t live;    /* lanes that have not ended */
    uint32_t parked;  /* lanes that wait for others of the warp */
    uint32_t blocked; /* lanes at a barrier */
    uint32_t carry;   /* of add.cc */
    int depth;        /* of calls */
    int pc[LANES], barrier[LANES];
    uint32_t cluster_at[LANES]; /* openings of barrier.cluster, plus 1, when a lane arrived */
    struct copy *copies;
    uint64_t begun;    /* copies */
    int groups[LANES]; /* cp.async groups that each lane committed */
    struct bulk *bulks[LANES];
    int bulk_groups[LANES]; /* groups of bulk copies likewise */
    struct order *order;
    uint32_t all, fenced; /* the warp has seen every access up to this time; so have copies */
    bool yield;           /* the warp's turn ends, since what it waits for has not come */
    bool again;           /* and it executes the instruction again */
    const struct instr *waits;
    uint64_t stalled_at; /* changes of the group at its last vain wait */
    int stalls;          /* vain waits since */
    struct wgmma *products, **last_product;
    int product_groups;
    uint32_t fences, *written; /* wgmma.fence: how many, and how many when a register was written */
    uint8_t *flying;           /* products in flight that use a register */
    uint64_t issued;           /* products */
    int registers_held;        /* setmaxnreg */
};
enum { BARRIERS = 16, CLUSTER_MOST = 16 };
struct launch {
    struct kernel *kernel;
    uint32_t grid[3], size[3], dynamic; /* dynamic shared memory */
    uint32_t cluster[3];                /* blocks in a cluster; 0: no cluster */
    unsigned char *params;
    uint64_t seed;
    volatile int failed;
};
/* Blocks that run at the same time. */
struct group {
    struct block *block;
    int count;
    bool cluster;
    bool locked;                /* holds the lock of memory_lock */
    uint64_t random, changes;   /* changes: of what a warp can wait for */
    uint32_t arrived, released; /* threads at barrier.cluster, and the times it opened */
    jmp_buf end;
};
struct block {
    struct group *group;
    struct launch *launch;
    uint64_t id; /* differs between the blocks that a thread of the host runs */
    uint32_t at[3];
    int rank; /* in the group */
    struct warp *warps;
    int count;
    unsigned char *shared, *shared_known;
    struct touch *wrote;  /* one for each grain of shared memory, of 1 << grain bytes */
    struct readers *read; /* likewise */
    struct chunk *chunks; /* order.h */
    int grain;
    uint32_t shared_size;
    uint32_t began, time; /* of the block; see order.h */
    bool async;
    struct mbarrier *mbarriers;
    struct {
        uint32_t arrived, expected, votes; /* votes: threads whose predicate holds */
        struct order *order;
    } barrier[BARRIERS];
    uint64_t random;
    struct issue *issues; /* wgmma that not all warps of their group have issued */
};
/* Runs lanes of a warp until they end, wait or reconverge, for at most *budget instructions, which
 * it decrements. Returns false if no lane can run. */
bool warp_run(struct warp *w, int *budget);
/* Runs a kernel. Returns 0, or 1 with a message in emu_message. */
int launch_run(struct launch *l);
uint64_t random_next(uint64_t *state);

/* Ends the block and reports kernel, source line, block, thread and the error. */
_Noreturn void fault(struct warp *w, const struct instr *i, int lane, const char *text, ...)
    __attribute__((format(printf, 4, 5)));
/* Ends the program. */
_Noreturn void emu_die(const char *text, ...) __attribute__((format(printf, 1, 2)));
extern char emu_message[512];
/* Returns a setting from the environment. */
long emu_setting(const char *name, long otherwise);

static inline uint32_t *narrow(struct warp *w, const struct operand *o)
{
    return o->constant ? o->constant->narrow : (uint32_t *)(void *)(w->registers + o->slot);
}
static inline uint64_t *wide(struct warp *w, const struct operand *o)
{
    return o->constant ? o->constant->wide : (uint64_t *)(void *)(w->registers + o->slot);
}
static inline const struct operand *operand(const struct instr *i, int group)
{
    return &i->op[i->first[group]];
}
static inline int group_size(const struct instr *i, int group)
{
    return group < i->groups ? i->first[group + 1] - i->first[group] : 0;
}
static inline uint64_t lane_get(struct warp *w, const struct operand *o, int lane)
{
    return o->wide ? wide(w, o)[lane] : narrow(w, o)[lane];
}
static inline void lane_put(struct warp *w, const struct operand *o, int lane, uint64_t v)
{
    if (o->sink) return;
    if (o->wide)
        wide(w, o)[lane] = v;
    else
        narrow(w, o)[lane] = (uint32_t)v;
}
/* Returns the lanes where a predicate is true. */
static inline uint32_t predicate(struct warp *w, const struct operand *o)
{
    const uint32_t p = *narrow(w, o);
    return o->negated ? ~p : p;
}
static inline void predicate_put(struct warp *w, const struct operand *o, uint32_t on, uint32_t v)
{
    if (o->sink) return;
    uint32_t *p = narrow(w, o);
    *p = (*p & ~on) | (v & on);
}
/* Copies 1, 2, 4 or 8 bytes; or 16 too. */
static inline void copy_value(void *to, const void *from, unsigned n)
{
    switch (n) {
    case 1:
        memcpy(to, from, 1);
        break;
    case 2:
        memcpy(to, from, 2);
        break;
    case 4:
        memcpy(to, from, 4);
        break;
    default:
        memcpy(to, from, 8);
    }
}
static inline void copy_few(void *to, const void *from, unsigned n)
{
    if (n == 16)
        memcpy(to, from, 16);
    else
        copy_value(to, from, n);
}
/* For each byte of memory there is one that is 1 if it was stored: of n bytes, a power of 2 up to
 * 16, whether all were; and marks them as stored. */
#define ALL_KNOWN 0x0101010101010101ull
static inline bool memory_known(const unsigned char *known, unsigned n)
{
    uint64_t v[2] = {ALL_KNOWN, ALL_KNOWN};
    copy_few(v, known, n);
    return (v[0] & v[1]) == ALL_KNOWN;
}
static inline void memory_mark(unsigned char *known, unsigned n)
{
    static const uint64_t v[2] = {ALL_KNOWN, ALL_KNOWN};
    copy_few(known, v, n);
}
/* Executes statements for each lane l. A lane does not read what another one writes: registers are
 * the same or apart. */
#define LANE_LOOP _Pragma("GCC ivdep") for (int l = 0; l < LANES; l++)
#define EACH_LANE(on, ...)                                                                         \
    do {                                                                                           \
        if ((on) == ~0u) {                                                                         \
            LANE_LOOP { __VA_ARGS__ }                                                              \
        } else {                                                                                   \
            LANE_LOOP if ((on) >> l & 1) { __VA_ARGS__ }                                           \
        }                                                                                          \
    } while (0)

/* ---- memory ---- */
/* Windows of generic addresses; device memory lies elsewhere. */
#define WINDOW_SHARED 0x10000000000ull
#define WINDOW_LOCAL  0x20000000000ull
#define WINDOW_PARAM  0x30000000000ull
enum { WINDOW_SIZE = 1 << 29 };
/* Shared memory of block r in a cluster lies at (r + 1) << RANK_SHIFT of the window. */
enum { RANK_SHIFT = 24 };
enum access { ACCESS_READ, ACCESS_WRITE, ACCESS_BOTH };
/* Returns the host address of n bytes at a lane's address, after all checks. */
void *memory_at(struct warp *w, const struct instr *i, int lane, enum space s, uint64_t address,
                unsigned n, enum access access);
/* Likewise for each of the lanes. */
void memory_lanes(struct warp *w, const struct instr *i, enum space s,
                  const uint64_t address[LANES], uint32_t on, unsigned n, enum access access,
                  unsigned char *at[LANES]);
/* Likewise for any number of bytes in device memory. */
unsigned char *memory_range(struct warp *w, const struct instr *i, int lane, uint64_t address,
                            size_t n, enum access access);
/* Returns the block whose shared memory an address is in, and makes the address an offset. */
struct block *memory_block(struct warp *w, const struct instr *i, int lane, enum space s,
                           uint64_t *address);
bool memory_checks(void);
/* Keeps blocks that run on other threads of the host from device memory; fault() ends that too. */
void memory_lock(struct warp *w, bool locks);
/* A 32-bit address is in shared memory and wraps around. */
static inline uint64_t memory_address(struct warp *w, const struct operand *o, int lane)
{
    const uint64_t a = lane_get(w, o, lane) + (uint64_t)o->offset;
    return o->wide ? a : (uint32_t)a;
}
void memory_addresses(struct warp *w, const struct operand *o, uint32_t on, uint64_t to[LANES]);
/* Returns a value of the type, extended to 64 bits. */
uint64_t memory_load(const void *p, struct type t);
/* Consumes a suffix that names a space, which is stored in i->space, or a cache, scope or order,
 * which have no effect here. */
bool memory_suffix(const char **p, struct instr *i);

/* Device memory (memory.c). Addresses fault on the host. */
uint64_t device_alloc(size_t n);   /* 0: out of memory */
int device_free(uint64_t address); /* -1: not an allocation */
/* Returns the host view of n bytes at the address; NULL if they are not all in one allocation. */
void *device_see(uint64_t address, size_t n);
/* Returns one byte for each byte of memory: 1 if it has been stored to. */
unsigned char *device_known(uint64_t address);
bool device_owns(uint64_t address);
size_t device_used(void);

/* ---- copies and waits ---- */
/* Completes copies of all groups but the newest `keep` of each lane. */
void async_land(struct warp *w, const struct instr *i, uint32_t on, int keep, bool uncommitted);
/* Completes the copies of a lane that it began before it had begun `before`. */
void async_land_before(struct warp *w, const struct instr *i, int lane, uint64_t before);
void async_drop(struct warp *w);
/* Ends the turn of a warp, whose wait i was in vain; again: it executes i once more. */
void warp_stall(struct warp *w, const struct instr *i, bool again);

#endif
