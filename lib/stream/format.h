/* SPDX-License-Identifier: Apache-2.0 */
/* What the reader and the writer of token streams share: numbers of the format (docs/stream.md),
 * the coding of header, records and trailer, and the counts that both ends keep. */
#ifndef SFT_STREAM_FORMAT_H
#define SFT_STREAM_FORMAT_H

#include <zstd.h>
#include <zstd_errors.h>

#include "base/json.h"
#include "stream/stream.h"

/* Skippable zstd frames of ours, and the frame of RFC 8878. */
#define STREAM_MAGIC_HEADER  0x184D2A53u /* 'S' in the file's first byte */
#define STREAM_MAGIC_TRAILER 0x184D2A54u /* 'T' */
#define STREAM_MAGIC_ZSTD    0xFD2FB528u
#define STREAM_FORMAT        "sft-stream"
enum { STREAM_VERSION = 1, STREAM_LEVEL = 1, STREAM_WINDOW_LOG = 21 };

/* Bounds on what a reader accepts. */
#define STREAM_MAX_HEADER   ((size_t)1 << 20)
#define STREAM_MAX_TRAILER  ((size_t)32 << 20)
#define STREAM_MAX_RECORD   ((size_t)256 << 20)
#define STREAM_MAX_MESSAGES ((size_t)1 << 20)
#define STREAM_FRAME        ((size_t)1 << 20) /* a frame is closed when it holds this much */

/* Field tags of records, and of what is nested in them. */
enum { TURNS_SOURCE = 1, TURNS_TOOLS = 2, TURNS_MESSAGE = 3, TURNS_KWARGS = 4 };
enum { MESSAGE_ROLE = 1, MESSAGE_CONTENT = 2, MESSAGE_IDS = 3, MESSAGE_EXTRA = 4 };
enum { SAMPLE_SOURCE = 1, SAMPLE_IDS = 2, SAMPLE_RUNS = 3 };
enum { ROW_STEP = 1, ROW_SAMPLE = 2 };

/* ---- header and trailer as JSON ---- */
/* Strings are copied; release with stream_header_free. Messages have no file name. */
int header_parse(const char *json, size_t n, struct stream_header *h, struct err *e);

struct stream_frame { /* one zstd frame, as listed in the trailer's index */
    uint64_t bytes;   /* in the file */
    uint64_t content; /* decompressed */
    uint64_t records;
};

/* What was counted while writing or reading, and what a trailer says. */
struct stream_tally {
    uint64_t records, samples, tokens, label_tokens;
    uint64_t checksum; /* sum of XXH64 of each conversation's or sample's bytes */
    uint32_t files;    /* 1 + the largest source.file */
    struct stream_frame *frames;
    size_t nframes, frames_cap;
    char (*inputs)[HASH128_HEX];
    size_t ninputs, inputs_cap;
    struct stream_note *notes; /* in the order of their names */
    size_t nnotes, notes_cap;
    /* The plan so far (packed streams). */
    uint64_t step, step_rows, step_samples;
};
/* Counts a record after checking it against the header: ids, runs, and the rules of a plan. */
int tally_record(struct stream_tally *t, const struct stream_header *h,
                 const struct stream_record *rec, struct err *e);
int tally_frame(struct stream_tally *t, const struct stream_frame *f, struct err *e);
int tally_input(struct stream_tally *t, const char digest[HASH128_HEX], struct err *e);
int tally_note(struct stream_tally *t, struct str name, uint64_t n, struct err *e);
/* At the end: the totals are those that the header of a packed stream promised. */
int tally_end(const struct stream_tally *t, const struct stream_header *h, struct err *e);
void tally_free(struct stream_tally *t);

void trailer_write(const struct stream_tally *t, struct buf *json);
int trailer_parse(const char *json, size_t n, struct stream_tally *t, struct err *e);
/* Compares what was read with what the trailer says, and takes over its inputs. */
int trailer_check(struct stream_tally *seen, struct stream_tally *said, struct err *e);

/* ---- records ---- */
/* Appends length and body of rec; *checksum grows by the hashes of its conversation or samples.
 * tmp: three buffers of working space, kept by the caller. */
int record_encode(const struct stream_record *rec, struct buf *b, struct buf tmp[3],
                  uint64_t *checksum, struct err *e);
/* Reads one body of n bytes; everything lands in the arena, text points into p. */
int record_decode(enum stream_kind kind, const char *p, size_t n, struct arena *a,
                  struct stream_record *rec, uint64_t *checksum, struct err *e);

/* What a failed call of zstd's is: ERR_MEMORY, or else other. */
static inline enum err_code zstd_code(size_t result, enum err_code other)
{
    return ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation ? ERR_MEMORY : other;
}

/* A LEB128 number of at most 10 bytes at *p, moved past it; -1 when cut short or too large. */
int varint_get(const char **p, const char *end, uint64_t *v);

#endif
