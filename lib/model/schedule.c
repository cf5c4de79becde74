/* SPDX-License-Identifier: Apache-2.0 */
/* The schedules of a stage, in closed form. */
#include "model/schedule.h"

static int at_least_one(int n) { return n > 1 ? n : 1; }
static int least(int a, int b) { return a < b ? a : b; }

/* Returns the number of forward passes before the first forward-backward pair, if there are enough
 * of them. Several chunks: all but the last chunk of one group, and two more for each stage that
 * the first gradient still has to pass. */
static int warm_up(int stage, int stages, int chunks)
{
    const int after = stages > stage ? stages - stage - 1 : 0;
    return chunks > 1 ? 2 * after + (chunks - 1) * stages : after;
}

int schedule_passes(int stage, int stages, int chunks)
{
    return warm_up(stage, at_least_one(stages), at_least_one(chunks)) + 1;
}

/* Returns the number of passes in one direction, those of empty micro-batches included. */
static int passes_of(const struct schedule *s)
{
    const int stages = at_least_one(s->stages), chunks = at_least_one(s->chunks);
    return (s->micro_batches + stages - 1) / stages * stages * chunks;
}

/* Returns the action that is number n of its kind. */
static struct action numbered(const struct schedule *s, enum action_kind kind, int n)
{
    const int stages = at_least_one(s->stages), chunks = at_least_one(s->chunks);
    const int group = n / (stages * chunks), chunk = n / stages % chunks;
    return (struct action){.kind = kind,
                           .chunk = kind == FORWARD ? chunk : chunks - 1 - chunk,
                           .micro_batch = group * stages + n % stages};
}

static struct action action_at(const struct schedule *s, int i)
{
    const int all = passes_of(s);
    const int warm =
        least(warm_up(s->stage, at_least_one(s->stages), at_least_one(s->chunks)), all);
    const int k = i - warm;
    if (s->forward_only || k < 0) return numbered(s, FORWARD, i);
    if (k >= 2 * (all - warm)) return numbered(s, BACKWARD, i - all);
    return k % 2 ? numbered(s, BACKWARD, k / 2) : numbered(s, FORWARD, warm + k / 2);
}

bool schedule_next(const struct schedule *s, int *at, struct action *a)
{
    const int end = s->forward_only ? passes_of(s) : 2 * passes_of(s);
    while (*at < end) {
        *a = action_at(s, (*at)++);
        if (a->micro_batch < s->micro_batches) return true;
    }
    return false;
}
