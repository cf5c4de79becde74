/* SPDX-License-Identifier: Apache-2.0 */
/* Where turns end: at EOS or at another token, behind what closes a call, or with the text; and
 * text of the assistant's that is in no turn. */
#include "chat.h"

#define NOCALL(name)                                                                               \
    "{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"function\":{\"name\":\"" name     \
    "\",\"arguments\":{}}}]}"
/* A call in a template whose answers to calls come without a name. */
#define HEADED(call)                                                                               \
    LOOP HEAD "{{ m.content }}{% for c in m.tool_calls or [] %}" call                              \
              "{% endfor %}" END DONE PROMPT("")
#define ARGUMENTS                                                                                  \
    "{% for k, v in c.function.arguments.items() %}{{ k }}:<|endoftext|>{{ v }}<|endoftext|>"      \
    "{% endfor %}"

struct end_case {
    const char *what, *source, *messages, *want;
    uint32_t stops;
};

static void run(struct bench *b, const struct end_case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool ok = sample(b, cases[i].source, cases[i].messages, NULL);
        CHECK(cases[i].what, ok && trains(b, cases[i].want) &&
                                 b->sample.facts.stops == cases[i].stops &&
                                 !b->sample.facts.headless && !b->sample.facts.outside);
    }
}

/* EOS is <|im_end|>. */
static void with_eos(struct bench *b)
{
    static const struct end_case cases[] = {
        {"end: a special token that closes a quotation ends nothing",
         HEADED("{{ c.function.name }}(" ARGUMENTS ")"),
         "[" USER("Ports?") "," CALL("k1", "scan") "," RESULT("22") "," ANSWER("22.") "]",
         "scan(a:<|endoftext|>x<|endoftext|>)<|im_end|>22.<|im_end|>", 2},
        {"end: nor one that closes a call, with a line end before EOS",
         HEADED("({{ c.function.name }})<|endoftext|>\n"),
         "[" USER("Ports?") "," CALL("k1", "scan") "]", "(scan)<|endoftext|>\n<|im_end|>", 1},
        {"end: what follows EOS is not the model's",
         LOOP HEAD "{{ m.content }}<|im_end|>\n<|endoftext|>" DONE PROMPT(""),
         "[" USER("Port?") "," ANSWER("22.") "]", "22.<|im_end|>", 1},
        {"end: thought and answer may each have a turn",
         LOOP "{% if m.thinking %}<|im_start|>assistant\n(thought) {{ m.thinking }}<|im_end|>\n"
              "{% endif %}" HEAD "{{ m.content }}" END DONE PROMPT(""),
         "[" USER("Port?") ",{\"role\":\"assistant\",\"thinking\":\"look\",\"content\":\"22.\"}"
                           "," USER("Sure?") "," ANSWER("Yes.") "]",
         "(thought) look<|im_end|>22.<|im_end|>Yes.<|im_end|>", 3},
        {"end: the template may go on with the turn in the next message",
         LOOP "{% if m.role == 'user' or not loop.previtem or loop.previtem.role == 'user' %}" HEAD
              "{% else %} {% endif %}{{ m.content }}"
              "{% if m.role == 'user' or not loop.nextitem or loop.nextitem.role == 'user' %}" END
              "{% endif %}" DONE PROMPT(""),
         "[" USER("Port?") "," ANSWER("22.") "," ANSWER("Or 80.") "]", "22. Or 80.<|im_end|>", 1},
    };
    run(b, cases, sizeof cases / sizeof *cases);
    CHECK(
        "end: text behind another message is in no turn, and counted",
        sample(b,
               LOOP "{% if m.role != 'tool' %}" HEAD
                    "{% if m.tool_calls %}[{{ m.tool_calls[0].function.name }}]<|im_end|>"
                    "{{ loop.nextitem.content }} {% endif %}{{ m.content }}" END
                    "{% endif %}" DONE PROMPT(""),
               "[" USER("Ports?") ",{\"role\":\"assistant\",\"content\":\"So.\",\"tool_calls\":"
                                  "[{\"function\":{\"name\":\"scan\",\"arguments\":{}}}]}," RESULT(
                                      "22") "," USER("And?") "," ANSWER("Yes.") "]",
               NULL) &&
            b->sample.facts.outside == 1 && trains(b, "[scan]<|im_end|>Yes.<|im_end|>"));
    CHECK("end: text behind the end of its own turn is in no turn, and counted",
          sample(b,
                 LOOP HEAD "{{ m.content }}" END
                           "{% if m.thinking %}({{ m.thinking }})\n{% endif %}" DONE PROMPT(""),
                 "[" USER("Port?") ",{\"role\":\"assistant\",\"thinking\":\"look\",\"content\":"
                                   "\"22.\"}," USER("Sure?") "," ANSWER("Yes.") "]",
                 NULL) &&
              b->sample.facts.outside == 1 && trains(b, "22.<|im_end|>Yes.<|im_end|>"));
}

/* EOS is <|endoftext|>, which no turn in a history ends with. */
static void without_eos(struct bench *b)
{
    static const struct end_case cases[] = {
        {"end: EOS behind the last turn alone is not the model's",
         LOOP HEAD "{{ m.content }}" END DONE
                   "{% if add_generation_prompt %}<|im_start|>assistant\n"
                   "{% else %}<|endoftext|>{% endif %}",
         "[" USER("Port?") "," ANSWER("22.") "," USER("Sure?") "," ANSWER("Yes.") "]",
         "22.<|im_end|>Yes.<|im_end|>", 2},
        {"end: a channel ends nothing when the call has no arguments",
         HEADED(
             "{{ c.function.name }}<|im_start|>json<|im_start|>{{ c.function.arguments|tojson }}"),
         "[" USER("Ports?") "," NOCALL("scan") "," RESULT("22") "," ANSWER("22.") "]",
         "scan<|im_start|>json<|im_start|>{}<|im_end|>22.<|im_end|>", 2},
        {"end: the last call of a conversation likewise",
         HEADED(
             "{{ c.function.name }}<|im_start|>json<|im_start|>{{ c.function.arguments|tojson }}"),
         "[" USER("Ports?") "," NOCALL("scan") "]", "scan<|im_start|>json<|im_start|>{}<|im_end|>",
         1},
        {"end: special tokens that open the next message are not the end",
         LOOP "<|im_start|>{{ m.role }}: {{ m.content }}<|im_end|>" DONE
              "{% if add_generation_prompt %}<|im_start|>assistant: {% endif %}",
         "[" USER("Port?") "," ANSWER("22.") "," USER("Sure?") "," ANSWER("Yes.") "]",
         "22.<|im_end|>Yes.<|im_end|>", 2},
        {"end: two that the template writes for the message are",
         LOOP "<|im_start|>{{ m.role }}: {{ m.content }}<|im_end|>"
              "{% if m.role == 'assistant' %}<|im_start|>{% endif %}" DONE
              "{% if add_generation_prompt %}<|im_start|>assistant: {% endif %}",
         "[" USER("Port?") "," ANSWER("22.") "," USER("Sure?") "," ANSWER("Yes.") "]",
         "22.<|im_end|><|im_start|>Yes.<|im_end|><|im_start|>", 2},
        {"end: the token that opens the next message may be it",
         LOOP "<|im_start|>{{ m.role }}\n{{ m.content }}" DONE
              "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
         "[" USER("Port?") "," ANSWER("22.") "," USER("Sure?") "," ANSWER("Yes.") "]",
         "22.<|im_start|>Yes.", 1},
        {"end: what closes a call is trained though no token ends the turn",
         LOOP "<|im_start|>{{ m.role }}\n{{ m.content }}{% for c in m.tool_calls or [] %}"
              "<call>{{ c.function.name }}</call>{% endfor %}" DONE
              "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
         "[" USER("Ports?") "," CALL("k1", "scan") "," RESULT("22") "," CALL("k2", "scan") "]",
         "<call>scan</call><|im_start|><call>scan</call>", 1},
        {"end: and where nothing but text stands between the messages",
         LOOP "{{ m.role }}: {{ m.content }}{% for c in m.tool_calls or [] %}"
              "<call>{{ c.function.name }}</call>{% endfor %}\n" DONE
              "{% if add_generation_prompt %}assistant: {% endif %}",
         "[" USER("Ports?") "," CALL("k1", "scan") "," RESULT("22") "," ANSWER("So.") "]",
         " <call>scan</call> So.", 0},
    };
    run(b, cases, sizeof cases / sizeof *cases);
}

/* No token is special; three are added ones. */
static void without_special(struct bench *b)
{
#define ENDED(begin, end)                                                                          \
    LOOP "<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}" begin                          \
         "{{ m.content }}" END end "{% else %}{{ m.content }}" END "{% endif %}" DONE PROMPT("")
    static const struct end_case cases[] = {
        {"end: an added token that is not special ends a turn", ENDED("", ""),
         "[" USER("Port?") "," ANSWER("22.") "]", "22.<|im_end|>", 1},
        {"end: also where generation blocks decide",
         ENDED("{% generation %}", "{% endgeneration %}"), "[" USER("Port?") "," ANSWER("22.") "]",
         "22.<|im_end|>\n", 1},
    };
    run(b, cases, sizeof cases / sizeof *cases);
}

/* The text of a tokenizer.json with no token special. */
static void plain_tokens(struct buf *text)
{
    static const char yes[] = "\"special\":true", no[] = "\"special\":false";
    struct buf out = {0};
    const char *p = text->data, *next;
    for (; (next = strstr(p, yes)); p = next + sizeof yes - 1) {
        buf_add(&out, p, (size_t)(next - p));
        buf_puts(&out, no);
    }
    buf_puts(&out, p);
    buf_free(text);
    *text = out;
}

/* The tiny tokenizer with another EOS or without special tokens, in a folder of its own. */
static bool other_tokenizer(struct bench *b, const char *config, bool special)
{
    struct buf data = {0};
    char dir[600], path[700];
    snprintf(dir, sizeof dir, "%s.eos", b->path);
    bool ok = io_mkdirs(dir, &b->e) == 0 &&
              io_slurp("share/tiny-tokenizer/tokenizer.json", 1 << 22, &data, &b->e) == 0;
    snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    if (ok && !special) plain_tokens(&data);
    ok = ok && io_put(path, data.data, data.len, &b->e) == 0;
    snprintf(path, sizeof path, "%s/tokenizer_config.json", dir);
    ok = ok && io_put(path, config, strlen(config), &b->e) == 0;
    close_chat(b);
    tokenizer_free(b->tok);
    b->tok = ok ? tokenizer_load(dir, &b->e) : NULL;
    buf_free(&data);
    return EXPECT("end: another tokenizer", b->tok != NULL);
}

int main(void)
{
    struct bench b = {0};
    if (!bench_open(&b)) return 1;
    with_eos(&b);
    if (other_tokenizer(&b, "{\"eos_token\":\"<|endoftext|>\"}", true)) without_eos(&b);
    if (other_tokenizer(&b, "{}", false)) without_special(&b);
    bench_close(&b);
    TEST_END();
}
