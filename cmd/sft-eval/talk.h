/* SPDX-License-Identifier: Apache-2.0 */
/* A conversation with a model, whose cache keeps the keys and values of its tokens from one answer
 * to the next. */
#ifndef SFT_CMD_EVAL_TALK_H
#define SFT_CMD_EVAL_TALK_H

#include "chat/chat.h"
#include "eval.h"
#include "model/sampler.h"

/* The tokens that end a turn. */
struct stops {
    int64_t id[2 * HF_MAX_EOS + 1];
    int n;
};
int talk_find_stops(struct eval *v, struct stops *s, struct err *e); /* stops.c */
bool talk_stops_at(const struct stops *s, int64_t id);

struct talk {
    struct eval *v;
    struct chat *chat;
    struct tokenizer_scratch *scratch;
    struct stops stops;
    struct sampler sampler;
    struct token_list prompt; /* the conversation, up to where the answer begins */
    float *logits;            /* [vocab], of the next token */
    uint32_t *ids;            /* [length]: the tokens whose keys and values are in the cache */
    int64_t n;                /* their number */
    int64_t length, pass;     /* the most tokens of a conversation, and of a pass */
    uint64_t number;          /* of the conversation or the turn: it decides the draws */
    bool (*stop)(void);       /* asked after each token whether the answer ends; NULL: never */
};

/* Loads the template; talk_close() releases all. */
int talk_begin(struct talk *t, struct eval *v, struct err *e);
/* Encodes a conversation, whose next turn is the assistant's, into t->prompt. */
int talk_encode(struct talk *t, const struct chat_conversation *c, struct err *e);
/* Loads the model for conversations of up to `length` tokens and passes of up to `pass` tokens. */
int talk_open(struct talk *t, int64_t length, int64_t pass, struct err *e);
void talk_close(struct talk *t);
/* Fails with ERR_DATA if the conversation leaves no room for a token of the answer, or has a token
 * that the model does not have. */
int talk_check(struct talk *t, int64_t length, struct err *e);
/* Computes t->logits after t->prompt. Tokens with which the one before began are in the cache. */
int talk_read(struct talk *t, struct err *e);

enum talk_end { TALK_STOP, TALK_LENGTH, TALK_ASKED };
struct talk_answer {
    uint32_t *ids; /* [most]; the caller's */
    int64_t n, most;
    enum talk_end end; /* a token that ends the turn; most tokens; talk.stop */
};
/* Decodes an answer after talk_read. live NULL: nothing is written. */
int talk_decode(struct talk *t, struct live *live, struct talk_answer *a, struct err *e);
/* Warns of ids that only the embedding has and the tokenizer does not: they have no text. */
void talk_warn_nameless(const struct eval *v, const uint32_t *ids, int64_t n);

#endif
