/* SPDX-License-Identifier: Apache-2.0 */
/* Searches smaller options by planning a run with each. */
#include "train/fit.h"

/* The reductions of a run beside its options. */
struct smaller {
    int stage; /* of ZeRO, at least */
    enum recompute recompute;
    int64_t rows; /* of a micro-batch */
    int buffers;  /* beside training: 0 as configured, 1 smaller, 2 least */
    int kept;     /* 0 as configured, 1 moments in bf16, 2 no master weights either */
};
enum { BUFFERS = 3 };

struct search {
    const struct trainer_options *o;
    const struct model *m;
    struct mesh *mesh;
    struct device *device;
    const struct trainer_room *room;
    struct trainer_options *out;
};

bool trainer_has_room(const struct plan *p, const struct device *d, const struct trainer_room *room)
{
    if (!d->card) return plan_size(p) <= room->device;
    return p->total <= room->device && p->host <= room->host;
}

/* True if a run with the options s->out can be planned and has the room. */
static bool has_room(const struct search *s)
{
    struct trainer t;
    const bool has = trainer_init(&t, s->m, s->out, s->mesh, s->device, NULL) == 0 &&
                     trainer_has_room(&t.memory.plan, s->device, s->room);
    trainer_close(&t);
    return has;
}

static bool fits(const struct search *s, struct smaller w)
{
    static const size_t staging[BUFFERS] = {SIZE_MAX, (size_t)64 << 20, (size_t)8 << 20};
    struct trainer_options *o = s->out;
    *o = *s->o;
    if (o->zero_stage < w.stage) o->zero_stage = w.stage;
    o->recompute = w.recompute;
    o->tokens = w.rows * o->length;
    if (o->staging > staging[w.buffers]) o->staging = staging[w.buffers];
    if (w.buffers) o->rooms.ahead = 0;
    if (w.kept >= 1) o->optimizer.moments = DT_BF16;
    if (w.kept >= 2) o->optimizer.no_master = true;
    return has_room(s);
}

/* The next smaller micro-batch of which `rows` is a multiple; 0 after 1. */
static int64_t fewer(int64_t rows, int64_t now)
{
    do now--;
    while (now > 0 && rows % now);
    return now;
}

/* Searches settings of this precision and stage of ZeRO; those that cost least time come first. */
static bool fits_at(const struct search *s, int64_t rows, int kept, int stage)
{
    struct smaller w = {.kept = kept, .stage = stage};
    for (; w.buffers < BUFFERS; w.buffers++)
        for (w.rows = rows; w.rows >= 1; w.rows = fewer(rows, w.rows))
            for (w.recompute = s->o->recompute; w.recompute <= RECOMPUTE_FULL; w.recompute++)
                if (fits(s, w)) return true;
    return false;
}

bool trainer_fit(const struct trainer_options *o, int64_t rows, const struct model *m,
                 struct mesh *mesh, struct device *d, const struct trainer_room *room,
                 struct trainer_options *out)
{
    enum { OPTIMIZER = 1, WEIGHTS = 3 }; /* in parts */
    const struct search s = {o, m, mesh, d, room, out};
    const int most = o->compute == DT_BF16 ? 2 : 1;
    const bool many = mesh_replicas(mesh) > 1;
    const struct smaller least = {many ? WEIGHTS : 0, RECOMPUTE_FULL, 1, BUFFERS - 1, most};
    if (!fits(&s, least)) return false;
    for (int kept = 0; kept <= most; kept++)
        if (fits_at(&s, rows, kept, many ? OPTIMIZER : 0) ||
            (many && fits_at(&s, rows, kept, WEIGHTS)))
            return true;
    return false;
}
