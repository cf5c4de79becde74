/* SPDX-License-Identifier: Apache-2.0 */
/* The rotary scaling of Llama 3.1, which GGUF files hold as a divisor of each frequency. */
#include <math.h>
#include <string.h>

#include "hf/gguf_rope.h"

void gguf_rope_factors(const struct hf_config *c, float *out)
{
    const struct hf_rope *r = &c->rope;
    const float original = (float)r->original_max_position, factor = (float)r->factor;
    const float low = (float)r->low_freq_factor, high = (float)r->high_freq_factor;
    for (int64_t i = 0; i < c->head_dim / 2; i++) {
        const float power = powf((float)r->theta, (float)(2 * i) / (float)c->head_dim);
        const float length = (float)(2 * M_PI) / (1 / power);
        const float smooth = (original / length - low) / (high - low);
        if (length < original / high)
            out[i] = 1;
        else if (length > original / low)
            out[i] = factor;
        else
            out[i] = 1 / ((1 - smooth) / factor + smooth);
    }
}

int gguf_rope_from_factors(struct hf_config *c, const float *factors, size_t n, struct err *e)
{
    struct hf_rope *r = &c->rope;
    bool same = n == (size_t)c->head_dim / 2;
    float *made = mem_alloc((size_t)c->head_dim, sizeof *made, e);
    if (!made) return -1;
    memcpy(r->type, "llama3", sizeof "llama3");
    r->factor = 1;
    for (size_t i = 0; i < n; i++) r->factor = fmax(r->factor, (double)factors[i]);
    r->low_freq_factor = 1;
    r->high_freq_factor = 4;
    r->original_max_position = 8192;
    gguf_rope_factors(c, made);
    for (size_t i = 0; same && i < n; i++) same = fabsf(made[i] / factors[i] - 1) < 1e-4f;
    mem_free(made);
    if (same) return 0;
    return err_set(e, ERR_DATA,
                   "tensor \"" GGUF_ROPE_FREQS "\": is not Llama 3.1's rotary scaling with "
                   "low_freq_factor 1, high_freq_factor 4 and 8192 original positions");
}
