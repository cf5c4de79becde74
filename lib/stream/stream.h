/* SPDX-License-Identifier: Apache-2.0 */
/* The token stream (.sfts): header, frames of records, trailer. docs/stream.md defines the format.
 */
#ifndef SFT_STREAM_STREAM_H
#define SFT_STREAM_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "stream/run.h"

enum stream_kind { STREAM_TURNS, STREAM_SAMPLES, STREAM_PACKED };
enum pack_mode { PACK_BATCH, PACK_DENSE, PACK_NONE };

/* The origin of a record. Files count from 0 in the order of the command line, rows from 0. */
struct stream_source {
    uint32_t file;
    uint64_t row;
};

struct stream_header {
    enum stream_kind kind;
    char tokenizer[HASH128_HEX];   /* tokenizer_identity */
    char template_id[HASH128_HEX]; /* chat_identity; "" before sft-template */
    uint32_t vocab_size;
    /* Provenance: for each stage a JSON object with the command, the version and the options that
     * change records, separated by commas. */
    struct buf stages;
    /* Packed streams only. */
    enum pack_mode mode;
    uint64_t length, global_batch, steps, rows, samples, tokens, label_tokens, seed;
    double epochs;
    bool in_order;
};

void stream_header_free(struct stream_header *h);
/* Appends the header as a line of JSON, as in the file. */
int stream_header_json(const struct stream_header *h, struct buf *json, struct err *e);
/* Adds a stage. options: the members of a JSON object ("\"mask\":\"roll\""), may be "". */
int stream_add_stage(struct stream_header *h, const char *command, const char *options,
                     struct err *e);
const char *stream_kind_name(enum stream_kind kind);  /* "turns", "samples", "packed" */
const char *stream_kind_maker(enum stream_kind kind); /* the command that makes such streams */
const char *stream_mode_name(enum pack_mode mode);    /* "batch", "dense", "none" */
int stream_mode_find(const char *name, enum pack_mode *mode); /* the mode; -1 when unknown */

struct stream_sample {
    struct stream_source source;
    uint32_t n;                    /* tokens */
    const uint32_t *ids;           /* [n] */
    const struct stream_run *runs; /* [nruns]; their tokens sum to n */
    uint32_t nruns;
};
/* The trained tokens of a sample: those with a weight > 0, except its first token. n: their number;
 * end: 1 + the index of the last one, 0 when there is none. */
struct stream_labels {
    uint32_t n, end;
};
struct stream_labels stream_labels(const struct stream_sample *s);
/* A string of a conversation and a cache of its token ids. text.p is NULL when the message has no
 * string content; extra may then contain "content". */
struct stream_text {
    struct str text;
    const uint32_t *ids;
    uint32_t nids;
};
struct stream_message {
    struct stream_text role, content;
    struct str extra; /* JSON object of all other members (tool_calls, name, ...), or empty */
};
/* A record; pointers stay valid until the next stream_next. */
struct stream_record {
    enum stream_kind kind;
    /* STREAM_TURNS */
    struct stream_source source;
    struct stream_message *messages;
    uint32_t nmessages;
    struct str tools; /* JSON array; empty when the row has none, which differs from the array [] */
    struct str kwargs; /* JSON object of the template variables of this row, or empty */
    /* STREAM_SAMPLES: samples[0]; STREAM_PACKED: the samples of one row, in order */
    struct stream_sample *samples;
    uint32_t nsamples;
    uint64_t step; /* STREAM_PACKED: from 0, not decreasing */
};

/* ---- reading ---- */
struct stream_reader;
/* Opens a stream, reads its header and checks the hash of the header; "-" is standard input. NULL
 * on failure. A stream of another kind is ERR_DATA with a message that names the command that makes
 * the wanted kind; stream_open_any accepts every kind. */
struct stream_reader *stream_open(const char *path, enum stream_kind kind, struct err *e);
struct stream_reader *stream_open_any(const char *path, struct err *e);
/* Checks in one pass, without decompression, that the last bytes of the file are the hash of all
 * bytes before them, so that damage shows before hours of work. 0, or -1 with ERR_DATA. */
int stream_whole(const char *path, struct err *e);
const struct stream_header *stream_header(const struct stream_reader *r);
/* Returns 1 and *rec (valid until the next call); 0 at the end, after a check of the trailer
 * (counts, checksum, hash, nothing after it); or -1 with ERR_DATA. The message about a pipe that
 * ends early says that the previous stage failed. */
int stream_next(struct stream_reader *r, const struct stream_record **rec, struct err *e);
/* The checksum of the conversations or samples read so far. It does not depend on their order: a
 * plan of one epoch has the checksum of its samples. */
uint64_t stream_checksum(const struct stream_reader *r);
const char *stream_name(const struct stream_reader *r); /* the path, or "<stdin>" */
/* The counts of the records read so far. label_tokens: see stream_labels. */
struct stream_counts {
    uint64_t records, samples, tokens, label_tokens;
};
struct stream_counts stream_counts(const struct stream_reader *r);
/* The digests of the data files of the stream; known after the end. */
size_t stream_inputs(const struct stream_reader *r);
const char *stream_input(const struct stream_reader *r, size_t i);
/* The notes of the stages (see stream_add_note); known after the end. */
enum { STREAM_NOTE_NAME = 32, STREAM_NOTES_MAX = 64 };
struct stream_note {
    char name[STREAM_NOTE_NAME];
    uint64_t n;
};
size_t stream_notes(const struct stream_reader *r);
const struct stream_note *stream_note(const struct stream_reader *r, size_t i);
void stream_close(struct stream_reader *r);
/* The checksum that sft-train keeps of the rows that it has trained, in their order: of each row
 * all ids, then all weights. Zero-initialise it; stream_rows_free() releases it. */
struct stream_rows {
    struct buf ids, weights;
    uint64_t checksum;
};
int stream_rows_add(struct stream_rows *r, const struct stream_record *rec, struct err *e);
void stream_rows_free(struct stream_rows *r);
/* The most bytes that a reader of a packed stream with rows of at most `length` tokens allocates:
 * the struct, a frame while its buffer grows, a row. A long index needs more. */
size_t stream_room(uint64_t length);

/* ---- writing ---- */
struct stream_writer;
/* Starts a stream; copies *h, in which the totals of a plan must already be right. "-" is standard
 * output; a terminal is ERR_USAGE. threads: workers that compress; their number does not change the
 * output. NULL on failure. */
struct stream_writer *stream_create(const char *path, const struct stream_header *h, int threads,
                                    struct err *e);
int stream_put(struct stream_writer *w, const struct stream_record *rec, struct err *e);
/* Adds the digest of an input (any 128-bit hex text) to the trailer. */
int stream_add_input(struct stream_writer *w, const char digest[HASH128_HEX], struct err *e);
/* Adds n to the note `name` of the trailer ([a-z_], shorter than STREAM_NOTE_NAME). A note counts
 * data that a stage left out or changed; the trailer has no notes of 0. */
int stream_add_note(struct stream_writer *w, const char *name, uint64_t n, struct err *e);
/* Writes the trailer and commits the file; frees w in either case. */
int stream_finish(struct stream_writer *w, struct err *e);
void stream_abort(struct stream_writer *w); /* leaves no file, frees w; NULL is fine */

/* ---- several streams of one kind, read one after the other as one ---- */
struct stream_set;
/* Opens n paths, or standard input when n = 0, and reads all headers, which must have the same
 * tokenizer and template (ERR_DATA). The file numbers of a later stream continue those of the
 * earlier ones. */
struct stream_set *stream_set_open(char *const *paths, int n, enum stream_kind kind, struct err *e);
/* The first header, with the distinct stages of all streams. Valid until stream_set_close. */
const struct stream_header *stream_set_header(const struct stream_set *s);
int stream_set_next(struct stream_set *s, const struct stream_record **rec, struct err *e);
const char *stream_set_name(const struct stream_set *s); /* the stream being read */
/* Adds the inputs and the notes of all streams to w. Must run after the end. */
int stream_set_origins(const struct stream_set *s, struct stream_writer *w, struct err *e);
void stream_set_close(struct stream_set *s); /* NULL is fine */

#endif
