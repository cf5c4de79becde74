/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of the emulated NCCL as work of streams: messages move when the stream comes to the call.
 * Streams run when their host waits; a thread runs them also when another rank waits for a message
 * of this one, as a device would. A communicator that does not block takes a call only at the
 * second poll. */
#include "nccl_work.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct ncclComm *comms;
char nccl_error[400];

int nccl_refuse(int result, const char *why)
{
    snprintf(nccl_error, sizeof nccl_error, "%s", why);
    fprintf(stderr, "emulator: nccl: %s\n", why);
    return result;
}

/* ---- work of a stream ---- */
/* Fails this process as well when any rank has failed. */
static bool failed(struct ncclComm *c)
{
    const char *why = wire_failure(c->wire);
    if (!why) return false;
    c->async = NCCL_INVALID_USAGE;
    snprintf(nccl_error, sizeof nccl_error, "%s", why);
    snprintf(emu_message, sizeof emu_message, "nccl: %s", why);
    runtime_fail(cudaErrorLaunchFailure);
    return true;
}

/* A receive that is aborted leaves anything. */
static void leave(const struct op *o)
{
    for (int i = 0; i < o->parts; i++)
        if (!o->part[i].out && device_see(o->part[i].at, o->part[i].bytes))
            memset(device_known(o->part[i].at), 1, o->part[i].bytes);
}

/* Calls of a communicator follow one another, whatever their streams. */
static bool ask(void *arg)
{
    struct op *o = arg;
    struct ncclComm *c = o->comm;
    if (!o->done && c->aborted) leave(o);
    if (o->done || c->aborted) return true;
    if (o->number != c->finished) return false;
    if (!o->begun) wire_begin(c->wire, o);
    o->begun = true;
    o->done = wire_advance(c->wire, o);
    if (o->done) {
        wire_end(c->wire);
        c->finished++;
        return true;
    }
    if (++o->asked % 64 == 0) wire_check_circle(c->wire);
    return failed(c);
}

static void drop(void *arg)
{
    struct op *o = arg;
    free(o->part);
    free(o);
}

static void add(struct ncclComm *c)
{
    struct op *o = c->pending;
    c->pending = NULL;
    stream_add(o->stream, &(struct work){.kind = WORK_ASK, .ask = ask, .call = drop, .arg = o});
}

int nccl_issue(struct ncclComm *c, struct op *o)
{
    if (c->pending || !c->complete)
        return nccl_refuse(NCCL_INVALID_ARGUMENT, "a call while an earlier one is in progress");
    o->number = c->issued++;
    c->pending = o;
    c->polls = 0;
    if (c->blocking) add(c);
    return c->blocking ? NCCL_OK : NCCL_IN_PROGRESS;
}

/* ---- the thread that serves other ranks ---- */
static bool wanted(void)
{
    for (struct ncclComm *c = comms; c; c = c->next)
        if (c->complete && !c->aborted && wire_wanted(c->wire)) return true;
    return false;
}

static void *serve(void *arg)
{
    (void)arg;
    for (;;) {
        LOCK(const bool ran = wanted() && stream_step(););
        if (!ran) usleep(200);
    }
    return NULL;
}

static void start_serving(void)
{
    static bool started;
    pthread_t thread;
    sigset_t all, old;
    if (started) return;
    started = true;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    if (pthread_create(&thread, NULL, serve, NULL)) emu_die("no thread for a communicator");
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/* ---- states of a communicator ---- */
void nccl_add(struct ncclComm *c)
{
    c->next = comms;
    comms = c;
    start_serving();
}

/* Returns true when all ranks are there. */
bool nccl_complete(struct ncclComm *c)
{
    if (c->complete || !wire_complete(c->wire)) return c->complete;
    if (c->rank == 0) wire_forget(c->wire);
    failed(c);
    return c->complete = true;
}

int nccl_poll(struct ncclComm *c)
{
    if (failed(c) || c->async) return c->async;
    if (!nccl_complete(c)) return NCCL_IN_PROGRESS;
    if (c->async) return c->async;
    if (c->pending && c->polls++ == 0) return NCCL_IN_PROGRESS;
    if (c->pending) add(c);
    if (!c->finalizing || c->finished == c->issued) return NCCL_OK;
    stream_step();
    return NCCL_IN_PROGRESS;
}
