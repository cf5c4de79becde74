/* SPDX-License-Identifier: Apache-2.0 */
/* The text of run.json. */
#include "save/run_json_impl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/doc.h"
#include "base/io.h"

enum { RUN_VERSION = 1, RUN_MOST = 1 << 16 };

int run_json_write(const struct saver_point *p, struct buf *b, struct err *e)
{
    if (buf_check(p->guard, e) || (p->best && buf_check(p->best, e))) return -1;
    char checksum[17];
    struct doc d;
    snprintf(checksum, sizeof checksum, "%016" PRIx64, p->checksum);
    doc_begin(&d);
    doc_int(&d, "version", RUN_VERSION);
    doc_uint(&d, "step", p->step);
    doc_text(&d, "rows_checksum", checksum);
    doc_text(&d, "tokenizer", p->tokenizer);
    doc_uint(&d, "length", p->length);
    doc_uint(&d, "global_batch", p->global_batch);
    doc_uint(&d, "seed", p->seed);
    if (p->card) run_card_write(p->card, &d);
    doc_raw(&d, "guard", p->guard->data);
    if (p->best) doc_raw(&d, "best", p->best->data);
    doc_raw(&d, "settings", p->settings);
    buf_reset(b);
    return doc_print(&d, b, e);
}

static int parse_checksum(const struct json *v, uint64_t *sum, struct err *e)
{
    char hex[17] = "", *end;
    if (!v || v->kind != JSON_STRING || v->s.n != sizeof hex - 1)
        return err_set(e, ERR_DATA, "rows_checksum is missing");
    memcpy(hex, v->s.p, sizeof hex - 1);
    *sum = strtoull(hex, &end, 16);
    return *end ? err_set(e, ERR_DATA, "rows_checksum is not hexadecimal") : 0;
}

static int parse(const struct json *v, struct restore_cursor *c, struct err *e)
{
    const struct json *version = json_get(v, "version"), *step = json_get(v, "step");
    int64_t n = -1;
    if (!version || json_int(version, &n) || n != RUN_VERSION)
        return err_set(e, ERR_DATA, "not version %d, which this program reads", RUN_VERSION);
    if (!step || json_int(step, &n) || n < 0) return err_set(e, ERR_DATA, "step is missing");
    c->step = (uint64_t)n;
    c->guard = json_get(v, "guard");
    c->best = json_get(v, "best");
    c->settings = json_get(v, "settings");
    c->gpu = json_get(v, "gpu");
    c->tokenizer = json_get(v, "tokenizer");
    c->global_batch = json_get(v, "global_batch");
    return parse_checksum(json_get(v, "rows_checksum"), &c->checksum, e);
}

int run_json_read(struct restore_cursor *c, struct err *e)
{
    struct buf text = {0};
    const int rc = io_slurp(c->path, RUN_MOST, &text, e);
    const struct json *v = rc == 0 ? doc_parse(text.data, text.len, &c->tree, e) : NULL;
    buf_free(&text);
    if (rc) return -1;
    return v && parse(v, c, e) == 0 ? 0 : err_prefix(e, "%s", c->path);
}
