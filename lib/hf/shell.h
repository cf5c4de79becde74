/* SPDX-License-Identifier: Apache-2.0 */
/* Multimodal models whose text model is of one of the families. config.json has the text model's
 * keys in text_config, and the files have its tensors under names of their own, beside those of a
 * vision tower or of a projector. */
#ifndef SFT_HF_SHELL_H
#define SFT_HF_SHELL_H

#include "hf/family.h"
#include "hf/names.h"
#include "hf/safetensors.h"

/* The name in this form of the tensor that holds a role outside the layers; f as of
 * hf_family_tensor. Returns out. */
const char *hf_name_of_role(const struct hf_family *f, enum hf_names names, enum hf_role role,
                            char out[HF_TENSOR_NAME]);
/* Finds the tensor of the files that has this name among modules; NULL: there is none. */
const struct hf_tensor *hf_module_find(const struct safetensors *s, const char *module);
/* Finds in the files of a multimodal model what its config.json leaves open: the form of the names,
 * and, unless tied is NULL, whether the output projection is the embedding. Leaves both unchanged
 * where the files have no embedding. */
void hf_shell_resolve(const struct hf_family *f, const struct safetensors *s, enum hf_names *names,
                      bool *tied);

#endif
