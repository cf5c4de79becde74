/* SPDX-License-Identifier: Apache-2.0 */
/* The token stream (.sfts): header, frames of records, trailer. docs/stream.md is the format. */
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

/* Where a record came from: file counts in the order of the command line, row from 0. */
struct stream_source {
    uint32_t file;
    uint64_t row;
};

struct stream_header {
    enum stream_kind kind;
    char tokenizer[HASH128_HEX];   /* tokenizer_identity */
    char template_id[HASH128_HEX]; /* chat_identity; "" before sft-template */
    uint32_t vocab_size;
    /* Provenance: one entry a stage: command, version and the options that change records, as JSON
     * objects separated by commas. */
    struct buf stages;
    /* Packed streams only. */
    enum pack_mode mode;
    uint64_t length, global_batch, steps, rows, samples, tokens, label_tokens, seed;
    double epochs;
    bool in_order;
};

void stream_header_free(struct stream_header *h);
/* The header as a line of JSON, as it stands in the file. */
int stream_header_json(const struct stream_header *h, struct buf *json, struct err *e);
/* Appends a stage; options: members of a JSON object ("\"mask\":\"roll\""), may be "". */
int stream_add_stage(struct stream_header *h, const char *command, const char *options,
                     struct err *e);
const char *stream_kind_name(enum stream_kind kind);  /* "turns", "samples", "packed" */
const char *stream_kind_maker(enum stream_kind kind); /* the command that makes such streams */
const char *stream_mode_name(enum pack_mode mode);    /* "batch", "dense", "none" */
int stream_mode_find(const char *name, enum pack_mode *mode); /* the mode; -1 when unknown */

struct stream_sample {
    struct stream_source source;
    uint32_t n;
    const uint32_t *ids;
    const struct stream_run *runs;
    uint32_t nruns;
};
/* The tokens of a sample that are trained: those with a weight, but never its first. end: the place
 * after the last of them; 0: there is none. */
struct stream_labels {
    uint32_t n, end;
};
struct stream_labels stream_labels(const struct stream_sample *s);
struct stream_text { /* one string of a conversation, with its token ids as a cache; text.p is NULL
                      * where a message has no string content (extra may then hold "content") */
    struct str text;
    const uint32_t *ids;
    uint32_t nids;
};
struct stream_message {
    struct stream_text role, content;
    struct str extra; /* JSON object of every other member (tool_calls, name, ...), or empty */
};
struct stream_record {
    enum stream_kind kind;
    /* STREAM_TURNS */
    struct stream_source source;
    struct stream_message *messages;
    uint32_t nmessages;
    struct str tools;  /* JSON array; empty when the row has none, which is not the array [] */
    struct str kwargs; /* JSON object of the row's own template variables, or empty */
    /* STREAM_SAMPLES: samples[0]; STREAM_PACKED: the samples of one row, in order */
    struct stream_sample *samples;
    uint32_t nsamples;
    uint64_t step; /* STREAM_PACKED: from 0; never falls from row to row */
};

/* ---- reading ---- */
struct stream_reader;
/* path "-": standard input. The header is read and its hash checked; a file of another kind than
 * asked for is ERR_DATA and names the command that makes that kind. */
struct stream_reader *stream_open(const char *path, enum stream_kind kind, struct err *e);
struct stream_reader *stream_open_any(const char *path, struct err *e);
/* Whether the file's last bytes are the hash of all before them: one pass over the bytes, so that
 * damage anywhere shows before hours of work and not after them. 0, or -1 with ERR_DATA. */
int stream_whole(const char *path, struct err *e);
const struct stream_header *stream_header(const struct stream_reader *r);
/* 1 and *rec (valid until the next call), 0 at the end after the trailer was checked (its counts,
 * checksum and hash, and that nothing follows), -1 with ERR_DATA; a pipe that ends early says that
 * the stage before failed. */
int stream_next(struct stream_reader *r, const struct stream_record **rec, struct err *e);
/* Order-independent checksum of the conversations or samples read so far (all of them after the
 * end): a plan of one epoch has the checksum of the samples it was made of. */
uint64_t stream_checksum(const struct stream_reader *r);
const char *stream_name(const struct stream_reader *r); /* the path, or "<stdin>" */
/* What was read so far. label_tokens: those with a weight, but never the first of a sample. */
struct stream_counts {
    uint64_t records, samples, tokens, label_tokens;
};
struct stream_counts stream_counts(const struct stream_reader *r);
/* Digests of the data files that the stream was made of; known after the end. */
size_t stream_inputs(const struct stream_reader *r);
const char *stream_input(const struct stream_reader *r, size_t i);
/* What the stages noted; known after the end. */
enum { STREAM_NOTE_NAME = 32, STREAM_NOTES_MAX = 64 };
struct stream_note {
    char name[STREAM_NOTE_NAME];
    uint64_t n;
};
size_t stream_notes(const struct stream_reader *r);
const struct stream_note *stream_note(const struct stream_reader *r, size_t i);
void stream_close(struct stream_reader *r);
/* Bytes that a reader of a packed stream with rows of so many tokens allocates at most: the struct,
 * a frame while its buffer grows, a row. A long index adds what it has. */
size_t stream_room(uint64_t length);

/* ---- writing ---- */
struct stream_writer;
/* Copies *h; the totals of a plan must be right beforehand. path "-": standard output (refused when
 * it is a terminal, ERR_USAGE). threads: workers that compress; their number does not change a
 * byte. */
struct stream_writer *stream_create(const char *path, const struct stream_header *h, int threads,
                                    struct err *e);
int stream_put(struct stream_writer *w, const struct stream_record *rec, struct err *e);
/* Adds the digest of an input (any 128-bit hex text) to the trailer. */
int stream_add_input(struct stream_writer *w, const char digest[HASH128_HEX], struct err *e);
/* Adds n to the trailer's note of that name ([a-z_], shorter than STREAM_NOTE_NAME): how much of
 * the data a stage left out or changed. A note of 0 is not written. */
int stream_add_note(struct stream_writer *w, const char *name, uint64_t n, struct err *e);
/* Trailer, then commit of the file; frees w in either case. */
int stream_finish(struct stream_writer *w, struct err *e);
void stream_abort(struct stream_writer *w); /* NULL is fine; no file is left */

/* ---- several streams of one kind, one after the other, as if they were one ---- */
struct stream_set;
/* n paths; n = 0: standard input. All headers are read at once and must agree on tokenizer and
 * template (ERR_DATA). Source files of a later stream count on from those of the ones before. */
struct stream_set *stream_set_open(char *const *paths, int n, enum stream_kind kind, struct err *e);
/* The first header, with the stages of all that differ. Valid until stream_set_close. */
const struct stream_header *stream_set_header(const struct stream_set *s);
int stream_set_next(struct stream_set *s, const struct stream_record **rec, struct err *e);
const char *stream_set_name(const struct stream_set *s); /* the stream being read */
/* After the end: adds the inputs and the notes of all to those of w. */
int stream_set_origins(const struct stream_set *s, struct stream_writer *w, struct err *e);
void stream_set_close(struct stream_set *s); /* NULL is fine */

#endif
