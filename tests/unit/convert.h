/* SPDX-License-Identifier: Apache-2.0 */
/* Converts small GGUF models, made here, to a folder, for tests. */
#ifndef SFT_TEST_CONVERT_H
#define SFT_TEST_CONVERT_H

#include "base/io.h"
#include "base/json.h"
#include "hf/gguf_convert.h"
#include "test.h"
#include "unit/gguf_model.h"

static char dir[] = "/tmp/sft-convert.XXXXXX";

static struct gguf_converted done; /* of the last conversion */

static inline int convert(const struct variant *v, struct err *e)
{
    struct buf b = model(v);
    memset(e, 0, sizeof *e);
    struct gguf *g = gguf_parse(b.data, b.len, "m.gguf", e);
    int rc = g ? gguf_convert(g, dir, NULL, &done, e) : -1;
    gguf_close(g);
    buf_free(&b);
    return rc;
}

static inline bool refused(struct variant v, const char *text)
{
    struct err e;
    bool ok = convert(&v, &e) == -1 && e.code == ERR_DATA && strstr(e.msg, text) &&
              strstr(e.msg, "m.gguf");
    if (!ok) printf("# %s\n", e.msg);
    return ok;
}

static inline struct json *read_json(const char *name, struct arena *a, struct buf *b)
{
    struct err e = {0};
    char *path = io_path(dir, name, &e);
    buf_reset(b);
    int rc = path ? io_slurp(path, 1 << 20, b, &e) : -1;
    free(path);
    return rc == 0 ? json_parse(b->data, b->len, a, &e) : NULL;
}

#endif
