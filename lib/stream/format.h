/* SPDX-License-Identifier: Apache-2.0 */
/* Internal declarations of the reader and the writer of token streams: constants of the format
 * (docs/stream.md), the coding of header, records and trailer, and the counts that both keep. */
#ifndef SFT_STREAM_FORMAT_H
#define SFT_STREAM_FORMAT_H

#include <zstd.h>
#include <zstd_errors.h>

#include "base/json.h"
#include "stream/stream.h"

/* Magic numbers of the skippable frames and of the zstd frame (RFC 8878). */
#define STREAM_MAGIC_HEADER  0x184D2A53u /* 'S' as the first byte of the file */
#define STREAM_MAGIC_TRAILER 0x184D2A54u /* 'T' */
#define STREAM_MAGIC_ZSTD    0xFD2FB528u
#define STREAM_FORMAT        "sft-stream"
enum { STREAM_VERSION = 1, STREAM_LEVEL = 1, STREAM_WINDOW_LOG = 21 };

/* Bounds on what a reader accepts. */
#define STREAM_MAX_HEADER   ((size_t)1 << 20)
#define STREAM_MAX_TRAILER  ((size_t)32 << 20)
#define STREAM_MAX_TURNS    ((size_t)256 << 20) /* of a row of 64 MiB: its texts and their ids */
#define STREAM_MAX_SAMPLES  ((size_t)64 << 20)  /* of a rendering of 16 MiB: its ids and runs */
#define STREAM_MAX_TOKENS   ((size_t)64 << 20)  /* in one list of ids */
#define STREAM_MAX_MESSAGES ((size_t)1 << 20)
#define STREAM_FRAME        ((size_t)1 << 20) /* a writer closes a frame of this many bytes */

/* Bytes of the largest record. */
static inline size_t stream_max_record(enum stream_kind kind)
{
    return kind == STREAM_TURNS ? STREAM_MAX_TURNS : STREAM_MAX_SAMPLES;
}

/* Field tags of records, messages, samples and rows. */
enum { TURNS_SOURCE = 1, TURNS_TOOLS = 2, TURNS_MESSAGE = 3, TURNS_KWARGS = 4 };
enum { MESSAGE_ROLE = 1, MESSAGE_CONTENT = 2, MESSAGE_IDS = 3, MESSAGE_EXTRA = 4 };
enum { SAMPLE_SOURCE = 1, SAMPLE_IDS = 2, SAMPLE_RUNS = 3 };
enum { ROW_STEP = 1, ROW_SAMPLE = 2 };

/* ---- header and trailer as JSON ---- */
/* Parses a header. The caller releases *h with stream_header_free. Error messages name no file. */
int header_parse(const char *json, size_t n, struct stream_header *h, struct err *e);

struct stream_frame { /* one zstd frame, an entry of the index in the trailer */
    uint64_t bytes;   /* in the file */
    uint64_t content; /* bytes after decompression */
    uint64_t records;
};

/* The counts of a stream: kept while writing or reading, and stored in the trailer. */
struct stream_tally {
    uint64_t records, samples, tokens, label_tokens;
    uint64_t checksum; /* the sum of the XXH64 of each conversation or sample */
    uint32_t files;    /* 1 + the largest source.file */
    struct stream_frame *frames;
    size_t nframes, frames_cap;
    char (*inputs)[HASH128_HEX];
    size_t ninputs, inputs_cap;
    struct stream_note *notes; /* sorted by name */
    size_t nnotes, notes_cap;
    /* The current step of a packed stream. */
    uint64_t step, step_rows, step_samples;
};
/* Checks a record against the header (ids, runs, the rules of a plan) and counts it. This and the
 * functions below return 0, or -1 with ERR_DATA or ERR_MEMORY. */
int tally_record(struct stream_tally *t, const struct stream_header *h,
                 const struct stream_record *rec, struct err *e);
int tally_frame(struct stream_tally *t, const struct stream_frame *f, struct err *e);
int tally_input(struct stream_tally *t, const char digest[HASH128_HEX], struct err *e);
int tally_note(struct stream_tally *t, struct str name, uint64_t n, struct err *e);
/* Checks at the end that the totals are those in the header of a packed stream. */
int tally_end(const struct stream_tally *t, const struct stream_header *h, struct err *e);
void tally_free(struct stream_tally *t);

void trailer_write(const struct stream_tally *t, struct buf *json);
int trailer_parse(const char *json, size_t n, struct stream_tally *t, struct err *e);
/* Compares the counts with those of the trailer, and moves its inputs and notes to *counted. */
int trailer_check(struct stream_tally *counted, struct stream_tally *stored, struct err *e);

/* ---- records ---- */
/* Appends the length and the body of rec to b, and adds the hash of its conversation or samples to
 * *checksum. tmp: three work buffers, which the caller keeps from call to call. */
int record_encode(const struct stream_record *rec, struct buf *b, struct buf tmp[3],
                  uint64_t *checksum, struct err *e);
/* Decodes a body of n bytes into the arena; strings point into p. */
int record_decode(enum stream_kind kind, const char *p, size_t n, struct arena *a,
                  struct stream_record *rec, uint64_t *checksum, struct err *e);

/* The error code of a failed zstd call: ERR_MEMORY, or else `other`. */
static inline enum err_code zstd_code(size_t result, enum err_code other)
{
    return ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation ? ERR_MEMORY : other;
}

/* Reads a little-endian number. */
static inline uint32_t le32(const unsigned char *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static inline uint64_t le64(const unsigned char *p)
{
    return le32(p) | (uint64_t)le32(p + 4) << 32;
}

/* Reads a LEB128 number of at most 10 bytes at *p and advances *p; -1 when it is cut short or too
 * large. */
int varint_get(const char **p, const char *end, uint64_t *v);

#endif
