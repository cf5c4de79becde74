/* SPDX-License-Identifier: Apache-2.0 */
/* The tensors of a model's files that are not computed with. Checkpoints keep them byte for byte:
 * a text model is trained inside of a multimodal one, whose other parts stay as they are. */
#ifndef SFT_MODEL_KEPT_H
#define SFT_MODEL_KEPT_H

#include "model/weights.h"

struct kept {
    const struct safetensors *files; /* what `list` lies in */
    struct hf_tensor *list;
    size_t count;
    uint64_t bytes;
};
/* Lists the tensors of s that the whole model of w does not have; needs a weights_init, and no
 * values. s must outlive k. ERR_DATA for one in the model's own layers, or in the place of its
 * embedding or head: config.json describes another model. kept_free in either case. */
int kept_find(const struct weights *w, const struct safetensors *s, struct kept *k, struct err *e);
void kept_free(struct kept *k);

#endif
