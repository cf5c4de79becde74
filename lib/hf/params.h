/* SPDX-License-Identifier: Apache-2.0 */
/* Names and shapes of the parameters of the dense Llama family as Hugging Face stores them. */
#ifndef SFT_HF_PARAMS_H
#define SFT_HF_PARAMS_H

#include <stdint.h>

#include "base/err.h"
#include "hf/config.h"

enum hf_param_kind { HF_PARAM_MATRIX, HF_PARAM_EMBEDDING, HF_PARAM_NORM, HF_PARAM_BIAS };

/* One parameter; the name lives only during the call. dim: [out, in] of a projection, [vocab,
 * hidden] of the embeddings, [n] of norms and biases. layer: -1 outside the layers. */
struct hf_param {
    const char *name;
    enum hf_param_kind kind;
    int layer;
    int ndim;
    uint64_t dim[2];
};
typedef int hf_param_fn(void *arg, const struct hf_param *p, struct err *e);

/* Calls f for each parameter in the order of the forward pass; stops at the first non-zero, which
 * it returns. lm_head.weight only when it is not tied. ERR_DATA for a mixture of experts and for
 * model types of another structure. */
int hf_param_list(const struct hf_config *c, hf_param_fn *f, void *arg, struct err *e);

#endif
