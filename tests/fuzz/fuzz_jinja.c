/* SPDX-License-Identifier: Apache-2.0 */
/* A template and, after a NUL byte, a conversation as JSON (run from the root of the repository):
 * rendered, tokenized with the tiny tokenizer and weighed by every mask; spans and runs are
 * checked.
 */
#include "base/json.h"
#include "conversation.h"
#include "fuzz/fuzz_chat.h"

static const char conversation[] =
    "[{\"role\":\"system\",\"content\":\"S\"},{\"role\":\"user\",\"content\":\" a\\n\\u00e9\"},"
    "{\"role\":\"assistant\",\"content\":\"<think>x</think> y\",\"tool_calls\":[{\"function\":"
    "{\"name\":\"f\",\"arguments\":{\"a\":[1,2.5,null,true]}}},{\"function\":{\"name\":\"g\","
    "\"arguments\":\"{\\\"b\\\":1}\"}}]},{\"role\":\"tool\",\"content\":{\"c\":\"d\"}},{\"role\":"
    "\"assistant\",\"thinking\":\"t\",\"content\":\"z <|im_end|>.\",\"weight\":0.5}]";
static const char tools[] = "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":"
                            "{\"properties\":{\"a\":{\"type\":[\"x\",\"y\"]}}}}}]";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct err e = {0};
    struct arena a = {0};
    const struct str text = fuzz_part(&data, &n);
    const struct json *m = NULL, *t = json_parse(tools, sizeof tools - 1, &a, &e);
    if (n) m = json_parse((const char *)data, n, &a, &e);
    if (!m) m = json_parse(conversation, sizeof conversation - 1, &a, &e);
    struct chat c = {.t = {.jinja = jinja_compile(text, &e), .tok = tiny_tokenizer()},
                     .has_eos = text.n % 2 == 0};
    need(tokenizer_id(c.t.tok, STR("<|im_end|>"), &c.eos) && m);
    struct chat_conversation conv = conversation_of(m, t, &a);
    if (c.t.jinja)
        check_samples(&c, &conv);
    else
        need_refusal(&e);
    jinja_free(c.t.jinja);
    arena_free(&a);
    return 0;
}
