/* SPDX-License-Identifier: Apache-2.0 */
/* The tensors of an adapter: their names and their pairs. */
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

bool peft_is_named(const char *module, size_t n, const char *name)
{
    const size_t m = strlen(name);
    return n >= m && strncmp(module + n - m, name, m) == 0 && (n == m || module[n - m - 1] == '.');
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

/* Experts have so many rows of A, and columns of B, each. */
static bool has_rank(const struct peft_tensor *x, uint64_t n, uint64_t rank)
{
    return peft_is_experts(x->param) ? n > 0 && n % rank == 0 : n == rank;
}

/* peft leaves out a factor whose module target_modules does not name, as modules are named now or
 * as the file has it. A pattern is one of Python's, and experts have other names. */
static bool is_target(const struct peft *p, const struct peft_tensor *x)
{
    const char *const name = x->t->name + strlen(PREFIX);
    const size_t param = strlen(x->param) - strlen(".weight");
    const size_t module = strlen(name) - strlen(suffix[x->role]);
    const struct peft_names *targets = &p->config.targets;
    for (size_t i = 0; i < targets->n; i++)
        if (peft_is_named(x->param, param, targets->v[i]) ||
            peft_is_named(name, module, targets->v[i]))
            return true;
    return targets->n == 0 || peft_is_routed(x->param);
}

/* Checks the type and the rank of a tensor (A is [r, in], B is [out, r]), and that the other factor
 * exists. */
static int check_tensor(const struct peft *p, const struct peft_tensor *x, struct err *e)
{
    const uint64_t rank = peft_rank(&p->config, x->param);
    const struct hf_tensor *t = x->t;
    if (!is_real(t))
        return err_set(e, ERR_DATA, "%s: tensor %s is of type %s, not of a floating-point type",
                       t->file, t->name, hf_dtype_name(t->dtype));
    if (x->role == PEFT_SAVED) return 0;
    if (!is_target(p, x))
        return err_set(e, ERR_DATA,
                       "%s: tensor %s: target_modules of adapter_config.json does not name its "
                       "module, and peft would leave it out; name the module there, or remove the "
                       "tensor",
                       t->file, t->name);
    if (t->ndim != 2 || !has_rank(x, t->dim[x->role == PEFT_A ? 0 : 1], rank))
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
        if (p->list[i].role != PEFT_SAVED) peft_unnest(&p->config, p->list[i].param);
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
