/* SPDX-License-Identifier: Apache-2.0 */
/* Turns: where they begin and end, what they weigh, what a template leaves out. Each case is a
 * small template with a conversation; the trained tokens are compared as text. */
#include "test.h"

#include "base/io.h"
#include "base/json.h"
#include "chat/chat.h"

struct bench {
    struct tokenizer *tok;
    char path[512]; /* of the template at hand */
    struct arena arena;
    struct chat *chat;
    struct chat_scratch *scratch;
    struct chat_sample sample;
    struct err e;
};

static const struct json *parse(struct bench *b, const char *text)
{
    return text ? json_parse(text, strlen(text), &b->arena, &b->e) : NULL;
}

static void close_chat(struct bench *b)
{
    chat_sample_free(&b->sample);
    chat_scratch_free(b->scratch);
    chat_free(b->chat);
    b->scratch = NULL;
    b->chat = NULL;
}

/* A sample of the messages with the template; the error is in b->e. */
static bool sample_with(struct bench *b, const char *source, struct chat_options o,
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

static bool sample(struct bench *b, const char *source, const char *messages, const char *tools)
{
    struct chat_conversation conv = {.messages = parse(b, messages), .tools = parse(b, tools)};
    return sample_with(b, source, (struct chat_options){0}, conv);
}

/* The tokens whose weight is not 0, as text. */
static void trained(struct bench *b, struct buf *text)
{
    const struct chat_sample *s = &b->sample;
    buf_reset(text);
    for (size_t r = 0, at = 0; r < s->nruns; at += s->runs[r++].n)
        if (s->runs[r].weight > 0)
            tokenizer_decode(b->tok, s->tokens.ids + at, s->runs[r].n, false, text, &b->e);
}

static bool trains(struct bench *b, const char *want)
{
    struct buf got = {0};
    trained(b, &got);
    bool ok = strcmp(got.data ? got.data : "", want) == 0;
    if (!ok) printf("# trained \"%s\", not \"%s\" %s\n", got.data ? got.data : "", want, b->e.msg);
    buf_free(&got);
    return ok;
}

static bool renders(struct bench *b, const char *want)
{
    const char *got = b->sample.rendering.text.data;
    bool ok = got && strcmp(got, want) == 0;
    if (!ok) printf("# rendered \"%s\" %s\n", got ? got : "", b->e.msg);
    return ok;
}

/* ---- heads ---- */
#define LOOP         "{% for m in messages %}"
#define HEAD         "<|im_start|>{{ m.role }}\n"
#define END          "<|im_end|>\n"
#define DONE         "{% endfor %}"
#define PROMPT(text) "{% if add_generation_prompt %}<|im_start|>assistant\n" text "{% endif %}"
#define USER(text)   "{\"role\":\"user\",\"content\":\"" text "\"}"
#define ANSWER(text) "{\"role\":\"assistant\",\"content\":\"" text "\"}"

static void heads(struct bench *b)
{
    static const struct {
        const char *what, *source, *messages, *want;
    } cases[] = {
        {"head: what the prompt has is not trained",
         LOOP HEAD "{{ m.content }}" END DONE PROMPT(""), "[" USER("Port?") "," ANSWER("22.") "]",
         "22.<|im_end|>"},
        {"head: an empty note behind the prompt is trained",
         LOOP HEAD "{% if m.role == 'assistant' %}(note: none) {% endif %}{{ m.content }}" END DONE
             PROMPT(""),
         "[" USER("Port?") "," ANSWER("22.") "]", "(note: none) 22.<|im_end|>"},
        {"head: it ends where turn and prompt part",
         LOOP HEAD "{% if m.role == 'assistant' %}<plan></plan> {% endif %}{{ m.content }}" END DONE
             PROMPT("<plan>\n"),
         "[" USER("Port?") "," ANSWER("22.") "]", "></plan> 22.<|im_end|>"},
        {"head: what the prompt opens is not trained though the message says it",
         LOOP HEAD "{{ m.content }}" END DONE PROMPT("<plan>\n"),
         "[" USER("Port?") "," ANSWER("<plan>\\nlook\\n</plan>22.") "]",
         "look\n</plan>22.<|im_end|>"},
        {"head: the last turn ends in another way",
         LOOP "[{{ m.role }}]{% if m.plan %}plan {{ m.plan }};{% endif %}{{ m.content }}"
              "{% if loop.last and not add_generation_prompt %}<|endoftext|>{% else %}<|im_end|>"
              "{% endif %}" DONE "{% if add_generation_prompt %}[assistant]{% endif %}",
         "[" USER("Port?") ",{\"role\":\"assistant\",\"plan\":\"look\",\"content\":\"22.\"}]",
         "plan look;22.<|endoftext|>"},
        {"head: the same, after another turn of the assistant",
         LOOP "[{{ m.role }}]{{ m.content }}"
              "{% if loop.last and not add_generation_prompt %}<|endoftext|>{% else %}<|im_end|>"
              "{% endif %}" DONE "{% if add_generation_prompt %}[assistant]{% endif %}",
         "[" USER("Port?") "," ANSWER("Wait.") "," ANSWER("22.") "]",
         "Wait.<|im_end|>22.<|endoftext|>"},
        {"head: a conversation may begin with the assistant",
         "{{ messages[0].role[:0] }}" LOOP HEAD "{{ m.content }}" END DONE PROMPT(""),
         "[" ANSWER("Hello.") "," USER("Port?") "," ANSWER("22.") "]",
         "Hello.<|im_end|>22.<|im_end|>"},
        {"head: a template may refuse what is before a turn",
         "{% if messages|length < 3 %}{{ raise_exception('too short') }}{% endif %}" LOOP HEAD
         "{{ m.content }}" END DONE PROMPT(""),
         "[" USER("Hi.") "," USER("Port?") "," ANSWER("22.") "]", "22.<|im_end|>"},
        {"head: earlier turns may be shown in another way than when they were written",
         LOOP HEAD "{% if m.plan and loop.last %}<plan>{{ m.plan }}</plan>{% endif %}"
                   "{{ m.content }}" END DONE PROMPT(""),
         "[" USER("Port?") ",{\"role\":\"assistant\",\"plan\":\"look\",\"content\":\"22.\"}," USER(
             "Sure?") ",{\"role\":\"assistant\",\"plan\":\"check\",\"content\":\"Yes.\"}]",
         "22.<|im_end|><plan>check</plan>Yes.<|im_end|>"},
        {"head: without a generation prompt the turn begins behind the message before it",
         LOOP "{{ m.role }}: {{ m.content }}" END DONE, "[" USER("Port?") "," ANSWER("22.") "]",
         "assistant: 22.<|im_end|>"},
        {"head: a prompt that is the end of the question",
         LOOP "{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]{% else %} {{ m.content }}"
              "<|im_end|>{% endif %}" DONE,
         "[" USER("Port?") "," ANSWER("22.") "]", " 22.<|im_end|>"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool ok = sample(b, cases[i].source, cases[i].messages, NULL);
        CHECK(cases[i].what, ok && trains(b, cases[i].want) && !b->sample.facts.headless);
    }
    CHECK("head: one that is nowhere is counted",
          sample(b,
                 "{% if messages|length < 2 or add_generation_prompt %}"
                 "{{ raise_exception('no') }}{% endif %}" LOOP HEAD "{{ m.content }}" END DONE,
                 "[" USER("Port?") "," ANSWER("22.") "]", NULL) &&
              b->sample.facts.headless == 1 && trains(b, "22.<|im_end|>"));
}

/* ---- ends ---- */
#define CALL(id, name)                                                                             \
    "{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"id\":\"" id                       \
    "\",\"function\":{\"name\":\"" name "\",\"arguments\":{\"a\":\"x\"}}}]}"
#define RESULT(text) "{\"role\":\"tool\",\"content\":\"" text "\"}"

static const char calls_template[] = LOOP
    "{% if m.role == 'tool' %}<|im_start|>{{ messages[loop.index0 - 1].tool_calls[0].function"
    ".name }} says\n{{ m.content }}" END "{% else %}" HEAD "{{ m.content }}"
    "{% for c in m.tool_calls or [] %}[{{ c.function.name }} {{ c.function.arguments|tojson }}]"
    "{% endfor %}" END "{% endif %}" DONE PROMPT("");

static void ends(struct bench *b)
{
    static const char once[] =
        "[" USER("Ports?") "," CALL("k1", "scan") "," RESULT("22") "," ANSWER("22.") "]";
    CHECK("end: a name that shows up again in the answer to the call ends nothing",
          sample(b, calls_template, once, NULL) &&
              trains(b, "[scan {\"a\": \"x\"}]<|im_end|>22.<|im_end|>") &&
              b->sample.facts.stops == 2);
    CHECK("end: EOS ends a turn though more of the message shows behind it",
          sample(b,
                 LOOP HEAD "{{ m.content }}{% for c in m.tool_calls or [] %}[{{ c.function.name }}]"
                           "{% endfor %}" END "{% for c in m.tool_calls or [] %}({{ c.id }} runs)\n"
                           "{% endfor %}" DONE PROMPT(""),
                 "[" USER("Ports?") "," CALL("k1", "scan") "]", NULL) &&
              trains(b, "[scan]<|im_end|>"));
    /* Two forms of one conversation. */
    static const char split[] = LOOP HEAD
        "{% set c = m.content %}{% set p = m.plan or '' %}"
        "{% if '</plan>' in c %}{% set p = c.split('</plan>')[0].split('<plan>')[-1]"
        ".strip() %}{% set c = c.split('</plan>')[-1].lstrip() %}{% endif %}"
        "{% if m.role == 'assistant' %}<plan>\n{{ p }}\n</plan>\n{% endif %}{{ c }}" END DONE
            PROMPT("");
    static const char *const forms[] = {
        "[" USER("Port?") "," ANSWER("<plan>\\nlook\\n</plan>\\n22.") "]",
        "[" USER("Port?") "," ANSWER("<plan>look</plan>22.") "]",
        "[" USER("Port?") ",{\"role\":\"assistant\",\"plan\":\"look\",\"content\":\"22.\"}]"};
    for (size_t i = 0; i < 3; i++)
        CHECK("turn: rows that render alike are trained alike",
              sample(b, split, forms[i], NULL) &&
                  trains(b, "<plan>\nlook\n</plan>\n22.<|im_end|>"));
}

/* ---- weights ---- */
static float weight_of_last(const struct bench *b)
{
    const struct chat_sample *s = &b->sample;
    for (size_t r = s->nruns; r-- > 0;)
        if (s->runs[r].weight > 0) return s->runs[r].weight;
    return 0;
}

static const char plain[] = LOOP HEAD "{{ m.content }}" END DONE PROMPT("");

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
    static const char *const wrong[] = {BAD("\"weight\":-1"), BAD("\"weight\":\"0\""),
                                        BAD("\"train\":1"), BAD("\"weight\":1e99"),
                                        BAD("\"weight\":1,\"train\":false")};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK("weight: what is no weight is refused with the message's number",
              !sample(b, plain, wrong[i], NULL) && b->e.code == ERR_DATA &&
                  strstr(b->e.msg, "message 1"));
    CHECK("weight: one on a question is counted as unheeded",
          sample(b, plain,
                 "[{\"role\":\"user\",\"content\":\"Port?\",\"weight\":1}," ANSWER("22.") "]",
                 NULL) &&
              b->sample.facts.unheeded == 1 && trains(b, "22.<|im_end|>"));
    struct chat_conversation conv = {.messages = parse(b, BAD("\"weight\":0"))};
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

/* ---- calls and tools ---- */
static void calls(struct bench *b)
{
    static const char text[] = "[" USER(
        "Ports?") ",{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"function\":"
                  "{\"name\":\"scan\",\"arguments\":\"{\\\"host\\\":\\\"a "
                  "b\\\",\\\"arguments\\\":\\\"{}\\\"}\"}}]}]";
    CHECK("arguments: JSON text is decoded, once",
          sample(b, calls_template, text, NULL) && b->sample.facts.decoded == 1 &&
              trains(b, "[scan {\"host\": \"a b\", \"arguments\": \"{}\"}]<|im_end|>"));
    struct chat_conversation conv = {.messages = parse(b, text)};
    CHECK(
        "arguments: or stays text",
        sample_with(b, calls_template, (struct chat_options){.keep_arguments = true}, conv) &&
            b->sample.facts.decoded == 0 &&
            trains(b,
                   "[scan \"{\\\"host\\\":\\\"a b\\\",\\\"arguments\\\":\\\"{}\\\"}\"]<|im_end|>"));
    CHECK("arguments: text that is no object stays text",
          sample(b, calls_template,
                 "[" USER("Ports?") ",{\"role\":\"assistant\",\"content\":null,\"tool_calls\":["
                                    "{\"function\":{\"name\":\"scan\",\"arguments\":\"[1]\"}},"
                                    "{\"function\":{\"name\":\"scan\",\"arguments\":\"{no\"}}]}]",
                 NULL) &&
              b->sample.facts.decoded == 0 && trains(b, "[scan \"[1]\"][scan \"{no\"]<|im_end|>"));
    static const char one_call[] =
        "[" USER("Ports?") ",{\"role\":\"assistant\",\"content\":null,\"function_call\":"
                           "{\"name\":\"scan\",\"arguments\":\"{\\\"a\\\":1}\"}}]";
    CHECK("arguments: those of function_call too",
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
    static const char talk[] = "[" USER("a") "," ANSWER("b") "]";
#define TALK "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n"
    struct chat_conversation conv = {.messages = parse(b, talk), .tools = parse(b, "[]")};
    struct chat_options o = {.vars = parse(b, "{\"mood\":\"calm\",\"documents\":[1]}")};
    CHECK("variables: an empty list of tools is not none; options reach the template",
          sample_with(b, source, o, conv) && renders(b, "[] [1] \"calm\"|" TALK));
    conv.tools = NULL;
    conv.kwargs = parse(b, "{\"mood\":\"brisk\"}");
    CHECK("variables: a row's own hold over the option's",
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

/* ---- what is left out ---- */
static void left_out(struct bench *b)
{
    static const struct {
        const char *what, *source, *messages, *tools;
        enum chat_left kind;
        uint32_t n;
        bool lost;
    } cases[] = {
        {"left out: nothing", plain, "[" USER("a") "," ANSWER("b") "]", NULL, CHAT_LEFT_MESSAGE, 0,
         false},
        {"left out: a message of a role that the template does not know",
         LOOP "{% if m.role in ['user', 'assistant'] %}" HEAD "{{ m.content }}" END
              "{% endif %}" DONE PROMPT(""),
         "[{\"role\":\"critic\",\"content\":\"Hm.\"}," USER("a") "," ANSWER("b") "]", NULL,
         CHAT_LEFT_MESSAGE, 1, true},
        {"left out: a system prompt",
         LOOP "{% if m.role != 'system' %}" HEAD "{{ m.content }}" END
              "{% endif %}" DONE PROMPT(""),
         "[{\"role\":\"system\",\"content\":\"Be kind.\"}," USER("a") "," ANSWER("b") "]", NULL,
         CHAT_LEFT_SYSTEM, 1, true},
        {"left out: white space is nothing", LOOP HEAD "{{ m.content|trim }}" END DONE PROMPT(""),
         "[" USER(" \\n") "," ANSWER(" b\\n") "]", NULL, CHAT_LEFT_MESSAGE, 0, false},
        {"left out: white space at the ends is no part",
         LOOP HEAD "{{ m.content|trim }}" END DONE PROMPT(""),
         "[" USER("a") "," ANSWER(" b\\n") "]", NULL, CHAT_LEFT_PART, 0, false},
        {"left out: a part of the content",
         LOOP HEAD "{{ m.content.split('</plan>')[-1] }}" END DONE PROMPT(""),
         "[" USER("a") "," ANSWER("<plan>look</plan>b") "]", NULL, CHAT_LEFT_PART, 1, false},
        {"left out: a part in the middle",
         LOOP HEAD "{{ m.content.replace('x', '') }}" END DONE PROMPT(""),
         "[" USER("a") "," ANSWER("bxc") "]", NULL, CHAT_LEFT_PART, 1, false},
        {"left out: one of two calls",
         LOOP HEAD "{{ m.content }}{% for c in m.tool_calls or [] %}{% if loop.first %}"
                   "{{ c.function.name }}{% endif %}{% endfor %}" END DONE PROMPT(""),
         "[" USER("a") ",{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"function\":"
                       "{\"name\":\"f\",\"arguments\":{}}},{\"function\":{\"name\":\"g\","
                       "\"arguments\":{}}}]}]",
         NULL, CHAT_LEFT_CALL, 1, true},
        {"left out: a thought", plain,
         "[" USER("a") ",{\"role\":\"assistant\",\"reasoning_content\":\"hm\",\"content\":\"b\"}]",
         NULL, CHAT_LEFT_THOUGHT, 1, false},
        {"left out: not a thought under its other name",
         LOOP HEAD
         "{% if m.thinking %}({{ m.thinking }}){% endif %}{{ m.content }}" END DONE PROMPT(""),
         "[" USER("a") ",{\"role\":\"assistant\",\"reasoning\":\"hm\",\"content\":\"b\"}]", NULL,
         CHAT_LEFT_THOUGHT, 0, false},
        {"left out: tools", plain, "[" USER("a") "," ANSWER("b") "]",
         "[{\"type\":\"function\",\"function\":{\"name\":\"f\"}},{\"name\":\"g\"}]", CHAT_LEFT_TOOL,
         2, true},
        {"left out: one of two tools",
         "{{ tools[0]|tojson }}" LOOP HEAD "{{ m.content }}" END DONE PROMPT(""),
         "[" USER("a") "," ANSWER("b") "]", "[{\"name\":\"f\"},{\"name\":\"g\"}]", CHAT_LEFT_TOOL,
         1, true},
        {"left out: a tool that a call in the text names is counted, and learnt", calls_template,
         "[" USER("Ports?") "," CALL("k1", "scan") "," RESULT("22") "]",
         "[{\"type\":\"function\",\"function\":{\"name\":\"scan\"}}]", CHAT_LEFT_TOOL, 1, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool ok = sample(b, cases[i].source, cases[i].messages, cases[i].tools);
        const struct chat_facts *f = &b->sample.facts;
        if (ok && f->left[cases[i].kind] != cases[i].n)
            printf("# %u, not %u\n", (unsigned)f->left[cases[i].kind], (unsigned)cases[i].n);
        CHECK(cases[i].what,
              ok && f->left[cases[i].kind] == cases[i].n && f->lost == cases[i].lost);
    }
}

int main(void)
{
    struct bench b = {0};
    const char *tmp = getenv("TEST_TMP");
    snprintf(b.path, sizeof b.path, "%s/turn.jinja", tmp ? tmp : "/tmp");
    b.tok = tokenizer_load("share/tiny-tokenizer", &b.e);
    if (!b.tok) {
        printf("not ok set-up: %s\n", b.e.msg);
        return 1;
    }
    heads(&b);
    ends(&b);
    weights(&b);
    calls(&b);
    variables(&b);
    left_out(&b);
    close_chat(&b);
    tokenizer_free(b.tok);
    arena_free(&b.arena);
    TEST_END();
}
