/* SPDX-License-Identifier: Apache-2.0 */
/* Turns: where they begin and end. */
#include "chat.h"

/* ---- heads ---- */
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
        {"head: of a first turn, the prompt may be without what opens the conversation",
         LOOP "{% if loop.first %}<|endoftext|>Be kind.<|im_end|>{% endif %}" HEAD
              "{{ m.content }}" END DONE PROMPT(""),
         "[" ANSWER("Hello.") "," USER("Port?") "," ANSWER("22.") "]",
         "Hello.<|im_end|>22.<|im_end|>"},
        {"head: of a first turn, the prompt may be found before a later one alone",
         "{{ messages[0].role[:0] }}" LOOP "[{{ m.role }}](all) {{ m.content }}"
         "{% if loop.last and m.role == 'assistant' and not add_generation_prompt "
         "%}<|endoftext|>{% else %}<|im_end|>"
         "{% endif %}" DONE "{% if add_generation_prompt %}[assistant](all){% endif %}",
         "[" ANSWER("Hello.") "," USER("Port?") "," ANSWER("22.") "]",
         " Hello.<|im_end|> 22.<|endoftext|>"},
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
    CHECK("head: a few bytes of the prompt are no head",
          sample(b,
                 "{% if messages|length < 2 %}{{ raise_exception('no') }}{% endif %}" LOOP
                 "<|im_end|>as {{ m.role }} {{ m.content }}" END DONE PROMPT(""),
                 "[" USER("Port?") "," ANSWER("22.") "]", NULL) &&
              b->sample.facts.headless == 1 && trains(b, "22.<|im_end|>"));
    CHECK("head: a head that is nowhere is counted",
          sample(b,
                 "{% if messages|length < 2 or add_generation_prompt %}"
                 "{{ raise_exception('no') }}{% endif %}" LOOP HEAD "{{ m.content }}" END DONE,
                 "[" USER("Port?") "," ANSWER("22.") "]", NULL) &&
              b->sample.facts.headless == 1 && trains(b, "22.<|im_end|>"));
}

/* ---- ends ---- */

static void ends(struct bench *b)
{
    static const char once[] =
        "[" USER("Ports?") "," CALL("k1", "scan") "," RESULT("22") "," ANSWER("22.") "]";
    CHECK("end: a name that shows up again in the answer to the call ends nothing",
          sample(b, CALLS, once, NULL) &&
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

int main(void)
{
    struct bench b = {0};
    if (!bench_open(&b)) return 1;
    heads(&b);
    ends(&b);
    bench_close(&b);
    TEST_END();
}
