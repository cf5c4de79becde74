/* SPDX-License-Identifier: Apache-2.0 */
/* Fields of the objects in tokenizer.json, with messages that name what is missing or of a wrong
 * type. */
#ifndef SFT_TEXT_FIELDS_H
#define SFT_TEXT_FIELDS_H

#include "base/json.h"

/* The "type" of a component, or an empty string with the error set. */
struct str field_type(const struct json *o, const char *what, struct err *e);
/* 0 with the value, or the default when the key is absent or null; -1 when it has another type. */
int field_bool(const struct json *o, const char *key, bool absent, bool *out, struct err *e);
int field_count(const struct json *o, const char *key, int64_t absent, int64_t *out, struct err *e);
/* As above; *out is {NULL, 0} when absent. */
int field_str(const struct json *o, const char *key, struct str *out, struct err *e);
/* A string that must be there. */
int field_need_str(const struct json *o, const char *key, struct str *out, struct err *e);
/* A string that is one character. */
int field_need_char(const struct json *o, const char *key, uint32_t *out, struct err *e);
/* The array under key; NULL with the error when it is not there. */
const struct json *field_need_array(const struct json *o, const char *key, struct err *e);

struct regex;
/* {"String": ...} or {"Regex": ...} under "pattern", compiled. */
struct regex *field_pattern(const struct json *o, struct err *e);

#endif
