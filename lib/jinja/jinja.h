/* SPDX-License-Identifier: Apache-2.0 */
/* A Jinja engine that behaves as the environment in which transformers renders chat templates:
 * ImmutableSandboxedEnvironment(trim_blocks, lstrip_blocks, loop controls, {% generation %}).
 *
 * It refuses, with an error that names the construct: include, import, extends and autoescape;
 * random and lipsum, which are not repeatable; arithmetic beyond 64 bits (such integers can be
 * printed); a few methods of str (casefold, encode, translate, ...); rare conversions of % and
 * format().
 *
 * Known differences: slicing a constant such as `none[1:]` is an
 * error here and undefined in Jinja; generators run at once, so an error in one that is never read
 * is reported; objects print without their address. Case mappings are those of Unicode 14. */
#ifndef SFT_JINJA_JINJA_H
#define SFT_JINJA_JINJA_H

#include "jinja/value.h"

struct jinja; /* a compiled template; immutable: threads share it */

/* Compiles a template; the source is copied, jinja_free() releases the result. NULL with ERR_DATA
 * and the line when the source does not parse. */
struct jinja *jinja_compile(struct str source, struct err *e);
void jinja_free(struct jinja *t);
bool jinja_has_generation(const struct jinja *t); /* it has a {% generation %} block */

struct jinja_var {
    const char *name;
    struct jval value;
};
/* Renders a template. vm->a owns *out and the values of the variables; the caller sets a, e and
 * clock of a vm that is otherwise zero. 0, or -1 with ERR_DATA or ERR_MEMORY. */
int jinja_render(const struct jinja *t, struct vm *vm, const struct jinja_var *vars, size_t nvars,
                 const struct jstr **out);

#endif
