/* SPDX-License-Identifier: Apache-2.0 */
/* The schedule of a stage, and its messages. */
#include "train/pipeline.h"

#include "model/schedule.h"
#include "parallel/collect.h"

enum { NOBODY = -1 };

/* A run of the schedule over one step. */
struct course {
    struct pipeline *p;
    const struct feed_step *step;
    size_t row; /* the row of the step at which the next micro-batch begins */
    int last;   /* index of the last micro-batch */
    bool forward_only;
    double scale;
    const struct pipeline_watch *watch;
};
/* The memory that one end of a message reads or writes. */
struct message {
    void *data;
    size_t bytes;
    int peer; /* stage at the other end, or NOBODY */
};

void pipeline_init(struct pipeline *p, struct stage *s, const struct batch *b, const struct mesh *m)
{
    *p = (struct pipeline){.stage = s,
                           .batch = b,
                           .pp = mesh_group(m, MESH_PP),
                           .at = m->at[MESH_PP],
                           .stages = m->size[MESH_PP]};
}

size_t pipeline_message(const struct pipeline *p)
{
    const struct weights *w = p->stage->w;
    if (!p->pp) return 0;
    return (size_t)(stage_rows(p->stage, p->stage->o.tokens) * w->m.hidden) * dtype_size(w->accum);
}

/* ---- messages ---- */
static int behind(const struct pipeline *p) { return p->at + 1 < p->stages ? p->at + 1 : NOBODY; }

/* An empty micro-batch has no message. */
static struct message message_of(void *data, size_t bytes, int peer)
{
    return (struct message){data, bytes, bytes ? peer : NOBODY};
}

static size_t stream_bytes(const struct pipeline *p, const struct pass *pass, enum dtype t)
{
    return (size_t)(stage_rows(p->stage, pass->b.T) * p->stage->w->m.hidden) * dtype_size(t);
}

/* Returns the input that an action receives from another stage, once its pass has the micro-batch.
 */
static struct message input_of(const struct pipeline *p, const struct action *a)
{
    struct pass *pass = &p->stage->pass[a->pass];
    const struct weights *w = p->stage->w;
    if (a->kind == FORWARD)
        return message_of(stage_input(p->stage, pass), stream_bytes(p, pass, w->accum), p->at - 1);
    return message_of(stage_gradient(pass), stream_bytes(p, pass, w->compute), behind(p));
}

/* Returns the result of a completed action that goes to another stage. */
static struct message result_of(const struct pipeline *p, const struct action *a)
{
    struct pass *pass = &p->stage->pass[a->pass];
    const struct weights *w = p->stage->w;
    if (a->kind == FORWARD)
        return message_of(stage_output(pass), stream_bytes(p, pass, w->accum), behind(p));
    return message_of(stage_gradient(pass), stream_bytes(p, pass, w->compute), p->at - 1);
}

static void transfer(const struct pipeline *p, const struct message *out, const struct message *in)
{
    collect_send_receive(p->stage->w->device, p->pp, out->data, out->bytes, out->peer, in->data,
                         in->bytes, in->peer);
}

/* Exchanges messages between two actions: sends the result of the first and receives the input of
 * the second. If both are for the same stage, one call does both, so neither side waits for the
 * other to receive first; else the stage sends and then receives. This is Megatron-LM's order of
 * 1F1B: both sides of a boundary have the messages in the same order, so there is no deadlock.
 * wait: the device also waits for the message that is sent. */
static void exchange(const struct pipeline *p, const struct message *out, const struct message *in,
                     bool wait)
{
    static const struct message none = {.peer = NOBODY};
    if (out->peer == in->peer) {
        if (in->peer != NOBODY) transfer(p, out, in);
    } else {
        if (out->peer != NOBODY) transfer(p, out, &none);
        if (in->peer != NOBODY) transfer(p, &none, in);
    }
    if (in->peer != NOBODY || wait) collect_join(p->stage->w->device, p->pp);
}

/* ---- actions ---- */
/* Takes the next micro-batch with tokens; an empty one if there is none. */
static void take(struct course *c, struct pass *pass)
{
    stage_refill(c->p->stage, pass);
    do {
        c->row = batch_take(c->p->batch, c->step, c->row, &pass->b);
    } while (pass->b.all == 0 && c->row < c->step->nrows);
    if (c->watch && pass->b.all > 0) c->watch->took(c->watch->arg, &pass->b);
}

static void forward(struct course *c, struct pass *pass)
{
    struct stage *s = c->p->stage;
    if (pass->b.T > 0) stage_upload(s, pass);
    stage_forward(s, pass);
    if (c->forward_only && s->head) stage_loss(s, pass);
}

static void act(struct course *c, const struct action *a)
{
    struct stage *s = c->p->stage;
    struct pass *pass = &s->pass[a->pass];
    const struct pipeline_watch *w = c->watch;
    if (w) span_begin(w->spans, a->kind == FORWARD ? w->forward : w->backward);
    if (a->kind == FORWARD)
        forward(c, pass);
    else
        stage_backward(s, pass, c->scale, a->micro_batch == c->last && w ? w->done : NULL);
    if (w) span_end(w->spans);
}

/* Runs the actions. A result is sent when the next action receives its input, so its size is
 * recorded before the pass takes another micro-batch. In training a stage writes to a pass again
 * only after it has received the gradient of the result that the pass sent, and so after the send.
 * A stage that only runs forward receives nothing from the next stage, so it waits for the send
 * itself. */
static void run(struct course *c, int micro_batches)
{
    c->last = micro_batches - 1;
    struct pipeline *p = c->p;
    const struct schedule k = {p->at, p->stages, micro_batches, c->forward_only};
    struct message out = {.peer = NOBODY}, in = out;
    for (int i = 0; i < schedule_length(&k); i++) {
        const struct action a = schedule_action(&k, i);
        if (a.kind == FORWARD) take(c, &p->stage->pass[a.pass]);
        in = input_of(p, &a);
        exchange(p, &out, &in, c->forward_only);
        act(c, &a);
        out = result_of(p, &a);
    }
    /* The memory of the passes has other uses after the step, so the last message leaves it now. */
    in.peer = NOBODY;
    exchange(p, &out, &in, true);
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
