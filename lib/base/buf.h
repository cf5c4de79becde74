/* SPDX-License-Identifier: Apache-2.0 */
/* A growable byte buffer. A failed append is remembered until buf_free, so a run of appends needs
 * one check. */
#ifndef SFT_BASE_BUF_H
#define SFT_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

/* Zero-initialise. data is always followed by a NUL that len does not count (NULL when empty and
 * never written). max = 0: no bound but memory. */
struct buf {
    char *data;
    size_t len, cap, max;
    bool failed; /* an append did not fit into memory, or */
    bool over;   /* would have passed max */
};
void buf_add(struct buf *b, const void *p, size_t n);
void buf_str(struct buf *b, struct str s);
void buf_puts(struct buf *b, const char *z);
void buf_putc(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) ERR_PRINTF(2, 3);
void buf_u32(struct buf *b, uint32_t v); /* little-endian */
void buf_u64(struct buf *b, uint64_t v);
void buf_varint(struct buf *b, uint64_t v); /* LEB128, 1 to 10 bytes */
void buf_json(struct buf *b, struct str s); /* a quoted JSON string; s must be UTF-8 */
/* A number of JSON, and null where v is not finite: JSON has no number for that, and every real one
 * that a command prints as JSON goes through here. digits: significant ones (whole numbers below
 * 1e15 have all of theirs); 0: as few as read back as the same double. */
void buf_json_number(struct buf *b, double v, int digits);
void buf_json_fixed(struct buf *b, double v, int decimals); /* digits after the point */
/* n bytes of room at the end, len already advanced; NULL on failure. */
void *buf_room(struct buf *b, size_t n);
/* 0, or -1 with ERR_MEMORY when any append failed. */
MUST_CHECK int buf_check(const struct buf *b, struct err *e);
void buf_reset(struct buf *b); /* len = 0; memory and failure are kept */
void buf_free(struct buf *b);

#endif
