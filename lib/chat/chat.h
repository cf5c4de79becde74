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
#include "text/tokenizer.h"

/* A compiled chat template together with the tokenizer that it is for. Immutable: threads share it.
 */
struct chat;

struct chat_options {
    const char *name; /* "native", "qwen2_5", "qwen3", "chatml", ... or a FILE.jinja */
    bool mask_roll;   /* ROLL's rule instead of the default mask */
    /* What strftime_now tells, in seconds since 1970. 0: SOURCE_DATE_EPOCH where it is set, else
     * CHAT_CLOCK. The clock of the machine is never read: equal inputs give equal bytes. */
    int64_t clock;
};
#define CHAT_CLOCK INT64_C(1721952000) /* 26 July 2024, 00:00 UTC */

/* tok must outlive the result. A template that does not parse: ERR_DATA with line and column; an
 * unknown name: ERR_USAGE with the names there are; a model without a template: ERR_DATA. */
struct chat *chat_new(const struct tokenizer *tok, const struct chat_options *o, struct err *e);
void chat_free(struct chat *c);
/* XXH3-128 of the template's source and options, for stream headers. */
void chat_identity(const struct chat *c, char out[HASH128_HEX]);

/* Where a rendered byte came from. */
enum chat_origin {
    CHAT_LITERAL = 0, /* the template's own text, or text computed from no message */
    CHAT_MESSAGE,     /* a part of a message */
};
struct chat_span { /* bytes [begin, end) of the rendered text */
    uint32_t begin, end;
    enum chat_origin origin;
    int32_t message; /* index of the message, -1 for CHAT_LITERAL */
    uint32_t offset; /* of the first byte in that message's content, where content */
    bool content;    /* from "content" (else reasoning, tool calls, name, role) */
    bool role;       /* from "role" or "name" */
    bool generation; /* inside {% generation %} */
};

/* messages: a JSON array of objects with "role" and "content" (and "tool_calls", ... as given);
 * tools: a JSON array or NULL. */
struct chat_rendering {
    struct buf text;
    struct chat_span *spans; /* in order, covering the text */
    size_t nspans, cap;
    bool has_generation; /* the template has {% generation %} */
};
/* Renders as transformers' apply_chat_template(tokenize=False) does. What the template raises
 * (raise_exception) is ERR_DATA with its text. Steps, depth and output size are bounded. */
int chat_render(const struct chat *c, const struct json *messages, const struct json *tools,
                bool add_generation_prompt, struct chat_rendering *out, struct err *e);
void chat_rendering_free(struct chat_rendering *r);

/* One sample: ids and what each token's loss weighs. */
struct chat_run { /* n successive tokens */
    uint32_t n;
    float weight;    /* 0: no loss */
    int32_t message; /* -1: template text */
    uint32_t offset; /* byte offset in that message's content */
};
struct chat_sample {
    struct token_list tokens;
    struct chat_run *runs;
    size_t nruns, cap;
    uint32_t trained;    /* tokens of weight > 0 */
    uint32_t straddling; /* untrained for having a byte outside the trained text */
    uint32_t turns;      /* assistant turns */
    uint32_t stops;      /* assistant turns whose end token is trained */
    bool bos_doubled;
    struct chat_rendering rendering;
};
struct chat_scratch; /* working memory of one thread */
struct chat_scratch *chat_scratch_new(const struct chat *c, struct err *e);
void chat_scratch_free(struct chat_scratch *s);
/* Renders, tokenizes and weighs one conversation (zero-initialise out, reuse it). Default mask:
 * design 6.2; with mask_roll: the tokens of the rendering with add_generation_prompt of all but the
 * last assistant turn are untrained by count, after one trailing newline of the text is removed. */
int chat_sample(const struct chat *c, struct chat_scratch *s, const struct json *messages,
                const struct json *tools, struct chat_sample *out, struct err *e);
void chat_sample_free(struct chat_sample *s);

#endif
