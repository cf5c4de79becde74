/* SPDX-License-Identifier: Apache-2.0 */
/* Private to lib/chat: a template with its name's extras, rendering into an arena, turns. */
#ifndef SFT_CHAT_CHAT_IMPL_H
#define SFT_CHAT_CHAT_IMPL_H

#include "chat/chat.h"
#include "jinja/jinja.h"

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
/* All that a rendering depends on but the conversation. */
struct chat_template {
    struct jinja *jinja;    /* NULL: the model has no default template, but tool_use */
    struct jinja *tool_use; /* for conversations with tools; NULL: jinja */
    const char *names;      /* of the model's templates, for messages; may be NULL */
    const struct chat_name *name;
    const struct tokenizer *tok; /* its named special tokens are variables; may be NULL */
    const struct json *vars;     /* an object of further variables; may be NULL */
    bool keep_arguments;
    int64_t clock;
};

/* The strings of a conversation: a span's source k is v[k - 1]. */
struct chat_source {
    enum chat_part part;
    int32_t message; /* -1: the tools */
    uint32_t item;   /* CHAT_CALL, CHAT_TOOL: which */
    uint32_t base;   /* CHAT_CONTENT: offset of the string in the message's content */
    struct str text;
    uint32_t shown; /* 1 + the largest offset that begins a span so far; 0: not rendered */
    uint32_t next;  /* CHAT_CONTENT: where the bytes rendered so far end */
    bool gap;       /* CHAT_CONTENT: bytes before next, other than white space, are left out */
};
struct chat_sources {
    struct chat_source *v;
    size_t n, cap;
    uint32_t decoded; /* calls whose arguments were decoded */
    bool printed;     /* decoded arguments were printed as Python prints a dict */
    uint64_t steps;   /* of work that the rendering took */
};

/* Renders the conversation into *out, which lives in the arena; sources is filled. */
int chat_template_render(const struct chat_template *t, struct arena *a,
                         const struct chat_conversation *conv, bool add_generation_prompt,
                         struct chat_sources *sources, const struct jstr **out, struct err *e);
/* The template that renders conv; NULL with ERR_DATA when the model has no default one. */
struct jinja *chat_template_for(const struct chat_template *t, const struct chat_conversation *conv,
                                struct err *e);

/* The conversation as the template sees it, each string numbered in sources (chat_value.c). decode:
 * calls' arguments that are JSON text become the objects that it holds. */
int chat_value_messages(struct vm *vm, const struct chat_conversation *conv,
                        const struct chat_template *t, bool decode, struct chat_sources *sources,
                        struct jval *out);
int chat_value_tools(struct vm *vm, const struct json *tools, struct chat_sources *sources,
                     struct jval *out);
int chat_value_json(struct vm *vm, const struct json *j, struct jval *out); /* without numbers */
bool chat_is_assistant(const struct chat_message *m);
/* Sets *weight to what the message says that it weighs, 1 when it says nothing; *said: it does.
 * ERR_DATA when that is no weight. */
int chat_weight(const struct chat_message *m, float *weight, bool *said, struct err *e);

struct chat {
    struct chat_template t;
    struct buf own; /* the names of the model's templates */
    enum chat_mask mask;
    bool has_bos, has_eos;
    uint32_t bos, eos;
    char identity[HASH128_HEX];
};

/* Bytes [begin, end) of the rendered text, and what the loss of their tokens weighs. */
struct chat_region {
    uint32_t begin, end;
    float weight;
};

/* Successive pieces of an assistant message, with none of another message between them. Text that
 * shows up a second time (as a call's name does in the answer to the call) is nobody's piece. A
 * message has one turn or, where EOS stands between its pieces, as many as have a head. */
struct chat_turn {
    int32_t message;
    bool further;               /* not the message's first turn */
    size_t first, last;         /* spans of the first and the last piece */
    uint32_t before;            /* where what was said before it ends */
    uint32_t begin, end, limit; /* of the pieces; where the next message begins to show */
    uint32_t stop;              /* the token that ends it; CHAT_NO_STOP */
    uint32_t until;             /* where what the model writes ends: the stop, or the closing */
    float weight;
};
#define CHAT_NO_STOP UINT32_MAX

/* A rendering of the first messages of a conversation, in the arena `prompt` of the scratch. */
struct chat_prompt {
    struct str text;
    uint32_t tail; /* where what the messages say ends */
};

struct chat_scratch {
    struct tokenizer_scratch *tok;
    struct arena arena;  /* the rendering */
    struct arena prompt; /* renderings with generation prompts, one at a time */
    struct chat_sources sources, prompt_sources;
    struct token_list prompt_tokens;
    struct chat_region *regions; /* in order, apart from each other */
    size_t nregions, cap;
    struct chat_turn *turns;
    size_t nturns, turncap;
    /* The generation prompt found where a template refuses the messages before a turn. */
    struct buf elsewhere;
    bool sought;
    uint64_t steps; /* of work on prompts, for this conversation */
};
/* A turn's head takes a rendering of what is before it, so the work grows with the square of the
 * number of turns. */
#define CHAT_MAX_STEPS (100 * VM_MAX_STEPS)
/* Fills out->spans and out->text from a rendering and marks what it shows in sources. */
int chat_spans(const struct jstr *s, struct chat_sources *sources, struct chat_rendering *out,
               struct err *e);
/* Counts in facts what the rendering, marked in sources, left out. */
void chat_left_out(const struct chat_conversation *conv, const struct chat_sources *sources,
                   struct chat_facts *facts);
/* Sets the turns of the scratch, with their ends, from out->rendering and out->tokens. */
int chat_turns(const struct chat *c, struct chat_scratch *s, const struct chat_conversation *conv,
               struct chat_sample *out, struct err *e);
/* Sets t->stop and t->until (chat_end.c). */
int chat_turn_end(const struct chat *c, struct chat_scratch *s,
                  const struct chat_conversation *conv, const struct chat_sample *out,
                  struct chat_turn *t, struct err *e);
/* Renders the first n messages into p; its tail is where the pieces that come from string `source`
 * end (0: from any message). 1, 0 when the template refuses them, -1 (chat_head.c). */
int chat_prompt_render(const struct chat *c, struct chat_scratch *s,
                       const struct chat_conversation *conv, size_t n, bool generation_prompt,
                       uint32_t source, struct chat_prompt *p, struct err *e);
/* Sets *head to the byte behind the head of turn t: the longest run of its tokens that it shares
 * with the beginning of the generation prompt. *found is false, and *head its first own byte, when
 * no prompt can be had that fits the text. */
int chat_head(const struct chat *c, struct chat_scratch *s, const struct chat_conversation *conv,
              const struct chat_turn *t, const struct chat_sample *out, uint32_t *head, bool *found,
              struct err *e);
/* Sets the regions of the scratch (chat_mask.c); the turns are known. */
int chat_mask(const struct chat *c, struct chat_scratch *s, const struct chat_conversation *conv,
              struct chat_sample *out, struct err *e);

/* ---- look-ups in a rendered text (chat_text.c) ---- */
/* Returns the index of the first token that begins at or after the byte; l->n: there is none. */
uint32_t chat_token_at(const struct token_list *l, uint32_t byte);
/* Returns true when s holds nothing but what Python counts as white space. */
bool chat_is_blank(struct str s);

#endif
