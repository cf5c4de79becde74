/* SPDX-License-Identifier: Apache-2.0 */
/* The schedule of a stage, and its messages. */
#include "train/pipeline.h"

#include "parallel/collect.h"

enum { NOBODY = -1 };

/* A run of the schedule over one step. */
struct course {
    struct pipeline *p;
    const struct feed_step *step;
    int last; /* index of the last micro-batch */
    bool forward_only;
    double scale;
    const struct pipeline_watch *watch;
    struct pass *ran; /* the pass of this stage's last action */
    bool joins;       /* the next action needs a message that is queued */
};
/* The memory that one end of a message reads or writes. */
struct message {
    void *data;
    size_t bytes;
    int peer;     /* stage at the other end, or NOBODY */
    double *load; /* of experts, sent behind it; see stage_load_bytes */
    size_t load_bytes;
};

void pipeline_init(struct pipeline *p, struct stage *s, const struct batch *b, const struct mesh *m)
{
    *p = (struct pipeline){.stage = s,
                           .batch = b,
                           .pp = mesh_group(m, MESH_PP),
                           .at = m->at[MESH_PP],
                           .stages = m->size[MESH_PP],
                           .chunks = m->chunks};
    if (m->experts == 1) return;
    p->first = mesh_expert_rows(m, &p->peers);
    p->peers -= p->first;
}

void pipeline_plan(struct pipeline *p, struct plan *plan)
{
    const size_t places = (size_t)p->stages * sizeof *p->place;
    const size_t rows = (size_t)p->chunks * sizeof *p->row;
    plan_add_host(plan, PLAN_DATA, "pipeline", places, (void **)&p->place);
    plan_add_host(plan, PLAN_DATA, "pipeline", rows, (void **)&p->row);
    if (p->peers > 0)
        plan_add_host(plan, PLAN_DATA, "pipeline", rows * (size_t)p->peers, (void **)&p->peer);
}

size_t pipeline_message(const struct pipeline *p)
{
    const struct weights *w = p->stage->w;
    if (!p->pp) return 0;
    const size_t load = stage_load_bytes(p->stage, 1);
    const size_t stream =
        (size_t)(stage_rows(p->stage, p->stage->o.tokens) * w->m.hidden) * dtype_size(w->accum);
    return load > stream ? load : stream;
}

/* ---- messages ---- */
/* An empty micro-batch has no message. */
static struct message message_of(const struct course *c, const struct pass *pass, void *data,
                                 enum dtype t, double *load, int peer)
{
    struct stage *s = c->p->stage;
    const size_t bytes = (size_t)(stage_rows(s, pass->b.T) * s->w->m.hidden) * dtype_size(t);
    return (struct message){.data = data,
                            .bytes = bytes,
                            .peer = bytes ? peer : NOBODY,
                            .load = load,
                            .load_bytes = c->forward_only ? 0 : stage_load_bytes(s, pass->b.T)};
}

/* Returns the message of the load, which follows m. */
static struct message load_of(const struct message *m)
{
    return (struct message){
        .data = m->load, .bytes = m->load_bytes, .peer = m->load_bytes ? m->peer : NOBODY};
}

static void transfer(const struct pipeline *p, const struct message *out, const struct message *in)
{
    if (out->peer == NOBODY && in->peer == NOBODY) return;
    collect_send_receive(p->stage->w->device, p->pp, out->data, out->bytes, out->peer, in->data,
                         in->bytes, in->peer);
}

/* Returns the most tokens that a rank has in this micro-batch, of those that share out the experts;
 * 0: this rank has all experts. All these ranks read the same step. */
static int64_t most_tokens(struct course *c, const struct action *a)
{
    struct pipeline *p = c->p;
    struct batch other = *p->batch;
    int64_t most = 0, tokens;
    for (int i = 0; i < p->peers; i++) {
        size_t *row = &p->peer[a->chunk * p->peers + i];
        if (a->micro_batch == 0) *row = 0;
        other.rank = (uint32_t)(p->first + i);
        *row = batch_skip(&other, c->step, *row, &tokens);
        if (tokens > most) most = tokens;
    }
    return most;
}

/* Takes the next micro-batch with tokens of a chunk; an empty one if there is none. */
static struct pass *take(struct course *c, const struct action *a)
{
    struct pipeline *p = c->p;
    struct pass *pass = stage_claim(p->stage, a->chunk, a->micro_batch);
    size_t *row = &p->row[a->chunk];
    if (a->micro_batch == 0) *row = 0;
    stage_refill(p->stage, pass);
    do {
        *row = batch_take(p->batch, c->step, *row, &pass->b);
    } while (pass->b.all == 0 && *row < c->step->nrows);
    pass->b.peers = most_tokens(c, a);
    if (c->watch && a->chunk == 0 && pass->b.all > 0) c->watch->took(c->watch->arg, &pass->b);
    return pass;
}

/* Returns the residual stream that the stage before `to` sends with this forward action of `to`.
 * Going to the first stage it enters the next chunk. */
static struct message stream(struct course *c, const struct action *to, int stage, int peer)
{
    struct pipeline *p = c->p;
    struct pass *pass;
    const bool receives = p->at == stage;
    if (receives)
        pass = take(c, to);
    else
        pass = stage_pass(p->stage, to->chunk - (stage == 0), to->micro_batch);
    c->joins |= receives;
    return message_of(c, pass, receives ? stage_input(p->stage, pass) : stage_output(pass),
                      p->stage->w->accum, pass->load, peer);
}

/* Returns the gradient that a backward action of `stage` has made for the stage before it. */
static struct message gradient(struct course *c, const struct action *from, int stage, int peer)
{
    struct pipeline *p = c->p;
    struct pass *pass = c->ran;
    if (p->at != stage) {
        pass = stage_pass(p->stage, from->chunk - (stage == 0), from->micro_batch);
        c->joins = true;
    }
    return message_of(c, pass, stage_gradient(pass), p->stage->w->compute, pass->pool, peer);
}

/* Exchanges what comes between two stages, of which this may be one: a sends the stream that b
 * needs, and b a gradient. One call does both, so neither side waits for the other to receive
 * first. */
static void exchange(void *arg, int a, int b, const struct action *forward,
                     const struct action *backward)
{
    struct course *c = arg;
    const struct pipeline *p = c->p;
    struct message down = {.peer = NOBODY}, up = down;
    if (p->at != a && p->at != b) return;
    const int peer = p->at == a ? b : a;
    if (backward) up = gradient(c, backward, b, peer);
    if (forward) down = stream(c, forward, b, peer);
    const struct message *out = p->at == a ? &down : &up, *in = p->at == a ? &up : &down;
    const struct message out_load = load_of(out), in_load = load_of(in);
    transfer(p, out, in);
    transfer(p, &out_load, &in_load);
    /* A stage that runs forward alone uses the pass again before it hears of the message. */
    if (c->forward_only) c->joins = true;
}

/* ---- actions ---- */
static struct pass *forward(struct course *c, const struct action *a)
{
    struct stage *s = c->p->stage;
    struct pass *pass =
        s->chunk[a->chunk].embedding ? take(c, a) : stage_pass(s, a->chunk, a->micro_batch);
    if (!micro_batch_empty(&pass->b)) stage_upload(s, pass);
    stage_forward(s, pass);
    if (c->forward_only && pass->at->head) stage_loss(s, pass);
    return pass;
}

/* Runs the backward pass. Its activations are not read again; the gradient is, until it is sent. */
static struct pass *backward(struct course *c, const struct action *a)
{
    struct stage *s = c->p->stage;
    struct pass *pass = stage_pass(s, a->chunk, a->micro_batch);
    const struct pipeline_watch *w = c->watch;
    stage_backward(s, pass, c->scale, a->micro_batch == c->last && w ? w->done : NULL);
    stage_release(pass);
    return pass;
}

/* Without backward passes a stage needs two passes: one whose result is sent, and the next one. The
 * last result goes nowhere, so that one is enough for a stage that has nothing else. The next
 * action may take its pass at once, which is old no more then. */
static void release_old(struct course *c, struct pass *old)
{
    if (!c->forward_only) return;
    if (old) stage_release(old);
    if (!c->ran->at->head) return;
    stage_release(c->ran);
    c->ran = NULL;
}

static void act(void *arg, int stage, const struct action *a)
{
    struct course *c = arg;
    struct pass *const old = c->ran;
    const struct pipeline *p = c->p;
    const struct pipeline_watch *w = c->watch;
    if (p->at != stage) return;
    if (c->joins) collect_join(p->stage->w->device, p->pp);
    c->joins = false;
    if (w) span_begin(w->spans, a->kind == FORWARD ? w->forward : w->backward);
    c->ran = a->kind == FORWARD ? forward(c, a) : backward(c, a);
    if (w) span_end(w->spans);
    release_old(c, old);
}

/* Walks through the actions and messages of all stages, and takes part in those of this one. A
 * stage writes to the result of a pass again only after it has received the gradient of that
 * result, and so after the send. */
static void run(struct course *c, int micro_batches)
{
    struct pipeline *p = c->p;
    const struct schedule_walk walk = {.stages = p->stages,
                                       .chunks = p->chunks,
                                       .micro_batches = micro_batches,
                                       .forward_only = c->forward_only,
                                       .act = act,
                                       .exchange = exchange,
                                       .arg = c};
    c->last = micro_batches - 1;
    c->ran = NULL;
    schedule_walk(&walk, p->place);
    if (c->ran) stage_release(c->ran);
    /* The memory of the passes has other uses after the step, so the last message leaves it now. */
    collect_join(p->stage->w->device, p->pp);
}

void pipeline_train(struct pipeline *p, const struct feed_step *s, int micro_batches, double scale,
                    const struct pipeline_watch *w)
{
    struct course c = {.p = p, .step = s, .scale = scale, .watch = w};
    run(&c, micro_batches);
}

void pipeline_validate(struct pipeline *p, const struct feed_step *s, int micro_batches)
{
    struct course c = {.p = p, .step = s, .forward_only = true};
    struct device *d = p->stage->w->device;
    run(&c, micro_batches);
    /* The next stage may wait for the last message on its host, so send it before this host waits
     * for that rank. */
    if (p->stages > 1 && d->ops->wait) d->ops->wait(d, QUEUE_COMPUTE);
}
