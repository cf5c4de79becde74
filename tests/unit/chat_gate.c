/* SPDX-License-Identifier: Apache-2.0 */
/* Holds for every template: all that the assistant says is trained, in one stretch from the
 * head of its turn to the end, and nothing else is; generation blocks are trained as they stand. */
#include "conversation.h"
#include "test.h"

#include <dirent.h>

#include "base/io.h"
#include "base/json.h"
#include "chat/chat.h"

static const char model[] = "../shared/data/tokenizers/qwen2.5";
static const char folder[] = "../shared/data/templates";

struct gate {
    struct tokenizer *tok;
    const struct json *conversations;
    bool *trained; /* of each byte of the text at hand */
    size_t cap;
    size_t samples, turns, blocks, told, bad;
};

static void mark_trained(struct gate *g, const struct chat_sample *s)
{
    struct err e = {0};
    size_t n = s->rendering.text.len, token = 0;
    if (mem_grow(&g->trained, &g->cap, n + 1, 1, &e) < 0) exit(1);
    memset(g->trained, 0, n + 1);
    for (size_t r = 0; r < s->nruns; token += s->runs[r++].n)
        for (uint32_t i = 0; s->runs[r].weight > 0 && i < s->runs[r].n; i++) {
            uint32_t begin = s->tokens.begin[token + i], end = s->tokens.end[token + i];
            memset(g->trained + begin, 1, end - begin);
        }
}

static bool is_assistant(const struct json *messages, int32_t i)
{
    return i >= 0 && str_is(json_get(&messages->items[i], "role")->s, "assistant");
}

/* Bytes [begin, end) of the text are trained, but for some at the beginning that the prompt holds
 * or whose token has a byte of the prompt. */
static bool trained_to(const struct gate *g, uint32_t begin, uint32_t end)
{
    while (begin < end && !g->trained[begin]) begin++;
    if (begin == end) return false;
    while (begin < end && g->trained[begin]) begin++;
    return begin == end;
}

/* A stretch of trained bytes holds pieces of assistant messages only. */
static bool others_untrained(const struct gate *g, const struct chat_sample *s,
                             const struct json *messages)
{
    for (size_t i = 0; i < s->rendering.nspans; i++) {
        const struct chat_span *k = &s->rendering.spans[i];
        if (k->message < 0 || is_assistant(messages, k->message) || k->part == CHAT_ROLE) continue;
        for (uint32_t at = k->begin; at < k->end; at++)
            if (g->trained[at]) return false;
    }
    return true;
}

/* The text of each assistant message is trained from its first piece to its last. */
static bool said_is_trained(struct gate *g, const struct chat_sample *s,
                            const struct json *messages)
{
    for (int32_t m = 0; m < (int32_t)messages->count; m++) {
        uint32_t begin = UINT32_MAX, end = 0;
        for (size_t i = 0; is_assistant(messages, m) && i < s->rendering.nspans; i++) {
            const struct chat_span *k = &s->rendering.spans[i];
            if (k->message != m || k->again || k->part == CHAT_ROLE) continue;
            begin = k->begin < begin ? k->begin : begin;
            end = k->end;
        }
        if (begin >= end) continue;
        g->turns++;
        if (!trained_to(g, begin, end)) return false;
    }
    return true;
}

static bool blocks_are_trained(struct gate *g, const struct chat_sample *s)
{
    const struct chat_rendering *r = &s->rendering;
    size_t span = 0;
    for (size_t t = 0; t < s->tokens.n; t++) {
        uint32_t begin = s->tokens.begin[t], end = s->tokens.end[t];
        while (r->spans[span].end <= begin) span++;
        bool inside = true;
        for (size_t k = span; k < r->nspans && r->spans[k].begin < end; k++)
            inside = inside && r->spans[k].generation;
        g->blocks += inside;
        if (inside != g->trained[begin]) return false;
    }
    return true;
}

static void look(struct gate *g, const char *name, const struct chat_sample *s,
                 const struct json *conversation)
{
    const struct json *messages = json_get(conversation, "messages");
    mark_trained(g, s);
    g->samples++;
    const struct chat_facts *f = &s->facts;
    if (!s->rendering.has_generation && (f->outside || f->straddling)) { /* told instead */
        g->told++;
        return;
    }
    bool ok = s->rendering.has_generation ? blocks_are_trained(g, s)
                                          : others_untrained(g, s, messages) &&
                                                said_is_trained(g, s, messages) && !f->headless;
    if (ok) return;
    g->bad++;
    printf("# %s: %.20s\n", name, json_get(conversation, "name")->s.p);
}

static void one_template(struct gate *g, const char *name)
{
    char path[600];
    struct err e = {0};
    struct arena a = {0};
    struct chat_sample s = {0};
    snprintf(path, sizeof path, "%s/%s", folder, name);
    struct chat *c = chat_new(g->tok, &(struct chat_options){.name = path}, &e);
    struct chat_scratch *scratch = c ? chat_scratch_new(c, &e) : NULL;
    EXPECT("gate: the template loads", scratch != NULL);
    for (size_t i = 0; scratch && i < g->conversations->count; i++) {
        const struct json *row = &g->conversations->items[i];
        struct chat_conversation conv =
            conversation_of(json_get(row, "messages"), json_get(row, "tools"), &a);
        if (chat_sample(c, scratch, &conv, &s, &e) == 0) look(g, name, &s, row);
    }
    arena_free(&a);
    chat_sample_free(&s);
    chat_scratch_free(scratch);
    chat_free(c);
}

int main(void)
{
    struct err e = {0};
    struct arena a = {0};
    struct buf text = {0};
    struct gate g = {0};
    DIR *d = opendir(folder);
    if (!d || !io_is_dir(model, NULL)) {
        SKIP("gate: gate", "no ../shared/data");
        return 0;
    }
    g.tok = tokenizer_load(model, &e);
    if (g.tok && io_slurp("tests/golden/template/conversations.json", 1 << 20, &text, &e) == 0)
        g.conversations = json_parse(text.data, text.len, &a, &e);
    if (!g.conversations) {
        printf("not ok set-up: %s\n", e.msg);
        return 1;
    }
    for (struct dirent *f; (f = readdir(d));)
        if (strstr(f->d_name, ".jinja")) one_template(&g, f->d_name);
    printf("# %zu samples, %zu turns, %zu tokens in generation blocks, %zu told\n", g.samples,
           g.turns, g.blocks, g.told);
    CHECK("gate: all that the assistant says is trained, and nothing else",
          g.bad == 0 && g.told < 60 && g.samples > 700 && g.turns > 450 && g.blocks > 1000);
    closedir(d);
    tokenizer_free(g.tok);
    buf_free(&text);
    arena_free(&a);
    mem_free(g.trained);
    TEST_END();
}
