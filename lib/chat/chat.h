/* SPDX-License-Identifier: Apache-2.0 */
/* Conversations to samples: a chat template renders the messages, each rendered byte has an origin,
 * and the origins decide which tokens the loss falls on. */
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

/* A compiled chat template with its tokenizer. Immutable: threads share it. */
struct chat;

/* Chooses the tokens that the loss falls on (docs/design.md, section 6). */
enum chat_mask {
    CHAT_MASK_TURN,    /* each assistant turn, from its head to the token that ends it */
    CHAT_MASK_CONTENT, /* the bytes of assistant messages, and the tokens that end them */
    CHAT_MASK_ROLL,    /* ROLL's rule: the tokens after as many as the prompt has */
};
#define CHAT_MASK_WORDS "turn|content|roll"

struct chat_options {
    /* "native", "qwen2_5", "qwen3", "chatml", ..., a FILE.jinja, or the name of one of the model's
     * templates; NULL: native. */
    const char *name;
    enum chat_mask mask;
    /* Keeps arguments of calls that are JSON text as text. Otherwise they are decoded, unless the
     * template accepts only text or prints them. */
    bool keep_arguments;
    const struct json *vars; /* an object of template variables, or NULL; the caller owns it */
    /* The time that strftime_now formats, in seconds since 1970. 0: SOURCE_DATE_EPOCH where it is
     * set, else CHAT_CLOCK. The clock of the machine is never read, so that equal inputs give equal
     * bytes. */
    int64_t clock;
};
#define CHAT_CLOCK INT64_C(1721952000) /* 26 July 2024, 00:00 UTC */

/* Compiles the template; tok must outlive the result, chat_free() releases it. NULL with ERR_DATA
 * for a template that does not parse (with the line), with ERR_USAGE for an unknown name (with the
 * known ones). A model without a template renders plain text only. */
struct chat *chat_new(const struct tokenizer *tok, const struct chat_options *o, struct err *e);
void chat_free(struct chat *c);
/* Writes the XXH3-128 of the template's source and options, for stream headers. */
void chat_identity(const struct chat *c, char out[HASH128_HEX]);

/* One message of a conversation. Messages without a role are plain text: no template renders them,
 * BOS (where the tokenizer adds it) goes before the joined texts and EOS behind them, and each text
 * is trained unless its message says otherwise; the last one with EOS. */
struct chat_message {
    struct str role;            /* empty: plain text, and so are all others of the conversation */
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
    bool join_parts;           /* the template gets a content of parts of text as one text */
};

/* True for the variables that only the renderer sets (messages, tools, ...); a row or an option
 * that sets one is an error. */
bool chat_is_own_variable(struct str name);

/* The part of a conversation that is the origin of a rendered byte. */
enum chat_part {
    CHAT_LITERAL, /* template text, or text that is computed from no string of the conversation */
    CHAT_CONTENT,
    CHAT_ROLE, /* "role" or "name" */
    CHAT_THOUGHT,
    CHAT_CALL,
    CHAT_TOOL,  /* a string of the tools */
    CHAT_OTHER, /* another member of a message */
};
struct chat_span { /* bytes [begin, end) of the rendered text */
    uint32_t begin, end;
    enum chat_part part;
    int32_t message; /* index of the message, -1 for CHAT_LITERAL and CHAT_TOOL */
    uint32_t offset; /* CHAT_CONTENT: byte offset of `begin` in the message's content, else 0 */
    uint32_t source; /* number of the string in the conversation, from 1; 0 for CHAT_LITERAL */
    bool again;      /* an earlier span shows these bytes of the message, too */
    bool generation; /* inside {% generation %} */
};

struct chat_rendering {
    struct buf text;
    struct chat_span *spans; /* in order; they cover the text */
    size_t nspans, cap;
    bool has_generation; /* the template has {% generation %} */
};
/* Renders a conversation as transformers' apply_chat_template(tokenize=False) does. *out is zeroed
 * or reused; chat_rendering_free() releases it. raise_exception sets ERR_DATA with its text. Steps,
 * depth and output size are bounded. */
int chat_render(const struct chat *c, const struct chat_conversation *conv,
                bool add_generation_prompt, struct chat_rendering *out, struct err *e);
void chat_rendering_free(struct chat_rendering *r);

/* The things that a template can omit: none of their bytes is in the rendered text. */
enum chat_omitted {
    CHAT_OMITTED_MESSAGE, /* a message with text, of another role than system */
    CHAT_OMITTED_SYSTEM,  /* a system prompt */
    CHAT_OMITTED_CALL,    /* a call */
    CHAT_OMITTED_TOOL,    /* a tool */
    CHAT_OMITTED_THOUGHT, /* the thought of a message, as a member of its own */
    CHAT_OMITTED_PART,    /* a part of a message's content, except white space at its ends */
    CHAT_OMITTED_KINDS
};
struct chat_omission {
    enum chat_omitted kind;
    int32_t message; /* -1 for CHAT_OMITTED_TOOL */
    uint32_t item;   /* index of the call or tool; of a message: 1 when its calls are rendered */
    struct str role; /* of the message; memory of the conversation */
};
enum { CHAT_OMITTED_NAMED = 8 };

struct chat_facts {
    uint32_t tokens, trained; /* trained: tokens of weight > 0 */
    uint32_t straddling; /* untrained tokens of which only some bytes are in a trained region */
    uint32_t turns;      /* assistant messages */
    uint32_t empty;      /* assistant messages without text, calls and thought */
    uint32_t stops;      /* assistant turns whose stop token is trained */
    uint32_t headless;   /* turns without a generation prompt before them; they are trained from
                          * the first byte of their message */
    uint32_t outside;    /* pieces of assistant messages that are in no turn: they follow
                          * another message or the end of their turn */
    uint32_t decoded;    /* calls whose arguments were JSON text and were decoded */
    uint32_t joined;     /* messages whose content of parts was joined for the template */
    uint32_t unheeded;   /* messages whose weight has no effect */
    bool bos_doubled;
    bool lost; /* a message, a system prompt, a call, or a tool that a rendered call does not name
                * is omitted: the model learns something else than the row says */
    uint32_t omitted[CHAT_OMITTED_KINDS];           /* omissions of each kind */
    struct chat_omission named[CHAT_OMITTED_NAMED]; /* the first omissions */
    uint32_t nnamed;
};
struct chat_sample {
    struct token_list tokens;
    struct stream_run *runs; /* of all tokens, in order */
    size_t nruns, cap;
    struct chat_facts facts;
    struct chat_rendering rendering;
};
/* Working memory of one thread; chat_scratch_free() releases it. */
struct chat_scratch;
struct chat_scratch *chat_scratch_new(const struct chat *c, struct err *e);
void chat_scratch_free(struct chat_scratch *s);
/* Renders and tokenizes one conversation and gives each token a weight. out is zero-initialised and
 * can be reused; chat_sample_free() releases it. A message can set its weight: "weight" (a number
 * of at least 0), "train", "loss" or "training" (true or false). -1 with ERR_DATA or ERR_MEMORY. */
int chat_sample(const struct chat *c, struct chat_scratch *s, const struct chat_conversation *conv,
                struct chat_sample *out, struct err *e);
void chat_sample_free(struct chat_sample *s);

#endif
