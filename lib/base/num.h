/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers and their text. Programs never call setlocale, so the decimal point is a point. */
#ifndef SFT_BASE_NUM_H
#define SFT_BASE_NUM_H

#include <stdbool.h>
#include <stdint.h>

/* Parse the whole string and check the range. Each returns 0, or -1 with *v unchanged. */
int num_i64(const char *s, int64_t *v);
int num_u64(const char *s, uint64_t *v);
int num_f64(const char *s, double *v); /* finite only */

/* Writes the shortest decimal that reads back as v (single: as the same float), valid as a JSON
 * number; "null" when v is not finite. */
enum { NUM_TEXT = 32 };
void num_text(double v, bool single, char out[NUM_TEXT]);

#endif
