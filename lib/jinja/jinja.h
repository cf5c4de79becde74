/* SPDX-License-Identifier: Apache-2.0 */
/* A Jinja engine that behaves as the environment in which transformers renders chat templates:
 * ImmutableSandboxedEnvironment(trim_blocks, lstrip_blocks, loop controls, {% generation %}).
 *
 * Refused by name: include, import, extends and autoescape; filters without use in a chat template
 * (urlize, wordwrap, groupby, ...); integers beyond 64 bits in arithmetic (they may be printed);
 * isalpha and its kin on scripts without case; unusual conversions of % and format().
 * Known to differ: a constant that cannot be sliced (`none[1:]`) is an error here, undefined there;
 * generators are run at once, so an error in one that is never read shows; objects print without
 * their address. Upper and lower case are those of Unicode 14. */
#ifndef SFT_JINJA_JINJA_H
#define SFT_JINJA_JINJA_H

#include "jinja/value.h"

struct jinja; /* a compiled template; immutable: threads share it */

/* ERR_DATA with the line when it does not parse. The source is copied. */
struct jinja *jinja_compile(struct str source, struct err *e);
void jinja_free(struct jinja *t);
bool jinja_has_generation(const struct jinja *t);

struct jinja_var {
    const char *name;
    struct jval value;
};
/* Renders into *out, which lives in vm->a, as do the values of the variables. The caller sets
 * a, e and clock of an otherwise zero vm. */
int jinja_render(const struct jinja *t, struct vm *vm, const struct jinja_var *vars, size_t nvars,
                 const struct jstr **out);

#endif
