/* SPDX-License-Identifier: Apache-2.0 */
/* Conversations to samples: a chat template renders the messages, every rendered byte knows where
 * it came from, and that decides which tokens the loss falls on. */
#ifndef SFT_CHAT_CHAT_H
#define SFT_CHAT_CHAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "stream/run.h"
#include "text/tokenizer.h"

/* A compiled chat template together with the tokenizer that it is for. Immutable: threads share it.
 */
struct chat;

/* Which tokens the loss falls on (design 6.2). */
enum chat_mask {
    CHAT_MASK_TURN,    /* each assistant turn, from its head to the token that ends it */
    CHAT_MASK_CONTENT, /* the bytes that come from assistant messages, and the token that ends them
                        */
    CHAT_MASK_ROLL,    /* what ROLL's rule trains: by count of the prompt's tokens */
};
#define CHAT_MASK_WORDS "turn|content|roll"

struct chat_options {
    /* "native", "qwen2_5", "qwen3", "chatml", ..., a FILE.jinja, or the name of one of the model's
     * templates; NULL: native. */
    const char *name;
    enum chat_mask mask;
    bool keep_arguments; /* calls' arguments that are JSON text stay text; they do, too, where the
                          * template takes nothing else or prints them as they are */
    const struct json *vars; /* an object of further template variables, or NULL; the caller's */
    /* The time that strftime_now returns, in seconds since 1970. 0: SOURCE_DATE_EPOCH where it is
     * set, else CHAT_CLOCK. The clock of the machine is never read: equal inputs give equal bytes.
     */
    int64_t clock;
};
#define CHAT_CLOCK INT64_C(1721952000) /* 26 July 2024, 00:00 UTC */

/* tok must outlive the result. A template that does not parse: ERR_DATA with line and column; an
 * unknown name: ERR_USAGE with the names there are; a model without a template: ERR_DATA. */
struct chat *chat_new(const struct tokenizer *tok, const struct chat_options *o, struct err *e);
void chat_free(struct chat *c);
/* XXH3-128 of the template's source and options, for stream headers. */
void chat_identity(const struct chat *c, char out[HASH128_HEX]);

/* One message of a conversation. */
struct chat_message {
    struct str role;
    struct str content;         /* p NULL: the message has no string content */
    const struct json *members; /* an object of its other members, or NULL; "role" is skipped, and
                                 * "content" where the string is there */
};

/* The conversation of one row. The memory belongs to the caller and outlives the result. */
struct chat_conversation {
    const struct chat_message *messages;
    size_t nmessages;
    const struct json *tools;  /* an array, or NULL; an empty one is not the same as none */
    const struct json *kwargs; /* an object of template variables of this row */
    bool keep_arguments;       /* as in chat_options, for this row */
};

/* True for the variables that the renderer itself sets (messages, tools, ...): neither a row nor an
 * option may set them. */
bool chat_is_own_variable(struct str name);

/* The part of a conversation that a rendered byte came from. */
enum chat_part {
    CHAT_LITERAL, /* the template's own text, or text computed from no string of the conversation */
    CHAT_CONTENT,
    CHAT_ROLE, /* "role" or "name" */
    CHAT_THOUGHT,
    CHAT_CALL,
    CHAT_TOOL,  /* of the tools, not of a message */
    CHAT_OTHER, /* another member of a message */
};
struct chat_span { /* bytes [begin, end) of the rendered text */
    uint32_t begin, end;
    enum chat_part part;
    int32_t message; /* index of the message, -1 for CHAT_LITERAL and CHAT_TOOL */
    uint32_t offset; /* CHAT_CONTENT: of the first byte in the message's content, else 0 */
    uint32_t source; /* which string of the conversation, from 1; 0 for CHAT_LITERAL */
    bool again;      /* these bytes of the message were rendered before, too */
    bool generation; /* inside {% generation %} */
};

struct chat_rendering {
    struct buf text;
    struct chat_span *spans; /* in order, covering the text */
    size_t nspans, cap;
    bool has_generation; /* the template has {% generation %} */
};
/* Renders as transformers' apply_chat_template(tokenize=False) does. What the template raises
 * (raise_exception) is ERR_DATA with its text. Steps, depth and output size are bounded. */
int chat_render(const struct chat *c, const struct chat_conversation *conv,
                bool add_generation_prompt, struct chat_rendering *out, struct err *e);
void chat_rendering_free(struct chat_rendering *r);

/* The kinds of things that a template can leave out: nothing of them is in the rendered text. */
enum chat_left {
    CHAT_LEFT_MESSAGE, /* a message with text, of another role than system */
    CHAT_LEFT_SYSTEM,  /* a system prompt */
    CHAT_LEFT_CALL,    /* one call of a message */
    CHAT_LEFT_TOOL,    /* one of the tools */
    CHAT_LEFT_THOUGHT, /* a message's thought, where it stands beside the content */
    CHAT_LEFT_PART,    /* a part of a message's content, other than white space at its ends */
    CHAT_LEFT_KINDS
};
struct chat_left_item {
    enum chat_left kind;
    int32_t message; /* -1 for CHAT_LEFT_TOOL */
    uint32_t item;   /* CHAT_LEFT_CALL, CHAT_LEFT_TOOL: which; else 1: its calls are rendered */
    struct str role; /* of the message; the conversation's memory */
};
enum { CHAT_LEFT_NAMED = 8 };

struct chat_facts {
    uint32_t tokens, trained; /* trained: of weight > 0 */
    uint32_t straddling;      /* tokens that are untrained for having a byte outside */
    uint32_t turns;           /* assistant messages */
    uint32_t empty;           /* those without text, calls and thought */
    uint32_t stops;           /* assistant turns whose end token is trained */
    uint32_t headless;        /* turns whose head is not to be found, so that they are trained from
                               * their first own byte */
    uint32_t outside;         /* pieces of assistant messages that stand in no turn: behind another
                               * message, or behind the end of their own turn */
    uint32_t decoded;         /* calls whose arguments were JSON text and are decoded */
    uint32_t unheeded;        /* messages whose weight is not what they are trained with */
    bool bos_doubled;
    bool lost; /* what is left out changes what is learnt: a message, a system prompt, a call, or a
                * tool that no call in the text names */
    uint32_t left[CHAT_LEFT_KINDS];
    struct chat_left_item named[CHAT_LEFT_NAMED]; /* the first of them */
    uint32_t nnamed;
};
struct chat_sample {
    struct token_list tokens;
    struct stream_run *runs; /* of all tokens, in order */
    size_t nruns, cap;
    struct chat_facts facts;
    struct chat_rendering rendering;
};
struct chat_scratch; /* working memory of one thread */
struct chat_scratch *chat_scratch_new(const struct chat *c, struct err *e);
void chat_scratch_free(struct chat_scratch *s);
/* Renders, tokenizes and weighs one conversation (zero-initialise out, reuse it). A message may say
 * what it weighs: "weight" (a number from 0 on), "train", "loss" or "training" (true or false). */
int chat_sample(const struct chat *c, struct chat_scratch *s, const struct chat_conversation *conv,
                struct chat_sample *out, struct err *e);
void chat_sample_free(struct chat_sample *s);

#endif
