/* SPDX-License-Identifier: Apache-2.0 */
/* Documents are read by cJSON. A walk along the text, in step with cJSON's tree, refuses what cJSON
 * takes and JSON does not have, and takes the text of numbers, of which cJSON has doubles. */
#include <cjson/cJSON.h>
#include <string.h>

#include "base/doc.h"
#include "base/doc_impl.h"
#include "base/json_impl.h"

/* Moves behind c, the next character but white space. The text has it there, because cJSON found
 * it; but cJSON takes all control characters for white space. */
static int behind(struct json_parser *j, unsigned char c)
{
    json_space(j);
    if (j->p == j->end || *j->p != c)
        return json_fault_set(j, j->p, "control character between values");
    j->p++;
    return 0;
}

static int read_word(struct json_parser *j, const char *word)
{
    if (behind(j, (unsigned char)*word)) return -1;
    j->p += strlen(word) - 1;
    return 0;
}

/* z: the string as cJSON unescaped it. It may have NULs, which are escaped in the text, so that its
 * length comes from there. */
static int read_string(struct json_parser *j, const char *z, struct str *s)
{
    struct err e;
    size_t n;
    if (behind(j, '"') || json_string_length(j, &n)) return -1;
    *s = (struct str){arena_copy(j->arena, z, n, &e), n};
    return s->p ? 0 : json_no_memory(j, &e);
}

static int read_number(struct json_parser *j, struct json *v)
{
    struct err e;
    json_space(j);
    const unsigned char *from = j->p;
    if (json_number(j, v)) return -1;
    if (v->s.n > DOC_NUMBER) return json_fault_set(j, from, "number of more than 63 characters");
    v->s.p = arena_copy(j->arena, from, v->s.n, &e);
    return v->s.p ? 0 : json_no_memory(j, &e);
}

static int read_value(struct json_parser *j, const cJSON *from, struct json *v, int depth);

static int read_members(struct json_parser *j, const cJSON *from, struct json *v, int depth)
{
    size_t i = 0;
    const bool object = v->kind == JSON_OBJECT;
    for (const cJSON *c = from->child; c; c = c->next, i++) {
        if (i && behind(j, ',')) return -1;
        if (object && (read_string(j, c->string, &v->keys[i]) || behind(j, ':'))) return -1;
        if (read_value(j, c, &v->items[i], depth + 1)) return -1;
    }
    return 0;
}

static int read_container(struct json_parser *j, const cJSON *from, struct json *v, int depth)
{
    struct err e;
    const bool object = v->kind == JSON_OBJECT;
    if (behind(j, object ? '{' : '[')) return -1;
    if (depth > JSON_MAX_DEPTH) return json_fault_set(j, j->p - 1, "nested more than 128 deep");
    for (const cJSON *c = from->child; c; c = c->next) v->count++;
    if (v->count) v->items = arena_alloc(j->arena, v->count * sizeof *v->items, &e);
    if (v->items && object) v->keys = arena_alloc(j->arena, v->count * sizeof *v->keys, &e);
    if (v->count && (!v->items || (object && !v->keys))) return json_no_memory(j, &e);
    if (read_members(j, from, v, depth) || behind(j, object ? '}' : ']')) return -1;
    return object ? json_check_keys(j, v->keys, v->count) : 0;
}

/* depth: the nesting level of the value, from 1. v: zeroes. */
static int read_value(struct json_parser *j, const cJSON *from, struct json *v, int depth)
{
    if (cJSON_IsNumber(from)) return read_number(j, v);
    if (cJSON_IsNull(from)) return read_word(j, "null");
    if (cJSON_IsBool(from)) {
        v->kind = JSON_BOOL;
        v->truth = cJSON_IsTrue(from);
        return read_word(j, v->truth ? "true" : "false");
    }
    if (cJSON_IsString(from)) {
        v->kind = JSON_STRING;
        return read_string(j, from->valuestring, &v->s);
    }
    v->kind = cJSON_IsObject(from) ? JSON_OBJECT : JSON_ARRAY;
    return read_container(j, from, v, depth);
}

static struct json *read_tree(const cJSON *tree, const char *text, size_t n, struct arena *a,
                              struct err *e)
{
    const unsigned char *p = (const unsigned char *)text;
    struct json_scratch s = {0};
    struct json_fault f = {0};
    struct json_parser j = {p, p, p + n, 0, 0, a, &s, &f};
    struct json *v = arena_alloc(a, sizeof *v, e);
    if (!v) return NULL;
    int rc = read_value(&j, tree, v, 1);
    json_space(&j);
    if (rc == 0 && j.p < j.end) rc = json_fault_set(&j, j.p, "text after the end of the value");
    json_scratch_free(&s);
    if (rc) json_fault_tell(text, &f, e);
    return rc ? NULL : v;
}

/* Tells why cJSON refuses the text. cJSON has no causes, and stops in the fault or soon after it,
 * so the other reader finds cause and place. A text that this one takes has a number that is too
 * long for cJSON, which stopped inside it. */
static void explain(const char *text, size_t n, size_t stop, struct err *e)
{
    struct arena a = {0};
    struct json_fault f = {.code = ERR_DATA, .why = "number of more than 63 characters"};
    if (json_parse(text, n, &a, e)) {
        while (stop > 0 && memchr("+-.0123456789eE", text[stop - 1], 15)) stop--;
        f.at = stop;
        json_fault_tell(text, &f, e);
    }
    arena_free(&a);
}

/* cJSON skips a byte order mark, and has no bound of memory. */
static int check_text(const char *text, size_t n, struct err *e)
{
    size_t values = 1;
    if (n > DOC_MOST) return err_set(e, ERR_DATA, "a document of more than 64 MiB");
    if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        return err_set(e, ERR_DATA,
                       "line 1, column 1: a byte order mark, which JSON does not have");
    for (size_t i = 0; i < n; i++) values += text[i] == ',' || text[i] == '[' || text[i] == '{';
    return values <= DOC_VALUES ? 0
                                : err_set(e, ERR_DATA, "a document of more than a million values");
}

struct json *doc_parse(const char *text, size_t n, struct arena *a, struct err *e)
{
    if (check_text(text, n, e)) return NULL;
    /* cJSON before 1.7.18 reads a byte beyond texts of a given length */
    char *z = mem_strndup(n ? text : "", n, e);
    if (!z) return NULL;
    struct json *v = NULL;
    const char *stop = z;
    doc_memory();
    cJSON *tree = cJSON_ParseWithOpts(z, &stop, false);
    if (tree)
        v = read_tree(tree, z, n, a, e);
    else if (doc_short)
        err_set(e, ERR_MEMORY, "out of memory (a document)");
    else
        explain(z, n, (size_t)(stop - z), e);
    cJSON_Delete(tree);
    mem_free(z);
    return v;
}
