/* SPDX-License-Identifier: Apache-2.0 */
/* Comparison of a form's output with values of the host, or with a golden file. */
#ifndef CONFORM_COMPARE_H
#define CONFORM_COMPARE_H

#include "conform.h"

/* Bytes of an element of a type. */
unsigned type_size(const char *type);

/* STRICT: without tolerance every bit counts. LOOSE: every NaN is equal to every NaN. */
enum strictness { STRICT, LOOSE };

/* 1 if all elements agree; else why names the first that does not. */
int same_values(const struct form *f, const char *got, const char *want, enum strictness strict,
                char *why, size_t size);

/* A golden file in memory; NULL if it cannot be read. */
struct golden *golden_read(const char *path);
/* Puts the form's printed elements at their places in values; 0 if the file lacks any. */
int golden_values(const struct golden *g, const struct form *f, char *values);
/* 1 if the form's printed elements agree with the file's. */
int golden_holds(const struct golden *g, const struct form *f, const char *got, char *why,
                 size_t size);

#endif
