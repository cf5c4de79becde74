/* SPDX-License-Identifier: Apache-2.0 */
/* Internal declarations of the JSON parser and the row reader. */
#ifndef SFT_BASE_JSON_IMPL_H
#define SFT_BASE_JSON_IMPL_H

#include "base/json.h"

struct json_member;
/* The values of the containers still open. Reused from parse to parse. */
struct json_scratch {
    struct json *values;
    struct str *keys; /* keys[i] is the key of values[i] if that is a member of an object */
    size_t n, cap, keys_cap;
    struct json_member *sorted;
    size_t sorted_cap;
};
void json_scratch_free(struct json_scratch *s);

/* The place and the cause of a syntax error. */
struct json_fault {
    size_t at;   /* byte offset */
    bool at_end; /* the text ended inside a value */
    enum err_code code;
    char why[sizeof((struct err *)0)->msg];
};
/* Sets e to the fault in text, by line and column from 1. Returns -1. */
int json_fault_tell(const char *text, const struct json_fault *f, struct err *e);

/* Parses text. max_values bounds the number of values; 0: no bound. NULL with *f set on failure. */
struct json *json_parse_with(const char *text, size_t n, size_t max_values, struct arena *a,
                             struct json_scratch *s, struct json_fault *f);

/* The state of one parse of [start, end); p points to the next byte. */
struct json_parser {
    const unsigned char *start, *p, *end;
    size_t max_values, values;
    struct arena *arena;
    struct json_scratch *s;
    struct json_fault *f;
};
/* Both fill j->f and return -1. */
int json_fault_set(struct json_parser *j, const unsigned char *at, const char *why);
int json_no_memory(struct json_parser *j, const struct err *e);

/* Parses the string whose opening quote is at j->p. *s points into the text, or into the arena if
 * the string has escapes. */
int json_string(struct json_parser *j, struct str *s);
/* Checks a string whose opening quote is before j->p, as json_string does, without making it. *n:
 * its bytes after unescaping. */
int json_string_length(struct json_parser *j, size_t *n);
/* Parses the number at j->p; its text points into the document. */
int json_number(struct json_parser *j, struct json *v);
/* Refuses duplicates among the n keys of the object that ends before j->p. */
int json_check_keys(struct json_parser *j, const struct str *keys, size_t n);
void json_space(struct json_parser *j); /* moves j->p over white space */

#endif
