/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a warp. The lanes with the lowest program counter run together, so that diverged lanes
 * reconverge. */
#include <string.h>

#include "group.h"

/* ---- opcodes of flow ---- */
static void nothing(struct warp *w, const struct instr *i, uint32_t on)
{
    (void)w, (void)i, (void)on;
}
static void trap(struct warp *w, const struct instr *i, uint32_t on)
{
    fault(w, i, __builtin_ctz(on), "the kernel stops itself");
}

bool decode_flow(struct instr *i)
{
    const char *t = i->text;
    i->run = nothing;
    if (!strcmp(t, "bra") || !strcmp(t, "bra.uni")) return i->flow = FLOW_BRANCH, true;
    if (!strcmp(t, "brx.idx") || !strcmp(t, "brx.idx.uni")) return i->flow = FLOW_INDEXED, true;
    if (!strcmp(t, "ret") || !strcmp(t, "exit") || !strcmp(t, "ret.uni"))
        return i->flow = FLOW_EXIT, true;
    if (decode_barrier(i)) return true;
    i->flow = FLOW_NEXT;
    if (!strcmp(t, "trap")) return i->run = trap, true;
    return !strncmp(t, "membar", 6) || !strncmp(t, "fence", 5) || !strncmp(t, "prefetch", 8) ||
           !strncmp(t, "griddepcontrol", 14) || !strcmp(t, "nanosleep.u32") || !strcmp(t, "brkpt");
}

/* Jumps into the table of branches at the label, the first of which leads past it. */
static void branch_indexed(struct warp *w, const struct instr *i, uint32_t on)
{
    const uint32_t *x = narrow(w, operand(i, 0));
    const int table = i->target, n = w->kernel->code[table].target - table - 1;
    EACH_LANE(on, if (x[l] >= (uint32_t)n) fault(w, i, l, "branches to %u of %d", x[l], n);
              w->pc[l] = table + 1 + (int)x[l];);
}

/* ---- a warp ---- */
/* Returns the lanes that an instruction needs in addition to those present; 0: none. */
static uint32_t missing(struct warp *w, const struct instr *i, uint32_t on)
{
    uint32_t need = w->threads;
    if (i->gather == GATHER_NONE) return 0;
    if (i->gather == GATHER_MASK) {
        need = (uint32_t)lane_get(w, operand(i, i->mask), __builtin_ctz(on));
        if (on & ~need)
            fault(w, i, __builtin_ctz(on & ~need), "executes it and is not in its mask %#x", need);
        need &= w->threads;
    }
    return need & ~on;
}

void warp_stall(struct warp *w, const struct instr *i, bool again)
{
    const struct group *g = w->block->group;
    w->stalls = w->stalled_at == g->changes ? w->stalls + 1 : 1;
    w->stalled_at = g->changes;
    w->waits = i;
    w->yield = true;
    w->again = again;
}

/* Runs lanes until they end, wait or reconverge; returns false if no lane can run. */
bool warp_run(struct warp *w, int *budget)
{
    const struct instr *code = w->kernel->code;
    const int count = w->kernel->count;
    const bool async = w->kernel->async;
    uint32_t ready = w->live & ~w->parked & ~w->blocked, on = 0;
    bool alone = false; /* no other lane can reach the parked lanes */
    if (!ready && w->parked) {
        ready = w->parked;
        w->parked = 0;
        alone = true;
    }
    if (!ready) return false;
    int pc = INT32_MAX, next = INT32_MAX;
    EACH_LANE(ready, if (w->pc[l] < pc) pc = w->pc[l];);
    EACH_LANE(ready, if (w->pc[l] == pc) on |= 1u << l; else if (w->pc[l] < next) next = w->pc[l];);
    while (on && pc < next && (*budget)-- > 0) {
        if (pc >= count) emu_die("%s runs over its end", w->kernel->name);
        const struct instr *i = &code[pc];
        uint32_t act = on;
        if (i->guard_slot >= 0) {
            const uint32_t p = *(const uint32_t *)(const void *)(w->registers + i->guard_slot);
            act &= i->guard_not ? ~p : p;
        }
        if (act && i->gather != GATHER_NONE) {
            const uint32_t gone = missing(w, i, act);
            if (gone & w->live && !alone) {
                w->parked |= act;
                EACH_LANE(act, w->pc[l] = pc;);
                on &= ~act;
                pc++;
                break;
            }
            if (gone)
                fault(w, i, __builtin_ctz(gone), "lanes %#x of the warp do not execute it", gone);
        }
        alone = false;
        if (i->flow == FLOW_NEXT) {
            if (act && async && (i->writes || w->products)) wgmma_registers(w, i, act);
            if (act) i->run(w, i, act);
            if (w->yield) {
                w->yield = false;
                *budget = 0;
                pc += !w->again;
                w->again = false;
                break;
            }
            pc++;
        } else if (i->flow == FLOW_BRANCH) {
            const uint32_t rest = on & ~act;
            if (act && rest) {
                EACH_LANE(act, w->pc[l] = i->target;);
                EACH_LANE(rest, w->pc[l] = pc + 1;);
                return true;
            }
            pc = act ? i->target : pc + 1;
        } else if (i->flow == FLOW_INDEXED) {
            const uint32_t rest = on & ~act;
            EACH_LANE(rest, w->pc[l] = pc + 1;);
            branch_indexed(w, i, act);
            return true;
        } else if (i->flow == FLOW_EXIT) {
            w->live &= ~act;
            w->block->group->changes++;
            on &= ~act;
            pc++;
            if (!w->depth) barrier_settle(w->block);
        } else {
            pc++;
            EACH_LANE(on, w->pc[l] = pc;);
            if (act) barrier_arrive(w, i, act);
            return true;
        }
    }
    EACH_LANE(on, w->pc[l] = pc;);
    return true;
}
