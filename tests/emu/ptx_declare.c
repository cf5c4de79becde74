/* SPDX-License-Identifier: Apache-2.0 */
/* Declarations of PTX: registers, variables, source locations. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ptx_parse_impl.h"

static uint32_t type_bytes(const char *type)
{
    const char *digits = type + 2;
    return !strcmp(type, ".pred") ? 1 : (uint32_t)atoi(digits) / 8;
}

void parse_registers(struct parser *p)
{
    char type[32], name[256];
    parse_word(p, type, sizeof type);
    do {
        uint64_t count = 1;
        parse_word(p, name, sizeof name);
        if (parse_take(p, '<')) {
            count = parse_number(p);
            parse_need(p, '>');
            strcat(name, "<");
        }
        const bool predicate = !strcmp(type, ".pred"), wide = !predicate && type_bytes(type) == 8;
        struct kernel *k = p->kernel;
        k->registers = (k->registers + 63) & ~63u;
        struct symbol *s =
            symbol_add(p, name, predicate ? SYMBOL_PREDICATE : SYMBOL_REGISTER, k->registers);
        s->wide = wide;
        s->lane_bytes = predicate ? 4 : (type_bytes(type) > 4 ? type_bytes(type) : 4) * LANES;
        k->registers += (uint32_t)count * s->lane_bytes;
    } while (parse_take(p, ','));
    parse_need(p, ';');
}

/* Parses .align 4 .b8 name[128] into the name, the bytes and the alignment; returns false for
 * name[]. */
bool parse_variable(struct parser *p, char *name, size_t size, uint32_t *bytes, uint32_t *align,
                    uint32_t *each)
{
    char type[32];
    bool sized = true;
    *align = 0;
    parse_word(p, type, sizeof type);
    while (!strcmp(type, ".align") || !strcmp(type, ".attribute") || !strcmp(type, ".ptr")) {
        if (!strcmp(type, ".align")) *align = (uint32_t)parse_number(p);
        parse_word(p, type, sizeof type);
    }
    *bytes = *each = type_bytes(type);
    if (!*align) *align = *bytes;
    parse_word(p, name, size);
    while (parse_take(p, '[')) {
        if (parse_take(p, ']')) {
            sized = false;
            break;
        }
        *bytes *= (uint32_t)parse_number(p);
        parse_need(p, ']');
    }
    return sized;
}

uint32_t parse_aligned(uint32_t n, uint32_t align) { return (n + align - 1) / align * align; }

void parse_block_variable(struct parser *p, enum symbol_kind kind, uint32_t *size)
{
    char name[256];
    uint32_t bytes, align, each;
    parse_variable(p, name, sizeof name, &bytes, &align, &each);
    *size = parse_aligned(*size, align);
    symbol_add(p, name, kind, *size + (kind == SYMBOL_LOCAL ? WINDOW_LOCAL : 0));
    *size += bytes;
    parse_need(p, ';');
}

/* Returns a number, or the address of a variable; the address of a function is 0. */
static uint64_t first_value(struct parser *p)
{
    char name[256];
    unsigned member;
    parse_skip(p);
    if (isdigit((unsigned char)*p->at) || *p->at == '-') return parse_number(p);
    parse_word(p, name, sizeof name);
    const bool generic = !strcmp(name, "generic") && parse_take(p, '(');
    if (generic) parse_word(p, name, sizeof name);
    if (generic) parse_need(p, ')');
    const struct symbol *s = symbol_find(p, name, &member);
    return s ? s->value : 0;
}

/* Parses a variable of the module, zeroed or with initial values. */
void parse_global_variable(struct parser *p)
{
    char name[256];
    uint32_t bytes, align, each;
    parse_variable(p, name, sizeof name, &bytes, &align, &each);
    if (!bytes) bytes = 1;
    const uint64_t address = device_alloc(bytes);
    unsigned char *host = address ? device_see(address, bytes) : NULL;
    if (!host) emu_die("no device memory for %s", name);
    memset(host, 0, bytes);
    memset(device_known(address), 1, bytes);
    if (parse_take(p, '=')) {
        uint32_t at = 0;
        const bool braces = parse_take(p, '{');
        do {
            parse_skip(p);
            if (*p->at == '}') break;
            const uint64_t v = first_value(p);
            if (at + each <= bytes) memcpy(host + at, &v, each);
            at += each;
        } while (parse_take(p, ','));
        if (braces) parse_need(p, '}');
    }
    symbol_add(p, name, SYMBOL_GLOBAL, address);
    parse_need(p, ';');
}

void parse_location(struct parser *p)
{
    p->file = (uint32_t)parse_number(p);
    p->file_line = (uint32_t)parse_number(p);
    parse_number(p);
    while (parse_take(p, ',')) { /* function_name NAME+n; inlined_at FILE LINE COLUMN */
        char what[64];
        parse_word(p, what, sizeof what);
        if (!strcmp(what, "function_name")) {
            parse_word(p, what, sizeof what);
            if (parse_take(p, '+')) parse_number(p);
        }
        parse_skip(p);
        if (!strncmp(p->at, "inlined_at", 10)) p->at += 10;
        if (!strcmp(what, "inlined_at") || isdigit((unsigned char)*p->at))
            parse_number(p), parse_number(p), parse_number(p);
        parse_skip(p);
        if (!strncmp(p->at, "inlined_at", 10)) {
            p->at += 10;
            parse_number(p), parse_number(p), parse_number(p);
        }
    }
}

void parse_source_file(struct parser *p)
{
    const uint64_t at = parse_number(p);
    struct module *m = p->module;
    parse_need(p, '"');
    const size_t n = strcspn(p->at, "\"");
    if (at >= m->nfiles) {
        m->files = realloc(m->files, (size_t)(at + 1) * sizeof *m->files);
        if (!m->files) emu_die("out of memory");
        while (m->nfiles <= at) m->files[m->nfiles++] = NULL;
    }
    m->files[at] = strndup(p->at, n);
    p->at += n + 1;
    while (parse_take(p, ',')) parse_number(p);
}
