/* SPDX-License-Identifier: Apache-2.0 */
/* Translates the names of a text model's tensors. */
#include "hf/names.h"

#include <stdio.h>
#include <string.h>

#define MODEL "model."
/* The text that replaces MODEL at the begin of a name, and the one that precedes other names. */
static const struct {
    const char *model, *rest;
} forms[HF_NAMES_COUNT] = {
    [HF_NAMES_OWN] = {MODEL, ""},
    [HF_NAMES_INNER] = {"model.language_model.", ""},
    [HF_NAMES_OUTER] = {"language_model.model.", "language_model."},
    [HF_NAMES_MIXED] = {"language_model.model.", ""},
    [HF_NAMES_TEXT] = {"model.text_model.", ""},
};

/* Returns what follows `head` in s, or NULL if s does not begin with it. */
static const char *after(const char *s, const char *head)
{
    const size_t n = strlen(head);
    return strncmp(s, head, n) == 0 ? s + n : NULL;
}

void hf_name_in(enum hf_names names, const char *own, char *out, size_t size)
{
    const char *model = after(own, MODEL);
    snprintf(out, size, "%s%s", model ? forms[names].model : forms[names].rest,
             model ? model : own);
}

void hf_module_name(const char *file, char *out, size_t size)
{
    const char *model = after(file, forms[HF_NAMES_OUTER].model);
    const char *rest = after(file, forms[HF_NAMES_OUTER].rest);
    if (model)
        snprintf(out, size, "%s%s", forms[HF_NAMES_INNER].model, model);
    else
        snprintf(out, size, "%s", rest ? rest : file);
}

void hf_file_name(enum hf_names names, const char *module, char *out, size_t size)
{
    const char *model = after(module, forms[HF_NAMES_INNER].model);
    if (hf_module_names(names) == names)
        snprintf(out, size, "%s", module);
    else
        snprintf(out, size, "%s%s", model ? forms[names].model : forms[names].rest,
                 model ? model : module);
}
