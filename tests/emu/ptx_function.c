/* SPDX-License-Identifier: Apache-2.0 */
/* Functions of PTX, and tables of branches. Parameters and results are in local memory. */
#include <stdlib.h>
#include <string.h>

#include "ptx_parse_impl.h"

enum { FUNCTION_SIZE = 16 };
#define FUNCTIONS 0x40000000000ull /* addresses of functions */

/* Finds a function that was declared before, or adds it. */
static struct kernel *function_of(struct parser *p, const char *name)
{
    uint64_t address = FUNCTIONS;
    for (struct kernel *f = p->module->functions; f; f = f->next) {
        if (!strcmp(f->name, name)) return f;
        if (f->address >= address) address = f->address + FUNCTION_SIZE;
    }
    struct kernel *f = parse_zeroed(sizeof *f);
    f->name = strdup(name);
    f->module = p->module;
    f->address = address;
    f->shared_align = 16;
    f->next = p->module->functions;
    p->module->functions = f;
    symbol_add(p, name, SYMBOL_FUNCTION, address);
    return f;
}

struct formal {
    char name[256];
    uint32_t bytes, align;
};

/* Parses a parameter; returns false at the end of an empty list. */
static bool formal(struct parser *p, struct formal *f)
{
    char word[64];
    uint32_t each;
    parse_word(p, word, sizeof word);
    if (strcmp(word, ".param") && strcmp(word, ".reg")) parse_fail(p, ".param is missing");
    parse_variable(p, f->name, sizeof f->name, &f->bytes, &f->align, &each);
    return true;
}

/* Gives a parameter its place, and a name while the body is parsed. */
static struct param place(struct parser *p, const struct formal *f)
{
    struct kernel *k = p->kernel;
    k->local = parse_aligned(k->local, f->align);
    const struct param at = {k->local, f->bytes};
    symbol_add(p, f->name, SYMBOL_LOCAL, WINDOW_LOCAL + k->local);
    k->local += f->bytes;
    return at;
}

static void formals(struct parser *p)
{
    struct formal f;
    if (!parse_take(p, '(') || parse_take(p, ')')) return;
    do {
        struct kernel *k = p->kernel;
        if (k->nparams == 64) parse_fail(p, "a function with too many parameters");
        formal(p, &f);
        k->param[k->nparams++] = place(p, &f);
    } while (parse_take(p, ','));
    parse_need(p, ')');
}

void parse_function(struct parser *p)
{
    char name[256], word[64];
    struct formal result = {.bytes = 0};
    if (parse_take(p, '(')) {
        formal(p, &result);
        parse_need(p, ')');
    }
    parse_word(p, name, sizeof name);
    struct kernel *k = p->kernel = function_of(p, name);
    const int symbols = p->nsymbols;
    k->nparams = 0, k->local = 0;
    if (result.bytes) k->result = place(p, &result);
    formals(p);
    for (parse_skip(p); *p->at && *p->at != '{' && *p->at != ';'; parse_skip(p)) /* .noreturn */
        if (!*parse_word(p, word, sizeof word)) p->at++;
    if (!parse_take(p, ';')) parse_body(p);
    symbol_forget(p, symbols);
}

/* The first branch leads past the table, for a body that runs into it. */
void parse_branch_targets(struct parser *p)
{
    char name[256];
    const int first = p->kernel->count;
    parse_branch(p, NULL, -1);
    do {
        parse_word(p, name, sizeof name);
        parse_branch(p, name, -1);
    } while (parse_take(p, ','));
    parse_need(p, ';');
    p->kernel->code[first].target = p->kernel->count;
}
