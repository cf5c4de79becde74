/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the text model in the files of a multimodal one. */
#include "hf/shell.h"

const char *hf_name_of_role(const struct hf_family *f, enum hf_names names, enum hf_role role,
                            char out[HF_TENSOR_NAME])
{
    hf_name_in(names, hf_family_tensor(f, role), out, HF_TENSOR_NAME);
    return out;
}

const struct hf_tensor *hf_module_find(const struct safetensors *s, const char *module)
{
    char name[2 * HF_TENSOR_NAME];
    const struct hf_tensor *t = safetensors_find(s, module);
    if (t) return t;
    hf_file_name(HF_NAMES_OUTER, module, name, sizeof name);
    return safetensors_find(s, name);
}

static const struct hf_tensor *find(const struct hf_family *f, const struct safetensors *s,
                                    enum hf_names names, enum hf_role role)
{
    char name[HF_TENSOR_NAME];
    return safetensors_find(s, hf_name_of_role(f, names, role, name));
}

/* Returns the form under which the files have the embedding, and the head if they have one; or
 * HF_NAMES_COUNT. */
static enum hf_names find_form(const struct hf_family *f, const struct safetensors *s)
{
    enum hf_names found = HF_NAMES_COUNT;
    for (enum hf_names n = HF_NAMES_OWN; n < HF_NAMES_COUNT; n++) {
        if (!find(f, s, n, HF_ROLE_EMBED)) continue;
        if (find(f, s, n, HF_ROLE_HEAD)) return n;
        if (found == HF_NAMES_COUNT) found = n;
    }
    return found;
}

/* transformers ties such a model by a key outside text_config, which most files leave out, and does
 * not tie two matrices of the files that differ. */
void hf_shell_resolve(const struct hf_family *f, const struct safetensors *s, enum hf_names *names,
                      bool *tied)
{
    const enum hf_names found = find_form(f, s);
    if (found == HF_NAMES_COUNT) return;
    *names = found;
    const struct hf_tensor *out = find(f, s, found, HF_ROLE_HEAD);
    if (tied) *tied = !out || safetensors_same(s, find(f, s, found, HF_ROLE_EMBED), out);
}
