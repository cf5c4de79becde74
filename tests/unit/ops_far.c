/* SPDX-License-Identifier: Apache-2.0 */
/* The backend "far": the same bytes as "cpu", memory that faults when the host touches it, and
 * operations that run late from copies of their arguments. */
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "comm/comm.h"
#include "ops_list.h"

static struct device *cpu, *far;
static int compared, differ;

static void compare_case(const struct test_case *c, void *to)
{
    (void)to;
    struct outcome a = case_run(c, cpu, 5, NULL), b = case_run(c, far, 5, NULL);
    for (int i = 0; i < c->bufs; i++) {
        compared++;
        if (!EXPECT(c->name,
                    !memcmp(a.bytes[i], b.bytes[i], (size_t)c->buf[i].n * dtype_size(c->buf[i].t))))
            differ++;
    }
    outcome_free(&a), outcome_free(&b);
}

/* The signal that ends a process which touches *p, or 0. */
static int touch(volatile char *p, bool write)
{
    pid_t pid = fork();
    if (!pid) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        signal(SIGSEGV, SIG_DFL);
        if (write)
            *p = 1;
        else
            (void)*p;
        _exit(0);
    }
    int status = 0;
    return waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void check_memory(void)
{
    struct err e;
    char *p = far->ops->alloc(far, 1000, &e), back[1000], src[1000];
    memset(src, 7, sizeof src);
    CHECK("far memory: an allocation is aligned", p && (uintptr_t)p % 64 == 0);
    CHECK("far memory: a read by the host faults", touch(p, false) == SIGSEGV);
    CHECK("far memory: a write by the host faults", touch(p + 999, true) == SIGSEGV);
    device_upload(far, p, src, sizeof src);
    memset(src, 9, sizeof src);
    CHECK("far memory: a read by the host faults after an upload", touch(p, false) == SIGSEGV);
    CHECK("far memory: a download succeeds", !far->ops->download(far, back, p, sizeof back, &e));
    CHECK("far memory: the source is free after device_upload", back[0] == 7 && back[999] == 7);
    CHECK("far memory: a read by the host faults after a download", touch(p, false) == SIGSEGV);
    far->ops->free(far, p, 1000);
    CHECK("far memory: a size that overflows is refused",
          !far->ops->alloc(far, SIZE_MAX - 5, &e) && e.code == ERR_MEMORY);
}

/* An upload reads its source when the device gets there; a mark behind it tells when that was, and
 * nothing behind the mark has run then. */
static void check_uploads(void)
{
    struct err e;
    float src = 1, got[2], *p = far->ops->alloc(far, 64, &e);
    far->ops->upload(far, p, &src, sizeof src);
    src = 2;
    far->ops->upload(far, p + 1, &src, sizeof src);
    far->ops->mark(far, MARK_PASSES);
    far->ops->upload(far, p, &src, sizeof src);
    far->ops->reached(far, MARK_PASSES);
    far->ops->reached(far, MARK_PASSES + 1);
    src = 3;
    const bool read = !far->ops->download(far, got, p, sizeof got, &e);
    CHECK("upload: a source that changes too early is found out", read && (int)got[0] == 3);
    CHECK("upload: a source that changes after the mark is free", read && (int)got[1] == 2);
    far->ops->free(far, p, 64);
}

/* y = ((x + x) + (x + x)) ...: each operation from one struct that is changed after the call. */
static void check_order(void)
{
    enum { N = 5, TIMES = 20000 }; /* more than the queue holds */
    struct err e;
    float x[N] = {0, 1, 2, 3, 4}, got[N];
    float *y = far->ops->alloc(far, sizeof x, &e), *one = far->ops->alloc(far, sizeof x, &e);
    far->ops->upload(far, one, (float[N]){1, 1, 1, 1, 1}, sizeof x);
    far->ops->upload(far, y, x, sizeof x);
    struct op_add a = {.y = y, .a = y, .b = one, .n = N, .dtype = DT_F32};
    for (int i = 0; i < TIMES; i++) {
        a.n = i % 2 ? N : 2;
        op_add(far, &a);
        memset(&a.n, 0xff, sizeof a.n);
    }
    CHECK("far: operations run in order", !far->ops->download(far, got, y, sizeof got, &e) &&
                                              got[1] == 1 + TIMES && got[4] == 4 + TIMES / 2);
    far->ops->free(far, y, sizeof x), far->ops->free(far, one, sizeof x);
}

static void check_errors(void)
{
    struct err e = {0};
    far->ops->run(far, OP_add, &(int){1}, sizeof(int));
    far->ops->run(far, OP_zero, &(struct op_zero){0}, sizeof(struct op_zero));
    CHECK("far errors: a failure is kept for sync",
          far->ops->sync(far, &e) && e.code == ERR_INTERNAL);
    CHECK("far errors: a failure is told once", !far->ops->sync(far, &e));
    struct op_matmul m = {.m = 2, .n = 2, .k = 2, .ab_dtype = DT_F64, .c_dtype = DT_F64};
    op_matmul(cpu, &m);
    CHECK("far errors: a product of fp64 is refused",
          cpu->ops->sync(cpu, &e) && strstr(e.msg, "fp64"));
}

/* x = 3 on the compute queue; a call of the other queue copies it to the host and puts 4 in its
 * place, which an operation then adds to y. */
struct visit {
    struct device *d;
    float *x, *seen;
};
static void visit(void *arg)
{
    const struct visit *v = arg;
    struct err e;
    const float four = 4;
    v->d->ops->download(v->d, v->seen, v->x, sizeof *v->seen, &e);
    v->d->ops->upload(v->d, v->x, &four, sizeof four);
}

/* True if the call saw 3, and the operation behind it 4. */
static void visited(const char *device, bool before, bool behind, bool *saw, bool *came)
{
    struct err e = {0};
    struct device *q = device_open(device, 1, &e);
    float seen = 0, *x = q->ops->alloc(q, 8, &e), *y = q->ops->alloc(q, 8, &e), got = 0;
    q->ops->upload(q, x, (float[2]){0}, 8);
    q->ops->upload(q, y, (float[2]){0}, 8);
    q->ops->sync(q, &e);
    const float numbers[3] = {1, 2, 3};
    for (int i = 0; i < 3; i++) q->ops->upload(q, x, &numbers[i], 4);
    if (before) q->ops->after(q, QUEUE_COMM);
    q->ops->call(q, QUEUE_COMM, visit, &(struct visit){q, x, &seen}, sizeof(struct visit));
    if (behind) q->ops->after(q, QUEUE_COMPUTE);
    op_add(q, &(struct op_add){.y = y, .a = y, .b = x, .n = 1, .dtype = DT_F32});
    q->ops->download(q, &got, y, sizeof got, &e);
    *saw = (int)seen == 3;
    *came = (int)got == 4;
    q->ops->free(q, x, 8), q->ops->free(q, y, 8);
    device_close(q);
}

static void check_queues(void)
{
    int saw_some = 0, came_some = 0;
    bool right = true, saw, came;
    for (int seed = 0; seed < 20; seed++) {
        char name[16];
        snprintf(name, sizeof name, "far-%d", seed);
        visited(name, true, true, &saw, &came);
        right &= saw && came;
        visited(name, false, true, &saw, &came);
        saw_some += saw;
        visited(name, true, false, &saw, &came);
        came_some += came;
    }
    CHECK("queues: work behind the other queue's sees its result, at any speed", right);
    CHECK("queues: a call that does not wait for operations is found out", saw_some < 20);
    CHECK("queues: an operation that does not wait for a call is found out", came_some < 20);
    CHECK("queues: speeds differ, so that it may also go well", saw_some > 0 && came_some > 0);
}

/* The clock is read where the device gets to, not where the host is: the first mark waits for the
 * operation before it, and nothing is noted twice. */
static void check_marks(struct device *q, const char *name)
{
    struct err e = {0};
    char text[80];
    enum { N = 1 << 22 };
    float *x = q->ops->alloc(q, N * sizeof *x, &e);
    q->ops->mark(q, 0);
    op_zero(q, &(struct op_zero){.y = x, .bytes = N * sizeof *x});
    q->ops->mark(q, DEVICE_MARKS - 1);
    q->ops->mark(q, 1);
    const double work = q->ops->between(q, 0, DEVICE_MARKS - 1), all = q->ops->between(q, 0, 1);
    snprintf(text, sizeof text, "marks of %s: in the order of the work", name);
    CHECK(text, work > 0 && all >= work && q->ops->between(q, 1, 1) <= 0);
    q->ops->free(q, x, N * sizeof *x);
    void *p = q->ops->host_alloc(q, 1000, &e);
    const char zero[1000] = {0};
    snprintf(text, sizeof text, "memory of the host, by %s: zero and aligned", name);
    CHECK(text, p && (uintptr_t)p % 64 == 0 && memcmp(p, zero, sizeof zero) == 0);
    q->ops->host_free(q, p, 1000);
}

static void check_comm(void)
{
    struct err e;
    struct comm *c = comm_self(far, &e);
    float back[2] = {0}, *x = far->ops->alloc(far, 8, &e), *y = far->ops->alloc(far, 8, &e);
    CHECK("far: group of one", c && c->rank == 0 && c->size == 1);
    device_upload(far, x, (float[2]){3, 4}, 8);
    comm_all_gather(c, y, x, 2, DT_F32);
    comm_all_reduce(c, y, 2, DT_F32, COMM_SUM);
    comm_broadcast(c, y, 8, 0);
    comm_join(c);
    CHECK("group of one: a gather copies, a sum keeps",
          !comm_finish(c, &e) && !far->ops->download(far, back, y, 8, &e) && back[1] == 4);
    device_upload(far, x, (float[2]){5, 6}, 8);
    comm_send_receive(c, x, 8, 0, y, 8, 0);
    comm_send_receive(c, x, 8, COMM_NOBODY, y, 8, COMM_NOBODY);
    CHECK("group of one: a ring copies",
          !comm_finish(c, &e) && !far->ops->download(far, back, y, 8, &e) && back[1] == 6);
    comm_send_receive(c, x, 8, 1, y, 8, 1);
    CHECK("group of one: another rank is an error, kept for finish",
          comm_finish(c, &e) && e.code == ERR_INTERNAL && !comm_finish(c, &e));
    comm_broadcast(c, x, 8, 1);
    CHECK("group of one: another root is an error", comm_finish(c, &e) && e.code == ERR_INTERNAL);
    far->ops->free(far, x, 8), far->ops->free(far, y, 8);
    comm_close(c);
}

int main(void)
{
    struct err e;
    cpu = device_open("cpu", 2, &e);
    far = device_open("far", 2, &e);
    CHECK("far: the devices open", cpu && far);
    list_cases((struct sink){compare_case, NULL}, DT_F32);
    if (device_has_bf16(far)) list_cases((struct sink){compare_case, NULL}, DT_BF16);
    CHECK("far: results are the bytes of cpu", !differ && compared > 300);
    far->queue = QUEUE_COMM;
    list_cases((struct sink){compare_case, NULL}, DT_F32);
    far->queue = QUEUE_COMPUTE;
    CHECK("far queues: the second runs operations, with its own scratch",
          !differ && compared > 600);
    check_memory();
    check_uploads();
    check_order();
    check_errors();
    check_queues();
    check_marks(cpu, "cpu"), check_marks(far, "far");
    check_comm();
    device_close(cpu), device_close(far);
    TEST_END();
}
