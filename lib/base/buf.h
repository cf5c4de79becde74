/* SPDX-License-Identifier: Apache-2.0 */
/* A growable byte buffer. A failed append is remembered until buf_free, so a run of appends needs
 * only one buf_check at its end. */
#ifndef SFT_BASE_BUF_H
#define SFT_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

/* Zero-initialise. A NUL that len does not count follows the data. data is NULL until the first
 * append. max: the most bytes that the buffer may hold; 0: no bound but memory. */
struct buf {
    char *data;
    size_t len, cap, max;
    bool failed; /* an append failed: out of memory, or over max */
    bool over;   /* the append failed because of max */
};
/* Each appends to b. After a failure they do nothing. */
void buf_add(struct buf *b, const void *p, size_t n);
void buf_str(struct buf *b, struct str s);
void buf_puts(struct buf *b, const char *z);
void buf_putc(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) ERR_PRINTF(2, 3);
void buf_u32(struct buf *b, uint32_t v); /* little-endian */
void buf_u64(struct buf *b, uint64_t v);
void buf_varint(struct buf *b, uint64_t v); /* LEB128, 1 to 10 bytes */
void buf_json(struct buf *b, struct str s); /* a quoted JSON string; s must be UTF-8 */
/* Appends v as a JSON number, or null when v is not finite (JSON has no such number). Commands
 * print every real number in JSON with this function. digits: significant digits (a whole number
 * below 1e15 gets all its digits); 0: the fewest digits that read back as the same double. */
void buf_json_number(struct buf *b, double v, int digits);
void buf_json_fixed(struct buf *b, double v, int decimals); /* digits after the point */
/* Appends n uninitialised bytes and returns their address, valid until the next append; NULL on
 * failure. */
void *buf_room(struct buf *b, size_t n);
/* Returns 0, or -1 with ERR_MEMORY when any append failed. */
MUST_CHECK int buf_check(const struct buf *b, struct err *e);
void buf_reset(struct buf *b); /* sets len = 0; keeps the memory and a failure */
void buf_free(struct buf *b);  /* releases the memory; b is empty and usable again */

#endif
