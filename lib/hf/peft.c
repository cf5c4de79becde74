/* SPDX-License-Identifier: Apache-2.0 */
/* The tensors of an adapter: their names, their pairs, and the sum with the weights of the base. */
#include "hf/peft.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "hf/folder.h"

#define PREFIX "base_model.model."
static const char *const suffix[] = {".lora_A.weight", ".lora_B.weight", NULL};

static bool ends(const char *s, const char *tail)
{
    size_t n = strlen(s), m = strlen(tail);
    return n > m && strcmp(s + n - m, tail) == 0;
}

void peft_tensor_name(enum peft_role role, const char *param, char *out, size_t size)
{
    char module[2 * PEFT_MAX_NAME];
    hf_module_name(param, module, sizeof module);
    size_t n = strlen(module);
    if (role != PEFT_SAVED && ends(module, ".weight")) n -= strlen(".weight");
    snprintf(out, size, PREFIX "%.*s%s", (int)n, module, role == PEFT_SAVED ? "" : suffix[role]);
}

int peft_tensor_role(const char *name, enum peft_role *role, char *param)
{
    const size_t skip = strlen(PREFIX);
    if (strncmp(name, PREFIX, skip) != 0) return -1;
    name += skip;
    size_t n = strlen(name);
    if (n == 0 || n >= PEFT_MAX_NAME) return -1;
    *role = ends(name, suffix[PEFT_A]) ? PEFT_A : ends(name, suffix[PEFT_B]) ? PEFT_B : PEFT_SAVED;
    if (*role != PEFT_SAVED)
        n -= strlen(suffix[*role]);
    else if (strstr(name, "lora_") || strstr(name, ".base_layer.") ||
             (!ends(name, ".weight") && !ends(name, ".bias")))
        return -1;
    char file[2 * PEFT_MAX_NAME];
    snprintf(file, sizeof file, "%.*s%s", (int)n, name, *role == PEFT_SAVED ? "" : ".weight");
    hf_module_name(file, param, PEFT_MAX_NAME);
    return 0;
}

/* ---- opening ---- */
int peft_find_dir(const char *path, char **dir, struct err *e)
{
    static const char config[] = "adapter_config.json";
    *dir = NULL;
    int found = io_has(path, config, e);
    if (found > 0) return (*dir = mem_strndup(path, strlen(path), e)) ? 1 : -1;
    char *inner = found < 0 ? NULL : io_path(path, "sft_train", e);
    found = inner ? io_has(inner, config, e) : -1;
    if (found > 0)
        *dir = inner;
    else
        mem_free(inner);
    return found;
}

static int compare(const void *x, const void *y)
{
    const struct peft_tensor *a = x, *b = y;
    int c = strcmp(a->param, b->param);
    return c ? c : (int)a->role - (int)b->role;
}

const struct hf_tensor *peft_find(const struct peft *p, enum peft_role role, const char *param)
{
    struct peft_tensor key = {.role = role};
    if (p->count == 0 || strlen(param) >= sizeof key.param) return NULL;
    hf_module_name(param, key.param, sizeof key.param);
    const struct peft_tensor *x = bsearch(&key, p->list, p->count, sizeof key, compare);
    return x ? x->t : NULL;
}

static bool is_real(const struct hf_tensor *t)
{
    return t->dtype == DT_F32 || t->dtype == DT_F16 || t->dtype == DT_BF16 || t->dtype == DT_F64;
}

/* Checks the type and the rank of a tensor (A is [r, in], B is [out, r]), and that the other factor
 * exists. */
static int check_tensor(const struct peft *p, const struct peft_tensor *x, struct err *e)
{
    const uint64_t rank = (uint64_t)p->config.rank;
    const struct hf_tensor *t = x->t;
    if (!is_real(t))
        return err_set(e, ERR_DATA, "%s: tensor %s is of type %s, not of a floating-point type",
                       t->file, t->name, hf_dtype_name(t->dtype));
    if (x->role == PEFT_SAVED) return 0;
    if (t->ndim != 2 || t->dim[x->role == PEFT_A ? 0 : 1] != rank)
        return err_set(e, ERR_DATA,
                       "%s: tensor %s does not have the rank r = %lld of "
                       "adapter_config.json",
                       t->file, t->name, (long long)rank);
    if (!peft_find(p, x->role == PEFT_A ? PEFT_B : PEFT_A, x->param))
        return err_set(e, ERR_DATA, "%s: tensor %s: the other factor is missing", t->file, t->name);
    if (peft_find(p, PEFT_SAVED, x->param))
        return err_set(e, ERR_DATA, "%s: tensor %s: its module is in modules_to_save too", t->file,
                       t->name);
    return 0;
}

static int read_tensors(struct peft *p, struct err *e)
{
    char names[HF_FAMILY_NAMES];
    p->count = safetensors_count(p->file);
    p->list = mem_alloc(p->count, sizeof *p->list, e);
    if (!p->list) return -1;
    for (size_t i = 0; i < p->count; i++) {
        p->list[i].t = safetensors_at(p->file, i);
        if (peft_tensor_role(p->list[i].t->name, &p->list[i].role, p->list[i].param))
            return err_set(e, ERR_DATA,
                           "%s: tensor %s is not supported; LoRA on %s is, and modules_to_save",
                           p->list[i].t->file, p->list[i].t->name,
                           hf_family_linear(NULL, NULL, ", ", " and ", names));
    }
    qsort(p->list, p->count, sizeof *p->list, compare);
    for (size_t i = 0; i < p->count; i++)
        if (check_tensor(p, &p->list[i], e)) return -1;
    return 0;
}

struct peft *peft_open(const char *path, struct err *e)
{
    struct peft *p = mem_alloc(1, sizeof *p, e);
    if (!p) return NULL;
    char *folder = NULL;
    const int missing = hf_folder_find(path, &folder, e);
    const int found = missing ? -1 : peft_find_dir(folder, &p->dir, e);
    mem_free(folder);
    if (found == 0)
        err_set(e, ERR_NOINPUT, "%s: no adapter: there is no adapter_config.json", path);
    if (found <= 0) goto fail;
    if (peft_config_read(p->dir, &p->config, e)) goto fail;
    p->file = safetensors_open_stem(p->dir, "adapter_model", e);
    if (!p->file || read_tensors(p, e)) goto fail;
    return p;
fail:
    peft_close(p);
    return NULL;
}

void peft_close(struct peft *p)
{
    if (!p) return;
    safetensors_close(p->file);
    peft_config_free(&p->config);
    mem_free(p->list);
    mem_free(p->dir);
    mem_free(p);
}

/* ---- checks against a base ---- */
static int wrong_shape(const struct hf_tensor *t, const struct hf_tensor *base, struct err *e)
{
    char have[200], want[200];
    hf_tensor_shape(t, have, sizeof have);
    hf_tensor_shape(base, want, sizeof want);
    return err_set(e, ERR_DATA, "%s: tensor %s has shape %s; the base model's %s has %s", t->file,
                   t->name, have, base->name, want);
}

static int check_fit(const struct peft_tensor *x, const struct hf_tensor *base, struct err *e)
{
    const struct hf_tensor *t = x->t;
    bool fits = base->ndim == 2;
    if (x->role == PEFT_A)
        fits = fits && t->dim[1] == base->dim[1];
    else if (x->role == PEFT_B)
        fits = fits && t->dim[0] == base->dim[0];
    else
        fits = t->ndim == base->ndim &&
               memcmp(t->dim, base->dim, (size_t)t->ndim * sizeof *t->dim) == 0;
    return fits ? 0 : wrong_shape(t, base, e);
}

/* A tied model has one matrix, which peft saves under both names. */
static int check_tied(const struct peft *p, const char *embed, const char *head, struct err *e)
{
    const struct hf_tensor *in = peft_find(p, PEFT_SAVED, embed);
    const struct hf_tensor *out = peft_find(p, PEFT_SAVED, head);
    if (!in && !out) return 0;
    if (in && out ? in->bytes == out->bytes && memcmp(in->data, out->data, in->bytes) == 0
                  : in && p->config.tie)
        return 0;
    return err_set(e, ERR_DATA,
                   "%s: the base model's lm_head is its embed_tokens, and this adapter has another "
                   "for each; only one with ensure_weight_tying is supported",
                   p->dir);
}

int peft_check(const struct peft *p, const struct safetensors *base, const struct hf_family *f,
               enum hf_names names, bool tied, struct err *e)
{
    char embed[HF_TENSOR_NAME], head[HF_TENSOR_NAME];
    hf_name_of_role(f, hf_module_names(names), HF_ROLE_EMBED, embed);
    hf_name_of_role(f, hf_module_names(names), HF_ROLE_HEAD, head);
    if (tied && check_tied(p, embed, head, e)) return -1;
    for (size_t i = 0; i < p->count; i++) {
        const struct peft_tensor *x = &p->list[i];
        const struct hf_tensor *t = hf_module_find(base, x->param);
        if (!t && tied && x->role == PEFT_SAVED && strcmp(x->param, head) == 0) continue;
        if (!t)
            return err_set(e, ERR_DATA, "%s: tensor %s: the base model has no %s", x->t->file,
                           x->t->name, x->param);
        if (check_fit(x, t, e)) return -1;
    }
    return 0;
}

/* ---- the sum ---- */
/* Reads one row of a matrix as fp32. */
static void get_row(const struct hf_tensor *t, uint64_t row, float *to)
{
    const size_t n = (size_t)t->dim[1];
    dtype_to_f32(t->dtype, t->data + row * n * dtype_size(t->dtype), n, to);
}

/* w[rows, in] += scale * B[row .. row + rows, r] A[r, in], summed over r in order, in fp32. */
static int add_product(const struct hf_tensor *a, const struct hf_tensor *b, double scale,
                       uint64_t row, uint64_t rows, float *w, struct err *e)
{
    const size_t r = (size_t)a->dim[0], n = (size_t)a->dim[1];
    float *all = mem_alloc(r * n + r + n, sizeof *all, e);
    if (!all) return -1;
    float *factor = all + r * n, *sum = factor + r;
    for (size_t k = 0; k < r; k++) get_row(a, k, all + k * n);
    for (uint64_t i = 0; i < rows; i++) {
        get_row(b, row + i, factor);
        for (size_t j = 0; j < n; j++) sum[j] = 0;
        for (size_t k = 0; k < r; k++)
            for (size_t j = 0; j < n; j++) sum[j] += factor[k] * all[k * n + j];
        for (size_t j = 0; j < n; j++) w[i * n + j] += (float)scale * sum[j];
    }
    mem_free(all);
    return 0;
}

int peft_apply(const struct peft *p, const struct hf_tensor *base, uint64_t row, uint64_t rows,
               float *w, struct err *e)
{
    const struct hf_tensor *a = peft_find(p, PEFT_A, base->name);
    const struct hf_tensor *b = peft_find(p, PEFT_B, base->name);
    const struct hf_tensor *whole = peft_find(p, PEFT_SAVED, base->name);
    if (a && b) return add_product(a, b, peft_scale(&p->config), row, rows, w, e);
    if (!whole) return 0;
    const size_t n = base->ndim == 2 ? (size_t)base->dim[1] : 1;
    dtype_to_f32(whole->dtype, whole->data + row * n * dtype_size(whole->dtype), (size_t)rows * n,
                 w);
    return 0;
}
