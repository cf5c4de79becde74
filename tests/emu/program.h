/* SPDX-License-Identifier: Apache-2.0 */
/* Programs of the emulator: kernels, their instructions and operands. */
#ifndef EMU_PROGRAM_H
#define EMU_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LANES = 32, GROUPS = 8 };

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
/* How an instruction uses group 0: not as its result, for a new value, for a copy of a register. */
enum writes { WRITES_NONE, WRITES_VALUE, WRITES_COPY };
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
    enum writes writes;
    bool wgmma;
    bool returns; /* a call whose group 0 is in parentheses */
};
struct kernel {
    struct kernel *next;
    char *name;
    const char *text; /* its parameters and body; NULL when they are parsed */
    struct module *module;
    struct instr *code;
    int count, cap;
    uint32_t registers;     /* bytes for a warp */
    uint32_t shared, local; /* bytes, static */
    uint32_t shared_align;  /* of dynamic shared memory */
    uint8_t grain;          /* its accesses to shared memory are multiples of 1 << grain bytes */
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
    struct parser *parser;
};
/* Parses PTX, which must stay allocated, but not its kernels; ends the program with a message on an
 * error. */
struct module *ptx_parse(const char *text);
/* The kernel of that name, parsed; NULL: there is none. */
struct kernel *ptx_kernel(struct module *m, const char *name);
/* Sets run and its data; an unknown opcode fails when it runs. */
void ptx_decode(struct instr *i);
/* Consumes a suffix of an opcode; returns true while *p begins with ".word". */
bool ptx_suffix(const char **p, const char *word);
bool ptx_type(const char **p, struct type *t);

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
#endif
