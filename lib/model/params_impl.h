/* SPDX-License-Identifier: Apache-2.0 */
/* Inside lib/model: describing the parameters that params_make puts in their places. */
#ifndef SFT_MODEL_PARAMS_IMPL_H
#define SFT_MODEL_PARAMS_IMPL_H

#include "model/model.h"

/* All of p but its offset: the tensor of a row of the family's table, in a model of sizes s.
 * ERR_DATA when its elements cannot be counted; after model_local with the same o->tp. */
int param_describe(const struct params_options *o, const struct hf_sizes *s,
                   const struct hf_row *row, int layer, struct param *p, struct err *e);
/* The same of the adapter's A [r, in] and B [out, r] of a linear layer. */
int param_describe_a(const struct params_options *o, const struct param *base, struct param *p,
                     struct err *e);
int param_describe_b(const struct params_options *o, const struct param *base, struct param *p,
                     struct err *e);
/* The length of the name of the tensor's module, which is the name without ".weight". */
int param_module(const struct param *p);
/* Matrices decay, and so does the embedding; vectors do not. */
bool param_is_matrix(const struct hf_role_info *x);

#endif
