/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of a conversation beside its text: weights, calls' arguments, variables. */
#include "chat.h"

/* ---- weights ---- */
static float weight_of_last(const struct bench *b)
{
    const struct chat_sample *s = &b->sample;
    for (size_t r = s->nruns; r-- > 0;)
        if (s->runs[r].weight > 0) return s->runs[r].weight;
    return 0;
}

static const char plain[] = PLAIN;

static void weights(struct bench *b)
{
#define BAD(member)                                                                                \
    "[" USER("Port?") ",{\"role\":\"assistant\",\"content\":\"80.\"," member                       \
                      "}," USER("Sure?") "," ANSWER("22.") "]"
    static const char *const zero[] = {
        BAD("\"weight\":0"),   BAD("\"weight\":0.0"),     BAD("\"train\":false"),
        BAD("\"loss\":false"), BAD("\"training\":false"), BAD("\"weight\":0,\"train\":false")};
    for (size_t i = 0; i < sizeof zero / sizeof *zero; i++)
        CHECK("weight: a message that weighs nothing is not trained",
              sample(b, plain, zero[i], NULL) && trains(b, "22.<|im_end|>"));
    CHECK("weight: null says nothing", sample(b, plain, BAD("\"weight\":null"), NULL) &&
                                           trains(b, "80.<|im_end|>22.<|im_end|>"));
    CHECK("weight: a number weighs",
          sample(b, plain,
                 "[" USER("Port?") ",{\"role\":\"assistant\",\"content\":\"22.\",\"weight\":0.25}]",
                 NULL) &&
              weight_of_last(b) == 0.25f);
    static const char *const wrong[] = {
        BAD("\"weight\":-1"),   BAD("\"weight\":\"0\""), BAD("\"train\":1"),
        BAD("\"weight\":1e99"), BAD("\"weight\":1e-30"), BAD("\"weight\":1,\"train\":false")};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK("weight: what is no weight is refused with the message's number",
              !sample(b, plain, wrong[i], NULL) && b->e.code == ERR_DATA &&
                  strstr(b->e.msg, "message 1"));
    CHECK("weight: one on a question is counted as unheeded",
          sample(b, plain,
                 "[{\"role\":\"user\",\"content\":\"Port?\",\"weight\":1}," ANSWER("22.") "]",
                 NULL) &&
              b->sample.facts.unheeded == 1 && trains(b, "22.<|im_end|>"));
    struct chat_conversation conv = talk(b, BAD("\"weight\":0"), NULL);
    CHECK("weight: ROLL's rule reads none, which is counted",
          sample_with(b, plain, (struct chat_options){.mask = CHAT_MASK_ROLL}, conv) &&
              b->sample.facts.unheeded == 1);
    CHECK("weight: it holds inside a generation block too",
          sample(b,
                 LOOP HEAD "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}" END
                           "{% endgeneration %}{% else %}{{ m.content }}" END "{% endif %}" DONE,
                 BAD("\"weight\":0"), NULL) &&
              trains(b, "22.<|im_end|>\n"));
}

/* ---- calls and variables ---- */

static void calls(struct bench *b)
{
    static const char text[] = "[" USER(
        "Ports?") ",{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"function\":"
                  "{\"name\":\"scan\",\"arguments\":\"{\\\"host\\\":\\\"a "
                  "b\\\",\\\"arguments\\\":\\\"{}\\\"}\"}}]}]";
    CHECK("arguments: JSON text is decoded, once",
          sample(b, CALLS, text, NULL) && b->sample.facts.decoded == 1 &&
              trains(b, "[scan {\"host\": \"a b\", \"arguments\": \"{}\"}]<|im_end|>"));
    struct chat_conversation conv = talk(b, text, NULL);
    CHECK(
        "arguments: JSON text stays text with --arguments text",
        sample_with(b, CALLS, (struct chat_options){.keep_arguments = true}, conv) &&
            b->sample.facts.decoded == 0 &&
            trains(b,
                   "[scan \"{\\\"host\\\":\\\"a b\\\",\\\"arguments\\\":\\\"{}\\\"}\"]<|im_end|>"));
    static const struct {
        const char *what, *print, *want;
    } as_text[] = {
        {"arguments: stay text for a template that adds them to text",
         "{{ 'do ' + c.function.arguments }}", "do {\"host\":\"a b\",\"arguments\":\"{}\"}"},
        {"arguments: stay text for a template that prints them", "do {{ c.function.arguments }}",
         "do {\"host\":\"a b\",\"arguments\":\"{}\"}"},
        {"arguments: stay text for a template that joins them to text",
         "{{ 'do ' ~ c.function.arguments|string }}", "do {\"host\":\"a b\",\"arguments\":\"{}\"}"},
        {"arguments: are decoded for a template that takes both",
         "{{ c.function.arguments if c.function.arguments is string else "
         "c.function.arguments|tojson }}",
         "{\"host\": \"a b\", \"arguments\": \"{}\"}"},
        {"arguments: are decoded for a template that refuses text",
         "{% if c.function.arguments is string %}{{ raise_exception('no') }}{% endif %}"
         "{{ c.function.arguments }}",
         "{'host': 'a b', 'arguments': '{}'}"},
    };
    for (size_t i = 0; i < sizeof as_text / sizeof *as_text; i++) {
        char source[600], want[200];
        snprintf(source, sizeof source, "%s%s%s",
                 LOOP HEAD "{{ m.content or '' }}{% for c in m.tool_calls or [] %}",
                 as_text[i].print, "{% endfor %}" END DONE PROMPT(""));
        snprintf(want, sizeof want, "%s<|im_end|>", as_text[i].want);
        CHECK(as_text[i].what, sample(b, source, text, NULL) && trains(b, want) &&
                                   b->sample.facts.decoded == (i > 2));
    }
    CHECK("arguments: text that is no object stays text",
          sample(b, CALLS,
                 "[" USER("Ports?") ",{\"role\":\"assistant\",\"content\":null,\"tool_calls\":["
                                    "{\"function\":{\"name\":\"scan\",\"arguments\":\"[1]\"}},"
                                    "{\"function\":{\"name\":\"scan\",\"arguments\":\"{no\"}}]}]",
                 NULL) &&
              b->sample.facts.decoded == 0 && trains(b, "[scan \"[1]\"][scan \"{no\"]<|im_end|>"));
    static const char one_call[] =
        "[" USER("Ports?") ",{\"role\":\"assistant\",\"content\":null,\"function_call\":"
                           "{\"name\":\"scan\",\"arguments\":\"{\\\"a\\\":1}\"}}]";
    CHECK("arguments: those of function_call are decoded too",
          sample(b,
                 LOOP HEAD
                 "{% if m.function_call %}{{ m.function_call.arguments|tojson }}{% else %}"
                 "{{ m.content }}{% endif %}" END DONE PROMPT(""),
                 one_call, NULL) &&
              trains(b, "{\"a\": 1}<|im_end|>"));
}

static void variables(struct bench *b)
{
    static const char source[] =
        "{{ tools|tojson }} {{ documents|tojson }} {{ mood|tojson }}|" LOOP HEAD
        "{{ m.content }}" END DONE PROMPT("");
    static const char said[] = "[" USER("a") "," ANSWER("b") "]";
#define TALK "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n"
    struct chat_conversation conv = talk(b, said, "[]");
    struct chat_options o = {.vars = parse(b, "{\"mood\":\"calm\",\"documents\":[1]}")};
    CHECK("variables: an empty list of tools is not none; options reach the template",
          sample_with(b, source, o, conv) && renders(b, "[] [1] \"calm\"|" TALK));
    conv.tools = NULL;
    conv.kwargs = parse(b, "{\"mood\":\"brisk\"}");
    CHECK("variables: a row's own go before the option's",
          sample_with(b, source, o, conv) && renders(b, "null [1] \"brisk\"|" TALK));
    conv.kwargs = parse(b, "{\"tools\":[1]}");
    CHECK("variables: the conversation's own cannot be set",
          !sample_with(b, source, o, conv) && b->e.code == ERR_DATA && strstr(b->e.msg, "tools"));
    char id[2][HASH128_HEX];
    conv.kwargs = NULL;
    for (int i = 0; i < 2; i++) {
        EXPECT("variables: a sample", sample_with(b, source, o, conv));
        chat_identity(b->chat, id[i]);
        o.vars = parse(b, "{\"mood\":\"brisk\",\"documents\":[1]}");
    }
    CHECK("variables: they are part of the template's identity", strcmp(id[0], id[1]) != 0);
}

int main(void)
{
    struct bench b = {0};
    if (!bench_open(&b)) return 1;
    weights(&b);
    calls(&b);
    variables(&b);
    bench_close(&b);
    TEST_END();
}
