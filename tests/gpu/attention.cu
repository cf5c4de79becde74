/* SPDX-License-Identifier: Apache-2.0 */
/* The attention kernels on a GPU: against lib/ops/ref in double, two runs against each other, and
 * timed. usage: attention [check|time]   Prints a row for each case; exits with 1 when one fails.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vector>

#include "../../kernels/kernels.h"

extern "C" void ref_attention_f64(struct device *d, const void *args);
extern "C" void ref_attention_grad_f64(struct device *d, const void *args);

#define CUDA(call)                                                                                 \
    do {                                                                                           \
        int rc_ = (int)(call);                                                                     \
        if (rc_) {                                                                                 \
            printf("failed %s:%d: %s\n", __FILE__, __LINE__,                                       \
                   cudaGetErrorString((cudaError_t)rc_));                                          \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static uint64_t seed = 1;
static float uniform(void) /* in [-1, 1) */
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (float)((double)(int32_t)(seed >> 32) / 2147483648.0);
}

struct shape {
    const char *name;
    int heads, kv_heads, dim, window;
    std::vector<int> docs; /* lengths */
    int before, after;     /* rows of no document */
    int keys;              /* more keys than queries in each document */
};

/* Arrays of one case on the host (double, and bf16) and on the device. */
struct arrays {
    struct shape s;
    int64_t T, Tk, row, kv_row;
    std::vector<int32_t> cu_q, cu_k;
    std::vector<double> q, k, v, dout;
    uint16_t *dq_, *dk_, *dv_, *q_, *k_, *v_, *o_, *dout_;
    float *lse_;
    int32_t *cu_q_, *cu_k_;
    void *work_;
};

static void fill(std::vector<double> &x, size_t n)
{
    x.resize(n);
    for (double &e : x) e = bf16_to_f32(bf16_from_f32(uniform()));
}

static uint16_t *upload(const std::vector<double> &x)
{
    std::vector<uint16_t> h(x.size());
    for (size_t i = 0; i < x.size(); i++) h[i] = bf16_from_f32((float)x[i]);
    void *p;
    CUDA(cudaMalloc(&p, h.size() * 2));
    CUDA(cudaMemcpy(p, h.data(), h.size() * 2, cudaMemcpyHostToDevice));
    return (uint16_t *)p;
}

static uint16_t *poisoned(size_t n)
{
    void *p;
    CUDA(cudaMalloc(&p, n * 2));
    CUDA(cudaMemset(p, 0xff, n * 2));
    return (uint16_t *)p;
}

static void open_arrays(struct arrays *a, const struct shape &s)
{
    a->s = s;
    a->T = a->Tk = s.before;
    a->cu_q = {s.before};
    a->cu_k = {s.before};
    for (int n : s.docs) {
        a->cu_q.push_back((int32_t)(a->T += n));
        a->cu_k.push_back((int32_t)(a->Tk += n + s.keys));
    }
    a->T += s.after;
    a->Tk += s.after;
    a->row = (int64_t)s.heads * s.dim;
    a->kv_row = (int64_t)s.kv_heads * s.dim;
    fill(a->q, (size_t)(a->T * a->row));
    fill(a->k, (size_t)(a->Tk * a->kv_row));
    fill(a->v, (size_t)(a->Tk * a->kv_row));
    fill(a->dout, (size_t)(a->T * a->row));
    a->q_ = upload(a->q), a->k_ = upload(a->k), a->v_ = upload(a->v), a->dout_ = upload(a->dout);
    a->o_ = poisoned(a->q.size()), a->dq_ = poisoned(a->q.size());
    a->dk_ = poisoned(a->k.size()), a->dv_ = poisoned(a->k.size());
    a->lse_ = (float *)poisoned((size_t)(2 * a->T * s.heads));
    CUDA(cudaMalloc(&a->cu_q_, a->cu_q.size() * 4));
    CUDA(cudaMalloc(&a->cu_k_, a->cu_k.size() * 4));
    CUDA(cudaMemcpy(a->cu_q_, a->cu_q.data(), a->cu_q.size() * 4, cudaMemcpyHostToDevice));
    CUDA(cudaMemcpy(a->cu_k_, a->cu_k.data(), a->cu_k.size() * 4, cudaMemcpyHostToDevice));
    CUDA(cudaMalloc(&a->work_, (size_t)(a->T * s.heads) * 4));
}

static void close_arrays(struct arrays *a)
{
    void *p[] = {a->q_,  a->k_,  a->v_,   a->o_,    a->dout_, a->dq_,
                 a->dk_, a->dv_, a->lse_, a->cu_q_, a->cu_k_, a->work_};
    for (void *x : p) CUDA(cudaFree(x));
}

static struct op_attention forward_args(const struct arrays *a, bool device)
{
    struct op_attention f = {};
    f.Tq = a->T, f.Tk = a->Tk;
    f.q_stride = f.o_stride = a->row, f.kv_stride = a->kv_row;
    f.docs = (int32_t)a->s.docs.size();
    f.heads = a->s.heads, f.kv_heads = a->s.kv_heads, f.dim = a->s.dim, f.window = a->s.window;
    f.scale = 1 / sqrt((double)a->s.dim);
    f.dtype = device ? DT_BF16 : DT_F64;
    f.q = device ? (const void *)a->q_ : a->q.data();
    f.k = device ? (const void *)a->k_ : a->k.data();
    f.v = device ? (const void *)a->v_ : a->v.data();
    f.cu_q = device ? a->cu_q_ : a->cu_q.data();
    f.cu_k = device ? a->cu_k_ : a->cu_k.data();
    for (int n : a->s.docs)
        if (n + a->s.keys > f.max_len) f.max_len = n + a->s.keys;
    return f;
}

static void run(struct arrays *a)
{
    struct op_attention f = forward_args(a, true);
    const struct kernel_context context = {0, a->work_, NULL};
    f.o = a->o_, f.lse = a->lse_;
    CUDA(kernel_attention(&f, &context));
    struct op_attention_grad g = {a->dq_, a->dk_, a->dv_, a->dout_, a->o_, a->lse_, f};
    CUDA(kernel_attention_grad(&g, &context));
    CUDA(cudaDeviceSynchronize());
}

static std::vector<double> download(const uint16_t *p, size_t n)
{
    std::vector<uint16_t> h(n);
    CUDA(cudaMemcpy(h.data(), p, n * 2, cudaMemcpyDeviceToHost));
    std::vector<double> x(n);
    for (size_t i = 0; i < n; i++) x[i] = bf16_to_f32(h[i]);
    return x;
}

/* ||x - y|| / ||y||; not a number when x has one. */
static double distance(const std::vector<double> &x, const std::vector<double> &y)
{
    double d = 0, n = 1e-300;
    for (size_t i = 0; i < y.size(); i++) {
        d += (x[i] - y[i]) * (x[i] - y[i]);
        n += y[i] * y[i];
    }
    return sqrt(d / n);
}

static double lse_error(const struct arrays *a, const std::vector<double> &want)
{
    std::vector<float> got(want.size());
    CUDA(cudaMemcpy(got.data(), a->lse_, got.size() * 4, cudaMemcpyDeviceToHost));
    double most = 0;
    for (int h = 0; h < a->s.heads; h++)
        for (int64_t t = a->cu_q.front(); t < a->cu_q.back(); t++) {
            const size_t i = (size_t)(h * a->T + t);
            if (!(fabs(got[i] - want[i]) <= most) && got[i] != want[i])
                most = fabs(got[i] - want[i]);
        }
    return most;
}

static int check(const struct shape &s)
{
    struct arrays a;
    open_arrays(&a, s);
    run(&a);
    struct op_attention f = forward_args(&a, false);
    std::vector<double> o(a.q.size()), lse((size_t)(a.T * s.heads)), dq(o.size()), dk(a.k.size()),
        dv(a.k.size());
    f.o = o.data(), f.lse = lse.data();
    ref_attention_f64(NULL, &f);
    struct op_attention_grad g = {dq.data(), dk.data(),  dv.data(), a.dout.data(),
                                  o.data(),  lse.data(), f};
    ref_attention_grad_f64(NULL, &g);
    const std::vector<double> got[4] = {download(a.o_, o.size()), download(a.dq_, o.size()),
                                        download(a.dk_, dk.size()), download(a.dv_, dk.size())};
    const double e[5] = {distance(got[0], o), distance(got[1], dq), distance(got[2], dk),
                         distance(got[3], dv), lse_error(&a, lse)};
    run(&a);
    const bool same = download(a.o_, o.size()) == got[0] && download(a.dq_, o.size()) == got[1] &&
                      download(a.dk_, dk.size()) == got[2] && download(a.dv_, dk.size()) == got[3];
    bool ok = same && e[4] < 1e-3;
    for (int i = 0; i < 4; i++) ok = ok && e[i] < 1e-2;
    printf(
        "%-8s %-34s %2d/%d heads dim %3d window %4d: o %.1e dq %.1e dk %.1e dv %.1e lse %.0e %s\n",
        ok ? "ok" : "WRONG", s.name, s.heads, s.kv_heads, s.dim, s.window, e[0], e[1], e[2], e[3],
        e[4], same ? "" : "NOT THE SAME TWICE");
    fflush(stdout);
    close_arrays(&a);
    return !ok;
}

static void measure(const struct shape &s)
{
    struct arrays a;
    open_arrays(&a, s);
    double pairs = 0;
    for (int n : s.docs) pairs += 0.5 * n * (double)n;
    const double flops = 4 * pairs * s.dim * s.heads;
    run(&a);
    cudaEvent_t at[3];
    for (auto &x : at) CUDA(cudaEventCreate(&x));
    struct op_attention f = forward_args(&a, true);
    f.o = a.o_, f.lse = a.lse_;
    struct op_attention_grad g = {a.dq_, a.dk_, a.dv_, a.dout_, a.o_, a.lse_, f};
    const int rounds = 20;
    const struct kernel_context context = {0, a.work_, NULL};
    CUDA(cudaEventRecord(at[0]));
    for (int i = 0; i < rounds; i++) CUDA(kernel_attention(&f, &context));
    CUDA(cudaEventRecord(at[1]));
    for (int i = 0; i < rounds; i++) CUDA(kernel_attention_grad(&g, &context));
    CUDA(cudaEventRecord(at[2]));
    CUDA(cudaDeviceSynchronize());
    float forward, backward;
    CUDA(cudaEventElapsedTime(&forward, at[0], at[1]));
    CUDA(cudaEventElapsedTime(&backward, at[1], at[2]));
    printf(
        "time     %-34s %2d/%d heads dim %3d: forward %.3f ms %.0f TF, backward %.3f ms %.0f TF\n",
        s.name, s.heads, s.kv_heads, s.dim, forward / rounds, flops * rounds / forward / 1e9,
        backward / rounds, 2.5 * flops * rounds / backward / 1e9);
    fflush(stdout);
    close_arrays(&a);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    const int dims[] = {64, 80, 96, 128, 256};
    int bad = 0;
    for (int dim : dims) {
        if (strcmp(what, "time") == 0) break;
        bad += check({"one document", 2, 1, dim, 0, {200}, 0, 0, 0});
        bad += check({"documents, rows of none", 4, 2, dim, 0, {1, 63, 64, 65, 7, 129}, 5, 70, 0});
        bad += check({"a window", 2, 2, dim, 50, {300, 20, 77}, 0, 3, 0});
        bad += check({"more keys than queries", 6, 2, dim, 0, {1, 33, 130}, 0, 0, 90});
        bad += check({"a window over more keys", 3, 1, dim, 33, {1, 97}, 0, 0, 60});
    }
    if (strcmp(what, "check") != 0) {
        std::vector<int> eight(8, 1024), short_ones(23, 350);
        short_ones.push_back(142);
        measure({"8 x 1024", 28, 4, 128, 0, eight, 0, 0, 0});
        measure({"1 x 8192", 28, 4, 128, 0, {8192}, 0, 0, 0});
        measure({"23 x 350", 28, 4, 128, 0, short_ones, 0, 0, 0});
        measure({"8 x 1024", 12, 2, 128, 0, eight, 0, 0, 0});
        measure({"8 x 1024", 14, 2, 64, 0, eight, 0, 0, 0});
        measure({"1 x 8192", 14, 2, 64, 0, {8192}, 0, 0, 0});
        measure({"23 x 350", 14, 2, 64, 0, short_ones, 0, 0, 0});
    }
    return bad != 0;
}
