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
    uint32_t *ids;              /* [room]: the tokens whose keys and values are in the cache */
    int64_t n, room;            /* their number; the most there may be */
    int64_t row;                /* the first one's, in the cache */
    uint64_t number;            /* of the conversation or the turn: it decides the draws */
    int32_t next;               /* the token that is chosen behind them */
    struct talk_answer *answer; /* that is made to it; NULL: none */
};

/* The sizes that talk_open makes room for. */
struct talk_room {
    int64_t length; /* the most tokens of a conversation */
    int64_t pass;   /* the most tokens that are read at a time, at least `docs` */
    int64_t cache;  /* tokens of all conversations that are in the cache at one time */
    int32_t docs;   /* conversations that are answered together */
    int32_t held;   /* with talk_many: answers that exist at one time, at least `docs`; else 0 */
    int64_t most;   /* tokens of each of these */
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

/* Called after each token of an answer; tokens: those of all answers so far. */
struct talk_watch {
    int (*took)(void *arg, const struct talk_answer *a, uint64_t tokens, struct err *e);
    void *arg;
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
    struct talk_answer *answers; /* [room.held], and */
    uint32_t *answer_ids;        /* [room.held, room.most] their tokens */
    struct talk_watch watch;     /* of the answers that are made */
    uint64_t tokens, passes;     /* tokens of all of them; passes that added one to some of them */
    bool (*stop)(void);          /* asked after each token whether the answer ends; NULL: never */
    /* Where several ranks have the model, called on each with the n tokens it has chosen, or with
     * rc -1 and its error: gives all of them the same tokens, or fails on all. NULL: one rank. */
    int (*agree)(void *arg, int rc, int32_t *next, int32_t n, struct err *e);
    void *agree_arg;
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
void talk_close(struct talk *t);
/* Fails with ERR_DATA if the conversation leaves no room for a token of the answer, or has a token
 * that the model does not have. */
int talk_check(struct talk *t, int64_t length, struct err *e);
/* Makes a prompt document d, and t->logits those behind it. What the document begins with is not
 * computed again. Logits that are not finite are ERR_NONFINITE, here and below. */
int talk_read(struct talk *t, const struct token_list *prompt, struct talk_doc *d, struct err *e);

/* Decodes the answer to the first document, after talk_read. watch may be NULL. */
int talk_decode(struct talk *t, const struct talk_watch *watch, struct talk_answer *a,
                struct err *e);

/* Many conversations, of which as many are answered together as have room in the cache. */
struct talk_many {
    /* Sets *prompt to the next one, which talk_check has passed and which stays until the next
     * call; NULL: there is no other. The answers to those before one that fails are made first. */
    int (*next)(void *arg, const struct token_list **prompt, struct err *e);
    /* Takes the answer to each, in their order; number: from 0. */
    int (*ended)(void *arg, uint64_t number, const struct talk_answer *a, struct err *e);
    struct talk_watch watch;
    uint64_t first, each; /* the draws of the k-th are those of conversation first + k * each */
    void *arg;            /* of next and ended */
};
/* Answers all of them. When an answer ends, the next conversation takes its place. An answer that
 * ends before one that began earlier is held, and none begins that would make more than room.held.
 */
int talk_many(struct talk *t, const struct talk_many *m, struct err *e);

#endif
