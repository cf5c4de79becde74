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
#include "base/mem.h"
#include "hf/family.h"
#include "hf/safetensors.h"

enum { PEFT_MAX_RANK = 1 << 16, PEFT_MAX_NAME = 200 };

/* Names of modules, in memory of a struct peft_config's arena or of whoever fills one in. */
struct peft_names {
    const char **v;
    size_t n;
};

/* adapter_config.json of an adapter of peft_type LORA. */
struct peft_config {
    int64_t rank;          /* r */
    double alpha, dropout; /* lora_alpha, lora_dropout */
    bool rslora;           /* use_rslora */
    bool tie;              /* ensure_weight_tying: what is saved of embed_tokens is lm_head's too */
    const char *pattern;   /* target_modules as a string; NULL: see targets */
    struct peft_names targets; /* target_modules as a list */
    struct peft_names saved;   /* modules_to_save: trained as a whole */
    bool fewer;                /* other keys leave out some that target_modules names */
    const char *base;          /* base_model_name_or_path; NULL: not told */
    struct arena arena;
};
/* By what B A is multiplied: alpha / r, or alpha / sqrt(r) with rslora. */
double peft_scale(const struct peft_config *c);

/* A key that changes the computation in a way that is not done here (DoRA, a rank of its own for
 * some modules, trained biases, ...) is ERR_DATA naming the key. peft_config_free in either case.
 */
int peft_config_parse(const char *text, size_t n, const char *name, struct peft_config *c,
                      struct err *e);
int peft_config_read(const char *dir, struct peft_config *c, struct err *e);
void peft_config_free(struct peft_config *c);
/* The text of adapter_config.json. */
void peft_config_format(const struct peft_config *c, struct buf *b);
int peft_config_write(const struct peft_config *c, const char *dir, struct err *e);

/* ---- tensors ---- */
enum peft_role {
    PEFT_A,    /* lora_A [r, in] */
    PEFT_B,    /* lora_B [out, r] */
    PEFT_SAVED /* takes the place of the base's parameter */
};
/* The name in adapter_model.safetensors of what belongs to a parameter of the base, "X.weight". */
void peft_tensor_name(enum peft_role role, const char *param, char *out, size_t size);
/* The reverse; -1 when it is not the name of any such tensor. param: PEFT_MAX_NAME bytes. */
int peft_tensor_role(const char *name, enum peft_role *role, char *param);

/* An adapter's folder, opened. */
struct peft_tensor {
    char param[PEFT_MAX_NAME]; /* the base's parameter */
    enum peft_role role;
    const struct hf_tensor *t;
};
struct peft {
    char *dir;
    struct peft_config config;
    struct safetensors *file;
    struct peft_tensor *list; /* by param, then role */
    size_t count;
};
/* The folder that holds adapter_config.json: path, or sft_train/ in it (a checkpoint-N folder).
 * 1, 0 when there is none, or -1. *dir is released with mem_free(). */
MUST_CHECK int peft_find_dir(const char *path, char **dir, struct err *e);
/* Every A has its B and both have the rank of the configuration; a tensor of another kind is
 * ERR_DATA. NULL with ERR_NOINPUT when path is no adapter. */
struct peft *peft_open(const char *path, struct err *e);
void peft_close(struct peft *p); /* NULL is fine */
const struct hf_tensor *peft_find(const struct peft *p, enum peft_role role, const char *param);
/* Each tensor belongs to a parameter of the base and has a shape that fits it. tied: the head of
 * the base, which is of family f, is its embedding, so a saved head must be the saved embedding,
 * bit for bit. f NULL: not known. */
int peft_check(const struct peft *p, const struct safetensors *base, const struct hf_family *f,
               bool tied, struct err *e);

/* A parameter of the base with the adapter in it: its rows [row, row + rows), w in fp32, get
 * scale * B A added, or are replaced (of a vector: elements). What the adapter does not have is
 * left as it is. After peft_check with this base. */
int peft_apply(const struct peft *p, const struct hf_tensor *base, uint64_t row, uint64_t rows,
               float *w, struct err *e);

#endif
