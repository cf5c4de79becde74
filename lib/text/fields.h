/* SPDX-License-Identifier: Apache-2.0 */
/* Typed access to the objects of tokenizer.json; errors name the key and the expected type. */
#ifndef SFT_TEXT_FIELDS_H
#define SFT_TEXT_FIELDS_H

#include "base/json.h"

/* Returns the "type" of a component, or an empty string with the error set. */
struct str field_type(const struct json *o, const char *what, struct err *e);
/* Each sets *out to the value, or to the default `absent` when the key is absent or null. 0, or -1
 * with ERR_DATA for another type. */
int field_bool(const struct json *o, const char *key, bool absent, bool *out, struct err *e);
int field_count(const struct json *o, const char *key, int64_t absent, int64_t *out, struct err *e);
/* The default is {NULL, 0}. */
int field_str(const struct json *o, const char *key, struct str *out, struct err *e);
/* Reads a required string. */
int field_need_str(const struct json *o, const char *key, struct str *out, struct err *e);
/* Reads a required string of one character. */
int field_need_char(const struct json *o, const char *key, uint32_t *out, struct err *e);
/* Returns a required array, or NULL with the error set. */
const struct json *field_need_array(const struct json *o, const char *key, struct err *e);

/* The most steps of a normalizer, a pre-tokenizer or a decoder: each reads the whole text. */
enum { FIELDS_MAX_STEPS = 100 };
int fields_too_many(const char *what, struct err *e); /* sets ERR_DATA, returns -1 */

struct regex;
/* Compiles the member "pattern", {"String": ...} or {"Regex": ...}. The caller frees the result. */
struct regex *field_pattern(const struct json *o, struct err *e);

#endif
