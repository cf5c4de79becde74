/* SPDX-License-Identifier: Apache-2.0 */
/* Filters on sequences, for the table of filters. */
#ifndef SFT_CHAT_JINJA_FILTERS_H
#define SFT_CHAT_JINJA_FILTERS_H

#include "chat/jinja_value.h"

jfn jfilter_batch, jfilter_dictsort, jfilter_first, jfilter_items, jfilter_join, jfilter_last,
    jfilter_length, jfilter_list, jfilter_map, jfilter_max, jfilter_min, jfilter_reject,
    jfilter_rejectattr, jfilter_reverse, jfilter_select, jfilter_selectattr, jfilter_slice,
    jfilter_sort, jfilter_sum, jfilter_unique;

/* An integer argument; `otherwise` when it is not given or None. 0 or -1. */
int jarg_int(struct vm *vm, struct jval v, int64_t otherwise, int64_t *i);

#endif
