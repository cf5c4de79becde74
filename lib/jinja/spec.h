/* SPDX-License-Identifier: Apache-2.0 */
/* Format specifications, as % and str.format() share them; private to lib/jinja. */
#ifndef SFT_JINJA_SPEC_H
#define SFT_JINJA_SPEC_H

#include "jinja/value.h"

struct spec {
    bool left, plus, space, zero, alternate, comma, centre, aligned;
    struct jstr fill;
    int64_t width, precision; /* precision -1: none */
    char type;                /* 0: none */
};

/* Parses the digits at *p and moves *p behind them. -1 with ERR_DATA for a number above 10000. */
int spec_read_int(struct vm *vm, const char **p, const char *end, int64_t *v);
/* Appends the number v. -1 with ERR_DATA when v is not a number of the type. */
int spec_put_number(struct jbuild *b, const struct spec *s, struct jval v);
/* Appends text, cut to the precision and padded to the width; left: the padding is behind it. */
void spec_put_text(struct jbuild *b, const struct spec *s, const struct jstr *t, bool left);

#endif
