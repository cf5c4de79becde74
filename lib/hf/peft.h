/* SPDX-License-Identifier: Apache-2.0 */
/* LoRA adapters in the folder format of Hugging Face's peft: adapter_config.json and
 * adapter_model.safetensors.
 * Format: https://github.com/huggingface/peft, docs/source/developer_guides/checkpoint.md */
#ifndef SFT_HF_PEFT_H
#define SFT_HF_PEFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "hf/family.h"
#include "hf/safetensors.h"
#include "hf/shell.h"

enum { PEFT_MAX_RANK = 1 << 16, PEFT_MAX_NAME = 200 };

/* Names of modules. The arena of a struct peft_config owns them, or the caller that fills it in. */
struct peft_names {
    const char **v;
    size_t n;
};

/* adapter_config.json of an adapter of peft_type LORA. */
struct peft_config {
    int64_t rank;                 /* r */
    double alpha, dropout;        /* lora_alpha, lora_dropout */
    bool rslora;                  /* use_rslora */
    bool tie;                     /* ensure_weight_tying: the saved embed_tokens is lm_head too */
    const char *pattern;          /* target_modules as a string; NULL: see targets */
    struct peft_names targets;    /* target_modules as a list */
    struct peft_names parameters; /* target_parameters: routers, and experts that are stacked */
    bool twice;                   /* the rank of gate_up_proj of experts, and its alpha, are twice
                                     the others */
    struct peft_names saved;      /* modules_to_save: trained in full */
    bool fewer;                   /* other keys exclude some of target_modules */
    const char *base;             /* base_model_name_or_path; NULL: absent */
    struct arena arena;
};
/* Returns the scale of the product B A: alpha / r, or alpha / sqrt(r) with rslora. */
double peft_scale(const struct peft_config *c);

/* Read adapter_config.json, from a text or from a folder. A key that changes the computation in an
 * unsupported way (DoRA, ranks that differ between modules, trained biases, ...) is ERR_DATA with
 * the key in the message. The caller calls peft_config_free in either case. */
int peft_config_parse(const char *text, size_t n, const char *name, struct peft_config *c,
                      struct err *e);
int peft_config_read(const char *dir, struct peft_config *c, struct err *e);
void peft_config_free(struct peft_config *c);
/* Appends the text of adapter_config.json. */
int peft_config_format(const struct peft_config *c, struct buf *b, struct err *e);
int peft_config_write(const struct peft_config *c, const char *dir, struct err *e);

/* ---- tensors ---- */
enum peft_role {
    PEFT_A,    /* lora_A [r, in] */
    PEFT_B,    /* lora_B [out, r] */
    PEFT_SAVED /* replaces the parameter of the base */
};
/* Writes the name in adapter_model.safetensors of a tensor for the parameter "X.weight" of the
 * base, which may be a name in the base's files or one of transformers' modules. */
void peft_tensor_name(enum peft_role role, const char *param, char *out, size_t size);
/* Finds role and parameter, as modules name it, from such a name; -1 for another name. param:
 * PEFT_MAX_NAME bytes. */
int peft_tensor_role(const char *name, enum peft_role *role, char *param);
/* peft's rule for an item of target_modules: returns true if module[n] is the name, or ends in a
 * dot and the name. */
bool peft_is_named(const char *module, size_t n, const char *name);

/* The adapters of a layer's experts are those of their stacked matrices, "X.mlp.experts" standing
 * for the module: A [experts * r, in], B [out, r * experts], of which column k * experts + e is
 * column k of expert e's. peft nests the modules, and so names the adapter of gate_up_proj
 * "X.mlp.experts.base_layer" where down_proj has one too, and else "X.mlp.experts", as that of
 * down_proj. Here their parameters are "X.mlp.experts.gate_up_proj.weight" and
 * "X.mlp.experts.down_proj.weight". */
/* Replaces the name of such a parameter's tensor, from peft_tensor_name, by peft's. both: down_proj
 * has an adapter too. */
void peft_nest_name(char *name, bool both);

/* An open adapter. */
struct peft_tensor {
    char param[PEFT_MAX_NAME]; /* the parameter of the base, as transformers' modules name it */
    enum peft_role role;
    const struct hf_tensor *t;
};
struct peft {
    char *dir;
    struct peft_config config;
    struct safetensors *file;
    struct peft_tensor *list; /* sorted by param, then role */
    size_t count;
    /* of the base, once peft_check knows it */
    const struct hf_family *family;
    enum hf_names names;
};
/* Finds the folder that contains adapter_config.json: path, or its sft_train/ (a checkpoint-N
 * folder). Returns 1 with *dir, which mem_free() releases; 0 when there is none; or -1. */
MUST_CHECK int peft_find_dir(const char *path, char **dir, struct err *e);
/* Opens an adapter: its folder, a hub id, or a checkpoint-N folder. Checks that every A has its B,
 * that both have the rank of the configuration, and that a list of target_modules names their
 * module. NULL with ERR_NOINPUT when there is none,
 * ERR_DATA for an unsupported tensor. */
struct peft *peft_open(const char *path, struct err *e);
void peft_close(struct peft *p); /* NULL is fine */
/* Finds a tensor for the parameter, by its name in the base's files or among modules. */
const struct hf_tensor *peft_find(const struct peft *p, enum peft_role role, const char *param);
/* Checks that each tensor belongs to a parameter of the base and fits its shape. f, names: the
 * family of the base, NULL: unknown, and the form of its names. tied: the head of the base is its
 * embedding, so that a saved head must equal the saved embedding bit for bit. */
int peft_check(struct peft *p, const struct safetensors *base, const struct hf_family *f,
               enum hf_names names, bool tied, struct err *e);
/* Returns true if the adapter changes this parameter of the base. Needs a peft_check. */
bool peft_changes(const struct peft *p, const char *param);

/* ---- routers and experts ---- */
/* The adapter of a matrix in the base's files: of its own, or its part of that of the experts. */
struct peft_factors {
    const struct hf_tensor *a, *b; /* NULL: it has none */
    uint64_t experts, expert;      /* their number and this one; else 1 and 0 */
    uint64_t row;                  /* B's row of the matrix's first */
};
struct peft_factors peft_factors_of(const struct peft *p, const char *param, uint64_t rows);
/* The parameter of an adapter's tensor, from read_tensors: replaces the names of nested modules. */
void peft_unnest(const struct peft_config *c, char param[PEFT_MAX_NAME]);
/* Returns true if it is of experts, or of a router, whose module has another name than its tensor
 * in the base. */
bool peft_is_routed(const char *param);
bool peft_is_experts(const char *param);
/* Checks such a tensor against the base. */
int peft_check_routed(const struct peft *p, const struct peft_tensor *x,
                      const struct safetensors *base, struct err *e);
/* Returns the rank of a parameter's adapter. */
uint64_t peft_rank(const struct peft_config *c, const char *param);

/* ---- the weights that an adapter was trained on ---- */
/* Computes an identity of a model's weights: the XXH3-128 of the name, type, shape and up to 16 KiB
 * from the middle of every tensor, in byte order of the names. Models that differ elsewhere only
 * have the same. */
int peft_base_id(const struct safetensors *base, char id[HASH128_HEX], struct err *e);
/* Write an identity to base_weights.json in the folder of an adapter, and read it: 1, 0 when there
 * is none, or -1. */
int peft_base_write(const char *dir, const char *id, struct err *e);
int peft_base_read(const char *dir, char id[HASH128_HEX], struct err *e);
/* Returns 1 when the adapter was trained on other weights than these; 0 when it was not, or when
 * its folder does not tell, as one of peft; or -1. */
int peft_base_differs(const struct peft *p, const struct safetensors *base, struct err *e);

/* Applies the adapter to rows [row, row + rows) of a parameter of the base (elements, for a
 * vector), which are in w as fp32: adds scale * B A, or replaces them. Leaves w unchanged if the
 * adapter has no tensor for it. Needs a peft_check with this base. */
int peft_apply(const struct peft *p, const struct hf_tensor *base, uint64_t row, uint64_t rows,
               float *w, struct err *e);

#endif
