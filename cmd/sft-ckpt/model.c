/* SPDX-License-Identifier: Apache-2.0 */
/* A model or an adapter as the input of a verb that makes another one of its shape. */
#include <string.h>

#include "hf/folder.h"
#include "hf/peft.h"
#include "verbs.h"

static const char *stem(const struct verb_model *m)
{
    return m->adapter ? "adapter_model" : "model";
}

int verb_model_open(const char *path, struct verb_model *m, struct err *e)
{
    char *found = NULL;
    *m = (struct verb_model){.path = path};
    int rc = hf_folder_find(path, &found, e);
    if (rc == 0) rc = peft_find_dir(found, &m->dir, e);
    m->adapter = rc > 0;
    if (rc == 0) rc = hf_folder_resolve(found, &m->dir, e);
    if (rc >= 0) m->tensors = safetensors_open_stem(m->dir, stem(m), e);
    mem_free(found);
    return m->tensors ? 0 : -1;
}

void verb_model_close(struct verb_model *m)
{
    safetensors_close(m->tensors);
    mem_free(m->dir);
    *m = (struct verb_model){0};
}

int verb_model_copy(const struct verb_model *m, const char *to, struct err *e)
{
    return m->adapter ? hf_folder_copy_adapter(m->dir, to, e) : hf_folder_copy(m->dir, to, e);
}

/* The bytes of tensors in the fullest file; 0 when there is only one. Filling files in order up to
 * that bound gives the same division, because each file ended where the next tensor would have
 * passed a bound that is no smaller. */
static uint64_t shard_bytes(const struct hf_tensor *list, size_t n)
{
    uint64_t most = 0, bytes = 0;
    size_t files = 0;
    for (size_t i = 0; i < n; i++) {
        const bool first = i == 0 || strcmp(list[i].file, list[i - 1].file) != 0;
        bytes = first ? list[i].bytes : bytes + list[i].bytes;
        files += first;
        if (bytes > most) most = bytes;
    }
    return files > 1 ? most : 0;
}

struct safetensors_writer *verb_model_weights(const struct verb_model *m, const char *to,
                                              struct err *e)
{
    const size_t n = safetensors_count(m->tensors);
    struct hf_tensor *list = mem_alloc(n, sizeof *list, e);
    if (!list) return NULL;
    for (size_t i = 0; i < n; i++) list[i] = *safetensors_at(m->tensors, i);
    struct safetensors_writer *w =
        safetensors_create(to, stem(m), list, n, shard_bytes(list, n), e);
    mem_free(list);
    return w;
}
