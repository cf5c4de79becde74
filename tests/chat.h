/* SPDX-License-Identifier: Apache-2.0 */
/* Conversations through small templates with the tiny tokenizer, for tests of lib/chat: what is
 * trained is compared as text. */
#ifndef SFT_TEST_CHAT_H
#define SFT_TEST_CHAT_H

#include <unistd.h>

#include "test.h"

#include "base/io.h"
#include "base/json.h"
#include "chat/chat.h"
#include "conversation.h"

#define CHAT static __attribute__((unused)) /* a test uses what it needs */

struct bench {
    struct tokenizer *tok;
    char path[512]; /* of the template at hand */
    struct arena arena;
    struct chat *chat;
    struct chat_scratch *scratch;
    struct chat_sample sample;
    struct err e;
};

CHAT const struct json *parse(struct bench *b, const char *text)
{
    return text ? json_parse(text, strlen(text), &b->arena, &b->e) : NULL;
}

CHAT struct chat_conversation talk(struct bench *b, const char *messages, const char *tools)
{
    return conversation_of(parse(b, messages), parse(b, tools), &b->arena);
}

CHAT void close_chat(struct bench *b)
{
    chat_sample_free(&b->sample);
    chat_scratch_free(b->scratch);
    chat_free(b->chat);
    b->scratch = NULL;
    b->chat = NULL;
}

/* A sample of the messages with the template; the error is in b->e. */
CHAT bool sample_with(struct bench *b, const char *source, struct chat_options o,
                      struct chat_conversation conv)
{
    close_chat(b);
    b->e = (struct err){0};
    o.name = b->path;
    if (io_put(b->path, source, strlen(source), &b->e) < 0) return false;
    b->chat = chat_new(b->tok, &o, &b->e);
    b->scratch = b->chat ? chat_scratch_new(b->chat, &b->e) : NULL;
    return b->scratch && chat_sample(b->chat, b->scratch, &conv, &b->sample, &b->e) == 0;
}

CHAT bool sample(struct bench *b, const char *source, const char *messages, const char *tools)
{
    return sample_with(b, source, (struct chat_options){0}, talk(b, messages, tools));
}

/* The tokens whose weight is not 0, as text. */
CHAT void trained(struct bench *b, struct buf *text)
{
    const struct chat_sample *s = &b->sample;
    buf_reset(text);
    for (size_t r = 0, at = 0; r < s->nruns; at += s->runs[r++].n)
        if (s->runs[r].weight > 0)
            tokenizer_decode(b->tok, s->tokens.ids + at, s->runs[r].n, false, text, &b->e);
}

CHAT bool trains(struct bench *b, const char *want)
{
    struct buf got = {0};
    trained(b, &got);
    bool ok = strcmp(got.data ? got.data : "", want) == 0;
    if (!ok) printf("# trained \"%s\", not \"%s\" %s\n", got.data ? got.data : "", want, b->e.msg);
    buf_free(&got);
    return ok;
}

CHAT bool renders(struct bench *b, const char *want)
{
    const char *got = b->sample.rendering.text.data;
    bool ok = got && strcmp(got, want) == 0;
    if (!ok) printf("# rendered \"%s\" %s\n", got ? got : "", b->e.msg);
    return ok;
}

/* ---- small templates and messages ---- */
#define LOOP         "{% for m in messages %}"
#define HEAD         "<|im_start|>{{ m.role }}\n"
#define END          "<|im_end|>\n"
#define DONE         "{% endfor %}"
#define PROMPT(text) "{% if add_generation_prompt %}<|im_start|>assistant\n" text "{% endif %}"
#define USER(text)   "{\"role\":\"user\",\"content\":\"" text "\"}"
#define ANSWER(text) "{\"role\":\"assistant\",\"content\":\"" text "\"}"

#define CALL(id, name)                                                                             \
    "{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"id\":\"" id                       \
    "\",\"function\":{\"name\":\"" name "\",\"arguments\":{\"a\":\"x\"}}}]}"
#define RESULT(text) "{\"role\":\"tool\",\"content\":\"" text "\"}"

/* With calls; the answer to a call is headed by the name of what was called. */
#define CALLS                                                                                      \
    LOOP                                                                                           \
        "{% if m.role == 'tool' %}<|im_start|>{{ messages[loop.index0 - 1].tool_calls[0].function" \
        ".name }} says\n{{ m.content }}" END "{% else %}" HEAD "{{ m.content }}"                   \
        "{% for c in m.tool_calls or [] %}[{{ c.function.name }} {{ c.function.arguments|tojson "  \
        "}}]"                                                                                      \
        "{% endfor %}" END "{% endif %}" DONE PROMPT("")
#define PLAIN LOOP HEAD "{{ m.content }}" END DONE PROMPT("") /* a template */

CHAT bool bench_open(struct bench *b)
{
    const char *tmp = getenv("TEST_TMP");
    snprintf(b->path, sizeof b->path, "%s/chat-%d.jinja", tmp ? tmp : "/tmp", (int)getpid());
    b->tok = tokenizer_load("share/tiny-tokenizer", &b->e);
    if (!b->tok) printf("not ok set-up: %s\n", b->e.msg);
    return b->tok != NULL;
}

CHAT void bench_close(struct bench *b)
{
    close_chat(b);
    tokenizer_free(b->tok);
    arena_free(&b->arena);
    remove(b->path);
}

#endif
