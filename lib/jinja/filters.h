/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that the tables of filters and of methods name, from several files. */
#ifndef SFT_JINJA_FILTERS_H
#define SFT_JINJA_FILTERS_H

#include "jinja/value.h"

jfn jfilter_abs, jfilter_batch, jfilter_dictsort, jfilter_first, jfilter_float, jfilter_int,
    jfilter_items, jfilter_join, jfilter_last, jfilter_length, jfilter_list, jfilter_map,
    jfilter_max, jfilter_min, jfilter_reject, jfilter_rejectattr, jfilter_reverse, jfilter_round,
    jfilter_select, jfilter_selectattr, jfilter_slice, jfilter_sort, jfilter_sum, jfilter_unique;
extern const struct jfunc jinja_str_methods[]; /* ended by a NULL name */

/* An integer argument; `otherwise` when it is not given or None. 0 or -1. */
int jarg_int(struct vm *vm, struct jval v, int64_t otherwise, int64_t *i);
/* The value at path ("a.b.0", an integer, or none for v itself); `otherwise`, unless missing or
 * None, stands in for what is undefined. */
int jval_path(struct vm *vm, struct jval v, struct jval path, struct jval otherwise,
              struct jval *out);

#endif
