/* SPDX-License-Identifier: Apache-2.0 */
/* Builds GGUF files in memory for tests. */
#ifndef SFT_TEST_GGUF_MAKE_H
#define SFT_TEST_GGUF_MAKE_H

#include <string.h>

#include "base/buf.h"
#include "hf/gguf.h"

enum { MAKE_MAX = 64 };
struct make {
    uint32_t version;
    struct buf pairs, tensors, data;
    uint64_t npairs, ntensors;
};

static inline void make_str(struct buf *b, const char *s)
{
    buf_u64(b, strlen(s));
    buf_puts(b, s);
}
static inline void make_key(struct make *m, const char *key, enum gguf_kind kind)
{
    make_str(&m->pairs, key);
    buf_u32(&m->pairs, kind);
    m->npairs++;
}
static inline void make_u32(struct make *m, const char *key, uint32_t v)
{
    make_key(m, key, GGUF_U32);
    buf_u32(&m->pairs, v);
}
static inline void make_f32(struct make *m, const char *key, float v)
{
    uint32_t u;
    memcpy(&u, &v, sizeof u);
    make_key(m, key, GGUF_F32);
    buf_u32(&m->pairs, u);
}
static inline void make_text(struct make *m, const char *key, const char *v)
{
    make_key(m, key, GGUF_STRING);
    make_str(&m->pairs, v);
}
/* The head of an array; its n items follow in m->pairs. */
static inline void make_array(struct make *m, const char *key, enum gguf_kind item, uint64_t n)
{
    make_key(m, key, GGUF_ARRAY);
    buf_u32(&m->pairs, item);
    buf_u64(&m->pairs, n);
}
/* An entry of the tensor list; cols is the contiguous dimension, rows 0 makes a vector. */
static inline void make_entry(struct make *m, const char *name, uint32_t type, uint64_t cols,
                              uint64_t rows, uint64_t offset)
{
    make_str(&m->tensors, name);
    buf_u32(&m->tensors, rows ? 2 : 1);
    buf_u64(&m->tensors, cols);
    if (rows) buf_u64(&m->tensors, rows);
    buf_u32(&m->tensors, type);
    buf_u64(&m->tensors, offset);
    m->ntensors++;
}
static inline void make_tensor(struct make *m, const char *name, uint32_t type, uint64_t cols,
                               uint64_t rows, const void *p, size_t n)
{
    while (m->data.len % 32) buf_putc(&m->data, 0);
    make_entry(m, name, type, cols, rows, m->data.len);
    buf_add(&m->data, p, n);
}
/* The file; frees what m holds. */
static inline struct buf make_file(struct make *m)
{
    struct buf b = {0};
    buf_puts(&b, "GGUF");
    buf_u32(&b, m->version ? m->version : 3);
    buf_u64(&b, m->ntensors);
    buf_u64(&b, m->npairs);
    buf_add(&b, m->pairs.data, m->pairs.len);
    buf_add(&b, m->tensors.data, m->tensors.len);
    while (m->ntensors && b.len % 32) buf_putc(&b, 0);
    buf_add(&b, m->data.data, m->data.len);
    buf_free(&m->pairs);
    buf_free(&m->tensors);
    buf_free(&m->data);
    memset(m, 0, sizeof *m);
    return b;
}

#endif
