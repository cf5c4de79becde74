/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of functions. A function runs to its end within the call, for the lanes that call it; its
 * parameters and results lie in local memory. */
#include <stdlib.h>
#include <string.h>

#include "emu.h"

enum { DEPTH_MOST = 64 };

static struct kernel *function_at(struct warp *w, const struct instr *i, int lane, uint64_t address)
{
    for (struct kernel *f = w->kernel->module->functions; f; f = f->next)
        if (f->address == address) {
            if (!f->count) fault(w, i, lane, "calls %s, which has no body", f->name);
            return f;
        }
    fault(w, i, lane, "calls %#llx, which is no function", (unsigned long long)address);
}

/* Copies a parameter of a lane between the local memory of caller and function. */
static void copy(struct warp *w, const struct instr *i, int lane, struct param at,
                 const struct operand *o, unsigned char *frame, bool back)
{
    if (!o->constant) fault(w, i, lane, "a parameter that is not in local memory");
    const uint64_t address = o->constant->wide[0] - WINDOW_LOCAL;
    if (address > w->kernel->local || at.size > w->kernel->local - address)
        fault(w, i, lane, "a parameter of %u bytes, of which the caller has fewer", at.size);
    unsigned char *mine = w->local + (size_t)lane * w->kernel->local + address;
    if (back)
        memcpy(mine, frame + at.offset, at.size);
    else
        memcpy(frame + at.offset, mine, at.size);
}

static void copy_all(struct warp *w, const struct instr *i, uint32_t on, const struct kernel *f,
                     unsigned char *local, bool back)
{
    const int returns = f->result.size != 0;
    for (int l = 0; l < LANES; l++) {
        if (!(on >> l & 1)) continue;
        unsigned char *frame = local + (size_t)l * f->local;
        if (back && returns) copy(w, i, l, f->result, operand(i, 0), frame, true);
        for (int k = 0; !back && k < f->nparams; k++)
            copy(w, i, l, f->param[k], operand(i, returns + 1) + k, frame, false);
    }
}

/* Runs a function for some lanes, as if the warp had only these. */
static void run(struct warp *w, const struct instr *i, uint32_t on, const struct kernel *f)
{
    const struct warp caller = *w;
    unsigned char *registers = aligned_alloc(64, (f->registers + 64) & ~63u),
                  *local = calloc(LANES, f->local + 1);
    if (!registers || !local) emu_die("out of memory");
    if (w->depth == DEPTH_MOST) fault(w, i, __builtin_ctz(on), "calls that are too deep");
    copy_all(w, i, on, f, local, false);
    w->kernel = f, w->registers = registers, w->local = local;
    w->live = on, w->parked = 0;
    w->depth++;
    memset(w->pc, 0, sizeof w->pc);
    int budget = 1 << 10;
    while (w->live && warp_run(w, &budget)) budget = 1 << 10;
    if (w->live) fault(w, i, __builtin_ctz(on), "%s waits in a function", f->name);
    w->kernel = caller.kernel, w->registers = caller.registers, w->local = caller.local;
    w->live = caller.live, w->parked = caller.parked, w->depth = caller.depth;
    memcpy(w->pc, caller.pc, sizeof w->pc);
    copy_all(w, i, on, f, local, true);
    free(registers), free(local);
}

/* Operands (result), function, (parameters); lanes may call different functions. */
static void call(struct warp *w, const struct instr *i, uint32_t on)
{
    const struct operand *o = operand(i, i->mode);
    while (on) {
        const int first = __builtin_ctz(on);
        const uint64_t address = lane_get(w, o, first);
        uint32_t same = 0;
        EACH_LANE(on, if (lane_get(w, o, l) == address) same |= 1u << l;);
        run(w, i, same, function_at(w, i, first, address));
        on &= ~same;
    }
}

bool decode_call(struct instr *i)
{
    if (strcmp(i->text, "call") && strcmp(i->text, "call.uni")) return false;
    i->mode = i->returns;
    i->run = call;
    return i->groups > i->mode;
}
