/* SPDX-License-Identifier: Apache-2.0 */
/* The 1F1B schedule in closed form. */
#include "model/schedule.h"

int schedule_passes(int stage, int stages) { return stages > stage ? stages - stage : 1; }

/* Returns the number of forward passes before the first forward-backward pair. */
static int warm_up(const struct schedule *s)
{
    const int ahead = schedule_passes(s->stage, s->stages) - 1;
    return ahead < s->micro_batches ? ahead : s->micro_batches;
}

int schedule_length(const struct schedule *s)
{
    return s->forward_only ? s->micro_batches : 2 * s->micro_batches;
}

struct action schedule_action(const struct schedule *s, int i)
{
    const int passes = s->forward_only ? 1 : schedule_passes(s->stage, s->stages);
    const int warm = warm_up(s), steady = 2 * (s->micro_batches - warm), k = i - warm;
    struct action a = {.kind = FORWARD, .micro_batch = i};
    if (!s->forward_only && k >= 0) {
        const bool drain = k >= steady;
        a.kind = drain || k % 2 ? BACKWARD : FORWARD;
        a.micro_batch = drain ? i - s->micro_batches : a.kind == FORWARD ? warm + k / 2 : k / 2;
    }
    a.pass = a.micro_batch % passes;
    return a;
}
