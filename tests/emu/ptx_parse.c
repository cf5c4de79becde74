/* SPDX-License-Identifier: Apache-2.0 */
/* Parses PTX text: a module, and its kernels when they are asked for. Each instruction has the
 * source location that -lineinfo provides. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ptx_parse_impl.h"

static void parameters(struct parser *p)
{
    struct kernel *k = p->kernel;
    if (!parse_take(p, '(')) return;
    if (parse_take(p, ')')) return;
    do {
        char name[256];
        uint32_t bytes, align, each;
        parse_word(p, name, sizeof name);
        if (strcmp(name, ".param")) parse_fail(p, ".param is missing");
        parse_variable(p, name, sizeof name, &bytes, &align, &each);
        k->params = parse_aligned(k->params, align);
        if (k->nparams == 64) parse_fail(p, "a kernel with too many parameters");
        k->param[k->nparams++] = (struct param){k->params, bytes};
        symbol_add(p, name, SYMBOL_PARAM, k->params);
        k->params += bytes;
    } while (parse_take(p, ','));
    parse_need(p, ')');
}

static bool label(struct parser *p)
{
    char name[256];
    const char *before = p->at;
    parse_word(p, name, sizeof name);
    if (*name && parse_take(p, ':')) {
        symbol_add(p, name, SYMBOL_LABEL, (uint64_t)p->kernel->count);
        for (int i = 0; i < p->nfixups; i++) {
            struct fixup *f = &p->fixups[i];
            if (!f->label || strcmp(f->label, name)) continue;
            p->kernel->code[f->instr].target = p->kernel->count;
            free(f->label);
            *f = p->fixups[--p->nfixups];
            i--;
        }
        return true;
    }
    p->at = before;
    return false;
}

static void body(struct parser *p);
static void statement(struct parser *p)
{
    char name[64];
    struct kernel *k = p->kernel;
    if (*p->at == '{') {
        const int symbols = p->nsymbols;
        body(p);
        symbol_forget(p, symbols);
        return;
    }
    if (*p->at != '.') {
        if (!label(p)) parse_instruction(p);
        return;
    }
    parse_word(p, name, sizeof name);
    if (!strcmp(name, ".reg"))
        parse_registers(p);
    else if (!strcmp(name, ".shared"))
        parse_block_variable(p, SYMBOL_SHARED, &k->shared);
    else if (!strcmp(name, ".local"))
        parse_block_variable(p, SYMBOL_LOCAL, &k->local);
    else if (!strcmp(name, ".loc"))
        parse_location(p);
    else if (!strcmp(name, ".param"))
        parse_block_variable(p, SYMBOL_LOCAL, &k->local);
    else if (!strcmp(name, ".branchtargets"))
        parse_branch_targets(p);
    else if (!strcmp(name, ".pragma") || !strcmp(name, ".callprototype"))
        parse_skip_statement(p);
    else
        parse_fail(p, name);
}

static void body(struct parser *p)
{
    parse_need(p, '{');
    for (parse_skip(p); *p->at != '}'; parse_skip(p)) {
        if (!*p->at) parse_fail(p, "a body that does not end");
        statement(p);
    }
    parse_need(p, '}');
}

static void settle(struct parser *p)
{
    for (int i = 0; i < p->nfixups; i++) {
        struct fixup *f = &p->fixups[i];
        if (f->label && p->kernel->code[f->instr].flow == FLOW_BRANCH)
            emu_die("PTX: %s: no label %s", p->kernel->name, f->label);
        free(f->label); /* any other unknown name fails when it runs */
        if (f->label) continue;
        for (int l = 0; l < LANES; l++)
            f->constant->wide[l] = f->constant->narrow[l] =
                parse_aligned(p->kernel->shared, p->kernel->shared_align);
    }
    p->nfixups = 0;
}

/* Reads what is between the parameters and the body; .maxntid etc. have no effect. */
static void directives(struct parser *p)
{
    for (parse_skip(p); *p->at != '{'; parse_skip(p)) {
        char name[64];
        if (!*p->at) parse_fail(p, "a kernel without a body");
        if (*parse_word(p, name, sizeof name) == 0) p->at++;
        if (strcmp(name, ".reqnctapercluster")) continue;
        for (int d = 0; d < 3; d++) p->kernel->cluster[d] = 1;
        for (int d = 0; d < 3 && (d == 0 || parse_take(p, ',')); d++)
            p->kernel->cluster[d] = (uint32_t)parse_number(p);
    }
}

void parse_body(struct parser *p)
{
    body(p);
    settle(p);
}

static void entry(struct parser *p)
{
    char name[256];
    struct kernel *k = parse_zeroed(sizeof *k);
    parse_word(p, name, sizeof name);
    k->name = strdup(name);
    k->text = p->at;
    k->module = p->module;
    k->shared_align = 16;
    k->grain = 2;
    k->next = p->module->kernels;
    p->module->kernels = k;
    parse_skip_body(p);
}

/* A program launches few of a module's kernels: each is parsed at its first launch. */
struct kernel *ptx_kernel(struct module *m, const char *name)
{
    struct parser *p = m->parser;
    struct kernel *k = m->kernels;
    while (k && strcmp(k->name, name)) k = k->next;
    if (!k || !k->text) return k;
    const int symbols = p->nsymbols;
    p->at = k->text;
    p->kernel = k;
    parameters(p);
    directives(p);
    parse_body(p);
    symbol_forget(p, symbols);
    k->text = NULL;
    return k;
}

static void module_variable(struct parser *p, const char *space)
{
    char name[256];
    uint32_t bytes, align, each;
    if (!strcmp(space, ".global") || !strcmp(space, ".const")) {
        parse_global_variable(p);
        return;
    }
    if (strcmp(space, ".shared")) parse_fail(p, "an unknown space");
    parse_variable(p, name, sizeof name, &bytes, &align, &each);
    symbol_add(p, name, SYMBOL_DYNAMIC, align);
    parse_need(p, ';');
}

static void top_level(struct parser *p)
{
    char name[64];
    parse_word(p, name, sizeof name);
    if (!strcmp(name, ".version") || !strcmp(name, ".target") || !strcmp(name, ".address_size")) {
        p->at += strcspn(p->at, "\n");
    } else if (!strcmp(name, ".file")) {
        parse_source_file(p);
    } else if (!strcmp(name, ".section")) {
        const char *end = strchr(p->at, '}');
        p->at = end ? end + 1 : p->at + strlen(p->at);
    } else if (!strcmp(name, ".entry")) {
        entry(p);
    } else if (!strcmp(name, ".visible") || !strcmp(name, ".extern") || !strcmp(name, ".weak")) {
        return;
    } else if (!strcmp(name, ".func")) {
        parse_function(p);
    } else if (*name == '.') {
        module_variable(p, name);
    } else {
        parse_fail(p, "not PTX");
    }
}

/* Reads the names of source files first, because they are at the end of the text. */
static void source_files(struct parser *p)
{
    const char *begin = p->at;
    for (const char *s = begin; (s = strstr(s, "\n\t.file\t")); s++) {
        p->at = s + 7;
        parse_source_file(p);
    }
    p->at = begin;
}

struct module *ptx_parse(const char *text)
{
    struct parser *p = parse_zeroed(sizeof *p);
    *p = (struct parser){.begin = text, .at = text, .module = parse_zeroed(sizeof *p->module)};
    p->module->parser = p;
    source_files(p);
    for (parse_skip(p); *p->at; parse_skip(p)) top_level(p);
    return p->module;
}
