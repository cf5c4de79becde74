/* SPDX-License-Identifier: Apache-2.0 */
/* Writes TensorBoard event files. A record is: length (8 bytes), masked CRC-32C of those 8, data,
 * masked CRC-32C of the data (tensorflow/core/lib/io/record_writer). The data is an Event message:
 * wall_time = 1 (double), step = 2 (varint), file_version = 3, summary = 5 { value = 1 { tag = 1,
 * simple_value = 2 (float) } }, session_log = 7 { status = 1 (START = 1) }
 * (tensorflow/core/util/event.proto, framework/summary.proto). */
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/opt.h"
#include "track/track.h"

/* CRC-32C, with the reflected polynomial of Castagnoli. */
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

/* Reserves the head of a record and returns its offset, for end_record after the Event. */
enum { RECORD_HEAD = 12 };
static size_t begin_record(struct buf *b)
{
    size_t at = b->len;
    buf_u64(b, 0);
    buf_u32(b, 0);
    return at;
}

static void set_le(unsigned char *p, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++) p[i] = (unsigned char)(v >> 8 * i);
}

static void end_record(struct buf *b, size_t at)
{
    if (b->failed) return;
    unsigned char *p = (unsigned char *)b->data + at;
    const size_t n = b->len - at - RECORD_HEAD;
    set_le(p, n, 8);
    set_le(p + 8, masked_crc(p, 8), 4);
    buf_u32(b, masked_crc(p + RECORD_HEAD, n));
}

static void put_double(struct buf *b, double v)
{
    uint64_t u;
    memcpy(&u, &v, sizeof u);
    buf_u64(b, u);
}

/* Appends the tag and the length of a field of n bytes. */
static void put_field(struct buf *b, char tag, size_t n)
{
    buf_putc(b, tag);
    buf_varint(b, n);
}

static size_t field_size(size_t n)
{
    size_t size = 2 + n;
    for (size_t v = n; v > 127; v >>= 7) size++;
    return size;
}
static size_t value_size(const struct track_value *v) { return field_size(strlen(v->name)) + 5; }

static void put_value(struct buf *b, const struct track_value *v)
{
    const float f = (float)v->value;
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    put_field(b, 0x0a, value_size(v));
    put_field(b, 0x0a, strlen(v->name));
    buf_puts(b, v->name);
    buf_putc(b, 0x15);
    buf_u32(b, u);
}

/* Appends wall time and step, with which each Event begins. */
static void put_time(struct buf *b, double wall, uint64_t step)
{
    buf_putc(b, 0x09);
    put_double(b, wall);
    buf_putc(b, 0x10);
    buf_varint(b, step);
}

void tfevents_scalars(struct buf *b, double wall, uint64_t step, const struct track_value *v,
                      size_t n)
{
    size_t summary = 0;
    for (size_t i = 0; i < n; i++) summary += v[i].json ? 0 : field_size(value_size(&v[i]));
    const size_t at = begin_record(b);
    put_time(b, wall, step);
    put_field(b, 0x2a, summary);
    for (size_t i = 0; i < n; i++)
        if (!v[i].json) put_value(b, &v[i]);
    end_record(b, at);
}

/* A text is a value { tag, metadata = 9 { plugin_data = 1 { plugin_name = 1 } }, tensor = 8 { dtype
 * = 1 (DT_STRING = 7), tensor_shape = 2 { dim = 2 { size = 1 } }, string_val = 8 } }. */
void tfevents_text(struct buf *b, double wall, uint64_t step, const char *tag, struct str text)
{
    static const char shape[] = {0x08, 7, 0x12, 4, 0x12, 2, 0x08, 1}; /* of strings, [1] */
    static const char plugin[] = {0x0a, 6, 0x0a, 4, 't', 'e', 'x', 't'};
    const size_t tensor = sizeof shape + field_size(text.n), n = strlen(tag);
    const size_t value = field_size(n) + field_size(sizeof plugin) + field_size(tensor);
    const size_t at = begin_record(b);
    put_time(b, wall, step);
    put_field(b, 0x2a, field_size(value));
    put_field(b, 0x0a, value);
    put_field(b, 0x0a, n);
    buf_puts(b, tag);
    put_field(b, 0x4a, sizeof plugin);
    buf_add(b, plugin, sizeof plugin);
    put_field(b, 0x42, tensor);
    buf_add(b, shape, sizeof shape);
    put_field(b, 0x42, text.n);
    buf_add(b, text.p, text.n);
    end_record(b, at);
}

void tfevents_version(struct buf *b, double wall)
{
    static const char version[] = "brain.Event:2";
    const size_t at = begin_record(b);
    buf_putc(b, 0x09);
    put_double(b, wall);
    put_field(b, 0x1a, sizeof version - 1);
    buf_puts(b, version);
    end_record(b, at);
}

/* Writes SessionLog.START, as the writers of TensorBoard do for purge_step. */
void tfevents_restart(struct buf *b, double wall, uint64_t step)
{
    static const char start[] = {0x08, 1};
    const size_t at = begin_record(b);
    put_time(b, wall, step);
    put_field(b, 0x3a, sizeof start);
    buf_add(b, start, sizeof start);
    end_record(b, at);
}

/* ---- names ---- */
static const char prefix[] = "events.out.tfevents.";

void tfevents_name(char *out, size_t size, int64_t time, unsigned n)
{
    char host[HOST_NAME_MAX + 1] = "";
    if (gethostname(host, sizeof host - 1) || !*host) snprintf(host, sizeof host, "localhost");
    snprintf(out, size, "%s%010lld.%s.%ld.%u", prefix, (long long)time, host, (long)getpid(), n);
}

int64_t tfevents_time(const char *name)
{
    char digits[20];
    int64_t time;
    if (strncmp(name, prefix, sizeof prefix - 1)) return -1;
    name += sizeof prefix - 1;
    const size_t n = strspn(name, "0123456789");
    if (!n || n > 12 || name[n] != '.') return -1;
    memcpy(digits, name, n);
    digits[n] = 0;
    return num_i64(digits, &time) ? -1 : time;
}
