/* SPDX-License-Identifier: Apache-2.0 */
/* Conversations with a model, whose cache keeps the keys and values of their tokens from one answer
 * to the next. */
#ifndef SFT_DECODE_TALK_H
#define SFT_DECODE_TALK_H

#include "chat/chat.h"
#include "hf/config.h"
#include "model/sampler.h"
#include "model/stage.h"
#include "text/tokenizer.h"

/* The tokens that end a turn. */
struct stops {
    int64_t id[2 * HF_MAX_EOS + 1];
    int n;
};

/* A conversation in the cache, and the answer that is made to it. */
struct talk_doc {
    uint32_t *ids;   /* [room]: the tokens whose keys and values are in the cache */
    int64_t n, room; /* their number; the most there may be */
    int64_t row;     /* the first one's, in the cache */
    uint64_t number; /* of the conversation or the turn: it decides the draws */
    int32_t next;    /* the token that is chosen behind them */
};

/* The sizes that talk_open makes room for. */
struct talk_room {
    int64_t length; /* the most tokens of a conversation */
    int64_t pass;   /* the most tokens that are read at a time, at least `docs` */
    int64_t cache;  /* tokens of all conversations that are in the cache at one time */
    int32_t docs;   /* conversations that are answered together */
};
/* The most tokens of a pass, where the caller has no reason for another number. */
enum { TALK_PASS = 512 };

/* The caller's objects, which outlive the talk. */
struct talk_with {
    const char *dir; /* the model's folder */
    const struct hf_config *hf;
    const struct tokenizer *tokenizer;
    struct model_vocab vocab; /* that every token id is checked against */
    struct stage *stage;      /* a whole model with a cache, see talk_stage */
    const char *hint;         /* of logits that are not finite though all weights are; NULL: none */
};

enum talk_end { TALK_GOES_ON, TALK_STOP, TALK_LENGTH, TALK_ASKED };
struct talk_answer {
    uint32_t *ids; /* [most]; the caller's */
    int64_t n, most;
    enum talk_end end; /* a token that ends the turn; most tokens; talk.stop */
};

struct talk {
    struct talk_with with;
    struct chat *chat;
    struct tokenizer_scratch *scratch;
    struct stops stops;
    struct sampler sampler;
    struct token_list prompt; /* a conversation, up to where the answer begins */
    struct talk_room room;
    float *logits;            /* [vocab], of the last next token that was chosen */
    uint32_t *ids;            /* [room.cache] those of all documents */
    struct talk_doc *docs;    /* [room.docs]; talk_open places the first one */
    struct talk_doc **going;  /* [room.docs] of a step: those whose answers go on, */
    struct stage_tokens *add; /* their tokens, and the tokens behind them */
    int32_t *next;
    bool (*stop)(void); /* asked after each token whether the answer ends; NULL: never */
};

/* Loads the template; talk_close() releases all. */
int talk_begin(struct talk *t, const struct talk_with *with, const struct chat_options *o,
               struct err *e);
/* Encodes a conversation, whose next turn is the assistant's, into t->prompt. */
int talk_encode(struct talk *t, const struct chat_conversation *c, struct err *e);
/* The options of a stage with room for these conversations. */
struct stage_options talk_stage(const struct talk_room *room);
/* Allocates the room, on the host, and finds the tokens that end a turn. */
int talk_open(struct talk *t, const struct talk_room *room, const struct sampling *how,
              struct err *e);
/* Gives document i `room` rows of the cache from `row` on; what was there is forgotten. */
void talk_place(struct talk *t, int32_t i, int64_t row, int64_t room);
void talk_close(struct talk *t);
/* Fails with ERR_DATA if the conversation leaves no room for a token of the answer, or has a token
 * that the model does not have. */
int talk_check(struct talk *t, int64_t length, struct err *e);
/* Makes t->prompt document d, and t->logits those behind it. What the document begins with is not
 * computed again; nor is what document `like` begins with, unless that is NULL. Logits that are not
 * finite are ERR_NONFINITE, here and in talk_decode. */
int talk_read(struct talk *t, struct talk_doc *d, const struct talk_doc *like, struct err *e);

/* Called after each token of an answer; tokens: those of all answers so far. */
struct talk_watch {
    int (*took)(void *arg, const struct talk_answer *a, uint64_t tokens, struct err *e);
    void *arg;
};
/* Decodes the answers to the first n documents, after talk_read of each; a step adds a token to
 * every answer that has not ended. watch may be NULL. */
int talk_decode(struct talk *t, const struct talk_watch *watch, struct talk_answer *a, int32_t n,
                struct err *e);

#endif
