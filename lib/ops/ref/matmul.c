/* SPDX-License-Identifier: Apache-2.0 */
/* Reference of the matrix product. */
#include "ref.h"

REF_OP(matmul)
{
    const int64_t lda = a->lda ? a->lda : a->ta ? a->m : a->k;
    const int64_t ldb = a->ldb ? a->ldb : a->tb ? a->k : a->n;
    const int64_t ldc = a->ldc ? a->ldc : a->n;
    for (int64_t i = 0; i < a->m; i++)
        for (int64_t j = 0; j < a->n; j++) {
            REAL sum = 0;
            for (int64_t p = 0; p < a->k; p++)
                sum += get(a->a, a->ta ? p * lda + i : i * lda + p, a->ab_dtype) *
                       get(a->b, a->tb ? j * ldb + p : p * ldb + j, a->ab_dtype);
            if (a->bias) sum += get(a->bias, j, a->ab_dtype);
            if (a->accumulate) sum += get(a->c, i * ldc + j, a->c_dtype);
            put(a->c, i * ldc + j, a->c_dtype, sum);
        }
}
