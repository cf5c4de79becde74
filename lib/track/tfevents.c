/* SPDX-License-Identifier: Apache-2.0 */
/* TensorBoard event files. A record is: length (8 bytes), masked CRC-32C of those 8, data, masked
 * CRC-32C of the data (tensorflow/core/lib/io/record_writer). The data is an Event message:
 * wall_time = 1 (double), step = 2 (varint), file_version = 3, summary = 5 { value = 1 { tag = 1,
 * simple_value = 2 (float) } } (tensorflow/core/util/event.proto, framework/summary.proto). */
#include <pthread.h>
#include <string.h>

#include "track/track.h"

/* Reflected polynomial of Castagnoli. */
static uint32_t crc_table[256];
static void crc_fill(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++) c = c & 1 ? c >> 1 ^ 0x82f63b78u : c >> 1;
        crc_table[i] = c;
    }
}

uint32_t tfevents_crc(const void *p, size_t n)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const unsigned char *s = p;
    uint32_t c = ~0u;
    pthread_once(&once, crc_fill);
    for (size_t i = 0; i < n; i++) c = c >> 8 ^ crc_table[(c ^ s[i]) & 255];
    return ~c;
}

static uint32_t masked_crc(const void *p, size_t n)
{
    uint32_t c = tfevents_crc(p, n);
    return (c >> 15 | c << 17) + 0xa282ead8u;
}

static void put_record(struct buf *b, const struct buf *event)
{
    struct buf length = {0};
    buf_u64(&length, event->len);
    buf_add(b, length.data, length.len);
    buf_u32(b, masked_crc(length.data, length.len));
    buf_add(b, event->data, event->len);
    buf_u32(b, masked_crc(event->data, event->len));
    if (length.failed || event->failed) b->failed = true;
    buf_free(&length);
}

static void put_double(struct buf *b, double v)
{
    uint64_t u;
    memcpy(&u, &v, sizeof u);
    buf_u64(b, u);
}

static void put_bytes(struct buf *b, char tag, const void *p, size_t n)
{
    buf_putc(b, tag);
    buf_varint(b, n);
    buf_add(b, p, n);
}

static void put_value(struct buf *summary, const struct track_value *v)
{
    struct buf value = {0};
    float f = (float)v->value;
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    put_bytes(&value, 0x0a, v->name, strlen(v->name));
    buf_putc(&value, 0x15);
    buf_u32(&value, u);
    put_bytes(summary, 0x0a, value.data, value.len);
    if (value.failed) summary->failed = true;
    buf_free(&value);
}

void tfevents_scalars(struct buf *b, double wall, uint64_t step, const struct track_value *v,
                      size_t n)
{
    struct buf event = {0}, summary = {0};
    for (size_t i = 0; i < n; i++)
        if (!v[i].json) put_value(&summary, &v[i]);
    buf_putc(&event, 0x09);
    put_double(&event, wall);
    buf_putc(&event, 0x10);
    buf_varint(&event, step);
    put_bytes(&event, 0x2a, summary.data, summary.len);
    if (summary.failed) event.failed = true;
    put_record(b, &event);
    buf_free(&summary);
    buf_free(&event);
}

void tfevents_version(struct buf *b, double wall)
{
    static const char version[] = "brain.Event:2";
    struct buf event = {0};
    buf_putc(&event, 0x09);
    put_double(&event, wall);
    put_bytes(&event, 0x1a, version, sizeof version - 1);
    put_record(b, &event);
    buf_free(&event);
}

static uint64_t get_u64(const unsigned char *p)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--) v = v << 8 | p[i];
    return v;
}

/* The step of an Event that this file wrote: the field after wall_time; 0 when there is none. */
static uint64_t event_step(const unsigned char *p, uint64_t n)
{
    uint64_t v = 0;
    if (n < 10 || p[9] != 0x10) return 0;
    for (uint64_t i = 10; i < n && i < 20; i++) {
        v |= (uint64_t)(p[i] & 127) << (7 * (i - 10) & 63);
        if (p[i] < 128) break;
    }
    return v;
}

size_t tfevents_keep(const void *file, size_t n, uint64_t step)
{
    const unsigned char *p = file;
    size_t at = 0;
    while (n - at >= 16) {
        uint64_t length = get_u64(p + at);
        if (length > n - at - 16 || event_step(p + at + 12, length) > step) break;
        at += 16 + (size_t)length;
    }
    return at;
}
