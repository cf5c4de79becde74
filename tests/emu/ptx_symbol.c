/* SPDX-License-Identifier: Apache-2.0 */
/* Names of PTX, operands and instructions. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ptx_parse_impl.h"

struct symbol *symbol_add(struct parser *p, const char *name, enum symbol_kind kind, uint64_t value)
{
    p->symbols = parse_grow(p->symbols, p->nsymbols, &p->cap, sizeof *p->symbols);
    struct symbol *s = &p->symbols[p->nsymbols++];
    *s = (struct symbol){.name = strdup(name), .kind = kind, .value = value};
    return s;
}

/* Finds a symbol. Registers %r<n> are one symbol; the digits after the name select a member. */
struct symbol *symbol_find(struct parser *p, const char *name, unsigned *member)
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

void symbol_forget(struct parser *p, int to)
{
    while (p->nsymbols > to) free(p->symbols[--p->nsymbols].name);
}

/* ---- operands ---- */
static struct constant *constant(uint64_t v)
{
    struct constant *c = parse_zeroed(sizeof *c);
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
               {"%cluster_ctarank", SPECIAL_CLUSTER_RANK},
               {"%cluster_nctarank", SPECIAL_CLUSTER_RANKS},
               {"%cluster_ctaid", SPECIAL_CLUSTER_CTAID},
               {"%cluster_nctaid", SPECIAL_CLUSTER_NCTAID},
               {"%clusterid", SPECIAL_CLUSTERID},
               {"%nclusterid", SPECIAL_NCLUSTERID},
               {"%is_explicit_cluster", SPECIAL_CLUSTER_EXPLICIT},
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
    p->fixups = parse_grow(p->fixups, p->nfixups, &p->fixups_cap, sizeof *p->fixups);
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
    struct symbol *s = symbol_find(p, name, &member);
    if (!s) { /* a label defined later */
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
        if (s->value > p->kernel->shared_align) p->kernel->shared_align = (uint32_t)s->value;
        break;
    default:
        o->constant = constant(s->value);
        o->wide = true;
    }
}

static void one_operand(struct parser *p, struct operand *o)
{
    char name[256];
    parse_skip(p);
    *o = (struct operand){0};
    if (parse_take(p, '!')) o->negated = true;
    parse_skip(p);
    if (isdigit((unsigned char)*p->at) || *p->at == '-') {
        o->constant = constant(parse_number(p));
        o->wide = true;
        return;
    }
    parse_word(p, name, sizeof name);
    if (!*name) parse_fail(p, "an operand is missing");
    named(p, name, o);
    if (parse_take(p, '+')) o->offset = (int64_t)parse_number(p);
}

static struct operand *add_operand(struct instr *i, int *n)
{
    i->op = realloc(i->op, (size_t)(*n + 1) * sizeof *i->op);
    if (!i->op) emu_die("out of memory");
    return &i->op[(*n)++];
}

/* Parses {a, b}, [a+8] or [a, b], p|q, or one operand. */
static void operand_group(struct parser *p, struct instr *i, int *n)
{
    const bool braces = parse_take(p, '{'), brackets = !braces && parse_take(p, '['),
               parentheses = !braces && !brackets && parse_take(p, '(');
    const char separator = braces || brackets || parentheses ? ',' : '|';
    if (parentheses && parse_take(p, ')')) return;
    do {
        struct operand o;
        if (brackets && parse_take(p, '{')) {
            do one_operand(p, &o), *add_operand(i, n) = o;
            while (parse_take(p, ','));
            parse_need(p, '}');
            continue;
        }
        one_operand(p, &o);
        *add_operand(i, n) = o;
    } while (parse_take(p, separator));
    if (braces) parse_need(p, '}');
    if (brackets) parse_need(p, ']');
    if (parentheses) parse_need(p, ')');
}

/* Appends a branch to a label, or if that is NULL to an instruction. */
void parse_branch(struct parser *p, const char *label, int target)
{
    struct kernel *k = p->kernel;
    struct operand o = {0};
    k->code = parse_grow(k->code, k->count, &k->cap, sizeof *k->code);
    struct instr *i = &k->code[k->count];
    *i = (struct instr){.guard_slot = -1, .target = target, .file = p->file, .line = p->file_line};
    i->text = strdup("bra");
    ptx_decode(i);
    if (label) named(p, label, &o);
    k->count++;
}

/* Returns the logarithm of the bytes that an instruction's accesses to shared memory are multiples
 * of, at most 2. */
static uint8_t grain_of(const struct instr *i)
{
    const bool ordinary = !strncmp(i->text, "ld", 2) || !strncmp(i->text, "st.", 3) ||
                          !strncmp(i->text, "atom.", 5) || !strncmp(i->text, "red.", 4);
    if (!strncmp(i->text, "call", 4)) return 0; /* the function may access bytes */
    if (!ordinary || (i->space != SPACE_SHARED && i->space != SPACE_GENERIC)) return 2;
    return i->type.bits == 8 ? 0 : i->type.bits == 16 ? 1 : 2;
}

void parse_instruction(struct parser *p)
{
    struct kernel *k = p->kernel;
    char name[256];
    int n = 0;
    parse_skip(p);
    k->code = parse_grow(k->code, k->count, &k->cap, sizeof *k->code);
    struct instr *i = &k->code[k->count];
    *i = (struct instr){.guard_slot = -1, .target = -1, .file = p->file, .line = p->file_line};
    if (parse_take(p, '@')) {
        struct operand o;
        one_operand(p, &o);
        if (!o.predicate) parse_fail(p, "the guard is no predicate");
        i->guard_slot = (int)o.slot;
        i->guard_not = o.negated;
    }
    parse_word(p, name, sizeof name);
    if (!*name) parse_fail(p, "an instruction is missing");
    parse_skip(p);
    while (*p->at != ';') {
        if (i->groups == GROUPS) parse_fail(p, "an instruction with too many operands");
        i->first[i->groups++] = (uint8_t)n;
        parse_skip(p);
        if (i->groups == 1 && *p->at == '(') i->returns = true;
        operand_group(p, i, &n);
        i->first[i->groups] = (uint8_t)n;
        if (!parse_take(p, ',')) break;
    }
    parse_need(p, ';');
    i->text = strdup(name);
    ptx_decode(i);
    if (!strncmp(name, "wgmma.", 6) || strstr(name, "async.bulk") || strstr(name, "proxy.async"))
        k->async = true;
    if (grain_of(i) < k->grain) k->grain = grain_of(i);
    k->count++;
}
