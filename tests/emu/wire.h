/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between the processes of an emulated communicator, through shared memory. A message is
 * complete for its sender when the receiver has it, as NCCL promises no more. */
#ifndef EMU_WIRE_H
#define EMU_WIRE_H

#include "runtime.h"

enum { WIRE_RANKS = 16, WIRE_TEXT = 160 };

/* The description of a message that both sides give. */
enum letter_kind { LETTER_POINT, LETTER_GATHER, LETTER_BROADCAST };
struct letter {
    enum letter_kind kind;
    int type, root;
    uint64_t count;
};
/* One side of a message. */
struct part {
    struct letter letter;
    int peer;
    bool out;
    uint64_t at; /* in device memory */
    size_t bytes, moved;
    bool begun, posted, done; /* posted: all of it is in shared memory */
};
/* A call or a group of calls. */
struct op {
    struct ncclComm *comm;
    cudaStream_t stream;
    uint64_t number;
    char text[WIRE_TEXT];
    struct part *part;
    int parts;
    bool begun, done;
    unsigned asked;
};

struct wire;
/* Maps the memory of a communicator of `ranks` ranks; the first rank creates it. */
struct wire *wire_open(const char *name, int ranks, int rank, int device);
/* Frees the name; the memory stays mapped. */
void wire_forget(const struct wire *w);
/* Returns true when all ranks have opened it. Fails when two of them use one device. */
bool wire_complete(struct wire *w);
/* Returns the failure of any rank; NULL: none. */
const char *wire_failure(const struct wire *w);
/* Records and prints the first failure. */
void wire_fail(struct wire *w, const char *text, ...) __attribute__((format(printf, 2, 3)));

void wire_begin(struct wire *w, const struct op *o);
void wire_end(struct wire *w);
/* Moves what can be moved now. Returns true when all parts are done. */
bool wire_advance(struct wire *w, struct op *o);
/* Fails if ranks wait for one another in a circle. */
void wire_check_circle(struct wire *w);
/* Returns true if a rank waits for a message to or from this one. */
bool wire_wanted(const struct wire *w);
/* Writes "ncclSend of 10 uint8" or the like. */
void wire_describe(char *text, size_t size, const struct letter *l, bool out);

#endif
