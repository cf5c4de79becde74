/* SPDX-License-Identifier: Apache-2.0 */
/* The collectives of the world's group and of smaller ones against sums made here in rank order,
 * bit for bit, on memory of the host and of a device that cannot be read. tests/cli/ranks.sh starts
 * it as several ranks; alone it is one. With a device it tests a failure there that ends the job;
 * "on" and a device: the collectives there alone; "wrong" and a fault: one of a program on emulated
 * GPUs, both as tests/emu/emu_ranks.sh does. */
#include <pthread.h>
#include <unistd.h>

#include "comm/comm.h"
#include "fence.h"
#include "parallel/collect.h"
#include "parallel/mesh.h"
#include "world.h"

/* The value of rank r at element i. */
static double value(int r, size_t i)
{
    uint32_t x = (uint32_t)(i * 2654435761U + (uint32_t)r * 40503U + 17U);
    x ^= x >> 15;
    x *= 2246822519U;
    x ^= x >> 13;
    return ((double)x / 4294967296.0 - 0.5) * (r % 2 ? 1e3 : 1e-3);
}

static struct device *d;

/* Opens a device; "cuda" is this rank's GPU. */
static struct device *open_device(const char *name)
{
    struct err e = {0};
    char gpu[24];
    snprintf(gpu, sizeof gpu, "cuda:%d", w->place.node_rank);
    struct device *x = device_open(strcmp(name, "cuda") == 0 ? gpu : name, 1, &e);
    if (!x) printf("# %s\n", e.msg);
    if (!x) exit(ERR_DEVICE);
    return x;
}

/* ---- arrays on both sides ---- */
struct array {
    void *host, *device;
    size_t n;
    enum dtype t;
};

static void put(void *p, enum dtype t, size_t i, double v)
{
    if (t == DT_F64)
        ((double *)p)[i] = v;
    else if (t == DT_F32)
        ((float *)p)[i] = (float)v;
    else
        ((uint16_t *)p)[i] = bf16_from_f32((float)v);
}

static struct array make(size_t n, enum dtype t, int rank)
{
    struct err e = {0};
    struct array a = {.n = n, .t = t, .host = calloc(n + 1, sizeof(double))};
    a.device = d->ops->alloc(d, (n + 1) * sizeof(double), &e);
    for (size_t i = 0; i < n; i++) put(a.host, t, i, value(rank, i));
    device_upload(d, a.device, a.host, n * dtype_size(t));
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

/* ---- groups ---- */
/* A group, its members' ranks in the world, and where this process is. */
enum { TEAM = 64 };
struct team {
    struct comm *c;
    int ranks[TEAM], n, at;
    void *staging;
};
enum { LARGEST = 1300001 * 8 };

/* Staging for the collectives of a group, where it needs it. */
static void *staging_of(struct comm *c, size_t largest)
{
    struct err e = {0};
    const size_t room = comm_room(c, largest);
    if (!room) return NULL;
    return c->direct ? d->ops->alloc(d, room, &e) : fence_alloc(room);
}

/* The group of the ranks r of the world with mask bit r; this rank may be none of them. */
static bool gather_team(struct team *g, unsigned mask)
{
    struct err e = {0};
    *g = (struct team){.at = -1};
    for (int r = 0; r < w->place.size; r++) {
        if (!(mask >> r & 1)) continue;
        if (r == w->place.rank) g->at = g->n;
        g->ranks[g->n++] = r;
    }
    if (g->at < 0) return true;
    g->c = comm_group(w, d, g->ranks, g->n, &e);
    if (!g->c) printf("# %s\n", e.msg);
    if (!g->c || g->c->rank != g->at || g->c->size != g->n) return false;
    /* A GPU's staging has room for 64 MiB; a small one makes pieces. */
    g->c->staging = g->staging = staging_of(g->c, g->c->direct ? 100000 : LARGEST);
    return g->n == 1 || g->staging;
}

/* ---- sums and exchanges ---- */
/* Element i of the reduction, in rank order, as the type t has it. */
static void reduced(const struct team *g, size_t i, enum dtype t, enum comm_op op, void *out)
{
    double y = value(g->ranks[0], i);
    float f = (float)y, b = bf16_to_f32(bf16_from_f32((float)y));
    for (int r = 1; r < g->n; r++) {
        const double x = value(g->ranks[r], i);
        const float fx = (float)x, bx = bf16_to_f32(bf16_from_f32((float)x));
        y = op == COMM_SUM ? y + x : x > y ? x : y;
        f = op == COMM_SUM ? f + fx : fx > f ? fx : f;
        b = op == COMM_SUM ? b + bx : bx > b ? bx : b;
    }
    put(out, t, 0, t == DT_F64 ? y : t == DT_F32 ? (double)f : (double)b);
}

/* Elements [at, at + n) of a are those of the reduction. */
static bool all_reduced(const struct team *g, const struct array *a, size_t at, size_t n,
                        enum comm_op op)
{
    const size_t size = dtype_size(a->t);
    for (size_t i = at; i < at + n; i++) {
        double want = 0;
        reduced(g, i, a->t, op, &want);
        if (memcmp((char *)a->host + i * size, &want, size)) return false;
    }
    return true;
}

static size_t sizes[] = {1, 2, 63, 1000, 1300001}; /* the last: smaller where a device is slow */
enum { SIZES = sizeof sizes / sizeof *sizes };
#define MOST (sizes[SIZES - 1])

static bool reduces(const struct team *g, enum dtype t, enum comm_op op)
{
    struct err e = {0};
    bool ok = true;
    for (int s = 0; s < SIZES; s++) {
        struct array a = make(sizes[s], t, w->place.rank);
        comm_all_reduce(g->c, a.device, a.n, t, op);
        ok &= comm_finish(g->c, &e) == 0;
        back(&a);
        ok &= all_reduced(g, &a, 0, a.n, op);
        drop(&a);
    }
    return ok;
}

/* In place, as the trainer does, and then gathered again: two calls that wait for one another. */
static bool scatters(const struct team *g, enum dtype t)
{
    struct err e = {0};
    bool ok = true;
    for (int s = 0; s < SIZES; s++) {
        const size_t each = sizes[s] / (size_t)g->n + 1, mine = each * (size_t)g->at;
        struct array a = make(each * (size_t)g->n, t, w->place.rank);
        char *part = (char *)a.device + mine * dtype_size(t);
        comm_reduce_scatter(g->c, part, a.device, each, t);
        comm_join(g->c);
        back(&a);
        ok &= all_reduced(g, &a, mine, each, COMM_SUM);
        comm_all_gather(g->c, a.device, part, each, t);
        ok &= comm_finish(g->c, &e) == 0;
        back(&a);
        ok &= all_reduced(g, &a, 0, a.n, COMM_SUM);
        drop(&a);
    }
    return ok;
}

/* Elements [at, at + n) of a are those of a rank from its element `from` on. */
static bool are(const struct array *a, size_t at, size_t n, int rank, size_t from)
{
    for (size_t i = 0; i < n; i++) {
        float x = (float)value(rank, from + i);
        if (memcmp((float *)a->host + at + i, &x, sizeof x)) return false;
    }
    return true;
}

enum { ROW = 3 }; /* floats of a row of all_to_all */
/* Returns the rows from one rank of the team to another, none for some pairs. */
static int32_t rows_between(const struct team *g, int from, int to, int s)
{
    return (int32_t)((from * 3 + to + s) % 4 * (int)(sizes[s] / (size_t)(4 * ROW * g->n) + 1));
}

/* Returns the rows that a rank sends to the ranks before another. */
static size_t rows_before(const struct team *g, int from, int to, int s)
{
    size_t n = 0;
    for (int p = 0; p < to; p++) n += (size_t)rows_between(g, from, p, s);
    return n;
}

static bool exchanges(const struct team *g)
{
    struct err e = {0};
    bool ok = true;
    for (int s = 0; s < SIZES; s++) {
        int32_t sends[TEAM], accepts[TEAM];
        size_t at = 0, all = 0;
        for (int p = 0; p < g->n; p++) {
            sends[p] = rows_between(g, g->at, p, s);
            all += (size_t)(accepts[p] = rows_between(g, p, g->at, s));
        }
        struct array a = make(rows_before(g, g->at, g->n, s) * ROW + 1, DT_F32, w->place.rank),
                     b = make(all * ROW + 1, DT_F32, 99);
        comm_all_to_all(g->c, b.device, accepts, a.device, sends, ROW * sizeof(float));
        ok &= comm_finish(g->c, &e) == 0;
        back(&b);
        for (int p = 0; p < g->n; at += (size_t)accepts[p++] * ROW)
            ok &= are(&b, at, (size_t)accepts[p] * ROW, g->ranks[p],
                      rows_before(g, p, g->at, s) * ROW);
        ok &= are(&b, at, 1, 99, at); /* nothing is written behind the last row */
        drop(&a);
        drop(&b);
    }
    return ok;
}

/* The host reads what the ranks gathered. */
static bool reads(const struct team *g)
{
    struct err e;
    float got[TEAM];
    bool ok = true;
    struct array a = make(1, DT_F32, w->place.rank), b = make((size_t)g->n, DT_F32, 99);
    comm_all_gather(g->c, b.device, a.device, 1, DT_F32);
    comm_read(g->c, got, b.device, (size_t)g->n * sizeof(float));
    for (int p = 0; p < g->n; p++) ok &= got[p] == (float)value(g->ranks[p], 0);
    ok &= comm_finish(g->c, &e) == 0;
    drop(&a);
    drop(&b);
    return ok;
}

/* All ranks send to the next at once: a ring; then only towards the last rank: a pipeline. */
static bool rings(const struct team *g)
{
    struct err e = {0};
    const int last = g->n - 1, next = (g->at + 1) % g->n, before = (g->at + last) % g->n;
    struct array a = make(MOST, DT_F32, w->place.rank), b = make(MOST, DT_F32, 99);
    const size_t bytes = a.n * sizeof(float);
    comm_send_receive(g->c, a.device, bytes, next, b.device, bytes, before);
    bool ok = comm_finish(g->c, &e) == 0;
    back(&b);
    ok &= are(&b, 0, b.n, g->ranks[before], 0);
    const bool sends = g->at<last, receives = g->at> 0;
    comm_send_receive(g->c, b.device, 12, sends ? next : COMM_NOBODY, a.device, 12,
                      receives ? before : COMM_NOBODY);
    ok &= comm_finish(g->c, &e) == 0;
    back(&a);
    ok &= are(&a, 0, 3, receives ? g->ranks[(before + last) % g->n] : w->place.rank, 0);
    drop(&a);
    drop(&b);
    return ok;
}

static bool broadcasts(const struct team *g)
{
    struct err e = {0};
    struct array a = make(MOST, DT_F32, w->place.rank);
    comm_broadcast(g->c, a.device, a.n * sizeof(float), g->n - 1);
    bool ok = comm_finish(g->c, &e) == 0;
    back(&a);
    ok &= are(&a, 0, a.n, g->ranks[g->n - 1], 0);
    drop(&a);
    return ok;
}

/* ---- order and failures ---- */
/* More calls than a queue holds, each on what the one before left; no rank waits in between. */
static bool keeps_order(const struct team *g)
{
    enum { CALLS = 200 };
    struct err e = {0};
    struct array a = make(1, DT_F64, w->place.rank);
    double want = 1;
    device_upload(d, a.device, &want, sizeof want);
    for (int k = 0; k < CALLS; k++) {
        comm_all_reduce(g->c, a.device, 1, DT_F64, COMM_SUM);
        const double each = want;
        for (int r = 1; r < g->n; r++) want += each;
    }
    bool ok = comm_finish(g->c, &e) == 0;
    back(&a);
    ok &= memcmp(a.host, &want, sizeof want) == 0;
    drop(&a);
    return ok;
}

/* A type that is not reduced fails on all ranks; what is queued behind it still runs. */
static bool keeps_failures(const struct team *g)
{
    struct err e = {0};
    struct array a = make(10, DT_F32, w->place.rank);
    if (g->n == 1) {
        drop(&a);
        return true;
    }
    comm_all_reduce(g->c, a.device, 1, DT_I32, COMM_SUM);
    comm_join(g->c);
    comm_all_reduce(g->c, a.device, a.n, DT_F32, COMM_SUM);
    bool ok = comm_finish(g->c, &e) == -1 && e.code == ERR_INTERNAL && strstr(e.msg, "int32");
    ok &= comm_finish(g->c, &e) == 0;
    back(&a);
    ok &= all_reduced(g, &a, 0, a.n, COMM_SUM);
    drop(&a);
    return ok;
}

static int unreadable(struct device *x, void *dst, const void *src, size_t n, struct err *e)
{
    (void)x, (void)dst, (void)src, (void)n;
    return err_set(e, ERR_DEVICE, "the device is lost");
}

/* The first rank cannot read its device: it takes part with zeros, and it alone fails. */
static bool goes_on(const struct team *g)
{
    struct err e = {0};
    const struct ops *const whole = d->ops;
    struct ops some = *whole;
    if (g->n == 1 || g->c->direct) return true; /* a GPU's memory is not read here */
    some.peek = some.download = unreadable;
    struct array a = make(1000, DT_F32, w->place.rank);
    d->ops = g->at == 0 ? &some : whole;
    comm_all_reduce(g->c, a.device, a.n, DT_F32, COMM_SUM);
    const int rc = comm_finish(g->c, &e);
    d->ops = whole;
    bool ok = rc == (g->at == 0 ? -1 : 0);
    if (rc) ok &= strstr(e.msg, "all_reduce of 1000 fp32 among ranks ") != NULL;
    if (rc) ok &= strstr(e.msg, "the device is lost") != NULL;
    back(&a);
    float want = 0;
    for (int r = 1; r < g->n; r++) want += (float)value(g->ranks[r], 7);
    ok &= memcmp((float *)a.host + 7, &want, sizeof want) == 0;
    drop(&a);
    return ok;
}

/* The first rank cannot read its device: it reads zeros, not what was there before, and it alone
 * fails. */
static bool reads_zeros(const struct team *g)
{
    struct err e = {0};
    const struct ops *const whole = d->ops;
    struct ops some = *whole;
    float got[TEAM];
    memset(got, 0x55, sizeof got);
    some.download = unreadable;
    struct array a = make((size_t)g->n, DT_F32, w->place.rank);
    d->ops = g->at == 0 ? &some : whole;
    comm_read(g->c, got, a.device, (size_t)g->n * sizeof(float));
    d->ops = whole;
    bool ok = (comm_finish(g->c, &e) == -1) == (g->at == 0);
    for (int p = 0; p < g->n; p++)
        ok &= got[p] == (g->at == 0 ? 0 : (float)value(w->place.rank, (size_t)p));
    drop(&a);
    return ok;
}

/* ---- a missing dependency, on a device with queues ---- */
static void never(struct device *x, enum device_queue q) { (void)x, (void)q; }

/* The right results out of SEEDS sums whose buffer an operation fills and another one reads;
 * without: the queues do not wait for one another. */
enum { SEEDS = 12 };
static int right_sums(const char *device, bool without)
{
    int right = 0;
    for (int seed = 0; seed < SEEDS; seed++) {
        char name[16];
        struct err e = {0};
        struct team g;
        float got = 0;
        snprintf(name, sizeof name, "%s-%d", device, seed);
        d = open_device(strcmp(device, "far") ? device : name);
        const struct ops *const whole = d->ops;
        struct ops some = *whole;
        some.after = never;
        if (!gather_team(&g, (1U << w->place.size) - 1)) break;
        float *x = d->ops->alloc(d, 64, &e), *y = d->ops->alloc(d, 64, &e),
              *one = d->ops->alloc(d, 64, &e);
        device_upload(d, x, (float[2]){0}, 8);
        device_upload(d, one, (float[2]){1, 1}, 8);
        d->ops->sync(d, &e);
        if (without) d->ops = &some;
        op_add(d, &(struct op_add){.y = x, .a = one, .b = x, .n = 2, .dtype = DT_F32});
        comm_all_reduce(g.c, x, 2, DT_F32, COMM_SUM);
        comm_join(g.c);
        op_add(d, &(struct op_add){.y = y, .a = x, .b = x, .n = 2, .dtype = DT_F32});
        d->ops->download(d, &got, y, sizeof got, &e);
        right += comm_finish(g.c, &e) == 0 && (int)got == 2 * g.n;
        d->ops = whole;
        comm_close(g.c);
        d->ops->free(d, x, 64), d->ops->free(d, y, 64);
        d->ops->free(d, one, 64);
        device_close(d);
    }
    return right;
}

static void missing_dependencies(const char *device)
{
    char name[120];
    snprintf(name, sizeof name,
             "%s: a sum between two operations is right at any speed of the queues", device);
    all_agree(name, right_sums(device, false) == SEEDS);
    snprintf(name, sizeof name, "%s: a sum that waits for no operation is found out", device);
    all_agree(name, right_sums(device, true) < SEEDS);
}

/* ---- all of that, in one group ---- */
static bool sums_f32(const struct team *g) { return reduces(g, DT_F32, COMM_SUM); }
static bool sums_f64(const struct team *g) { return reduces(g, DT_F64, COMM_SUM); }
static bool sums_bf16(const struct team *g) { return reduces(g, DT_BF16, COMM_SUM); }
static bool largest(const struct team *g)
{
    return reduces(g, DT_F32, COMM_MAX) && reduces(g, DT_F64, COMM_MAX) &&
           reduces(g, DT_BF16, COMM_MAX);
}
static bool scatters_f32(const struct team *g) { return scatters(g, DT_F32); }
static bool scatters_bf16(const struct team *g) { return scatters(g, DT_BF16); }

static const struct {
    const char *name;
    bool (*holds)(const struct team *g);
} checks[] = {
    {"all_reduce adds fp32 in rank order", sums_f32},
    {"all_reduce adds fp64 in rank order", sums_f64},
    {"all_reduce adds bf16 in fp32, in rank order", sums_bf16},
    {"all_reduce finds the largest", largest},
    {"reduce_scatter and all_gather, fp32", scatters_f32},
    {"reduce_scatter and all_gather, bf16", scatters_bf16},
    {"all_to_all exchanges rows, as many as each rank has for another", exchanges},
    {"the host reads the result of a collective", reads},
    {"send_receive goes round a ring and along a pipeline", rings},
    {"broadcast gives the root's bytes", broadcasts},
    {"calls run in the order in which they were queued", keeps_order},
    {"a failure is kept for finish", keeps_failures},
    {"a device that fails takes part with zeros", goes_on},
    {"the host reads zeros from a device that fails", reads_zeros},
};

/* Groups of 5 ranks at most that cover the world unevenly; every rank is in one of them. */
static void in_teams(const char *device, const char *which, const unsigned *masks, int n)
{
    char name[160];
    struct team g[2];
    bool open = true;
    for (int i = 0; i < n; i++) open &= gather_team(&g[i], masks[i]);
    snprintf(name, sizeof name, "%s, %s: opens", device, which);
    all_agree(name, open);
    for (size_t k = 0; open && k < sizeof checks / sizeof *checks; k++) {
        bool ok = true;
        for (int i = 0; i < n; i++)
            if (g[i].c) ok &= checks[k].holds(&g[i]);
        snprintf(name, sizeof name, "%s, %s: %s", device, which, checks[k].name);
        all_agree(name, ok);
    }
    for (int i = 0; i < n; i++) comm_close(g[i].c);
}

static void on_device(const char *name)
{
    const unsigned all = (1U << w->place.size) - 1, odd = 0xaaaaaaaaU & all;
    d = open_device(name);
    in_teams(name, "all ranks", &all, 1);
    if (w->place.size > 1) in_teams(name, "odd and even ranks", (unsigned[]){odd, all & ~odd}, 2);
    device_close(d);
}

/* As with an MPI whose calls only one thread may make: collectives run where the caller waits. */
static void without_threads(void)
{
    struct err e = {0};
    const int threads = w->place.threads;
    const unsigned all = (1U << w->place.size) - 1;
    d = device_open("cpu", 1, &e);
    w->place.threads = 0;
    in_teams("cpu, one thread", "one rank and the others", (unsigned[]){1, all & ~1U}, 2);
    w->place.threads = threads;
    device_close(d);
}

/* ---- a mesh ---- */
/* The sum of the ranks' numbers along each group of a grid of the world's ranks. */
static void in_mesh(const char *device, struct mesh_sizes s)
{
    struct err e = {0};
    struct mesh m;
    char name[120];
    d = open_device(device);
    bool ok = mesh_open(&m, &s, w, d, &e) == 0;
    double *x = d->ops->alloc(d, sizeof *x, &e), got = 0;
    for (int k = 0; ok && k < MESH_GROUPS; k++) {
        int ranks[64];
        const int n = mesh_members(m.size, m.at, k, ranks);
        double want = 0, mine = 1 + w->place.rank;
        for (int i = 0; i < n; i++) want += 1 + ranks[i];
        if (n == 0) continue;
        m.comm[k]->staging = staging_of(m.comm[k], sizeof mine);
        device_upload(d, x, &mine, sizeof mine);
        collect_sum(d, m.comm[k], x, 1, DT_F64);
        collect_join(d, m.comm[k]);
        ok &= d->ops->download(d, &got, x, sizeof got, &e) == 0 && mesh_finish(&m, &e) == 0;
        ok &= !(got < want || got > want) && collect_size(m.comm[k]) == n;
    }
    struct mesh wrong;
    s.axis[MESH_DP]++;
    ok &= mesh_open(&wrong, &s, w, d, &e) == -1 && e.code == ERR_CONFIG;
    mesh_close(&m);
    d->ops->free(d, x, sizeof *x);
    device_close(d);
    snprintf(name, sizeof name, "%s, a grid of %d x %d x %d x %d: sums along every group", device,
             s.axis[0], s.axis[1], s.axis[2] - 1, s.axis[3]);
    all_agree(name, ok);
}

static void in_meshes(int n)
{
    in_mesh("cpu", (struct mesh_sizes){.axis = {1, 1, n, 1}});
    in_mesh("far", (struct mesh_sizes){.axis = {n, 1, 1, 1}});
    in_mesh("cpu", (struct mesh_sizes){.axis = {1, 1, 1, n}});
    if (n % 2) return;
    in_mesh("cpu", (struct mesh_sizes){.axis = {2, 1, n / 2, 1}});
    in_mesh("far", (struct mesh_sizes){.axis = {1, 2, 1, n / 2}});
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
    struct team g;
    bool ok = true, met;
    float *x = malloc(200000 * sizeof *x);
    d = device_open("cpu", 1, &e);
    met = gather_team(&g, (1U << w->place.size) - 1);
    const bool threads = w->place.threads && pthread_create(&other, NULL, talk, &ok) == 0;
    if (!threads) talk(&ok);
    for (int k = 0; k < 100 && met; k++) {
        for (int i = 0; i < 200000; i++) x[i] = (float)(i % 100 + k);
        comm_all_reduce(g.c, x, 200000, DT_F32, COMM_SUM);
        met &= world_any(w, false, &e) == 0; /* beside both */
        met &= comm_finish(g.c, &e) == 0;
        for (int i = 0; i < 200000; i++) met &= (int)x[i] == (i % 100 + k) * g.n;
    }
    if (threads) pthread_join(other, NULL);
    all_agree("the side channel: messages arrive", ok);
    all_agree("the side channel: sums beside it are right", met);
    if (!w->place.rank) printf("# a thread of its own: %s\n", threads ? "yes" : "no");
    comm_close(g.c);
    device_close(d);
    free(x);
}

static void agreements(void)
{
    struct err e = {0};
    int share = 0;
    const int rank = w->place.rank, size = w->place.size;
    if (rank == size - 1) err_set(&e, ERR_DATA, "broken row");
    bool told = world_agree(w, rank == size - 1 ? -1 : 0, &e) == -1 && e.code == ERR_DATA &&
                strstr(e.msg, "broken row");
    if (size > 1) told &= strstr(e.msg, "rank ") != NULL;
    all_agree("agree: all ranks have the error of the one that failed", told);
    all_agree("any: one rank's word reaches all",
              world_any(w, rank == size - 1, &e) == 1 && world_any(w, false, &e) == 0);
    unsigned char mine[100], all[100 * 16];
    bool gathered = size <= 16;
    for (int i = 0; i < 100; i++) mine[i] = (unsigned char)(rank * 100 + i);
    gathered = gathered && world_gather(w, all, mine, sizeof mine, &e) == 0;
    for (int i = 0; gathered && i < 100 * size; i++) gathered = all[i] == (unsigned char)i;
    all_agree("gather: every rank has the bytes of all in rank order", gathered);
    all_agree("CPUs: ranks of a node share them",
              world_share_cpus(w, 4 * size + 1, &share, &e) == 0 && (share == 4 || size == 1));
    all_agree("CPUs: a rank has at least one",
              world_share_cpus(w, 1, &share, &e) == 0 && share == 1);
}

/* ---- a rank that does not come, on a device with or without a thread for collectives ---- */
static void late(const char *device)
{
    struct err e = {0};
    struct team g;
    float x[100] = {0};
    d = open_device(device);
    const bool open = gather_team(&g, (1U << w->place.size) - 1);
    w->timeout = 0.2;
    if (w->place.rank) pause(); /* until the job is ended */
    void *p = d->ops->alloc(d, sizeof x, &e);
    device_upload(d, p, x, sizeof x);
    comm_all_reduce(g.c, p, 100, DT_F32, COMM_SUM);
    comm_broadcast(g.c, p, 4, 0);
    comm_join(g.c);
    const bool ended = open && comm_finish(g.c, &e) == -1;
    CHECK("time-out: a rank that does not come is a device error",
          ended && e.code == ERR_DEVICE && w->broken);
    CHECK("time-out: the message tells the collective, its ranks, who waited and for whom",
          strstr(e.msg, "all_reduce of 100 fp32 among ranks 0") && strstr(e.msg, "rank 0 on ") &&
              strstr(e.msg, "seconds in vain before the first step, in all_reduce 1 of group") &&
              strstr(e.msg, "; all_reduce 1 of group waits for rank"));
    CHECK("time-out: later calls fail at once",
          (comm_all_reduce(g.c, p, 100, DT_F32, COMM_SUM), comm_finish(g.c, &e) == -1) &&
              strstr(e.msg, "lost"));
    CHECK("time-out: later agreements fail at once",
          world_agree(w, 0, &e) == -1 && e.code == ERR_DEVICE);
    fflush(stdout);
    comm_close(g.c);
    device_close(d);
}

/* ---- two ranks that call what does not match ---- */
static void call_wrongly(struct comm *c, const char *fault, char *p)
{
    const int rank = c->rank, other = 1 - rank;
    if (!strcmp(fault, "count")) comm_all_gather(c, p, p, 10 + (size_t)rank, DT_F32);
    if (!strcmp(fault, "root")) comm_broadcast(c, p, 40, rank);
    if (!strcmp(fault, "kind") && rank) comm_broadcast(c, p, 40, 0);
    if (!strcmp(fault, "kind") && !rank) comm_all_gather(c, p, p, 10, DT_F32);
    if (!strcmp(fault, "alone") && !rank) comm_send_receive(c, p, 40, other, NULL, 0, COMM_NOBODY);
    if (strcmp(fault, "circle") != 0) return;
    comm_send_receive(c, p, 40, other, NULL, 0, COMM_NOBODY);
    comm_send_receive(c, NULL, 0, COMM_NOBODY, p, 40, other);
}

/* Prints the failure, if there is one, and ends the job. */
static void wrong(const char *fault)
{
    struct err e = {0};
    w->timeout = strcmp(fault, "alone") ? 30 : 0.2;
    d = open_device(strcmp(fault, "device") ? "cuda" : "cuda:0");
    struct comm *c = comm_group(w, d, (const int[]){0, 1}, 2, &e);
    if (c) {
        c->staging = staging_of(c, 4096);
        char *p = d->ops->alloc(d, 4096, &e);
        op_zero(d, &(struct op_zero){.y = p, .bytes = 4096});
        call_wrongly(c, fault, p);
        if (comm_finish(c, &e) == 0) pause(); /* until the job is ended */
    }
    printf("rank %d: %s\n", w->place.rank, e.msg);
    fflush(stdout);
    world_leave(w, ERR_DEVICE);
}

int main(int argc, char **argv)
{
    if (!join()) return test_failed;
    if (argc > 2 && !strcmp(argv[1], "wrong")) {
        wrong(argv[2]);
        return ERR_DEVICE;
    }
    if (argc > 2) {
        sizes[SIZES - 1] = 70001;
        on_device(argv[2]);
        in_mesh(argv[2], (struct mesh_sizes){.axis = {w->place.size, 1, 1, 1}});
        if (w->place.size % 2 == 0)
            in_mesh(argv[2], (struct mesh_sizes){.axis = {2, 1, w->place.size / 2, 1}});
        missing_dependencies(argv[2]);
        world_leave(w, test_failed);
        TEST_END();
    }
    if (argc > 1) {
        late(argv[1]);
        world_leave(w, test_failed ? 1 : ERR_DEVICE);
        return test_failed;
    }
    on_device("cpu");
    on_device("far");
    in_meshes(w->place.size);
    if (w->place.size > 1) missing_dependencies("far");
    if (w->place.size > 1) without_threads();
    if (w->place.size > 1) beside();
    agreements();
    world_leave(w, 1);
    return test_failed;
}
