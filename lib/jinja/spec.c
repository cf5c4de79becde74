/* SPDX-License-Identifier: Apache-2.0 */
/* Format specifications: numbers and text with sign, width, precision and fill. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "jinja/spec.h"

enum { SPEC_MAX = 10000 };

/* Writes a number as an optional sign and its digits. */
static int number_text(struct vm *vm, const struct spec *s, struct jval v, char *text, size_t n)
{
    int64_t i;
    double f;
    char type = s->type ? s->type : v.kind == J_FLOAT ? 'r' : 'd';
    int precision = s->precision < 0 ? 6 : (int)s->precision;
    if (type == 'i' || type == 'u') type = 'd';
    if (strchr("dxXo", type)) {
        if (!jval_is_int(v, &i)) {
            if (type != 'd' || !jval_is_real(v, &f) || !(fabs(f) < 9e18))
                return vm_fail(vm, "%%%c format: an integer is required, not %s", type,
                               jval_type(v));
            i = (int64_t)f;
        }
        uint64_t u = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
        const char *prefix = !s->alternate ? "" : type == 'x' ? "0x" : type == 'X' ? "0X" : "";
        const char *sign = i < 0 ? "-" : s->plus ? "+" : s->space ? " " : "";
        int k = snprintf(text, n, "%s%s", sign, prefix);
        snprintf(text + k, n - (size_t)k,
                 type == 'x'   ? "%llx"
                 : type == 'X' ? "%llX"
                 : type == 'o' ? "%llo"
                               : "%llu",
                 (unsigned long long)u);
        return 0;
    }
    if (!jval_is_real(v, &f)) return vm_fail(vm, "must be a real number, not %s", jval_type(v));
    int k = snprintf(text, n, "%s", signbit(f) ? "-" : s->plus ? "+" : s->space ? " " : "");
    if (type == 'r' || isnan(f) || isinf(f)) {
        char shortest[JFLOAT_TEXT];
        jval_float_text(fabs(f), shortest);
        snprintf(text + k, n - (size_t)k, "%s", shortest);
        return 0;
    }
    if (type == '%') f *= 100;
    snprintf(text + k, n - (size_t)k,
             type == 'e'   ? "%.*e"
             : type == 'E' ? "%.*E"
             : type == 'g' ? "%.*g"
                           : "%.*f",
             type == 'g' && !precision ? 1 : precision, fabs(f));
    if (type == '%') {
        size_t end = strlen(text);
        if (end + 1 < n) memcpy(text + end, "%", 2);
    }
    return 0;
}

/* Inserts a comma between groups of three digits of the integer part. */
static void group(char *text, size_t n)
{
    size_t start = strspn(text, "+- "), end = start + strspn(text + start, "0123456789");
    while (end > start + 3 && strlen(text) + 2 < n) {
        end -= 3;
        memmove(text + end + 1, text + end, strlen(text + end) + 1);
        text[end] = ',';
    }
}

static void pad(struct jbuild *b, const struct spec *s, int64_t n)
{
    for (; n > 0 && !b->failed; n--)
        if (s->fill.n)
            jbuild_str(b, &s->fill);
        else
            jbuild_z(b, " ");
}

int spec_put_number(struct jbuild *b, const struct spec *s, struct jval v)
{
    char text[512];
    if (number_text(b->vm, s, v, text, sizeof text)) return -1;
    if (s->comma) group(text, sizeof text);
    int64_t room = s->width - (int64_t)strlen(text);
    size_t sign = strspn(text, "+- ");
    if (s->zero && !s->left) {
        jbuild_bytes(b, text, sign);
        for (; room > 0 && !b->failed; room--) jbuild_z(b, "0");
        jbuild_z(b, text + sign);
        return 0;
    }
    int64_t before = s->left || room < 0 ? 0 : s->centre ? room / 2 : room;
    pad(b, s, before);
    jbuild_z(b, text);
    pad(b, s, room - before);
    return 0;
}

void spec_put_text(struct jbuild *b, const struct spec *s, const struct jstr *t, bool left)
{
    size_t end = s->precision < 0 ? t->n : jstr_offset(t, (size_t)s->precision);
    struct jstr shown = *t;
    shown.n = (uint32_t)end;
    int64_t room = s->width - (int64_t)jstr_chars(&shown);
    int64_t before = left || room < 0 ? 0 : s->centre ? room / 2 : room;
    pad(b, s, before);
    jbuild_part(b, t, 0, end);
    pad(b, s, room - before);
}

int spec_read_int(struct vm *vm, const char **p, const char *end, int64_t *v)
{
    *v = 0;
    for (; *p < end && **p >= '0' && **p <= '9'; ++*p) {
        *v = *v * 10 + (**p - '0');
        if (*v > SPEC_MAX) return vm_fail(vm, "a width in a format is too large");
    }
    return 0;
}
