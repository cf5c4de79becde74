/* SPDX-License-Identifier: Apache-2.0 */
/* The growable byte buffer. */
#include "base/buf.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"

/* Makes room for n more bytes and the NUL. Doubling keeps a run of appends linear, and a capacity
 * that is a power of two fills its part of the buddy allocator exactly. */
static bool reserve(struct buf *b, size_t n)
{
    if (b->failed) return false;
    size_t need;
    if (mem_add(b->len, n, &need) || need == SIZE_MAX) goto fail;
    b->over = b->max && need > b->max;
    if (b->over) goto fail;
    if (need + 1 <= b->cap) return true;
    size_t cap = b->cap ? b->cap : 64;
    while (cap < need + 1) cap = cap < SIZE_MAX / 2 ? cap * 2 : SIZE_MAX;
    char *p = mem_resize(b->data, b->cap, cap, NULL);
    if (!p) goto fail;
    b->data = p;
    b->cap = cap;
    return true;
fail:
    b->failed = true;
    return false;
}

void *buf_room(struct buf *b, size_t n)
{
    if (!reserve(b, n)) return NULL;
    char *p = b->data + b->len;
    b->len += n;
    b->data[b->len] = 0;
    return p;
}

void buf_add(struct buf *b, const void *p, size_t n)
{
    void *to = buf_room(b, n);
    if (to && n) memcpy(to, p, n);
}

void buf_str(struct buf *b, struct str s) { buf_add(b, s.p, s.n); }

void buf_puts(struct buf *b, const char *z) { buf_add(b, z, strlen(z)); }

void buf_putc(struct buf *b, char c)
{
    if (!reserve(b, 1)) return;
    b->data[b->len++] = c;
    b->data[b->len] = 0;
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0) b->failed = true;
    if (n >= 0 && reserve(b, (size_t)n)) {
        vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
}

static void put_le(struct buf *b, uint64_t v, int bytes)
{
    unsigned char t[8];
    for (int i = 0; i < bytes; i++) t[i] = (unsigned char)(v >> (8 * i));
    buf_add(b, t, (size_t)bytes);
}

void buf_u32(struct buf *b, uint32_t v) { put_le(b, v, 4); }

void buf_u64(struct buf *b, uint64_t v) { put_le(b, v, 8); }

void buf_varint(struct buf *b, uint64_t v)
{
    unsigned char t[10];
    size_t n = 0;
    for (; v >= 0x80; v >>= 7) t[n++] = (unsigned char)(v | 0x80);
    t[n++] = (unsigned char)v;
    buf_add(b, t, n);
}

/* Escapes only the characters for which RFC 8259 requires it. */
static void escape(struct buf *b, unsigned char c)
{
    switch (c) {
    case '"':
        buf_puts(b, "\\\"");
        break;
    case '\\':
        buf_puts(b, "\\\\");
        break;
    case '\b':
        buf_puts(b, "\\b");
        break;
    case '\f':
        buf_puts(b, "\\f");
        break;
    case '\n':
        buf_puts(b, "\\n");
        break;
    case '\r':
        buf_puts(b, "\\r");
        break;
    case '\t':
        buf_puts(b, "\\t");
        break;
    default:
        buf_printf(b, "\\u%04x", c);
    }
}

void buf_json(struct buf *b, struct str s)
{
    size_t from = 0;
    buf_putc(b, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c >= 0x20 && c != '"' && c != '\\') continue;
        buf_add(b, s.p + from, i - from);
        escape(b, c);
        from = i + 1;
    }
    if (s.n > from) buf_add(b, s.p + from, s.n - from);
    buf_putc(b, '"');
}

void buf_json_number(struct buf *b, double v, int digits)
{
    char text[NUM_TEXT];
    if (digits && isfinite(v) && (v != trunc(v) || fabs(v) >= 1e15)) {
        buf_printf(b, "%.*g", digits, v);
        return;
    }
    num_text(v, false, text);
    buf_puts(b, text);
}

void buf_json_fixed(struct buf *b, double v, int decimals)
{
    if (isfinite(v))
        buf_printf(b, "%.*f", decimals, v);
    else
        buf_puts(b, "null");
}

int buf_check(const struct buf *b, struct err *e)
{
    if (!b->failed) return 0;
    if (b->over) return err_set(e, ERR_MEMORY, "more than %zu bytes do not fit", b->max);
    return err_set(e, ERR_MEMORY, "out of memory (a buffer of %zu bytes)", b->len);
}

void buf_reset(struct buf *b)
{
    b->len = 0;
    if (b->data) b->data[0] = 0;
}

void buf_free(struct buf *b)
{
    mem_free(b->data);
    *b = (struct buf){.max = b->max};
}
