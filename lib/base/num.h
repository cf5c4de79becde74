/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers and their text. Programs never call setlocale, so the decimal point is a point. */
#ifndef SFT_BASE_NUM_H
#define SFT_BASE_NUM_H

#include <stdbool.h>
#include <stdint.h>

/* Strict parsing: the whole string, range checked. 0 or -1. */
int num_i64(const char *s, int64_t *v);
int num_u64(const char *s, uint64_t *v);
int num_f64(const char *s, double *v); /* finite only */

/* The shortest decimal that reads back as v (single: as the same float), which is a number of JSON;
 * "null" where v is not finite, for which JSON has no number. */
enum { NUM_TEXT = 32 };
void num_text(double v, bool single, char out[NUM_TEXT]);

#endif
