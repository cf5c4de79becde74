/* SPDX-License-Identifier: Apache-2.0 */
/* The tensors of a model's files that are not computed with: a vision tower's, a second head's. */
#include "model/kept.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "model/model_impl.h"

/* True for a second copy of the tied projection: the embedding is saved once, under its own name.
 */
static bool is_copy(const struct weights *w, const char *name)
{
    char head[HF_TENSOR_NAME];
    hf_name_of_role(w->m.family, w->m.names, HF_ROLE_HEAD, head);
    return w->m.tied && strcmp(name, head) == 0;
}

/* True for a buffer that old versions of transformers saved; it is computed from config.json. */
static bool is_buffer(const char *name)
{
    const char *tail = strrchr(name, '.');
    return tail && strcmp(tail, ".inv_freq") == 0;
}

/* True for a name that only the family's own layers, embedding and head have: config.json describes
 * another model than the files have. */
static bool is_of_family(const struct weights *w, const char *name)
{
    char row[HF_TENSOR_NAME], own[HF_TENSOR_NAME];
    for (const struct hf_row *r = w->m.family->tensors; r->name; r++) {
        const char *layer = strstr(r->name, "%d");
        const size_t n = layer ? (size_t)(layer - r->name) : strlen(r->name);
        snprintf(row, sizeof row, "%.*s", (int)n, r->name);
        hf_name_in(w->m.names, row, own, sizeof own);
        if (strncmp(name, own, strlen(own) + !layer) == 0) return true;
    }
    return false;
}

static int refuse(const struct hf_tensor *first, size_t count, struct err *e)
{
    return err_set(e, ERR_DATA,
                   "%s: tensor %s does not belong to the model that config.json "
                   "describes (%zu such tensors)",
                   first->file, first->name, count);
}

static int list(const struct weights *w, const struct params *all, const struct safetensors *s,
                struct kept *k, struct err *e)
{
    const struct hf_tensor *first = NULL;
    size_t refused = 0;
    char module[HF_TENSOR_NAME];
    k->list = mem_alloc(safetensors_count(s), sizeof *k->list, e);
    if (!k->list) return -1;
    for (size_t i = 0; i < safetensors_count(s); i++) {
        const struct hf_tensor *t = safetensors_at(s, i);
        hf_module_name(t->name, module, sizeof module);
        if (params_find(all, module, strlen(module)) || is_copy(w, t->name)) continue;
        if (is_of_family(w, t->name) && !is_buffer(t->name)) {
            if (!refused++) first = t;
            continue;
        }
        k->list[k->count++] = *t;
        k->bytes += t->bytes;
    }
    return first ? refuse(first, refused, e) : 0;
}

int kept_find(const struct weights *w, const struct safetensors *s, struct kept *k, struct err *e)
{
    struct params made;
    const struct params *all = weights_whole(w, &made, e);
    *k = (struct kept){.files = s};
    const int rc = all ? list(w, all, s, k, e) : -1;
    params_free(&made);
    return rc;
}

void kept_free(struct kept *k)
{
    mem_free(k->list);
    *k = (struct kept){0};
}
