/* SPDX-License-Identifier: Apache-2.0 */
/* Bulk copies between device memory and shared memory: n bytes in a row, or a box of a tensor. */
#ifndef EMU_BULK_H
#define EMU_BULK_H

#include "mbarrier.h"

enum { DIMS = 5 };
/* A tensor map, as cuTensorMapEncodeTiled leaves it in 128 bytes. */
struct tensor {
    uint64_t magic, address, stride[DIMS]; /* bytes; of dimension 0: the element's */
    uint32_t dim[DIMS];
    uint16_t box[DIMS];
    uint8_t step[DIMS], rank, type, swizzle, fill;
};
#define TENSOR_MAGIC 0x70616d736e657465ull
enum { TENSOR_BYTES = 128 };

enum bulk_kind { BULK_LOAD, BULK_STORE, BULK_REDUCE, BULK_SHARED };
struct bulk {
    struct landing landing; /* first; in a barrier's list */
    struct bulk *next;      /* in the list of its lane */
    enum bulk_kind kind;
    struct block *block;      /* whose shared memory it writes, or reads */
    uint32_t shared, from, n; /* offsets in shared memory: of the box, of BULK_SHARED's source */
    uint64_t global;
    struct tensor tensor; /* rank 0: bytes in a row */
    int32_t corner[DIMS];
    int group;
    bool ended; /* it no longer reads shared memory */
    struct type type;
    uint8_t op;
    unsigned char *bytes; /* what it read */
};

/* Bytes of the box; bytes in shared memory that its place takes. */
uint32_t bulk_size(const struct bulk *b);
uint32_t bulk_extent(const struct bulk *b);
/* Begins a copy: checks its places, and counts shared memory as in flight. */
void bulk_begin(struct bulk *b);
/* Lands a load on its barrier, when a wait comes. */
void bulk_land(struct landing *l, struct mbarrier *m);
void bulk_drop(struct landing *l);
/* Ends the reading of shared memory, and the writing of device memory. */
void bulk_read(struct bulk *b);
void bulk_write(struct bulk *b);

/* Calls f for the rows of the box: the offset of the row from the box's begin in shared memory,
 * before it is swizzled, its bytes, and the address of its first byte with the bytes [low, high)
 * that lie in the tensor. */
struct row {
    uint32_t offset, n, low, high;
    uint64_t address;
};
typedef void each_row(struct bulk *b, const struct row *r);
void bulk_rows(struct bulk *b, each_row *f);
/* Where 16 bytes at this place of shared memory lie. */
uint32_t bulk_swizzle(const struct bulk *b, uint32_t at);

/* Reduces an element into another (bulk_reduce.c). */
bool reduce_op(const char **p, struct bulk *b);
void reduce_row(const struct bulk *b, unsigned char *to, const unsigned char *from, uint32_t n);

#endif
