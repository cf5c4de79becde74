/* SPDX-License-Identifier: Apache-2.0 */
/* The names of a text model's tensors: as families have them, and in the files and the modules of a
 * multimodal model around it. */
#ifndef SFT_HF_NAMES_H
#define SFT_HF_NAMES_H

#include <stddef.h>

enum { HF_TENSOR_NAME = 128 };
/* The forms of names. The tables of families have the first. */
enum hf_names {
    HF_NAMES_OWN,   /* model.layers.0..., lm_head.weight: there is no other model around it */
    HF_NAMES_INNER, /* model.language_model.layers.0..., lm_head.weight */
    HF_NAMES_OUTER, /* language_model.model.layers.0..., language_model.lm_head.weight */
    HF_NAMES_MIXED, /* language_model.model.layers.0..., lm_head.weight */
    HF_NAMES_TEXT,  /* model.text_model.layers.0..., lm_head.weight */
    HF_NAMES_COUNT
};
/* The form that the names of transformers' modules have: the inner one where files have the outer
 * or the mixed one. Parameters, adapters and what people name in a configuration have this form. */
static inline enum hf_names hf_module_names(enum hf_names files)
{
    return files == HF_NAMES_OUTER || files == HF_NAMES_MIXED ? HF_NAMES_INNER : files;
}

/* All write a name to out, cut to size, which must not overlap the other. */
/* The name in this form of a tensor that has the name `own` in the first one. */
void hf_name_in(enum hf_names names, const char *own, char *out, size_t size);
/* The name among modules of a tensor that has this one in files. */
void hf_module_name(const char *file, char *out, size_t size);
/* The name in files of this form of a tensor that has this one among modules. */
void hf_file_name(enum hf_names names, const char *module, char *out, size_t size);

#endif
