/* SPDX-License-Identifier: Apache-2.0 */
/* Filters of numbers. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/opt.h"
#include "jinja/filters.h"

int jfilter_abs(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    int64_t i;
    (void)a;
    if (self.kind == J_FLOAT) {
        *out = jval_float(fabs(self.u.f));
        return 0;
    }
    if (self.kind == J_BIG) return vm_overflow(vm);
    if (!jval_is_int(self, &i) || i == INT64_MIN)
        return vm_fail(vm, "bad operand type for abs(): '%s'", jval_type(self));
    *out = jval_int(i < 0 ? -i : i);
    return 0;
}

/* Copies the text of a number without outer white space and single underscores, as Python's int()
 * and float() read it. False when it does not fit. */
static bool number_text(const struct jstr *s, char *text, size_t room)
{
    size_t from, to, n = 0;
    jstr_strip(s, NULL, true, true, &from, &to);
    for (size_t i = from; i < to; i++) {
        bool inner = i > from && i + 1 < to && s->p[i - 1] != '_' && s->p[i + 1] != '_';
        if (s->p[i] == '_' && inner) continue;
        if (n + 1 == room || !s->p[i]) return false;
        text[n++] = s->p[i];
    }
    text[n] = 0;
    return n > 0;
}

static bool read_float(const char *text, double *f)
{
    static const char *const words[] = {"inf", "infinity", "nan"};
    const char *p = text + (*text == '-' || *text == '+');
    for (size_t i = 0; i < 3; i++)
        if (strcasecmp(p, words[i]) == 0) {
            *f = i == 2 ? NAN : *text == '-' ? -INFINITY : INFINITY;
            return true;
        }
    if (!*p || strspn(p, "0123456789.eE+-") != strlen(p)) return false;
    return !num_f64(p, f) && ((*text == '-' ? *f = -*f : *f), true);
}

static bool read_int(const char *text, int base, int64_t *i)
{
    const char *p = text + (*text == '-' || *text == '+');
    char mark = (char)(p[0] == '0' ? p[1] | 32 : 0), *end;
    int named = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0;
    if (named && (base == named || base == 0)) {
        p += 2;
        base = named;
    }
    if (base == 0) base = 10;
    if (base < 2 || base > 36 || !*p || strchr(" +-", *p)) return false;
    unsigned long long u = strtoull(p, &end, base);
    if (*end || u > INT64_MAX) return false;
    *i = *text == '-' ? -(int64_t)u : (int64_t)u;
    return true;
}

int jfilter_int(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    char text[128];
    double f;
    int64_t i, base;
    if (self.kind == J_UNDEF) return vm_undefined(vm, self);
    if (jarg_int(vm, a->pos[1], 10, &base)) return -1;
    if (self.kind == J_STR && vm_charge(vm, self.u.s->n)) return -1;
    bool is_text = self.kind == J_STR && number_text(self.u.s, text, sizeof text);
    *out = a->pos[0].kind == J_MISSING ? jval_int(0) : a->pos[0];
    if (self.kind == J_BIG) {
        *out = self;
        return 0;
    }
    if (is_text && base >= 0 && base <= 36 && read_int(text, (int)base, &i)) {
        *out = jval_int(i);
        return 0;
    }
    if (!(is_text && read_float(text, &f)) && !jval_is_real(self, &f)) return 0;
    if (jval_is_int(self, &i)) {
        *out = jval_int(i);
    } else if (isnan(f) || isinf(f)) {
        if (self.kind == J_FLOAT && isinf(f))
            return vm_fail(vm, "cannot convert float infinity to integer");
    } else if (fabs(f) < 9.2e18) {
        *out = jval_int((int64_t)f);
    } else {
        return vm_overflow(vm);
    }
    return 0;
}

int jfilter_float(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    char text[512];
    double f;
    if (self.kind == J_UNDEF) return vm_undefined(vm, self);
    if (self.kind == J_STR && vm_charge(vm, self.u.s->n)) return -1;
    bool is_text =
        (self.kind == J_STR || self.kind == J_BIG) && number_text(self.u.s, text, sizeof text);
    if ((is_text && read_float(text, &f)) || jval_is_real(self, &f))
        *out = jval_float(f);
    else
        *out = a->pos[0].kind == J_MISSING ? jval_float(0) : a->pos[0];
    return 0;
}

int jfilter_round(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    int64_t precision, i;
    double f;
    struct str how = a->pos[1].kind == J_STR ? jstr_str(a->pos[1].u.s) : STR("common");
    if (jarg_int(vm, a->pos[0], 0, &precision)) return -1;
    if (self.kind == J_UNDEF) return vm_undefined(vm, self);
    if (self.kind == J_BIG) return vm_overflow(vm);
    if (!jval_is_real(self, &f))
        return vm_fail(vm, "round expects a number, not %s", jval_type(self));
    if (precision < 0 || precision > 300)
        return vm_fail(vm, "round: this precision is not supported");
    if (str_is(how, "ceil") || str_is(how, "floor")) {
        double scale = pow(10, (double)precision);
        f = str_is(how, "ceil") ? ceil(f * scale) : floor(f * scale);
        *out = jval_float(f / scale);
        return 0;
    }
    if (!str_is(how, "common")) return vm_fail(vm, "method must be common, ceil or floor");
    if (jval_is_int(self, &i)) {
        *out = jval_int(i);
        return 0;
    }
    char text[700]; /* printf rounds the exact value, halves to even, as Python's round() does */
    snprintf(text, sizeof text, "%.*f", (int)precision, f);
    *out = jval_float(isnan(f) || isinf(f) ? f : strtod(text, NULL));
    return 0;
}
