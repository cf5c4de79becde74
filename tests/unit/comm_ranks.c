/* SPDX-License-Identifier: Apache-2.0 */
/* The collectives against sums made here in rank order, bit for bit, on memory of the host and of a
 * device that cannot be read. tests/cli/ranks.sh starts it as several ranks; alone it is one. */
#include <pthread.h>

#include "comm/comm.h"
#include "fence.h"
#include "world.h"

/* What rank r has at element i. */
static double value(int r, size_t i)
{
    uint32_t x = (uint32_t)(i * 2654435761U + (uint32_t)r * 40503U + 17U);
    x ^= x >> 15;
    x *= 2246822519U;
    x ^= x >> 13;
    return ((double)x / 4294967296.0 - 0.5) * (r % 2 ? 1e3 : 1e-3);
}

struct array {
    void *host, *device;
    size_t n;
    enum dtype t;
};
static struct device *d;

static struct array make(size_t n, enum dtype t, int rank)
{
    struct err e = {0};
    struct array a = {.n = n, .t = t, .host = calloc(n + 1, sizeof(double))};
    a.device = d->ops->alloc(d, (n + 1) * sizeof(double), &e);
    for (size_t i = 0; i < n; i++) {
        if (t == DT_F64)
            ((double *)a.host)[i] = value(rank, i);
        else
            ((float *)a.host)[i] = (float)value(rank, i);
    }
    d->ops->upload(d, a.device, a.host, n * dtype_size(t));
    return a;
}
static void drop(struct array *a)
{
    d->ops->free(d, a->device, (a->n + 1) * sizeof(double));
    free(a->host);
}
static void back(struct array *a)
{
    struct err e;
    if (d->ops->download(d, a->host, a->device, a->n * dtype_size(a->t), &e)) test_failed = 1;
}

/* Element i of the reduction, in rank order. */
static bool reduced(const struct array *a, size_t at, size_t i, enum comm_op op)
{
    float f = (float)value(0, i);
    double g = value(0, i);
    for (int r = 1; r < w->place.size; r++) {
        float x = (float)value(r, i);
        double y = value(r, i);
        f = op == COMM_SUM ? f + x : x > f ? x : f;
        g = op == COMM_SUM ? g + y : y > g ? y : g;
    }
    return a->t == DT_F64 ? !memcmp((double *)a->host + at, &g, sizeof g)
                          : !memcmp((float *)a->host + at, &f, sizeof f);
}

static const size_t sizes[] = {1, 2, 63, 1000, 2500001};
enum { SIZES = sizeof sizes / sizeof *sizes };

static void reduces(struct comm *c, enum dtype t, enum comm_op op, const char *name)
{
    struct err e = {0};
    bool ok = true;
    for (int s = 0; s < SIZES; s++) {
        struct array a = make(sizes[s], t, c->rank);
        ok &= c->ops->all_reduce(c, a.device, a.n, t, op, &e) == 0;
        back(&a);
        for (size_t i = 0; i < a.n; i++) ok &= reduced(&a, i, i, op);
        drop(&a);
    }
    all_agree(name, ok);
}

/* In place, as the trainer does, and then gathered again. */
static void scatters(struct comm *c, enum dtype t, const char *name)
{
    struct err e = {0};
    bool ok = true;
    for (int s = 0; s < SIZES; s++) {
        const size_t each = sizes[s] / (size_t)c->size + 1, mine = each * (size_t)c->rank;
        struct array a = make(each * (size_t)c->size, t, c->rank);
        char *part = (char *)a.device + mine * dtype_size(t);
        ok &= c->ops->reduce_scatter(c, part, a.device, each, t, &e) == 0;
        back(&a);
        for (size_t i = 0; i < each; i++) ok &= reduced(&a, mine + i, mine + i, COMM_SUM);
        ok &= c->ops->all_gather(c, a.device, part, each, t, &e) == 0;
        back(&a);
        for (size_t i = 0; i < a.n; i++) ok &= reduced(&a, i, i, COMM_SUM);
        drop(&a);
    }
    all_agree(name, ok);
}

static bool is(const struct array *a, int rank)
{
    for (size_t i = 0; i < a->n; i++) {
        float x = (float)value(rank, i);
        if (memcmp((float *)a->host + i, &x, sizeof x)) return false;
    }
    return true;
}

static void moves(struct comm *c, const char *device)
{
    struct err e = {0};
    char name[80];
    const int last = c->size - 1, next = (c->rank + 1) % c->size,
              before = (c->rank + last) % c->size;
    struct array a = make(2500001, DT_F32, c->rank), b = make(2500001, DT_F32, 99);
    bool ok = true;
    if (c->size > 1) { /* round the ring; the last one receives first */
        for (int k = 0; k < 2; k++) {
            if ((k == 0) == (c->rank < last))
                ok &= c->ops->send(c, a.device, a.n * 4, next, &e) == 0;
            else
                ok &= c->ops->recv(c, b.device, b.n * 4, before, &e) == 0;
        }
        back(&b);
        ok &= is(&b, before);
    }
    snprintf(name, sizeof name, "%s: send and receive", device);
    all_agree(name, ok);
    ok = c->ops->broadcast(c, a.device, a.n * 4, last, &e) == 0 && c->ops->barrier(c, &e) == 0;
    back(&a);
    snprintf(name, sizeof name, "%s: broadcast", device);
    all_agree(name, ok && is(&a, last));
    drop(&a);
    drop(&b);
}

static void on_device(const char *name)
{
    struct err e = {0};
    char text[80];
    void *staging = fence_alloc(COMM_STAGING);
    d = device_open(name, 1, &e);
    struct comm *c = d ? world.plugin ? comm_mpi(w, d, &e) : comm_self(d, &e) : NULL;
    snprintf(text, sizeof text, "%s: opens", name);
    all_agree(text, c != NULL);
    if (c) {
        c->staging = staging;
        snprintf(text, sizeof text, "%s: sums of floats", name);
        reduces(c, DT_F32, COMM_SUM, text);
        snprintf(text, sizeof text, "%s: sums of doubles", name);
        reduces(c, DT_F64, COMM_SUM, text);
        snprintf(text, sizeof text, "%s: largest", name);
        reduces(c, DT_F32, COMM_MAX, text);
        snprintf(text, sizeof text, "%s: shares of sums, gathered again", name);
        scatters(c, DT_F32, text);
        moves(c, name);
        if (c->size > 1)
            all_agree("other types are refused",
                      c->ops->all_reduce(c, NULL, 1, DT_I32, COMM_SUM, &e) &&
                          e.code == ERR_INTERNAL);
    }
    comm_close(c);
    device_close(d);
}

/* ---- the side channel ---- */
enum { MESSAGES = 60, LONGEST = 3 << 20 };
static size_t message(int r, int i) { return 1 + (size_t)(i * 7919 + r) * 1031U % LONGEST; }

/* Every rank but 0 sends it messages of many sizes, which it receives in turn. */
static void *talk(void *arg)
{
    struct err e;
    bool *ok = arg;
    unsigned char *b = malloc(LONGEST);
    for (int i = 0; i < MESSAGES; i++) {
        for (int r = 1; r < w->place.size; r++) {
            const size_t n = message(r, i);
            if (w->place.rank == r) {
                memset(b, r + i, n);
                *ok &= world_side_send(w, b, n, 0, &e) == 0;
            } else if (w->place.rank == 0) {
                *ok &= world_side_receive(w, b, n, r, &e) == 0;
                for (size_t j = 0; j < n; j++) *ok &= b[j] == (unsigned char)(r + i);
            }
        }
    }
    free(b);
    return NULL;
}

static void beside(void)
{
    struct err e = {0};
    pthread_t other;
    bool ok = true, met = true;
    float *x = malloc(200000 * sizeof *x);
    d = device_open("cpu", 1, &e);
    struct comm *c = comm_mpi(w, d, &e);
    c->staging = malloc(COMM_STAGING);
    const bool threads = w->place.beside && pthread_create(&other, NULL, talk, &ok) == 0;
    if (!threads) talk(&ok);
    for (int k = 0; k < 100; k++) {
        for (int i = 0; i < 200000; i++) x[i] = (float)(i % 100 + k);
        met &= c->ops->all_reduce(c, x, 200000, DT_F32, COMM_SUM, &e) == 0;
        for (int i = 0; i < 200000; i++) met &= (int)x[i] == (i % 100 + k) * c->size;
    }
    if (threads) pthread_join(other, NULL);
    all_agree("the side channel: what was sent arrives", ok);
    all_agree("and sums beside it are right", met);
    if (!w->place.rank) printf("# a thread of its own: %s\n", threads ? "yes" : "no");
    free(c->staging);
    comm_close(c);
    device_close(d);
    free(x);
}

int main(void)
{
    struct err e = {0};
    int share = 0;
    if (!join()) return test_failed;
    const int rank = w->place.rank, size = w->place.size;
    on_device("cpu");
    on_device("far");
    if (size > 1) beside();

    e = (struct err){0};
    if (rank == size - 1) err_set(&e, ERR_DATA, "broken row");
    bool told = world_agree(w, rank == size - 1 ? -1 : 0, &e) == -1 && e.code == ERR_DATA &&
                strstr(e.msg, "broken row");
    if (size > 1) told &= strstr(e.msg, "rank ") != NULL;
    all_agree("everybody has the error of the one that failed", told);
    all_agree("any", world_any(w, rank == size - 1, &e) == 1 && world_any(w, false, &e) == 0);
    all_agree("CPUs are shared",
              world_share_cpus(w, 4 * size + 1, &share, &e) == 0 && (share == 4 || size == 1));
    all_agree("at least one each", world_share_cpus(w, 1, &share, &e) == 0 && share == 1);
    world_leave(w, 1);
    return test_failed;
}
