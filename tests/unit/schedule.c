/* SPDX-License-Identifier: Apache-2.0 */
/* The schedules of pipelines of all shapes: each stage runs each chunk of each micro-batch once in
 * each direction, what an action needs was sent to it, and ranks that take part in the messages in
 * the order of the walk never wait for one another in a circle. */
#include "model/schedule.h"
#include "test.h"

enum { STAGES = 8, CHUNKS = 4, BATCHES = 20 };

/* The stages of a walk: their inputs and results. The virtual stage of chunk c of stage s is number
 * c * stages + s. */
struct state {
    struct schedule_walk w;
    bool has[2][STAGES * CHUNKS][BATCHES];  /* virtual stages: the input of an action is there */
    bool done[2][STAGES * CHUNKS][BATCHES]; /* the action has run */
    bool sent[2][STAGES * CHUNKS][BATCHES]; /* its result has left */
    int waiting[STAGES], most[STAGES];      /* passes in flight */
    int at[STAGES];                         /* position in the stage's own schedule */
    int messages;
    bool fine;
};

static void need(struct state *s, bool holds) { s->fine &= holds; }
static int parts(const struct state *s) { return s->w.stages * s->w.chunks; }

/* A message from one virtual stage to the next, or back. */
static void deliver(struct state *s, enum action_kind kind, int from, int to, int m)
{
    need(s, from >= 0 && to >= 0 && from < parts(s) && to < parts(s) && s->done[kind][from][m] &&
                !s->sent[kind][from][m] && !s->has[kind][to][m]);
    s->sent[kind][from][m] = s->has[kind][to][m] = true;
    s->messages++;
}

static void exchange(void *arg, int a, int b, const struct action *forward,
                     const struct action *backward)
{
    struct state *s = arg;
    need(s, b == (a + 1) % s->w.stages);
    if (forward) {
        const int to = forward->chunk * s->w.stages + b;
        deliver(s, FORWARD, to - 1, to, forward->micro_batch);
        need(s, (to - 1) % s->w.stages == a);
    }
    if (backward) {
        const int from = backward->chunk * s->w.stages + b;
        deliver(s, BACKWARD, from, from - 1, backward->micro_batch);
        /* the pass that receives it waits */
        need(s, s->done[FORWARD][from - 1][backward->micro_batch]);
    }
}

static void act(void *arg, int stage, const struct action *a)
{
    struct state *s = arg;
    struct action own;
    const struct schedule plain = {stage, s->w.stages, s->w.chunks, s->w.micro_batches,
                                   s->w.forward_only};
    const int k = a->chunk * s->w.stages + stage, m = a->micro_batch;
    const bool first = a->kind == FORWARD ? k == 0 : k + 1 == parts(s);
    need(s, schedule_next(&plain, &s->at[stage], &own) && own.kind == a->kind &&
                own.chunk == a->chunk && own.micro_batch == a->micro_batch);
    need(s, m >= 0 && m < s->w.micro_batches && a->chunk >= 0 && a->chunk < s->w.chunks);
    need(s, !s->done[a->kind][k][m] && (first || s->w.stages == 1 || s->has[a->kind][k][m]));
    need(s, a->kind == FORWARD || s->done[FORWARD][k][m]);
    /* In forward passes alone the one pass of a stage has no result that has not left. */
    for (int c = 0; s->w.forward_only && s->w.stages > 1 && c < s->w.chunks; c++)
        for (int i = 0; i < s->w.micro_batches; i++)
            need(s, !s->done[FORWARD][c * s->w.stages + stage][i] ||
                        c * s->w.stages + stage + 1 == parts(s) ||
                        s->sent[FORWARD][c * s->w.stages + stage][i]);
    s->done[a->kind][k][m] = true;
    s->waiting[stage] += a->kind == FORWARD ? 1 : -1;
    if (s->waiting[stage] > s->most[stage]) s->most[stage] = s->waiting[stage];
}

static bool whole(const struct state *s)
{
    const int directions = s->w.forward_only ? 1 : 2, all = parts(s) * s->w.micro_batches;
    int done = 0;
    for (int kind = 0; kind < 2; kind++)
        for (int k = 0; k < parts(s); k++)
            for (int m = 0; m < s->w.micro_batches; m++) done += s->done[kind][k][m];
    const int between = s->w.stages > 1 ? directions * (parts(s) - 1) * s->w.micro_batches : 0;
    return s->fine && done == directions * all && s->messages == between;
}

static bool passes(const struct state *s)
{
    bool fine = true;
    for (int i = 0; i < s->w.stages && !s->w.forward_only; i++) {
        const int limit = schedule_passes(i, s->w.stages, s->w.chunks);
        const int all = s->w.chunks * s->w.micro_batches;
        const bool many = s->w.micro_batches >= 2 * s->w.stages * (s->w.chunks > 1 ? 2 : 1);
        fine &= s->most[i] <= limit && s->most[i] <= all && (!many || s->most[i] == limit);
    }
    return fine;
}

static bool walk(struct state *s, int stages, int chunks, int micro_batches, bool forward_only)
{
    struct schedule_place place[STAGES];
    memset(s, 0, sizeof *s);
    s->fine = true;
    s->w = (struct schedule_walk){stages, chunks, micro_batches, forward_only, act, exchange, s};
    return schedule_walk(&s->w, place);
}

/* The actions of one stage as text: "F0.1" is chunk 0 of micro-batch 1, forward. */
static bool reads(const struct schedule *s, const char *want)
{
    char text[256] = "";
    struct action a;
    for (int at = 0; schedule_next(s, &at, &a);)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%c%d.%d", *text ? " " : "",
                 a.kind == FORWARD ? 'F' : 'B', a.chunk, a.micro_batch);
    if (strcmp(text, want)) printf("# %s\n", text);
    return strcmp(text, want) == 0;
}

int main(void)
{
    static struct state s;
    bool ends = true, fine = true, exact = true;
    for (int stages = 1; stages <= STAGES; stages++)
        for (int chunks = 1; chunks <= CHUNKS; chunks++)
            for (int n = 0; n <= BATCHES; n++)
                for (int only = 0; only < 2; only++) {
                    const bool ended = walk(&s, stages, chunks, n, only);
                    if (!ended || !whole(&s) || !passes(&s))
                        printf("# %d stages, %d chunks, %d micro-batches%s\n", stages, chunks, n,
                               only ? ", forward" : "");
                    ends &= ended;
                    fine &= whole(&s);
                    exact &= passes(&s);
                }
    CHECK("schedule: no stage waits for ever", ends);
    CHECK("schedule: each action once, after its input was sent, and each message once", fine);
    CHECK("schedule: as many passes wait as are planned, and no more", exact);
    CHECK("schedule: one stage runs backward after each forward",
          reads(&(struct schedule){.micro_batches = 2}, "F0.0 B0.0 F0.1 B0.1"));
    CHECK("schedule: 1F1B of the first of two stages",
          reads(&(struct schedule){0, 2, 1, 3, false}, "F0.0 F0.1 B0.0 F0.2 B0.1 B0.2"));
    CHECK("schedule: two chunks of the last of two stages",
          reads(&(struct schedule){1, 2, 2, 4, false},
                "F0.0 F0.1 F1.0 B1.0 F1.1 B1.1 F0.2 B0.0 F0.3 B0.1 F1.2 B1.2 F1.3 B1.3 B0.2 B0.3"));
    CHECK("schedule: an odd micro-batch leaves its group's place empty",
          reads(&(struct schedule){1, 2, 2, 3, false},
                "F0.0 F0.1 F1.0 B1.0 F1.1 B1.1 F0.2 B0.0 B0.1 F1.2 B1.2 B0.2"));
    TEST_END();
}
