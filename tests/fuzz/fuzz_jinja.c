/* SPDX-License-Identifier: Apache-2.0 */
/* A template and, after a NUL byte, a conversation as JSON: parses, renders, checks the spans. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "chat/chat_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char conversation[] =
    "[{\"role\":\"system\",\"content\":\"S\"},{\"role\":\"user\",\"content\":\" a\\n\\u00e9\"},"
    "{\"role\":\"assistant\",\"content\":\"<think>x</think> y\",\"tool_calls\":[{\"function\":"
    "{\"name\":\"f\",\"arguments\":{\"a\":[1,2.5,null,true]}}}]}]";
static const char tools[] = "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":"
                            "{\"properties\":{\"a\":{\"type\":[\"x\",\"y\"]}}}}}]";

static void check_spans(const struct jstr *s)
{
    uint32_t end = 0;
    for (uint32_t i = 0; i < s->nspans; i++) {
        if (s->spans[i].begin < end || s->spans[i].end <= s->spans[i].begin) abort();
        end = s->spans[i].end;
    }
    if (end > s->n) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct err e = {0};
    struct arena a = {0};
    const char *text = (const char *)data, *nul = n ? memchr(text, 0, n) : NULL;
    size_t len = nul ? (size_t)(nul - text) : n;
    const struct json *m = NULL, *t = json_parse(tools, sizeof tools - 1, &a, &e);
    const struct jstr *s;
    if (nul) m = json_parse(nul + 1, n - len - 1, &a, &e);
    if (!m) m = json_parse(conversation, sizeof conversation - 1, &a, &e);
    struct chat_conversation conv = {.messages = m, .tools = t};
    struct chat_sources sources = {0};
    struct chat_template c = {.jinja = jinja_compile((struct str){text, len}, &e)};
    if (c.jinja && m && chat_template_render(&c, &a, &conv, true, &sources, &s, &e) == 0)
        check_spans(s);
    jinja_free(c.jinja);
    mem_free(sources.v);
    arena_free(&a);
    return 0;
}
