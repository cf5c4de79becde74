/* SPDX-License-Identifier: Apache-2.0 */
/* Filters and methods that several files define, and the arguments that they read. */
#ifndef SFT_JINJA_FILTERS_H
#define SFT_JINJA_FILTERS_H

#include "jinja/value.h"

/* Defines a static jfn that returns `result`, an expression of vm, self, a and out. */
#define JFN(name, result)                                                                          \
    static int name(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)      \
    {                                                                                              \
        (void)vm, (void)self, (void)a;                                                             \
        return result;                                                                             \
    }

jfn jfilter_abs, jfilter_batch, jfilter_dictsort, jfilter_first, jfilter_float, jfilter_int,
    jfilter_filesizeformat, jfilter_groupby, jfilter_striptags, jfilter_urlencode,
    jfilter_wordcount, jfilter_xmlattr, jfilter_items, jfilter_join, jfilter_last, jfilter_length,
    jfilter_list, jfilter_map, jfilter_max, jfilter_min, jfilter_reject, jfilter_rejectattr,
    jfilter_reverse, jfilter_round, jfilter_select, jfilter_selectattr, jfilter_slice, jfilter_sort,
    jfilter_sum, jfilter_unique, jfilter_pprint, jfilter_urlize, jfilter_wordwrap;
jfn jmethod_isalpha, jmethod_isdecimal, jmethod_isdigit, jmethod_isnumeric, jmethod_isalnum,
    jmethod_isspace, jmethod_isascii, jmethod_isprintable, jmethod_isupper, jmethod_islower,
    jmethod_istitle;
extern const struct jfunc jinja_str_methods[]; /* the last entry has no name */

/* Calls a method of str on str(self) with the first nargs of the bound arguments. */
int jinja_str_method(struct vm *vm, struct jval self, const char *name, size_t nargs,
                     const struct jargs *a, struct jval *out);

/* ---- arguments (args.c); each returns 0, or -1 with ERR_DATA for a value of another type ---- */
/* Reads an integer; *i = otherwise where v is missing or None. */
int jarg_int(struct vm *vm, struct jval v, int64_t otherwise, int64_t *i);
/* Reads a string; *s = NULL where v is missing or None. */
int jarg_str(struct vm *vm, struct jval v, const struct jstr **s);
/* Reads a string that has to be there. */
int jarg_need_str(struct vm *vm, struct jval v, const struct jstr **s);

/* Looks up the path "a.b.0", an integer, or nothing (v itself) in v, as jinja2's make_attrgetter
 * does. `otherwise` replaces an undefined result, unless it is missing or None. */
int jval_path(struct vm *vm, struct jval v, struct jval path, struct jval otherwise,
              struct jval *out);

#endif
