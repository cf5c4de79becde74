/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the PTX parser: the text under the cursor, names and what they stand for, operands and
 * declarations. */
#ifndef EMU_PTX_PARSE_IMPL_H
#define EMU_PTX_PARSE_IMPL_H

#include "emu.h"

enum symbol_kind {
    SYMBOL_REGISTER,
    SYMBOL_PREDICATE,
    SYMBOL_PARAM,
    SYMBOL_SHARED,
    SYMBOL_LOCAL,
    SYMBOL_DYNAMIC,
    SYMBOL_GLOBAL,
    SYMBOL_LABEL,
    SYMBOL_FUNCTION
};
struct symbol {
    char *name; /* of a register's family it ends in '<' */
    enum symbol_kind kind;
    bool wide;
    uint32_t lane_bytes;
    uint64_t value; /* slot, offset, address, or index of an instruction */
};
struct fixup { /* a label that is used before it is defined, or the place of dynamic memory */
    int instr; /* -1: constant */
    struct constant *constant;
    char *label;
};
struct parser {
    const char *begin, *at;
    struct module *module;
    struct kernel *kernel;
    struct symbol *symbols;
    int nsymbols, cap;
    struct fixup *fixups;
    int nfixups, fixups_cap;
    uint32_t file, file_line;
};

/* ---- ptx_text.c ---- */
/* Ends the program; the message has the line and the text at the cursor. */
_Noreturn void parse_fail(const struct parser *p, const char *what);
/* Make room for one more item, and a zeroed object; end the program when there is no memory. */
void *parse_grow(void *items, int n, int *cap, size_t size);
void *parse_zeroed(size_t size);
/* Skips white space and comments. */
void parse_skip(struct parser *p);
/* Copies the next word, which is empty where there is none. */
char *parse_word(struct parser *p, char *out, size_t size);
/* Takes a character if it comes next; true if it did. need: fails if it does not. */
bool parse_take(struct parser *p, char c);
void parse_need(struct parser *p, char c);
/* The next number; the bits of a real one. */
uint64_t parse_number(struct parser *p);
/* Skips all up to the next semicolon, and that; all up to the brace that ends a body, and that. */
void parse_skip_statement(struct parser *p);
void parse_skip_body(struct parser *p);

/* ---- ptx_symbol.c ---- */
struct symbol *symbol_add(struct parser *p, const char *name, enum symbol_kind kind,
                          uint64_t value);
/* The symbol of a name, or NULL. Registers %r<n> are one symbol; *member is the number behind it.
 */
struct symbol *symbol_find(struct parser *p, const char *name, unsigned *member);
/* Forgets all symbols but the first `to`. */
void symbol_forget(struct parser *p, int to);
/* Parses an instruction and appends it to the kernel. */
void parse_instruction(struct parser *p);
/* Appends a branch to a label, or if that is NULL to an instruction. */
void parse_branch(struct parser *p, const char *label, int target);

/* ---- ptx_function.c ---- */
/* Parses a function behind .func, with its body if there is one. */
void parse_function(struct parser *p);
/* Parses the targets of brx.idx into a table of branches. */
void parse_branch_targets(struct parser *p);

/* ---- ptx_parse.c ---- */
/* Parses a body in braces, and fills in what its labels and dynamic memory left open. */
void parse_body(struct parser *p);

/* ---- ptx_declare.c ---- */
void parse_registers(struct parser *p);
/* .align 4 .b8 name[128]: fills in the name, the bytes, alignment and element that it needs. false:
 * the size is open, name[]. */
bool parse_variable(struct parser *p, char *name, size_t size, uint32_t *bytes, uint32_t *align,
                    uint32_t *each);
uint32_t parse_aligned(uint32_t n, uint32_t align);
/* A variable of the block or of a thread, which grows *size; one of the module. */
void parse_block_variable(struct parser *p, enum symbol_kind kind, uint32_t *size);
void parse_global_variable(struct parser *p);
/* .loc and .file: places in the source. */
void parse_location(struct parser *p);
void parse_source_file(struct parser *p);

#endif
