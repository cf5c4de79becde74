/* SPDX-License-Identifier: Apache-2.0 */
/* The calls of NCCL that the trainer makes, in a communicator of one rank, which needs one GPU
 * only: opening, messages to itself, the sum of one block, closing and aborting. */
#include "comm/nccl_plugin.h"

#include <sched.h>
#include <time.h>

#include "base/plugin.h"
#include "test.h"

enum { N = 100003, LIMIT = 60 }; /* elements; seconds */
static const struct nccl_plugin *p;
static struct device *d;
static struct nccl_group *g;

/* Prints the error of a code. */
static bool fine(int code)
{
    char text[500];
    if (!code) return true;
    p->explain(code, text, sizeof text);
    printf("# %s\n", text);
    return false;
}

static bool settled(void)
{
    const time_t start = time(NULL);
    for (bool done = false; !done; sched_yield())
        if (!fine(p->settled(g, &done)) || time(NULL) - start > LIMIT) return false;
    return true;
}

static bool opens(void)
{
    char id[NCCL_ID_BYTES];
    return fine(p->identify(id)) && fine(p->open(d, id, 1, 0, &g)) && settled();
}

/* ---- buffers ---- */
static float *make(float first)
{
    struct err e;
    float *x = malloc(N * sizeof *x), *y = d->ops->alloc(d, N * sizeof *x, &e);
    for (int i = 0; i < N; i++) x[i] = first + (float)i;
    device_upload(d, y, x, N * sizeof *x);
    free(x);
    return y;
}

static bool holds(const float *x, float first)
{
    struct err e = {0};
    float *y = malloc(N * sizeof *y);
    bool ok = d->ops->download(d, y, x, N * sizeof *y, &e) == 0;
    for (int i = 0; ok && i < N; i++) ok = !(y[i] < first + (float)i) && !(y[i] > first + (float)i);
    free(y);
    return ok;
}

/* ---- checks ---- */
static bool to_itself(void)
{
    float *from = make(3), *to = make(0);
    const size_t bytes = N * sizeof *from;
    d->ops->after(d, QUEUE_COMM);
    return fine(p->begin()) && fine(p->send(g, from, bytes, 0)) &&
           fine(p->receive(g, to, bytes, 0)) && fine(p->end()) && settled() && holds(to, 3);
}

static bool gathers(void)
{
    float *from = make(4), *to = make(0);
    d->ops->after(d, QUEUE_COMM);
    return fine(p->gather(g, to, from, N * sizeof *from)) && settled() && holds(to, 4);
}

static bool broadcasts(void)
{
    float *x = make(5);
    d->ops->after(d, QUEUE_COMM);
    return fine(p->broadcast(g, x, N * sizeof *x, 0)) && settled() && holds(x, 5);
}

static bool folds(void)
{
    float *own = make(6), *into = make(0);
    d->ops->after(d, QUEUE_COMM);
    return fine(p->fold(g, into, own, into, N, DT_F32, false)) && holds(into, 6);
}

static bool notes(void)
{
    bool reached = false;
    const time_t start = time(NULL);
    if (!fine(p->note(g, 0))) return false;
    while (!reached && time(NULL) - start < LIMIT)
        if (!fine(p->noted(g, 0, &reached))) return false;
    return reached;
}

static bool closes(void)
{
    const bool ok = fine(p->finalize(g)) && settled();
    if (ok) p->close(g);
    return ok;
}

static bool aborts(void)
{
    if (!opens()) return false;
    p->begin();
    p->abort(g);
    return fine(p->end());
}

int main(void)
{
    struct err e = {0};
    const struct plugin cuda = {.file = "cuda.so",
                                .symbol = NCCL_PLUGIN_SYMBOL,
                                .missing = "run make first",
                                .broken = "is CUDA here?",
                                .version = NCCL_PLUGIN_VERSION};
    d = device_open("cuda:0", 1, &e);
    p = d ? plugin_load(&cuda, &e) : NULL;
    if (!p || p->load(&e)) {
        printf("# %s\n", e.msg);
        CHECK("nccl: it is there", false);
        return 1;
    }
    CHECK("nccl: a communicator of one rank opens", opens());
    if (test_failed) return 1;
    CHECK("nccl: a message to itself arrives", to_itself());
    CHECK("nccl: a gather", gathers());
    CHECK("nccl: a broadcast", broadcasts());
    CHECK("nccl: the sum of one block", folds());
    CHECK("nccl: the device comes to a note", notes());
    CHECK("nccl: the communicator closes", closes());
    CHECK("nccl: another one is aborted", aborts());
    device_close(d);
    TEST_END();
}
