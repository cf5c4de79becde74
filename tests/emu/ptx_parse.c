/* SPDX-License-Identifier: Apache-2.0 */
/* PTX text into instructions, with the place in the source that -lineinfo gives each. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emu.h"

enum symbol_kind {
    SYMBOL_REGISTER,
    SYMBOL_PREDICATE,
    SYMBOL_PARAM,
    SYMBOL_SHARED,
    SYMBOL_LOCAL,
    SYMBOL_DYNAMIC,
    SYMBOL_GLOBAL,
    SYMBOL_LABEL
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
    const char *at;
    int line;
    struct module *module;
    struct kernel *kernel;
    struct symbol *symbols;
    int nsymbols, cap;
    struct fixup *fixups;
    int nfixups, fixups_cap;
    uint32_t file, file_line;
};

static _Noreturn void bad(const struct parser *p, const char *what)
{
    emu_die("PTX, line %d: %s: %.60s", p->line, what, p->at);
}

static void *grow(void *items, int n, int *cap, size_t size)
{
    if (n < *cap) return items;
    *cap = *cap ? 2 * *cap : 64;
    void *p = realloc(items, (size_t)*cap * size);
    if (!p) emu_die("out of memory");
    return p;
}

static void *zeroed(size_t size)
{
    void *p = calloc(1, size);
    if (!p) emu_die("out of memory");
    return p;
}

/* ---- words ---- */
static void skip(struct parser *p)
{
    for (;; p->at++) {
        if (*p->at == '\n')
            p->line++;
        else if (p->at[0] == '/' && p->at[1] == '/')
            p->at += strcspn(p->at, "\n") - 1;
        else if (p->at[0] == '/' && p->at[1] == '*') {
            const char *end = strstr(p->at, "*/");
            if (!end) bad(p, "a comment that does not end");
            for (; p->at < end; p->at++) p->line += *p->at == '\n';
            p->at++;
        } else if (!isspace((unsigned char)*p->at))
            return;
    }
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '$' || c == '%' || c == '.';
}

/* Copies the next word; empty where there is none. */
static char *word(struct parser *p, char *out, size_t size)
{
    size_t n = 0;
    skip(p);
    while (is_word(p->at[n]) ||
           (n && p->at[n] == ':' && p->at[n + 1] == ':' && is_word(p->at[n + 2])))
        n += p->at[n] == ':' ? 2 : 1;
    if (n >= size) bad(p, "a word that is too long");
    memcpy(out, p->at, n);
    out[n] = 0;
    p->at += n;
    return out;
}

static bool take(struct parser *p, char c)
{
    skip(p);
    if (*p->at != c) return false;
    p->at++;
    return true;
}

static void need(struct parser *p, char c)
{
    char text[] = "'?' is missing";
    text[1] = c;
    if (!take(p, c)) bad(p, text);
}

static uint64_t number(struct parser *p)
{
    char *end;
    skip(p);
    const bool minus = *p->at == '-';
    if (minus) p->at++;
    uint64_t v;
    if (p->at[0] == '0' && strchr("fFdD", p->at[1]) && p->at[1])
        v = strtoull(p->at + 2, &end, 16);
    else
        v = strtoull(p->at, &end, 0);
    if (end == p->at) bad(p, "a number is missing");
    if (*end == '.') { /* 1.0: a real number is one of 32 bits */
        const float real = strtof(p->at, &end);
        uint32_t bits;
        memcpy(&bits, &real, sizeof bits);
        v = bits;
    }
    if (*end == 'U') end++;
    p->at = end;
    return minus ? -v : v;
}

static void skip_statement(struct parser *p)
{
    int depth = 0;
    for (; *p->at; p->at++) {
        if (*p->at == '\n') p->line++;
        if (*p->at == '{') depth++;
        if (*p->at == '}') depth--;
        if (*p->at == ';' && depth == 0) break;
    }
    need(p, ';');
}

/* ---- symbols ---- */
static struct symbol *add_symbol(struct parser *p, const char *name, enum symbol_kind kind,
                                 uint64_t value)
{
    p->symbols = grow(p->symbols, p->nsymbols, &p->cap, sizeof *p->symbols);
    struct symbol *s = &p->symbols[p->nsymbols++];
    *s = (struct symbol){.name = strdup(name), .kind = kind, .value = value};
    return s;
}

/* Registers %r<n> are one symbol; the digits behind a name choose one of them. */
static struct symbol *find(struct parser *p, const char *name, unsigned *member)
{
    size_t stem = strlen(name);
    while (stem && isdigit((unsigned char)name[stem - 1])) stem--;
    for (int i = p->nsymbols - 1; i >= 0; i--) {
        const char *s = p->symbols[i].name;
        *member = 0;
        if (!strcmp(s, name)) return &p->symbols[i];
        if (name[stem] && !strncmp(s, name, stem) && !strcmp(s + stem, "<")) {
            *member = (unsigned)strtoul(name + stem, NULL, 10);
            return &p->symbols[i];
        }
    }
    return NULL;
}

static void forget(struct parser *p, int to)
{
    while (p->nsymbols > to) free(p->symbols[--p->nsymbols].name);
}

/* ---- operands ---- */
static struct constant *constant(uint64_t v)
{
    struct constant *c = zeroed(sizeof *c);
    for (int l = 0; l < LANES; l++) c->wide[l] = v, c->narrow[l] = (uint32_t)v;
    return c;
}

static bool special(const char *name, struct operand *o)
{
    static const struct {
        const char *name;
        enum special special;
    } all[] = {{"%tid", SPECIAL_TID},
               {"%ntid", SPECIAL_NTID},
               {"%ctaid", SPECIAL_CTAID},
               {"%nctaid", SPECIAL_NCTAID},
               {"%laneid", SPECIAL_LANE},
               {"%warpid", SPECIAL_WARP},
               {"%clock", SPECIAL_CLOCK},
               {"%clock64", SPECIAL_CLOCK},
               {"%globaltimer", SPECIAL_CLOCK},
               {"%dynamic_smem_size", SPECIAL_DYNAMIC},
               {"%total_smem_size", SPECIAL_TOTAL},
               {"%lanemask_eq", SPECIAL_LANEMASK},
               {"%lanemask_le", SPECIAL_LANEMASK},
               {"%lanemask_lt", SPECIAL_LANEMASK},
               {"%lanemask_ge", SPECIAL_LANEMASK},
               {"%lanemask_gt", SPECIAL_LANEMASK}};
    const char *dot = strchr(name, '.');
    const size_t n = dot ? (size_t)(dot - name) : strlen(name);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (strlen(all[i].name) != n || strncmp(all[i].name, name, n)) continue;
        o->special = (uint8_t)all[i].special;
        o->axis = dot ? (uint8_t)(dot[1] - 'x') : 0;
        if (all[i].special == SPECIAL_LANEMASK) {
            static const char *const kinds[] = {"eq", "le", "lt", "ge", "gt"};
            for (int k = 0; k < 5; k++)
                if (!strcmp(name + 10, kinds[k])) o->axis = (uint8_t)k;
        }
        return true;
    }
    return false;
}

static void note_fixup(struct parser *p, int instr, struct constant *c, const char *label)
{
    p->fixups = grow(p->fixups, p->nfixups, &p->fixups_cap, sizeof *p->fixups);
    p->fixups[p->nfixups++] = (struct fixup){instr, c, label ? strdup(label) : NULL};
}

static void named(struct parser *p, const char *name, struct operand *o)
{
    unsigned member;
    if (!strcmp(name, "_")) {
        o->sink = true;
        o->constant = constant(0);
        return;
    }
    if (!strcmp(name, "WARP_SZ")) {
        o->constant = constant(LANES);
        return;
    }
    if (name[0] == '%' && special(name, o)) return;
    struct symbol *s = find(p, name, &member);
    if (!s) { /* a label that comes later */
        note_fixup(p, p->kernel->count, NULL, name);
        return;
    }
    switch (s->kind) {
    case SYMBOL_REGISTER:
    case SYMBOL_PREDICATE:
        o->wide = s->wide;
        o->predicate = s->kind == SYMBOL_PREDICATE;
        o->slot = (uint32_t)s->value + member * s->lane_bytes;
        break;
    case SYMBOL_LABEL:
        p->kernel->code[p->kernel->count].target = (int)s->value;
        break;
    case SYMBOL_DYNAMIC:
        o->constant = constant(0);
        o->wide = true;
        note_fixup(p, -1, o->constant, NULL);
        break;
    default:
        o->constant = constant(s->value);
        o->wide = true;
    }
}

static void one_operand(struct parser *p, struct operand *o)
{
    char name[256];
    skip(p);
    *o = (struct operand){0};
    if (take(p, '!')) o->negated = true;
    skip(p);
    if (isdigit((unsigned char)*p->at) || *p->at == '-') {
        o->constant = constant(number(p));
        o->wide = true;
        return;
    }
    word(p, name, sizeof name);
    if (!*name) bad(p, "an operand is missing");
    named(p, name, o);
    if (take(p, '+')) o->offset = (int64_t)number(p);
}

static struct operand *add_operand(struct instr *i, int *n)
{
    i->op = realloc(i->op, (size_t)(*n + 1) * sizeof *i->op);
    if (!i->op) emu_die("out of memory");
    return &i->op[(*n)++];
}

/* {a, b}, [a+8] or [a, b], p|q, or one operand. */
static void operand_group(struct parser *p, struct instr *i, int *n)
{
    const bool braces = take(p, '{'), brackets = !braces && take(p, '['),
               parentheses = !braces && !brackets && take(p, '(');
    const char separator = braces || brackets || parentheses ? ',' : '|';
    if (parentheses && take(p, ')')) return;
    do {
        struct operand o;
        if (brackets && take(p, '{')) {
            do one_operand(p, &o), *add_operand(i, n) = o;
            while (take(p, ','));
            need(p, '}');
            continue;
        }
        one_operand(p, &o);
        *add_operand(i, n) = o;
    } while (take(p, separator));
    if (braces) need(p, '}');
    if (brackets) need(p, ']');
    if (parentheses) need(p, ')');
}

static void instruction(struct parser *p)
{
    struct kernel *k = p->kernel;
    char name[256];
    int n = 0;
    skip(p);
    k->code = grow(k->code, k->count, &k->cap, sizeof *k->code);
    struct instr *i = &k->code[k->count];
    *i = (struct instr){.guard_slot = -1, .target = -1, .file = p->file, .line = p->file_line};
    if (take(p, '@')) {
        struct operand o;
        one_operand(p, &o);
        if (!o.predicate) bad(p, "the guard is no predicate");
        i->guard_slot = (int)o.slot;
        i->guard_not = o.negated;
    }
    word(p, name, sizeof name);
    if (!*name) bad(p, "an instruction is missing");
    skip(p);
    while (*p->at != ';') {
        if (i->groups == GROUPS) bad(p, "an instruction with too many operands");
        i->first[i->groups++] = (uint8_t)n;
        operand_group(p, i, &n);
        i->first[i->groups] = (uint8_t)n;
        if (!take(p, ',')) break;
    }
    need(p, ';');
    i->text = strdup(name);
    ptx_decode(i);
    k->count++;
}

/* ---- declarations ---- */
static uint32_t type_bytes(const char *type)
{
    const char *digits = type + 2;
    return !strcmp(type, ".pred") ? 1 : (uint32_t)atoi(digits) / 8;
}

static void registers(struct parser *p)
{
    char type[32], name[256];
    word(p, type, sizeof type);
    do {
        uint64_t count = 1;
        word(p, name, sizeof name);
        if (take(p, '<')) {
            count = number(p);
            need(p, '>');
            strcat(name, "<");
        }
        const bool predicate = !strcmp(type, ".pred"), wide = !predicate && type_bytes(type) == 8;
        struct kernel *k = p->kernel;
        k->registers = (k->registers + 63) & ~63u;
        struct symbol *s =
            add_symbol(p, name, predicate ? SYMBOL_PREDICATE : SYMBOL_REGISTER, k->registers);
        s->wide = wide;
        s->lane_bytes = predicate ? 4 : (type_bytes(type) > 4 ? type_bytes(type) : 4) * LANES;
        k->registers += (uint32_t)count * s->lane_bytes;
    } while (take(p, ','));
    need(p, ';');
}

/* .align 4 .b8 name[128]: its name, and the bytes and alignment that it needs; false: name[]. */
static bool variable(struct parser *p, char *name, size_t size, uint32_t *bytes, uint32_t *align,
                     uint32_t *each)
{
    char type[32];
    bool sized = true;
    *align = 0;
    word(p, type, sizeof type);
    while (!strcmp(type, ".align") || !strcmp(type, ".attribute") || !strcmp(type, ".ptr")) {
        if (!strcmp(type, ".align")) *align = (uint32_t)number(p);
        word(p, type, sizeof type);
    }
    *bytes = *each = type_bytes(type);
    if (!*align) *align = *bytes;
    word(p, name, size);
    while (take(p, '[')) {
        if (take(p, ']')) {
            sized = false;
            break;
        }
        *bytes *= (uint32_t)number(p);
        need(p, ']');
    }
    return sized;
}

static uint32_t aligned(uint32_t n, uint32_t align) { return (n + align - 1) / align * align; }

static void block_variable(struct parser *p, enum symbol_kind kind, uint32_t *size)
{
    char name[256];
    uint32_t bytes, align, each;
    variable(p, name, sizeof name, &bytes, &align, &each);
    *size = aligned(*size, align);
    add_symbol(p, name, kind, *size + (kind == SYMBOL_LOCAL ? WINDOW_LOCAL : 0));
    *size += bytes;
    need(p, ';');
}

/* A number, or the address of a variable; that of a function is 0. */
static uint64_t first_value(struct parser *p)
{
    char name[256];
    unsigned member;
    skip(p);
    if (isdigit((unsigned char)*p->at) || *p->at == '-') return number(p);
    word(p, name, sizeof name);
    const bool generic = !strcmp(name, "generic") && take(p, '(');
    if (generic) word(p, name, sizeof name);
    if (generic) need(p, ')');
    const struct symbol *s = find(p, name, &member);
    return s ? s->value : 0;
}

/* A variable of the module: zero, or with its first values. */
static void global_variable(struct parser *p)
{
    char name[256];
    uint32_t bytes, align, each;
    variable(p, name, sizeof name, &bytes, &align, &each);
    if (!bytes) bytes = 1;
    const uint64_t address = device_alloc(bytes);
    unsigned char *host = address ? device_see(address, bytes) : NULL;
    if (!host) emu_die("no device memory for %s", name);
    memset(host, 0, bytes);
    memset(device_known(address), 1, bytes);
    if (take(p, '=')) {
        uint32_t at = 0;
        const bool braces = take(p, '{');
        do {
            skip(p);
            if (*p->at == '}') break;
            const uint64_t v = first_value(p);
            if (at + each <= bytes) memcpy(host + at, &v, each);
            at += each;
        } while (take(p, ','));
        if (braces) need(p, '}');
    }
    add_symbol(p, name, SYMBOL_GLOBAL, address);
    need(p, ';');
}

static void location(struct parser *p)
{
    p->file = (uint32_t)number(p);
    p->file_line = (uint32_t)number(p);
    number(p);
    while (take(p, ',')) { /* function_name NAME+n; inlined_at FILE LINE COLUMN */
        char what[64];
        word(p, what, sizeof what);
        if (!strcmp(what, "function_name")) {
            word(p, what, sizeof what);
            if (take(p, '+')) number(p);
        }
        skip(p);
        if (!strncmp(p->at, "inlined_at", 10)) p->at += 10;
        if (!strcmp(what, "inlined_at") || isdigit((unsigned char)*p->at))
            number(p), number(p), number(p);
        skip(p);
        if (!strncmp(p->at, "inlined_at", 10)) {
            p->at += 10;
            number(p), number(p), number(p);
        }
    }
}

static void source_file(struct parser *p)
{
    const uint64_t at = number(p);
    struct module *m = p->module;
    need(p, '"');
    const size_t n = strcspn(p->at, "\"");
    if (at >= m->nfiles) {
        m->files = realloc(m->files, (size_t)(at + 1) * sizeof *m->files);
        if (!m->files) emu_die("out of memory");
        while (m->nfiles <= at) m->files[m->nfiles++] = NULL;
    }
    m->files[at] = strndup(p->at, n);
    p->at += n + 1;
    while (take(p, ',')) number(p);
}

/* ---- kernels ---- */
static void parameters(struct parser *p)
{
    struct kernel *k = p->kernel;
    if (!take(p, '(')) return;
    if (take(p, ')')) return;
    do {
        char name[256];
        uint32_t bytes, align, each;
        word(p, name, sizeof name);
        if (strcmp(name, ".param")) bad(p, ".param is missing");
        variable(p, name, sizeof name, &bytes, &align, &each);
        k->params = aligned(k->params, align);
        if (k->nparams == 64) bad(p, "a kernel with too many parameters");
        k->param[k->nparams++] = (struct param){k->params, bytes};
        add_symbol(p, name, SYMBOL_PARAM, k->params);
        k->params += bytes;
    } while (take(p, ','));
    need(p, ')');
}

static bool label(struct parser *p)
{
    char name[256];
    const char *before = p->at;
    const int line = p->line;
    word(p, name, sizeof name);
    if (*name && take(p, ':')) {
        add_symbol(p, name, SYMBOL_LABEL, (uint64_t)p->kernel->count);
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
    p->line = line;
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
        forget(p, symbols);
        return;
    }
    if (*p->at != '.') {
        if (!label(p)) instruction(p);
        return;
    }
    word(p, name, sizeof name);
    if (!strcmp(name, ".reg"))
        registers(p);
    else if (!strcmp(name, ".shared"))
        block_variable(p, SYMBOL_SHARED, &k->shared);
    else if (!strcmp(name, ".local"))
        block_variable(p, SYMBOL_LOCAL, &k->local);
    else if (!strcmp(name, ".loc"))
        location(p);
    else if (!strcmp(name, ".pragma") || !strcmp(name, ".branchtargets") ||
             !strcmp(name, ".callprototype") || !strcmp(name, ".param"))
        skip_statement(p);
    else
        bad(p, name);
}

static void body(struct parser *p)
{
    need(p, '{');
    for (skip(p); *p->at != '}'; skip(p)) {
        if (!*p->at) bad(p, "a body that does not end");
        statement(p);
    }
    need(p, '}');
}

static void settle(struct parser *p)
{
    for (int i = 0; i < p->nfixups; i++) {
        struct fixup *f = &p->fixups[i];
        if (f->label && p->kernel->code[f->instr].flow == FLOW_BRANCH)
            emu_die("PTX: %s: no label %s", p->kernel->name, f->label);
        free(f->label); /* what else has an unknown name fails when it runs */
        if (f->label) continue;
        for (int l = 0; l < LANES; l++)
            f->constant->wide[l] = f->constant->narrow[l] = aligned(p->kernel->shared, 16);
    }
    p->nfixups = 0;
}

static void entry(struct parser *p)
{
    char name[256];
    const int symbols = p->nsymbols;
    struct kernel *k = zeroed(sizeof *k);
    word(p, name, sizeof name);
    k->name = strdup(name);
    k->module = p->module;
    k->next = p->module->kernels;
    p->module->kernels = k;
    p->kernel = k;
    parameters(p);
    for (skip(p); *p->at != '{'; skip(p)) { /* .maxntid 256 and the like */
        if (!*p->at) bad(p, "a kernel without a body");
        p->at++;
    }
    body(p);
    settle(p);
    forget(p, symbols);
}

/* Functions are not emulated, nor is the instruction that calls them. */
static void skip_function(struct parser *p)
{
    p->at += strcspn(p->at, "{;");
    if (*p->at == ';') {
        p->at++;
        return;
    }
    int depth = 0;
    do {
        depth += *p->at == '{';
        depth -= *p->at == '}';
        p->line += *p->at == '\n';
    } while (*p->at++ && depth);
}

static void module_variable(struct parser *p, const char *space)
{
    char name[256];
    uint32_t bytes, align, each;
    if (!strcmp(space, ".global") || !strcmp(space, ".const")) {
        global_variable(p);
        return;
    }
    if (strcmp(space, ".shared")) bad(p, "an unknown space");
    variable(p, name, sizeof name, &bytes, &align, &each);
    add_symbol(p, name, SYMBOL_DYNAMIC, 0);
    need(p, ';');
}

static void top_level(struct parser *p)
{
    char name[64];
    word(p, name, sizeof name);
    if (!strcmp(name, ".version") || !strcmp(name, ".target") || !strcmp(name, ".address_size")) {
        p->at += strcspn(p->at, "\n");
    } else if (!strcmp(name, ".file")) {
        source_file(p);
    } else if (!strcmp(name, ".section")) {
        const char *end = strchr(p->at, '}');
        p->at = end ? end + 1 : p->at + strlen(p->at);
    } else if (!strcmp(name, ".entry")) {
        entry(p);
    } else if (!strcmp(name, ".visible") || !strcmp(name, ".extern") || !strcmp(name, ".weak")) {
        return;
    } else if (!strcmp(name, ".func")) {
        skip_function(p);
    } else if (*name == '.') {
        module_variable(p, name);
    } else {
        bad(p, "not PTX");
    }
}

/* Names of files come at the end of the text, so they are read first. */
static void source_files(struct parser *p)
{
    const char *begin = p->at;
    for (const char *s = begin; (s = strstr(s, "\n\t.file\t")); s++) {
        p->at = s + 7;
        source_file(p);
    }
    p->at = begin;
}

struct module *ptx_parse(const char *text)
{
    struct parser p = {.at = text, .line = 1, .module = zeroed(sizeof(struct module))};
    source_files(&p);
    for (skip(&p); *p.at; skip(&p)) top_level(&p);
    forget(&p, 0);
    free(p.symbols);
    free(p.fixups);
    return p.module;
}
