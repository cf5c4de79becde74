/* SPDX-License-Identifier: Apache-2.0 */
/* Documents are written as trees of cJSON. Numbers are texts of ours: cJSON has doubles only, and
 * prints those that it takes for equal with 15 digits, so that 2^53 - 1 and 0.1 + 0.2 come out as
 * others. */
#include "base/doc.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

#include "base/doc_impl.h"
#include "base/io.h"

_Thread_local bool doc_short;

static void *take(size_t bytes)
{
    void *p = mem_resize(NULL, 0, bytes, NULL);
    if (!p) doc_short = true;
    return p;
}

static void set_memory(void)
{
    cJSON_Hooks ours = {take, mem_free};
    cJSON_InitHooks(&ours);
}

void doc_memory(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, set_memory);
    doc_short = false;
}

void doc_begin(struct doc *d)
{
    doc_memory();
    *d = (struct doc){.at = {cJSON_CreateObject()}};
}

static cJSON *add(struct doc *d, const char *key, cJSON *item)
{
    cJSON *to = d->depth < DOC_DEPTH ? d->at[d->depth] : NULL;
    if (to && item &&
        (key ? cJSON_AddItemToObjectCS(to, key, item) : cJSON_AddItemToArray(to, item)))
        return item;
    cJSON_Delete(item);
    d->failed = true;
    return NULL;
}

void doc_text(struct doc *d, const char *key, const char *z)
{
    add(d, key, z ? cJSON_CreateStringReference(z) : cJSON_CreateNull());
}

void doc_bool(struct doc *d, const char *key, bool v) { add(d, key, cJSON_CreateBool(v)); }

void doc_raw(struct doc *d, const char *key, const char *text)
{
    add(d, key, cJSON_CreateRaw(text));
}

void doc_int(struct doc *d, const char *key, int64_t v)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, v);
    doc_raw(d, key, text);
}

void doc_uint(struct doc *d, const char *key, uint64_t v)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, v);
    doc_raw(d, key, text);
}

static void enter(struct doc *d, const char *key, cJSON *container)
{
    container = add(d, key, container);
    if (++d->depth < DOC_DEPTH)
        d->at[d->depth] = container;
    else
        d->deep = true;
}

void doc_object(struct doc *d, const char *key) { enter(d, key, cJSON_CreateObject()); }
void doc_list(struct doc *d, const char *key) { enter(d, key, cJSON_CreateArray()); }
void doc_close(struct doc *d) { d->depth--; }

/* cJSON indents by tabs and puts one between a key's colon and its value. The text has no other
 * tab, because one in a string is escaped. */
static void put_spaced(const char *text, struct buf *b)
{
    for (const char *p = text; *p; p++) {
        if (*p == '\t')
            buf_puts(b, p[-1] == ':' ? " " : "  ");
        else
            buf_putc(b, *p);
    }
    buf_putc(b, '\n');
}

int doc_print(struct doc *d, struct buf *b, struct err *e)
{
    const bool deep = d->deep;
    char *text = d->failed || deep || !d->at[0] ? NULL : cJSON_Print(d->at[0]);
    if (text) put_spaced(text, b);
    mem_free(text);
    cJSON_Delete(d->at[0]);
    *d = (struct doc){0};
    if (deep) return err_set(e, ERR_INTERNAL, "a document of more than %d levels", DOC_DEPTH);
    return text ? buf_check(b, e) : err_set(e, ERR_MEMORY, "out of memory (a document)");
}

int doc_put(struct doc *d, const char *dir, const char *name, struct err *e)
{
    struct buf b = {0};
    char *path = doc_print(d, &b, e) == 0 ? io_path(dir, name, e) : NULL;
    const int rc = path ? io_put(path, b.data, b.len, e) : -1;
    mem_free(path);
    buf_free(&b);
    return rc;
}
