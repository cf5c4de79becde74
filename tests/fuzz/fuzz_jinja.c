/* SPDX-License-Identifier: Apache-2.0 */
/* A template and, after a NUL byte, a conversation as JSON (run from the root of the repository):
 * rendered, tokenized with the tiny tokenizer and weighed by every mask; spans and runs are
 * checked.
 */
#include <string.h>

#include "base/json.h"
#include "chat/chat_impl.h"
#include "conversation.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char conversation[] =
    "[{\"role\":\"system\",\"content\":\"S\"},{\"role\":\"user\",\"content\":\" a\\n\\u00e9\"},"
    "{\"role\":\"assistant\",\"content\":\"<think>x</think> y\",\"tool_calls\":[{\"function\":"
    "{\"name\":\"f\",\"arguments\":{\"a\":[1,2.5,null,true]}}},{\"function\":{\"name\":\"g\","
    "\"arguments\":\"{\\\"b\\\":1}\"}}]},{\"role\":\"tool\",\"content\":{\"c\":\"d\"}},{\"role\":"
    "\"assistant\",\"thinking\":\"t\",\"content\":\"z <|im_end|>.\",\"weight\":0.5}]";
static const char tools[] = "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":"
                            "{\"properties\":{\"a\":{\"type\":[\"x\",\"y\"]}}}}}]";

static void need(bool good)
{
    if (!good) __builtin_trap();
}

static void check_spans(const struct chat_rendering *r)
{
    uint32_t end = 0;
    for (size_t i = 0; i < r->nspans; i++) {
        need(r->spans[i].begin == end && r->spans[i].end > end);
        end = r->spans[i].end;
    }
    need(end == r->text.len);
}

static void check_runs(const struct chat_sample *s)
{
    size_t n = 0, trained = 0;
    for (size_t i = 0; i < s->nruns; i++) {
        n += s->runs[i].n;
        need(s->runs[i].n > 0 && s->runs[i].weight >= 0);
        if (s->runs[i].weight > 0) trained += s->runs[i].n;
    }
    need(n == s->tokens.n && n == s->facts.tokens && trained == s->facts.trained);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct tokenizer *tok;
    struct err e = {0};
    struct arena a = {0};
    const char *text = (const char *)data, *nul = n ? memchr(text, 0, n) : NULL;
    size_t len = nul ? (size_t)(nul - text) : n;
    const struct json *m = NULL, *t = json_parse(tools, sizeof tools - 1, &a, &e);
    if (!tok) need((tok = tokenizer_load("share/tiny-tokenizer", &e)) != NULL);
    if (nul) m = json_parse(nul + 1, n - len - 1, &a, &e);
    if (!m) m = json_parse(conversation, sizeof conversation - 1, &a, &e);
    struct chat c = {.t = {.jinja = jinja_compile((struct str){text, len}, &e), .tok = tok},
                     .has_eos = true};
    need(tokenizer_id(tok, STR("<|im_end|>"), &c.eos) && m);
    struct chat_conversation conv = conversation_of(m, t, &a);
    struct chat_sample s = {0};
    for (int mask = CHAT_MASK_TURN; c.t.jinja && mask <= CHAT_MASK_ROLL; mask++) {
        struct chat_scratch *scratch = chat_scratch_new(&c, &e);
        c.mask = (enum chat_mask)mask;
        c.has_eos = len % 2 == 0;
        if (scratch && chat_sample(&c, scratch, &conv, &s, &e) == 0) {
            check_spans(&s.rendering);
            check_runs(&s);
        }
        chat_scratch_free(scratch);
    }
    chat_sample_free(&s);
    jinja_free(c.t.jinja);
    arena_free(&a);
    return 0;
}
