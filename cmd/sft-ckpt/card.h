/* SPDX-License-Identifier: Apache-2.0 */
/* The model card of an exported model: what its checkpoint, its adapter and the logs of its run
 * tell. What none of them tells is left out. */
#ifndef SFT_CKPT_CARD_H
#define SFT_CKPT_CARD_H

#include "base/buf.h"
#include "verbs.h"

struct card {
    const struct verb_model *model;
    const char *name;   /* of the new model */
    const char *logs;   /* folder of the run's config.yaml and metrics.jsonl; NULL: not given */
    const char *stream; /* the packed stream of the run; NULL: not given */
    const char *base;   /* hub id of the base; NULL: as the adapter or the logs tell */
    bool merged;        /* model is an adapter that has been merged into its base */
};
/* Appends the text of README.md. ERR_DATA: the logs or the stream are those of another run. */
int card_write(const struct card *c, struct buf *b, struct err *e);

/* ---- card_text.c: texts from files in Markdown ---- */
/* Appends the text as a code span, in which Markdown has no markup, on the current line. */
void card_code(struct buf *b, struct str text);
/* Appends a line of a list: the key and the text as a code span. Nothing for an empty text. */
void card_item(struct buf *b, const char *key, struct str text);
/* Appends a section with the lines, unless there are none. */
void card_section(struct buf *b, const char *title, const struct buf *lines);

/* ---- card_run.c: the checkpoint's state/run.json ---- */
/* The place of a checkpoint in its run. */
struct card_point {
    int64_t step;  /* -1: the folder has no state */
    double loss;   /* of the last step that the guard counted; NaN: unknown */
    char rows[17]; /* the checksum of the stream's rows up to there, in hexadecimal */
};
/* Appends the lines of settings, and sets *p. */
int card_run(const struct verb_model *m, struct buf *settings, struct card_point *p, struct err *e);
/* Appends the lines of an adapter's settings. */
int card_adapter(const struct verb_model *m, struct buf *settings, struct err *e);

/* ---- card_logs.c: the run's logs ---- */
/* Appends the lines of the data and of the losses up to the checkpoint, and the name of the base
 * model as the configuration has it. */
int card_logs(const struct card *c, const struct card_point *p, struct buf *data,
              struct buf *losses, struct buf *base, struct err *e);

/* ---- card_stream.c: the stream that the run was trained on ---- */
/* Appends the lines of the data. Reads the whole stream, whose rows up to the checkpoint must have
 * the checkpoint's checksum. */
int card_stream(const struct card *c, const struct card_point *p, struct buf *data, struct err *e);

#endif
