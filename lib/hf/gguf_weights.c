/* SPDX-License-Identifier: Apache-2.0 */
/* Converts the tensors of a GGUF file to bf16 under their Hugging Face names. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "hf/family.h"
#include "hf/gguf_convert.h"
#include "hf/gguf_rope.h"
#include "hf/params.h"
#include "hf/safetensors.h"

/* One tensor to write. head_rows: rows of a head if they are permuted, else 0. */
struct job {
    const struct gguf_tensor *from;
    uint64_t head_rows;
};

struct plan {
    const struct gguf *g;
    const struct hf_config *c;
    struct hf_tensor *list;
    struct job *jobs;
    size_t count, cap, jobs_cap;
    struct arena names;
};

/* The converters of some families permute the rows that the rotary embedding rotates. */
static bool is_permuted(const struct hf_config *c, enum hf_role role)
{
    return c->family->gguf == HF_GGUF_PERMUTED &&
           (role == HF_ROLE_Q || role == HF_ROLE_K || role == HF_ROLE_Q_BIAS ||
            role == HF_ROLE_K_BIAS);
}

/* GGUF stores shapes in reverse: [in, out], the contiguous dimension first. */
static bool shape_fits(const struct gguf_tensor *t, const struct hf_param *p)
{
    if (t->ndim != p->ndim) return false;
    for (int i = 0; i < p->ndim; i++)
        if (t->dim[i] != p->dim[p->ndim - 1 - i]) return false;
    return true;
}

static int plan_param(void *arg, const struct hf_param *p, struct err *e)
{
    struct plan *plan = arg;
    char name[64];
    hf_row_name(p->row->gguf ? p->row->gguf : "", p->layer, p->expert, name, sizeof name);
    const struct gguf_tensor *t = gguf_find(plan->g, name);
    if (!t)
        return err_set(e, ERR_DATA, "%s: tensor \"%s\": is missing (it becomes %s)",
                       gguf_name(plan->g), name, p->name);
    if (!shape_fits(t, p))
        return err_set(e, ERR_DATA, "%s: tensor \"%s\": its shape does not match the metadata",
                       gguf_name(plan->g), name);
    if (mem_grow(&plan->list, &plan->cap, plan->count + 1, sizeof *plan->list, e) ||
        mem_grow(&plan->jobs, &plan->jobs_cap, plan->count + 1, sizeof *plan->jobs, e))
        return -1;
    struct hf_tensor *h = &plan->list[plan->count];
    memset(h, 0, sizeof *h);
    h->dtype = DT_BF16;
    h->ndim = p->ndim;
    memcpy(h->dim, p->dim, sizeof p->dim);
    if (!(h->name = arena_copy(&plan->names, p->name, strlen(p->name), e))) return -1;
    struct job *job = &plan->jobs[plan->count++];
    job->from = t;
    job->head_rows = is_permuted(plan->c, p->row->roles[0]) ? (uint64_t)plan->c->head_dim : 0;
    return 0;
}

/* Returns the row of the GGUF tensor that is row r of the Hugging Face tensor. The rotary embedding
 * of llama.cpp pairs neighbouring rows; that of Hugging Face pairs row i with i + head_rows / 2. */
static uint64_t source_row(uint64_t r, uint64_t head_rows)
{
    if (head_rows == 0) return r;
    uint64_t head = r / head_rows, i = r % head_rows, half = head_rows / 2;
    return head * head_rows + i % half * 2 + i / half;
}

static int write_tensor(const struct job *job, struct safetensors_writer *w, float *row,
                        uint16_t *out, struct err *e)
{
    const struct gguf_tensor *t = job->from;
    /* A vector is one row, unless its elements are permuted like rows (a bias of q or k). */
    bool vector = t->ndim < 2;
    size_t cols = (size_t)t->dim[0];
    uint64_t rows = vector ? 1 : t->dim[1];
    for (uint64_t r = 0; r < rows; r++) {
        uint64_t from = vector ? 0 : source_row(r, job->head_rows);
        gguf_dequant(t->type, t->data + t->bytes / rows * from, cols, row);
        for (size_t i = 0; i < cols; i++)
            out[i] = bf16_from_f32(row[vector ? source_row(i, job->head_rows) : i]);
        if (safetensors_write(w, out, cols * sizeof *out, e)) return -1;
    }
    return 0;
}

/* Refuses a file with unused tensors, because the model would change. Names are unique on both
 * sides, so equal counts mean equal sets. */
static int check_all_used(const struct plan *plan, struct err *e)
{
    const size_t count = gguf_count(plan->g);
    const struct gguf_tensor *factors = gguf_find(plan->g, GGUF_ROPE_FREQS); /* in config.json */
    if (count == plan->count + (factors != NULL)) return 0;
    bool *used = mem_alloc(count, sizeof *used, e);
    if (!used) return -1;
    for (size_t j = 0; j < plan->count; j++) used[plan->jobs[j].from - gguf_at(plan->g, 0)] = true;
    if (factors) used[factors - gguf_at(plan->g, 0)] = true;
    size_t i = 0;
    while (i < count && used[i]) i++;
    mem_free(used);
    return err_set(e, ERR_DATA, "%s: tensor \"%.200s\": has no place in a %s model",
                   gguf_name(plan->g), i < count ? gguf_at(plan->g, i)->name : "?",
                   plan->c->model_type);
}

static int write_all(const struct plan *plan, const char *dir, struct err *e)
{
    size_t widest = 0;
    for (size_t i = 0; i < plan->count; i++)
        if (plan->jobs[i].from->dim[0] > widest) widest = (size_t)plan->jobs[i].from->dim[0];
    float *row = mem_alloc(widest, sizeof *row, e);
    uint16_t *out = mem_alloc(widest, sizeof *out, e);
    struct safetensors_writer *w = NULL;
    int rc = -1;
    if (row && out)
        w = safetensors_create(dir, "model", plan->list, plan->count, SAFETENSORS_SHARD, e);
    if (w) rc = 0;
    for (size_t i = 0; rc == 0 && i < plan->count; i++)
        rc = write_tensor(&plan->jobs[i], w, row, out, e);
    if (rc == 0)
        rc = safetensors_commit(w, e);
    else
        safetensors_abort(w);
    mem_free(row);
    mem_free(out);
    return rc;
}

int gguf_write_weights(const struct gguf *g, const struct hf_config *c, const char *dir,
                       struct err *e)
{
    struct plan plan = {.g = g, .c = c};
    int rc = hf_param_list(c, plan_param, &plan, e);
    if (rc == 0) rc = check_all_used(&plan, e);
    if (rc == 0) rc = write_all(&plan, dir, e);
    mem_free(plan.list);
    mem_free(plan.jobs);
    arena_free(&plan.names);
    return rc;
}
