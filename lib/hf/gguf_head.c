/* SPDX-License-Identifier: Apache-2.0 */
/* Builds and writes the head of a GGUF file. */
#include "hf/gguf_head.h"

#include <string.h>

enum { VERSION = 3 };

void gguf_head_free(struct gguf_head *h)
{
    buf_free(&h->pairs);
    buf_free(&h->tensors);
}

static void put_str(struct buf *b, struct str s)
{
    buf_u64(b, s.n);
    buf_str(b, s);
}

static void put_key(struct gguf_head *h, const char *key, enum gguf_kind kind)
{
    const bool own = key[0] == '.';
    buf_u64(&h->pairs, strlen(key) + (own ? strlen(h->arch) : 0));
    if (own) buf_puts(&h->pairs, h->arch);
    buf_puts(&h->pairs, key);
    buf_u32(&h->pairs, kind);
    h->npairs++;
}

void gguf_add_u32(struct gguf_head *h, const char *key, int64_t v)
{
    put_key(h, key, GGUF_U32);
    buf_u32(&h->pairs, (uint32_t)v);
}

void gguf_add_f32(struct gguf_head *h, const char *key, double v)
{
    const float f = (float)v;
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    put_key(h, key, GGUF_F32);
    buf_u32(&h->pairs, u);
}

void gguf_add_bool(struct gguf_head *h, const char *key, bool v)
{
    put_key(h, key, GGUF_BOOL);
    buf_putc(&h->pairs, v);
}

void gguf_add_str(struct gguf_head *h, const char *key, struct str v)
{
    put_key(h, key, GGUF_STRING);
    put_str(&h->pairs, v);
}

void gguf_add_array(struct gguf_head *h, const char *key, enum gguf_kind item, uint64_t n)
{
    put_key(h, key, GGUF_ARRAY);
    buf_u32(&h->pairs, item);
    buf_u64(&h->pairs, n);
}

void gguf_add_item(struct gguf_head *h, struct str v) { put_str(&h->pairs, v); }

static uint64_t aligned(uint64_t n) { return (n + GGUF_ALIGN - 1) / GGUF_ALIGN * GGUF_ALIGN; }

void gguf_add_tensor(struct gguf_head *h, const char *name, enum gguf_type t, int ndim,
                     const uint64_t *dim)
{
    size_t elements = 1, bytes = 0;
    uint64_t count = 1;
    gguf_type_block(t, &elements, &bytes);
    put_str(&h->tensors, str_z(name));
    buf_u32(&h->tensors, (uint32_t)ndim);
    for (int i = 0; i < ndim; i++) {
        buf_u64(&h->tensors, dim[i]);
        count *= dim[i];
    }
    buf_u32(&h->tensors, t);
    buf_u64(&h->tensors, aligned(h->end));
    h->end = aligned(h->end) + count / elements * bytes;
    h->ntensors++;
}

int gguf_pad(struct io_out *out, struct err *e)
{
    static const char zeros[GGUF_ALIGN];
    return io_write(out, zeros, (size_t)(aligned(io_written(out)) - io_written(out)), e);
}

int gguf_head_write(const struct gguf_head *h, struct io_out *out, struct err *e)
{
    struct buf b = {0};
    buf_puts(&b, "GGUF");
    buf_u32(&b, VERSION);
    buf_u64(&b, h->ntensors);
    buf_u64(&b, h->npairs);
    int rc = buf_check(&b, e);
    if (rc == 0) rc = buf_check(&h->pairs, e);
    if (rc == 0) rc = buf_check(&h->tensors, e);
    if (rc == 0) rc = io_write(out, b.data, b.len, e);
    if (rc == 0) rc = io_write(out, h->pairs.data, h->pairs.len, e);
    if (rc == 0) rc = io_write(out, h->tensors.data, h->tensors.len, e);
    buf_free(&b);
    return rc ? -1 : gguf_pad(out, e);
}
