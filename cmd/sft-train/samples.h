/* SPDX-License-Identifier: Apache-2.0 */
/* The prompts that a run answers at each validation. */
#ifndef SFT_CMD_TRAIN_SAMPLES_H
#define SFT_CMD_TRAIN_SAMPLES_H

#include "base/mem.h"
#include "decode/prompt.h"
#include "run.h"

enum { PROMPTS_MOST = 64 };
struct sample {
    struct token_list tokens; /* of the prompt */
    struct buf members;       /* of its row, as JSON */
    struct buf shown;         /* the prompt as the model sees it, in Markdown */
};
struct samples {
    struct tokenizer *tokenizer;
    struct talk talk;
    struct arena memory;  /* of the template's variables */
    struct prompt prompt; /* the row that is read */
    struct sample of[PROMPTS_MOST];
    int32_t n, next; /* prompts; the next one to be answered */
    int rc;          /* -1: an answer could not be written, because of */
    struct err error;
};

/* Appends a text as a block that Markdown shows as it is. */
void samples_block(struct buf *b, struct str text);

#endif
