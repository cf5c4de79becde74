/* SPDX-License-Identifier: Apache-2.0 */
/* The tensors of a Hugging Face model under their GGUF names: their types, and their data, some
 * rows at a time. */
#include <math.h>
#include <string.h>

#include "base/pool.h"
#include "hf/family.h"
#include "hf/gguf_export_impl.h"
#include "hf/gguf_rope.h"
#include "hf/params.h"
#include "hf/safetensors.h"

/* One tensor to write. head_rows: rows of a head if they are permuted, else 0. */
struct job {
    const struct hf_tensor *from;
    enum gguf_type type;
    uint64_t rows, cols, head_rows;
};

struct gguf_tensors {
    const struct hf_config *c;
    enum gguf_type type;
    struct safetensors *in;
    struct job *jobs;
    size_t count, cap;
    float *factors; /* of rope_freqs.weight; NULL: there is none */
    struct gguf_head *head;
    struct gguf_exported *done;
};

/* ---- types ---- */
static bool is_quantized(enum gguf_type t)
{
    return t != GGUF_TYPE_F32 && t != GGUF_TYPE_F16 && t != GGUF_TYPE_BF16;
}

static bool fits(enum gguf_type t, uint64_t row)
{
    size_t elements = 1, bytes;
    gguf_type_block(t, &elements, &bytes);
    return row % elements == 0;
}

/* The type that takes the place of t where rows are not whole blocks of it, as in llama-quantize.
 */
static enum gguf_type next_type(enum gguf_type t)
{
    if (t == GGUF_TYPE_Q4_K) return GGUF_TYPE_Q5_0;
    return t == GGUF_TYPE_Q6_K ? GGUF_TYPE_Q8_0 : GGUF_TYPE_F16;
}

static int tell_fallback(struct gguf_exported *done, enum gguf_type wanted, enum gguf_type got,
                         uint64_t row, struct err *e)
{
    size_t i = 0;
    struct gguf_fallback *f = done->fallback;
    while (i < done->fallbacks && !(f[i].wanted == wanted && f[i].got == got && f[i].row == row))
        i++;
    if (i == GGUF_MAX_FALLBACKS)
        return err_set(e, ERR_DATA, "tensors with too many different lengths of rows");
    if (i == done->fallbacks) f[done->fallbacks++] = (struct gguf_fallback){wanted, got, row, 0};
    f[i].count++;
    return 0;
}

/* Chooses the type of a parameter as llama-quantize does: vectors are F32; the output projection,
 * which is the embedding if tied, is Q6_K in a file of fewer bits than Q8_0. */
static int choose_type(const struct gguf_tensors *t, const struct hf_param *p, enum gguf_type *out,
                       struct err *e)
{
    const enum hf_role role = p->row->roles[0];
    const bool output =
        role == HF_ROLE_HEAD || (role == HF_ROLE_EMBED && t->c->tie_word_embeddings);
    *out = GGUF_TYPE_F32;
    if (p->ndim < 2) return 0;
    const bool more = output && is_quantized(t->type) && t->type != GGUF_TYPE_Q8_0;
    const enum gguf_type wanted = more ? GGUF_TYPE_Q6_K : t->type;
    const uint64_t row = p->dim[1];
    *out = wanted;
    while (!fits(*out, row)) *out = next_type(*out);
    return *out == wanted ? 0 : tell_fallback(t->done, wanted, *out, row, e);
}

/* ---- the plan ---- */
static int check_type(const struct hf_tensor *t, struct err *e)
{
    float one;
    if (dtype_to_f32(t->dtype, t->data, 0, &one) == 0) return 0;
    return err_set(e, ERR_DATA, "%s: tensor %s: weights of type %s cannot be written as GGUF",
                   t->file, t->name, hf_dtype_name(t->dtype));
}

static bool is_permuted(const struct hf_config *c, enum hf_role role)
{
    return c->family->gguf == HF_GGUF_PERMUTED &&
           (role == HF_ROLE_Q || role == HF_ROLE_K || role == HF_ROLE_Q_BIAS ||
            role == HF_ROLE_K_BIAS);
}

static int plan_param(void *arg, const struct hf_param *p, struct err *e)
{
    struct gguf_tensors *t = arg;
    char name[64];
    uint64_t dim[GGUF_MAX_DIMS];
    const struct hf_tensor *from = safetensors_need(t->in, p->name, p->ndim, p->dim, e);
    if (!from || check_type(from, e) ||
        mem_grow(&t->jobs, &t->cap, t->count + 1, sizeof *t->jobs, e))
        return -1;
    struct job *job = &t->jobs[t->count++];
    const bool vector = p->ndim < 2;
    *job = (struct job){
        .from = from, .rows = vector ? 1 : p->dim[0], .cols = vector ? p->dim[0] : p->dim[1]};
    if (is_permuted(t->c, p->row->roles[0])) job->head_rows = (uint64_t)t->c->head_dim;
    if (choose_type(t, p, &job->type, e)) return -1;
    hf_row_name(p->row->gguf, p->layer, p->expert, name, sizeof name);
    for (int i = 0; i < p->ndim; i++) dim[i] = p->dim[p->ndim - 1 - i];
    gguf_add_tensor(t->head, name, job->type, p->ndim, dim);
    t->done->parameters += from->count;
    t->done->tensors++;
    return 0;
}

/* A second copy of the tied projection, and a buffer that old versions of transformers saved. */
static bool is_left_out(const struct gguf_tensors *t, const char *name)
{
    const char *tail = strrchr(name, '.');
    if (tail && strcmp(tail, ".inv_freq") == 0) return true;
    return t->c->tie_word_embeddings &&
           strcmp(name, hf_family_tensor(t->c->family, HF_ROLE_HEAD)) == 0;
}

/* Refuses a folder with other tensors, because the model would change. */
static int check_all_used(const struct gguf_tensors *t, struct err *e)
{
    const size_t count = safetensors_count(t->in);
    bool *used = mem_alloc(count, sizeof *used, e);
    if (!used) return -1;
    for (size_t j = 0; j < t->count; j++) used[t->jobs[j].from - safetensors_at(t->in, 0)] = true;
    size_t i = 0;
    while (i < count && (used[i] || is_left_out(t, safetensors_at(t->in, i)->name))) i++;
    mem_free(used);
    if (i == count) return 0;
    return err_set(e, ERR_DATA, "%s: tensor %s: has no place in a %s model",
                   safetensors_at(t->in, i)->file, safetensors_at(t->in, i)->name,
                   t->c->model_type);
}

static int plan_factors(struct gguf_tensors *t, struct err *e)
{
    const uint64_t n = (uint64_t)t->c->head_dim / 2;
    if (strcmp(t->c->rope.type, "llama3") != 0) return 0;
    if (!(t->factors = mem_alloc((size_t)n, sizeof *t->factors, e))) return -1;
    gguf_rope_factors(t->c, t->factors);
    gguf_add_tensor(t->head, GGUF_ROPE_FREQS, GGUF_TYPE_F32, 1, &n);
    t->done->tensors++;
    return 0;
}

struct gguf_tensors *gguf_tensors_begin(const struct gguf_export *x, const struct hf_config *c,
                                        struct gguf_head *h, struct gguf_exported *done,
                                        struct err *e)
{
    struct gguf_tensors *t = mem_alloc(1, sizeof *t, e);
    if (!t) return NULL;
    *t = (struct gguf_tensors){.c = c, .type = x->type, .head = h, .done = done};
    if ((t->in = safetensors_open(x->dir, e)) && plan_factors(t, e) == 0 &&
        hf_param_list(c, plan_param, t, e) == 0 && check_all_used(t, e) == 0)
        return t;
    gguf_tensors_end(t);
    return NULL;
}

void gguf_tensors_end(struct gguf_tensors *t)
{
    if (!t) return;
    safetensors_close(t->in);
    mem_free(t->factors);
    mem_free(t->jobs);
    mem_free(t);
}

/* ---- the data ---- */
/* Some rows of a tensor: a job of the pool. */
enum { PART = 1 << 18 }; /* elements, or one row if that is longer */
struct part {
    const struct job *job;
    uint64_t begin, rows;
    bool last; /* of its tensor */
    unsigned char *data;
    size_t bytes;
};
struct writing {
    struct gguf_tensors *t;
    struct io_out *out;
};

/* Returns the row of the Hugging Face tensor that is row r of the GGUF tensor: the rotary embedding
 * of llama.cpp pairs neighbouring rows, that of Hugging Face row i with i + head_rows / 2. */
static uint64_t source_row(uint64_t r, uint64_t head_rows)
{
    if (head_rows == 0) return r;
    const uint64_t i = r % head_rows;
    return r - i + i % 2 * (head_rows / 2) + i / 2;
}

static void read_row(const struct job *job, uint64_t r, float *row)
{
    const struct hf_tensor *t = job->from;
    const size_t size = dtype_size(t->dtype), cols = (size_t)job->cols;
    if (job->rows > 1 || job->head_rows == 0) {
        r = source_row(r, job->rows > 1 ? job->head_rows : 0);
        dtype_to_f32(t->dtype, t->data + r * cols * size, cols, row);
        return;
    }
    /* the elements of a bias are permuted like rows */
    for (size_t i = 0; i < cols; i++)
        dtype_to_f32(t->dtype, t->data + source_row(i, job->head_rows) * size, 1, row + i);
}

static int check_range(const struct job *job, const float *row, struct err *e)
{
    float most = 0;
    if (job->type == GGUF_TYPE_F32 || job->type == GGUF_TYPE_BF16) return 0;
    for (uint64_t i = 0; i < job->cols; i++) {
        const float v = fabsf(row[i]);
        if (!(v <= most)) most = v;
        if (isnan(v)) break;
    }
    if (most <= GGUF_MOST) return 0;
    return err_set(e, ERR_DATA,
                   "%s: tensor %s: a value of %g is beyond the range of type %s; choose --type "
                   "bf16 or f32",
                   job->from->file, job->from->name, (double)most, gguf_type_name(job->type));
}

static int convert_part(void *arg, void *job, int worker, struct err *e)
{
    struct part *p = job;
    const size_t cols = (size_t)p->job->cols, row_bytes = p->bytes / (size_t)p->rows;
    float *row = mem_alloc(cols, sizeof *row, e);
    int rc = row ? 0 : -1;
    (void)arg, (void)worker;
    for (uint64_t r = 0; rc == 0 && r < p->rows; r++) {
        read_row(p->job, p->begin + r, row);
        rc = check_range(p->job, row, e);
        if (rc == 0) rc = gguf_quantize(p->job->type, row, cols, p->data + r * row_bytes);
    }
    mem_free(row);
    return rc;
}

static void free_part(void *arg, void *job)
{
    struct part *p = job;
    (void)arg;
    mem_free(p->data);
    mem_free(p);
}

static int write_part(void *arg, void *job, struct err *e)
{
    const struct writing *w = arg;
    const struct part *p = job;
    const struct hf_tensor *from = p->job->from;
    int rc = io_write(w->out, p->data, p->bytes, e);
    if (rc == 0 && p->last) {
        safetensors_forget(w->t->in, from, 0, from->bytes);
        rc = gguf_pad(w->out, e);
    }
    free_part(NULL, job);
    return rc;
}

static int put_tensor(struct pool *pool, const struct job *job, struct err *e)
{
    const uint64_t step = job->cols < PART && job->cols ? PART / job->cols : 1;
    size_t elements = 1, bytes = 0;
    gguf_type_block(job->type, &elements, &bytes);
    for (uint64_t r = 0; r < job->rows; r += step) {
        struct part *p = mem_alloc(1, sizeof *p, e);
        if (!p) return -1;
        *p = (struct part){.job = job, .begin = r, .last = r + step >= job->rows};
        p->rows = p->last ? job->rows - r : step;
        p->bytes = (size_t)(p->rows * (job->cols / elements)) * bytes;
        if (!(p->data = mem_alloc(p->bytes, 1, e))) {
            free_part(NULL, p);
            return -1;
        }
        if (pool_put(pool, p, e)) return -1;
    }
    return 0;
}

static int write_factors(const struct gguf_tensors *t, struct io_out *out, struct err *e)
{
    const size_t n = (size_t)t->c->head_dim / 2;
    if (!t->factors) return 0;
    return io_write(out, t->factors, n * sizeof *t->factors, e) ? -1 : gguf_pad(out, e);
}

int gguf_tensors_write(struct gguf_tensors *t, int threads, struct io_out *out, struct err *e)
{
    struct writing w = {t, out};
    const struct pool_ops ops = {convert_part, write_part, free_part, &w};
    if (write_factors(t, out, e)) return -1;
    struct pool *pool = pool_new(threads, 2 * threads, &ops, e);
    int rc = pool ? 0 : -1;
    for (size_t i = 0; rc == 0 && i < t->count; i++) rc = put_tensor(pool, &t->jobs[i], e);
    if (rc == 0) rc = pool_finish(pool, e);
    pool_free(pool);
    return rc;
}
