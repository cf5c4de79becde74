/* SPDX-License-Identifier: Apache-2.0 */
/* The factors of Llama 3.1's rotary scaling, which GGUF files hold as a tensor. */
#ifndef SFT_HF_GGUF_ROPE_H
#define SFT_HF_GGUF_ROPE_H

#include "hf/config.h"

#define GGUF_ROPE_FREQS "rope_freqs.weight"
/* Sets the head_dim / 2 divisors of the frequencies, with the rounding of convert_hf_to_gguf.py. */
void gguf_rope_factors(const struct hf_config *c, float *out);
/* Finds the settings that lead to these divisors among those that models of Meta have; -1 when none
 * does. */
int gguf_rope_from_factors(struct hf_config *c, const float *factors, size_t n, struct err *e);

#endif
