/* SPDX-License-Identifier: Apache-2.0 */
/* An emulator of a CUDA device for tests: it runs the PTX that nvcc puts into a library, one warp
 * at a time. This header declares what its files share. */
#ifndef EMU_H
#define EMU_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LANES = 32, GROUPS = 8 };

/* ---- programs ---- */
/* A register, or a constant. A lane of a register has 4 bytes, or 8 if it is wide; a predicate is
 * one word of 32 bits for all lanes. */
struct constant {
    uint64_t wide[LANES];
    uint32_t narrow[LANES];
};
enum special {
    SPECIAL_NONE,
    SPECIAL_TID,
    SPECIAL_NTID,
    SPECIAL_CTAID,
    SPECIAL_NCTAID,
    SPECIAL_LANE,
    SPECIAL_WARP,
    SPECIAL_LANEMASK,
    SPECIAL_CLOCK,
    SPECIAL_DYNAMIC,
    SPECIAL_TOTAL,
    SPECIAL_CLUSTER_RANK, /* of the block in its cluster */
    SPECIAL_CLUSTER_RANKS,
    SPECIAL_CLUSTER_CTAID, /* the block's place in its cluster, and the cluster's size */
    SPECIAL_CLUSTER_NCTAID,
    SPECIAL_CLUSTERID, /* the cluster's place in the grid, and the number of clusters */
    SPECIAL_NCLUSTERID,
    SPECIAL_CLUSTER_EXPLICIT
};
struct operand {
    bool wide, predicate, negated, sink;
    uint8_t special, axis;     /* a special register, which mov reads */
    uint32_t slot;             /* in the warp's registers, in bytes */
    struct constant *constant; /* NULL: a register */
    int64_t offset;            /* added to the operand of an address */
};
/* The operands of an instruction form groups: a vector {a, b} is one group, and so is p|q. */
struct instr;
struct warp;
typedef void execute(struct warp *w, const struct instr *i, uint32_t on);
enum flow { FLOW_NEXT, FLOW_BRANCH, FLOW_INDEXED, FLOW_EXIT, FLOW_BARRIER };
struct type {
    char kind; /* 's', 'u', 'b', 'f'; 'h' is bf16 */
    uint8_t bits;
};
enum gather {
    GATHER_NONE,
    GATHER_MASK, /* the lanes of a mask operand execute together */
    GATHER_ALL   /* all lanes of the warp execute together */
};
enum space { SPACE_GENERIC, SPACE_GLOBAL, SPACE_SHARED, SPACE_LOCAL, SPACE_PARAM, SPACE_CONST };
struct instr {
    execute *run;
    struct operand *op;
    uint8_t first[GROUPS + 1], groups; /* group g is op[first[g]] to op[first[g + 1]] */
    enum flow flow;
    enum gather gather;
    int mask;       /* group of the mask for GATHER_MASK */
    int guard_slot; /* slot of the guarding predicate; -1: none */
    bool guard_not;
    int target; /* target of a branch */
    const char *text;
    uint32_t file, line;
    /* decoded from the suffixes of the opcode by its family */
    enum space space;
    struct type type, from;
    uint8_t count, mode, compare, combine;
    bool ftz, sat, trans, has_carry;
    bool writes;  /* group 0 is its result */
    bool returns; /* a call whose group 0 is in parentheses */
};
struct kernel {
    struct kernel *next;
    char *name;
    struct module *module;
    struct instr *code;
    int count, cap;
    uint32_t registers;     /* bytes for a warp */
    uint32_t shared, local; /* bytes, static */
    uint32_t shared_align;  /* of dynamic shared memory */
    bool async;             /* has wgmma, bulk copies or a fence for them */
    uint32_t params;        /* bytes */
    uint32_t cluster[3];    /* .reqnctapercluster; 0: none */
    int most_shared;        /* dynamic, set by cudaFuncSetAttribute */
    struct param {
        uint32_t offset, size;
    } param[64], result; /* of a function: in its local memory; size 0: no result */
    int nparams;
    uint64_t address; /* of a function */
};
struct module {
    struct kernel *kernels, *functions;
    char **files; /* by number, from 1 */
    uint32_t nfiles;
    char *text;
};
/* Parses PTX, which must stay allocated; ends the program with a message on an error. */
struct module *ptx_parse(const char *text);
/* Sets run and its data; an unknown opcode fails when it runs. */
void ptx_decode(struct instr *i);
/* Consumes a suffix of an opcode; returns true while *p begins with ".word". */
bool ptx_suffix(const char **p, const char *word);
bool ptx_type(const char **p, struct type *t);

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
    struct copy *copies[LANES];
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
    struct touch *wrote;  /* one for each byte of shared memory */
    struct readers *read; /* likewise */
    struct chunk *chunks; /* order.h */
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
#define EACH_LANE(on, ...)                                                                         \
    do {                                                                                           \
        if ((on) == ~0u)                                                                           \
            for (int l = 0; l < LANES; l++) { __VA_ARGS__ }                                        \
        else                                                                                       \
            for (int l = 0; l < LANES; l++)                                                        \
                if ((on) >> l & 1) { __VA_ARGS__ }                                                 \
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
/* Likewise for any number of bytes in device memory. */
unsigned char *memory_range(struct warp *w, const struct instr *i, int lane, uint64_t address,
                            size_t n, enum access access);
/* Returns the block whose shared memory an address is in, and makes the address an offset. */
struct block *memory_block(struct warp *w, const struct instr *i, int lane, enum space s,
                           uint64_t *address);
bool memory_checks(void);
/* Keeps blocks that run on other threads of the host from device memory; fault() ends that too. */
void memory_lock(struct warp *w, bool locks);
uint64_t memory_address(struct warp *w, const struct operand *o, int lane);
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

/* ---- families of opcodes: true if the opcode belongs to the family ---- */
bool decode_alu(struct instr *i);
bool decode_float(struct instr *i);
bool decode_compare(struct instr *i);
bool decode_cvt(struct instr *i);
bool decode_move(struct instr *i);
bool decode_memory(struct instr *i);
bool decode_atom_red(struct instr *i);
bool decode_warp(struct instr *i);
bool decode_matrix(struct instr *i);
bool decode_mma_small(struct instr *i);
bool decode_async(struct instr *i);
bool decode_mbarrier(struct instr *i);
bool decode_bulk(struct instr *i);
bool decode_wgmma(struct instr *i);
bool decode_cluster(struct instr *i);
bool decode_half(struct instr *i);
bool decode_narrow(struct instr *i);
bool decode_integer(struct instr *i);
bool decode_call(struct instr *i);
bool decode_flow(struct instr *i);
/* Completes copies of all groups but the newest `keep` of each lane. */
void async_land(struct warp *w, const struct instr *i, uint32_t on, int keep, bool uncommitted);
/* Completes the copies of a lane that it began before it had begun `before`. */
void async_land_before(struct warp *w, const struct instr *i, int lane, uint64_t before);
void async_drop(struct warp *w);
/* Ends the turn of a warp, whose wait i was in vain; again: it executes i once more. */
void warp_stall(struct warp *w, const struct instr *i, bool again);

#endif
