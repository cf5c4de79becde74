/* SPDX-License-Identifier: Apache-2.0 */
/* Private to lib/chat: a template with its name's extras, rendering into an arena. */
#ifndef SFT_CHAT_CHAT_IMPL_H
#define SFT_CHAT_CHAT_IMPL_H

#include "chat/chat.h"
#include "chat/jinja.h"

/* What one of ROLL's template names means. */
struct chat_name {
    const char *name;
    const char *source;      /* NULL: the model's own template */
    const char *refused;     /* why the name cannot be used for training, or NULL */
    const char *user_prefix; /* put before each user message, or NULL */
    const char *suffix;      /* put after the rendering, or NULL */
    int thinking;            /* passes enable_thinking: 1 true, -1 false, 0 nothing */
    bool needs_system;       /* ROLL would put a system prompt of its own */
};
/* NULL with ERR_USAGE and the names there are. */
const struct chat_name *chat_name_find(const char *name, struct err *e);

/* All that a rendering depends on but the conversation. */
struct chat_template {
    struct jinja *jinja;
    const struct chat_name *name;
    const struct tokenizer *tok; /* its named special tokens are variables; may be NULL */
    const struct json *extra;    /* an object of further variables; may be NULL */
    int64_t clock;
};
/* Renders into *out, which lives in the arena; the text of the JSON must outlive it. */
int chat_template_render(const struct chat_template *t, struct arena *a,
                         const struct json *messages, const struct json *tools,
                         bool add_generation_prompt, const struct jstr **out, struct err *e);

/* The conversation as the template sees it, every string tagged with its origin (chat_value.c). */
int chat_value_messages(struct vm *vm, const struct json *messages, const struct chat_name *name,
                        struct jval *out);
int chat_value_json(struct vm *vm, const struct json *j, struct jval *out); /* without tags */

struct chat {
    struct chat_template t;
    bool mask_roll;
    bool has_bos, has_eos;
    uint32_t bos, eos;
    char identity[HASH128_HEX];
};

/* Bytes [begin, end) of the rendered text on which loss falls. */
struct chat_region {
    uint32_t begin, end;
};
struct chat_scratch {
    struct tokenizer_scratch *tok;
    struct arena arena;
    struct token_list prompt;
    struct chat_region *regions; /* in order, apart from each other */
    size_t nregions, cap;
    uint32_t *stops; /* token that ends each assistant turn, UINT32_MAX: none */
    size_t nstops, stopcap;
};
/* Fills out->spans and out->text from a rendering. */
int chat_spans(const struct jstr *s, struct chat_rendering *out, struct err *e);
/* Sets regions and stops of the scratch from out->rendering and out->tokens (chat_mask.c). head:
 * the text of the generation prompt, or empty when it is not known. */
int chat_mask(const struct chat *c, struct chat_scratch *s, const struct json *messages,
              struct str head, const struct chat_sample *out, struct err *e);

#endif
