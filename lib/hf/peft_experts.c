/* SPDX-License-Identifier: Apache-2.0 */
/* Adapters of routers and of experts: the matrices of the base that they belong to. */
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "hf/peft.h"

/* Returns the n-th number among the parts of a name, counted from 0; or -1. */
static int number(const char *name, int n)
{
    char part[12];
    uint64_t v;
    for (const char *p = strchr(name, '.'); p; p = strchr(p + 1, '.')) {
        const size_t size = strcspn(p + 1, ".");
        if (size >= sizeof part) continue;
        snprintf(part, sizeof part, "%.*s", (int)size, p + 1);
        if (num_u64(part, &v) == 0 && n-- == 0) return v < INT32_MAX ? (int)v : -1;
    }
    return -1;
}

/* Returns the parameter among transformers' modules that has the matrix of a row. */
static const char *parameter_of(const struct hf_row *r)
{
    const enum hf_block b = hf_row_info(r)->block;
    return b == HF_BLOCK_ROUTER           ? "gate"
           : b == HF_BLOCK_EXPERT_GATE_UP ? "experts.gate_up_proj"
           : b == HF_BLOCK_EXPERT_DOWN    ? "experts.down_proj"
                                          : NULL;
}

/* Writes the names among modules of a row's matrix and of the parameter that has it. */
static bool names_of(const struct peft *p, const struct hf_row *r, int layer, int expert,
                     char matrix[PEFT_MAX_NAME], char parameter[PEFT_MAX_NAME])
{
    char own[HF_TENSOR_NAME];
    const char *of = parameter_of(r);
    const enum hf_names names = hf_module_names(p->names);
    if (!of) return false;
    hf_row_name(r->name, layer, expert, own, sizeof own);
    hf_name_in(names, own, matrix, PEFT_MAX_NAME);
    snprintf(own, sizeof own, "model.layers.%d.mlp.%s.weight", layer, of);
    hf_name_in(names, own, parameter, PEFT_MAX_NAME);
    return true;
}

static bool adapts_experts(const struct peft *p) { return p->family && p->family->adapts_experts; }

struct peft_factors peft_factors_of(const struct peft *p, const char *param, uint64_t rows)
{
    struct peft_factors f = {
        .a = peft_find(p, PEFT_A, param), .b = peft_find(p, PEFT_B, param), .experts = 1};
    char module[PEFT_MAX_NAME], matrix[PEFT_MAX_NAME], parameter[PEFT_MAX_NAME];
    const struct hf_row *r, *end;
    if (f.a || !adapts_experts(p)) return f;
    hf_module_name(param, module, sizeof module);
    const int layer = number(module, 0), expert = number(module, 1);
    hf_rows_of(p->family->tensors, HF_LAYER, &r, &end);
    for (; layer >= 0 && r < end; r++) {
        if (!names_of(p, r, layer, expert, matrix, parameter) || strcmp(matrix, module) != 0)
            continue;
        f.a = peft_find(p, PEFT_A, parameter);
        f.b = peft_find(p, PEFT_B, parameter);
        if (!f.a || !hf_row_is_expert(r)) break;
        f.experts = f.a->dim[0] / peft_rank(&p->config, parameter);
        f.expert = (uint64_t)expert;
        if (r->roles[0] == HF_ROLE_EXPERT_UP) f.row = rows; /* below those of gate */
        break;
    }
    return f;
}

static int unfit(const struct peft_tensor *x, const char *what, struct err *e)
{
    return err_set(e, ERR_DATA, "%s: tensor %s: the base model has no %s of this shape", x->t->file,
                   x->t->name, what);
}

/* Checks an adapter's tensor against the matrices of expert e of a row, which are as many rows as
 * *rows afterwards says. */
static bool fits(const struct peft *p, const struct peft_tensor *x, const struct safetensors *base,
                 const struct hf_row *r, int e, uint64_t *rows)
{
    char matrix[PEFT_MAX_NAME], parameter[PEFT_MAX_NAME];
    names_of(p, r, number(x->param, 0), e, matrix, parameter);
    const struct hf_tensor *t = hf_module_find(base, matrix);
    if (!t || t->ndim != 2 || (x->role == PEFT_A && t->dim[1] != x->t->dim[1])) return false;
    *rows += t->dim[0];
    return true;
}

/* Returns true if the base has so many experts of a row, and no more. */
static bool counts(const struct peft *p, const struct peft_tensor *x,
                   const struct safetensors *base, const struct hf_row *r, uint64_t experts)
{
    uint64_t none = 0;
    return experts > 0 && experts < INT32_MAX && fits(p, x, base, r, (int)experts - 1, &none) &&
           !fits(p, x, base, r, (int)experts, &none);
}

int peft_check_routed(const struct peft *p, const struct peft_tensor *x,
                      const struct safetensors *base, struct err *e)
{
    char matrix[PEFT_MAX_NAME], parameter[PEFT_MAX_NAME];
    const struct hf_row *r, *end;
    uint64_t rows = 0;
    if (!adapts_experts(p))
        return err_set(e, ERR_DATA,
                       "%s: tensor %s: adapters of a router or of experts are not supported in a "
                       "model of this type",
                       x->t->file, x->t->name);
    const uint64_t n = x->t->dim[x->role == PEFT_A ? 0 : 1] / peft_rank(&p->config, x->param);
    hf_rows_of(p->family->tensors, HF_LAYER, &r, &end);
    for (; r < end; r++) {
        if (!names_of(p, r, number(x->param, 0), 0, matrix, parameter) ||
            strcmp(parameter, x->param) != 0)
            continue;
        if (!fits(p, x, base, r, 0, &rows) || (hf_row_is_expert(r) && !counts(p, x, base, r, n)))
            return unfit(x, matrix, e);
    }
    if (rows == 0 || (x->role == PEFT_B && x->t->dim[0] != rows)) return unfit(x, x->param, e);
    return 0;
}
