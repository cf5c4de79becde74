/* SPDX-License-Identifier: Apache-2.0 */
/* Opcodes: the family that executes each opcode, and the suffixes that all families share. */
#include <stdlib.h>
#include <string.h>

#include "group.h"

bool ptx_suffix(const char **p, const char *word)
{
    const size_t n = strlen(word);
    if (**p != '.' || strncmp(*p + 1, word, n) || ((*p)[n + 1] && (*p)[n + 1] != '.')) return false;
    *p += n + 1;
    return true;
}

bool ptx_type(const char **p, struct type *t)
{
    const char *s = *p;
    if (*s != '.' || !strchr("subf", s[1])) return false;
    char *end;
    const unsigned long bits = strtoul(s + 2, &end, 10);
    if (end == s + 2 || (*end && *end != '.') || bits < 8 || bits > 64) return false;
    *t = (struct type){s[1], (uint8_t)bits};
    *p = end;
    return true;
}

static void unknown(struct warp *w, const struct instr *i, uint32_t on)
{
    fault(w, i, __builtin_ctz(on), "the emulator has no instruction %s", i->text);
}

static bool in_family(struct instr *i)
{
    return decode_mbarrier(i) || decode_bulk(i) || decode_wgmma(i) || decode_cluster(i) ||
           decode_half(i) || decode_narrow(i) || decode_integer(i) || decode_call(i) ||
           decode_alu(i) || decode_float(i) || decode_compare(i) || decode_cvt(i) ||
           decode_move(i) || decode_memory(i) || decode_atom_red(i) || decode_warp(i) ||
           decode_matrix(i) || decode_async(i) || decode_flow(i);
}

void ptx_decode(struct instr *i)
{
    if (!in_family(i)) {
        i->run = unknown;
        i->mode = i->count = i->compare = i->combine = 0;
        i->flow = FLOW_NEXT;
        i->gather = GATHER_NONE;
    }
    wgmma_note(i);
}
