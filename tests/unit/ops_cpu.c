/* SPDX-License-Identifier: Apache-2.0 */
/* Every operation of every CPU instruction set against the reference in double, and one thread
 * against more: the same bytes. The cases are shared out to a process for each processor. */
#include <sys/wait.h>
#include <unistd.h>

#include "ops_list.h"

/* The devices under test, with one thread and, where a device has threads, with two. */
static const char *const names[] = {"ref", "cpu-base", "cpu-v3", "cpu-v4"};
enum { BACKENDS = sizeof names / sizeof *names };
static struct backend {
    struct device *one, *two; /* two: NULL for the reference, which has one thread */
} backends[BACKENDS];
static struct device *truth;

/* The findings of a process; [0] with fp32, [1] with bf16. */
static struct found {
    bool opens, refused, bf16[BACKENDS], there[BACKENDS];
    int checked[2][BACKENDS], wrong[2][BACKENDS];
} found;
static int processes, process, turn;

/* The error of element i relative to it and to the size of its neighbours. */
static double error_of(const struct buf *b, const void *x, const void *y, int64_t *where)
{
    double square = 0, worst = 0;
    int64_t finite = 0;
    for (int64_t i = 0; i < b->n; i++) {
        double v = value_at(y, i, b->t);
        if (isfinite(v)) square += v * v, finite++;
    }
    const double rms = finite ? sqrt(square / (double)finite) : 0;
    for (int64_t i = 0; i < b->n; i++) {
        double v = value_at(x, i, b->t), w = value_at(y, i, b->t);
        double err = v == w ? 0 : fabs(v - w) / (fabs(w) + rms);
        if (!(err <= worst)) {
            worst = isnan(err) ? INFINITY : err;
            *where = i;
        }
    }
    return worst;
}

/* bf16 keeps 8 bits; attention rounds probabilities as well as results. What is real of a norm has
 * only seen bf16 inputs. */
static double bf16_limit(enum op_id op, enum dtype t)
{
    const bool wide = op == OP_rmsnorm && t == DT_F32;
    return op == OP_sum || wide                            ? 1e-5
           : op == OP_attention || op == OP_attention_grad ? 1.0 / 50
                                                           : 1.0 / 128;
}

/* list: the list of cases with fp32 (0) or bf16 (1) */
static void check_outcome(const struct test_case *c, int which, const struct outcome *want,
                          bool bf16, int list)
{
    const struct backend *b = &backends[which];
    int *wrong = &found.wrong[list][which];
    struct outcome x = case_run(c, b->one, 99, NULL), y = {{NULL}};
    if (b->two) y = case_run(c, b->two, 99, NULL);
    for (int i = 0; i < c->bufs; i++) {
        const struct buf *f = &c->buf[i];
        int64_t where = 0;
        const double err = error_of(f, x.bytes[i], want->bytes[i], &where);
        const double limit = f->t == DT_I32 ? 0 : bf16 ? bf16_limit(c->op, f->t) : 1e-5;
        char name[160];
        snprintf(name, sizeof name, "%s %s %s buffer %d at %d: error %.2g", names[which], c->name,
                 bf16 ? "bf16" : "fp32", i, (int)where, err);
        found.checked[list][which]++;
        if (!EXPECT(name, err <= limit)) ++*wrong;
        if (!b->two) continue;
        snprintf(name, sizeof name, "%s %s: 2 threads", names[which], c->name);
        if (!EXPECT(name, !memcmp(x.bytes[i], y.bytes[i], (size_t)f->n * dtype_size(f->t))))
            ++*wrong;
    }
    outcome_free(&x);
    if (b->two) outcome_free(&y);
}

static void check_case(const struct test_case *c, void *to)
{
    if (turn++ % processes != process) return;
    struct outcome want = case_run(c, truth, 99, NULL);
    bool bf16 = false;
    for (int i = 0; i < c->bufs; i++) bf16 |= c->buf[i].t == DT_BF16;
    for (int i = 0; i < BACKENDS; i++)
        if (backends[i].one && (!bf16 || backends[i].one->has_bf16))
            check_outcome(c, i, &want, bf16, *(const int *)to);
    outcome_free(&want);
}

static void open_devices(void)
{
    struct err e;
    truth = device_open("ref64", 1, &e);
    for (int i = 0; i < BACKENDS; i++) {
        backends[i].one = device_open(names[i], 1, &e);
        backends[i].two = i ? device_open(names[i], 2, &e) : NULL;
        found.there[i] = backends[i].one;
        found.bf16[i] = backends[i].one && backends[i].one->has_bf16;
    }
    found.opens = truth && found.there[0] && found.there[1];
    found.refused = !device_open("abacus", 1, &e) && e.code == ERR_CONFIG;
}

/* Checks the cases of this process; devices start threads, which do not live on in a fork. */
static struct found check_cases(void)
{
    open_devices();
    for (int list = 0; list < 2 && found.opens; list++)
        list_cases((struct sink){check_case, &list}, list ? DT_BF16 : DT_F32);
    for (int i = 0; i < BACKENDS; i++) device_close(backends[i].one), device_close(backends[i].two);
    device_close(truth);
    return found;
}

/* Starts process `mine`, which writes what it finds to the pipe. */
static pid_t start(int mine, int fd)
{
    const pid_t pid = fork();
    if (pid) return pid;
    process = mine;
    const struct found f = check_cases();
    exit(write(fd, &f, sizeof f) != sizeof f || test_failed);
}

static void add(struct found *sum, const struct found *f)
{
    for (int list = 0; list < 2; list++)
        for (int i = 0; i < BACKENDS; i++) {
            sum->checked[list][i] += f->checked[list][i];
            sum->wrong[list][i] += f->wrong[list][i];
        }
}

/* Returns the sum of what the processes find; all of them have the same devices. */
static struct found find(void)
{
    struct found sum = {0}, f;
    int ends[2], status;
    bool whole = pipe(ends) == 0;
    for (int i = 0; i < processes; i++) whole &= start(i, ends[1]) > 0;
    close(ends[1]);
    for (int i = 0; i < processes && whole; i++) {
        whole = read(ends[0], &f, sizeof f) == sizeof f;
        if (i == 0) sum = f;
        if (i && whole) add(&sum, &f);
    }
    for (int i = 0; i < processes; i++) whole &= wait(&status) > 0 && status == 0;
    CHECK("operations: each process ends well", whole);
    return sum;
}

static void report(const struct found *f, int list)
{
    const enum dtype t = list ? DT_BF16 : DT_F32;
    for (int i = 0; i < BACKENDS; i++) {
        char what[80];
        snprintf(what, sizeof what, "operations: %s %s equals the reference", names[i],
                 dtype_name(t));
        if (!f->there[i])
            SKIP(what, "this CPU lacks the instruction set");
        else if (list && !f->bf16[i])
            SKIP(what, "this CPU has no bf16 products");
        else
            CHECK(what, !f->wrong[list][i] && f->checked[list][i] > 200);
    }
}

int main(void)
{
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    processes = online < 1 ? 1 : online > 8 ? 8 : (int)online;
    const struct found f = find();
    CHECK("operations: the reference and the CPU backends open", f.opens);
    CHECK("operations: an unknown backend is refused", f.refused);
    report(&f, 0);
    report(&f, 1);
    TEST_END();
}
