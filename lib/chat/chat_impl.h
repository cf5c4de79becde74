/* SPDX-License-Identifier: Apache-2.0 */
/* Private to lib/chat: templates by name, sources of rendered bytes, turns, regions. */
#ifndef SFT_CHAT_CHAT_IMPL_H
#define SFT_CHAT_CHAT_IMPL_H

#include "chat/chat.h"
#include "jinja/jinja.h"

/* A template name of ROLL. */
struct chat_name {
    const char *name;
    const char *source;      /* NULL: the model's own template */
    const char *refused;     /* why the name cannot be used for training, or NULL */
    const char *user_prefix; /* text before each user message, or NULL */
    const char *suffix;      /* text after the rendering, or NULL */
    int thinking;            /* enable_thinking: 1 true, -1 false, 0 not set */
    bool needs_system;       /* ROLL adds a system prompt where the conversation has none */
};
/* Everything but the conversation that a rendering depends on. */
struct chat_template {
    struct jinja *jinja;    /* NULL: the model has a tool_use template but no default one */
    struct jinja *tool_use; /* for conversations with tools; NULL: jinja */
    const char *names;      /* the names of the model's templates, for errors; may be NULL */
    const struct chat_name *name;
    const struct tokenizer *tok; /* its named special tokens are variables; may be NULL */
    const struct json *vars;     /* an object of further variables; may be NULL */
    bool keep_arguments;
    int64_t clock;
};

/* A string of the conversation. Spans refer to it by its index + 1. */
struct chat_source {
    enum chat_part part;
    int32_t message; /* -1: the tools */
    uint32_t item;   /* CHAT_CALL, CHAT_TOOL: index of the call or tool */
    uint32_t base;   /* CHAT_CONTENT: offset of the string in the message's content */
    struct str text;
    uint32_t shown; /* 1 + the largest offset at which a span begins; 0: not rendered */
    uint32_t next;  /* CHAT_CONTENT: the end of the rendered bytes */
    bool gap;       /* CHAT_CONTENT: bytes before `next` that are not white space are omitted */
};
struct chat_sources {
    struct chat_source *v;
    size_t n, cap;
    uint32_t decoded; /* calls whose arguments were decoded */
    uint32_t parted;  /* messages whose content is a list of parts of text */
    bool printed;     /* arguments or parts were printed as Python prints a dict */
    uint64_t steps;   /* work of the rendering, in steps of the template engine */
};

/* Renders the conversation and fills sources; the arena owns *out. 0, or -1 with ERR_DATA or
 * ERR_MEMORY. */
int chat_template_render(const struct chat_template *t, struct arena *a,
                         const struct chat_conversation *conv, bool add_generation_prompt,
                         struct chat_sources *sources, const struct jstr **out, struct err *e);
/* Chooses the template for conv; NULL with ERR_DATA when the model has no default one. */
struct jinja *chat_template_for(const struct chat_template *t, const struct chat_conversation *conv,
                                struct err *e);

/* ---- values of the template (chat_value.c) ---- */
/* Makes the variable `messages` and adds each of its strings to sources. */
int chat_value_messages(struct vm *vm, const struct chat_conversation *conv,
                        const struct chat_template *t, struct chat_sources *sources,
                        struct jval *out);
int chat_value_tools(struct vm *vm, const struct json *tools, struct chat_sources *sources,
                     struct jval *out);
/* Makes a value whose strings are template text. */
int chat_value_json(struct vm *vm, const struct json *j, struct jval *out);
bool chat_is_assistant(const struct chat_message *m);
/* Sets *weight to the weight that the message sets, or 1; *said: it sets one. -1 with ERR_DATA when
 * the value is not a weight. */
int chat_weight(const struct chat_message *m, float *weight, bool *said, struct err *e);

struct chat {
    struct chat_template t;
    struct buf own; /* the names of the model's templates, separated by commas */
    enum chat_mask mask;
    bool has_bos, has_eos;
    uint32_t bos, eos;
    char identity[HASH128_HEX];
};

/* Bytes [begin, end) of the rendered text, and the weight of their tokens. */
struct chat_region {
    uint32_t begin, end;
    float weight;
};

/* A turn: the pieces (spans) of an assistant message up to the next piece of another message. Text
 * that is rendered a second time, such as a call's name in the answer to the call, is not a piece.
 * A message has one turn, or several where EOS stands between its pieces. */
struct chat_turn {
    int32_t message;
    bool later;          /* the message has a turn before this one */
    size_t first, last;  /* indices of the spans of the first and the last piece */
    uint32_t before;     /* the end of the last piece before the turn, of any message */
    uint32_t begin, end; /* bytes of the pieces */
    uint32_t limit;      /* the first piece of the next message, or the end of the text */
    uint32_t stop;       /* index of the token that ends the turn, or CHAT_NO_STOP */
    uint32_t until;      /* the end of the text that the model writes: of the stop or the closing */
    float weight;
};
#define CHAT_NO_STOP UINT32_MAX

/* A rendering of the first messages of a conversation; chat_scratch.prompt owns it. */
struct chat_prompt {
    struct str text;
    uint32_t tail; /* the end of the last piece of a message; template text follows */
};

struct chat_scratch {
    struct tokenizer_scratch *tok;
    struct arena arena;  /* the rendering */
    struct arena prompt; /* the renderings of the first messages for one turn */
    struct chat_sources sources, prompt_sources;
    struct token_list prompt_tokens;
    struct chat_region *regions; /* in order, disjoint */
    size_t nregions, cap;
    struct chat_turn *turns;
    size_t nturns, turncap;
    /* The generation prompt behind other messages, for turns without a prompt of their own. */
    struct buf other_prompt;
    bool has_other_prompt; /* it is set for this conversation */
    uint64_t steps;        /* work on prompts of this conversation */
};
/* The bound on that work: the head of a turn needs a rendering of the messages before it, so the
 * work grows with the square of the number of turns. */
#define CHAT_MAX_STEPS (100 * VM_MAX_STEPS)
/* Fills out->spans from a rendering and records in sources which of their bytes it shows. */
int chat_spans(const struct jstr *s, struct chat_sources *sources, struct chat_rendering *out,
               struct err *e);
/* Counts in facts the strings of sources that the rendering omits. */
void chat_count_omitted(const struct chat_conversation *conv, const struct chat_sources *sources,
                        struct chat_facts *facts);
/* True when no template renders the conversation: its messages have no role. */
bool chat_is_plain(const struct chat_conversation *conv);
/* Sets the text, its spans and tokens in *out, and the regions in s, for plain text. */
int chat_plain(const struct chat *c, struct chat_scratch *s, const struct chat_conversation *conv,
               struct chat_sample *out, struct err *e);
/* Finds the turns, with their ends, in out->rendering and out->tokens. */
int chat_turns(const struct chat *c, struct chat_scratch *s, const struct chat_conversation *conv,
               struct chat_sample *out, struct err *e);
/* Finds t->stop and t->until (chat_end.c). */
int chat_turn_end(const struct chat *c, struct chat_scratch *s,
                  const struct chat_conversation *conv, const struct chat_sample *out,
                  struct chat_turn *t, struct err *e);
/* Renders the first n messages; p->tail is the end of the last piece of string `source`, or of any
 * message where source is 0. 1; 0 when the template refuses the messages; -1 (chat_head.c). */
int chat_prompt_render(const struct chat *c, struct chat_scratch *s,
                       const struct chat_conversation *conv, size_t n, bool generation_prompt,
                       uint32_t source, struct chat_prompt *p, struct err *e);
/* Sets *head to the end of the head of turn t: the longest run of its first tokens that begins the
 * generation prompt, too. When no prompt fits the text, *found is false and *head is the turn's
 * first byte. */
int chat_head(const struct chat *c, struct chat_scratch *s, const struct chat_conversation *conv,
              const struct chat_turn *t, const struct chat_sample *out, uint32_t *head, bool *found,
              struct err *e);
/* Sets the regions of the scratch from its turns (chat_mask.c). */
int chat_mask(const struct chat *c, struct chat_scratch *s, const struct chat_conversation *conv,
              struct chat_sample *out, struct err *e);

/* ---- look-ups in a rendered text (chat_text.c) ---- */
/* Returns the index of the first token that begins at or after the byte; l->n: there is none. */
uint32_t chat_token_at(const struct token_list *l, uint32_t byte);
/* Returns true when s holds nothing but what Python counts as white space. */
bool chat_is_blank(struct str s);

#endif
