/* SPDX-License-Identifier: Apache-2.0 */
/* Parts that a template leaves out. */
#include "chat.h"

static const char plain[] = PLAIN;

static void left_out(struct bench *b)
{
    static const struct {
        const char *what, *source, *messages, *tools;
        enum chat_omitted kind;
        uint32_t n;
        bool lost;
    } cases[] = {
        {"left out: nothing", plain, "[" USER("a") "," ANSWER("b") "]", NULL, CHAT_OMITTED_MESSAGE,
         0, false},
        {"left out: a message of a role that the template does not know",
         LOOP "{% if m.role in ['user', 'assistant'] %}" HEAD "{{ m.content }}" END
              "{% endif %}" DONE PROMPT(""),
         "[{\"role\":\"critic\",\"content\":\"Hm.\"}," USER("a") "," ANSWER("b") "]", NULL,
         CHAT_OMITTED_MESSAGE, 1, true},
        {"left out: a system prompt",
         LOOP "{% if m.role != 'system' %}" HEAD "{{ m.content }}" END
              "{% endif %}" DONE PROMPT(""),
         "[{\"role\":\"system\",\"content\":\"Be kind.\"}," USER("a") "," ANSWER("b") "]", NULL,
         CHAT_OMITTED_SYSTEM, 1, true},
        {"left out: white space is nothing", LOOP HEAD "{{ m.content|trim }}" END DONE PROMPT(""),
         "[" USER(" \\n") "," ANSWER(" b\\n") "]", NULL, CHAT_OMITTED_MESSAGE, 0, false},
        {"left out: white space at the ends is no part",
         LOOP HEAD "{{ m.content|trim }}" END DONE PROMPT(""),
         "[" USER("a") "," ANSWER(" b\\n") "]", NULL, CHAT_OMITTED_PART, 0, false},
        {"left out: a part of the content",
         LOOP HEAD "{{ m.content.split('</plan>')[-1] }}" END DONE PROMPT(""),
         "[" USER("a") "," ANSWER("<plan>look</plan>b") "]", NULL, CHAT_OMITTED_PART, 1, false},
        {"left out: a part in the middle",
         LOOP HEAD "{{ m.content.replace('x', '') }}" END DONE PROMPT(""),
         "[" USER("a") "," ANSWER("bxc") "]", NULL, CHAT_OMITTED_PART, 1, false},
        {"left out: one of two calls",
         LOOP HEAD "{{ m.content }}{% for c in m.tool_calls or [] %}{% if loop.first %}"
                   "{{ c.function.name }}{% endif %}{% endfor %}" END DONE PROMPT(""),
         "[" USER("a") ",{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"function\":"
                       "{\"name\":\"f\",\"arguments\":{}}},{\"function\":{\"name\":\"g\","
                       "\"arguments\":{}}}]}]",
         NULL, CHAT_OMITTED_CALL, 1, true},
        {"left out: a thought", plain,
         "[" USER("a") ",{\"role\":\"assistant\",\"reasoning_content\":\"hm\",\"content\":\"b\"}]",
         NULL, CHAT_OMITTED_THOUGHT, 1, false},
        {"left out: not a thought under its other name",
         LOOP HEAD
         "{% if m.thinking %}({{ m.thinking }}){% endif %}{{ m.content }}" END DONE PROMPT(""),
         "[" USER("a") ",{\"role\":\"assistant\",\"reasoning\":\"hm\",\"content\":\"b\"}]", NULL,
         CHAT_OMITTED_THOUGHT, 0, false},
        {"left out: what a call was answered, as an object",
         LOOP "{% if m.role != 'tool' %}" HEAD "{{ m.content }}" END "{% endif %}" DONE PROMPT(""),
         "[" USER("a") ",{\"role\":\"tool\",\"content\":{\"sky\":\"grey\"}}," ANSWER("b") "]", NULL,
         CHAT_OMITTED_MESSAGE, 1, true},
        {"left out: not a picture",
         LOOP HEAD
         "{% if m.content is string %}{{ m.content }}{% else %}<image>{% endif %}" END DONE PROMPT(
             ""),
         "[{\"role\":\"user\",\"content\":[{\"type\":\"image\",\"image\":\"cat.png\"}]}," ANSWER(
             "b") "]",
         NULL, CHAT_OMITTED_MESSAGE, 0, false},
        {"left out: text beside a call",
         LOOP HEAD
         "{% if m.tool_calls %}{{ m.tool_calls|tojson }}{% else %}{{ m.content }}{% endif %}" END
             DONE PROMPT(""),
         "[" USER("a") ",{\"role\":\"assistant\",\"content\":\"So.\",\"tool_calls\":[{\"function\":"
                       "{\"name\":\"f\",\"arguments\":{\"n\":1}}}]}]",
         NULL, CHAT_OMITTED_MESSAGE, 1, true},
        {"left out: tools", plain, "[" USER("a") "," ANSWER("b") "]",
         "[{\"type\":\"function\",\"function\":{\"name\":\"f\"}},{\"name\":\"g\"}]",
         CHAT_OMITTED_TOOL, 2, true},
        {"left out: one of two tools",
         "{{ tools[0]|tojson }}" LOOP HEAD "{{ m.content }}" END DONE PROMPT(""),
         "[" USER("a") "," ANSWER("b") "]", "[{\"name\":\"f\"},{\"name\":\"g\"}]",
         CHAT_OMITTED_TOOL, 1, true},
        {"left out: a tool that a call in the text names is counted, and learnt", CALLS,
         "[" USER("Ports?") "," CALL("k1", "scan") "," RESULT("22") "]",
         "[{\"type\":\"function\",\"function\":{\"name\":\"scan\"}}]", CHAT_OMITTED_TOOL, 1, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool ok = sample(b, cases[i].source, cases[i].messages, cases[i].tools);
        const struct chat_facts *f = &b->sample.facts;
        if (ok && f->omitted[cases[i].kind] != cases[i].n)
            printf("# %u, not %u\n", (unsigned)f->omitted[cases[i].kind], (unsigned)cases[i].n);
        CHECK(cases[i].what,
              ok && f->omitted[cases[i].kind] == cases[i].n && f->lost == cases[i].lost);
    }
}

/* Filters and loops keep the origin of what they change: nothing is left out. */
static void kept(struct bench *b)
{
    static const char *const prints[] = {
        "{{ t|tojson }}",
        "{{ t|tojson|safe }}",
        "{{ t|e }}",
        "{{ t|upper }}",
        "{{ t|title }}",
        "{{ t|capitalize }}",
        "{{ t|trim }}",
        "{{ t|list|join }}",
        "{{ t|list|string }}",
        "{{ t.split()|join(' ') }}",
        "{{ t.splitlines()|join }}",
        "{{ '%s'|format(t) }}",
        "{{ '<{}>'.format(t) }}",
        "{{ '%s' % t }}",
        "{{ 'a' ~ t ~ 'b' }}",
        "{{ 'a' + t }}",
        "{{ t|indent(2) }}",
        "{{ t|center(90) }}",
        "{{ t|truncate(500) }}",
        "{{ t[:3] + t[3:] }}",
        "{{ [t]|string }}",
        "{{ {'c': t}|tojson(indent=2) }}",
        "{{ m|tojson }}",
        "{{ m|string }}",
        "{{ t.partition('b')|join }}",
        "{{ t|replace('zz', 'y') }}",
        "{{ t.ljust(90) }}",
        "{{ [t]|map('trim')|join }}",
        "{{ m.values()|list|string }}",
        "{{ m.items()|list|string }}",
        "{{ messages|map(attribute='content')|list|last }}",
        "{{ namespace(a=t).a }}",
        "{% for c in t %}{{ c }}{% endfor %}",
        "{% for k, v in m.items() %}{{ v }}{% endfor %}",
        "{% set x %}{{ t }}{% endset %}{{ x|trim }}",
        "{% filter upper %}{{ t }}{% endfilter %}",
        "{% macro f(x) %}{{ x|trim }}{% endmacro %}{{ f(t)|trim }}"};
    for (size_t i = 0; i < sizeof prints / sizeof *prints; i++) {
        char source[600];
        snprintf(source, sizeof source, "%s%s%s",
                 LOOP HEAD "{% set t = m.content %}{% if m.role == 'assistant' %}", prints[i],
                 "{% else %}{{ t }}{% endif %}" END DONE PROMPT(""));
        bool ok = sample(
            b, source,
            "[" USER("a") "," ANSWER("Ab \\\"b\\\" <i> &\\n d\xc3\xa9\xf0\x9f\x99\x82 'x'.") "]",
            NULL);
        const struct chat_facts *f = &b->sample.facts;
        if (!ok || f->nnamed) printf("# %s: %u left out %s\n", prints[i], f->nnamed, b->e.msg);
        EXPECT("left out: nothing by a filter or a loop", ok && !f->nnamed && f->stops == 1);
    }
    CHECK("left out: nothing by filters and loops", !test_failed);
}

static void empty(struct bench *b)
{
    CHECK("empty: an answer without text, calls and thought is counted",
          sample(b, plain,
                 "[" USER("a") "," ANSWER("") "," USER("b") "," ANSWER("c") "," USER(
                     "d") ",{\"role\":\"assistant\",\"content\":\" \",\"tool_calls\":[]}]",
                 NULL) &&
              b->sample.facts.empty == 2 && b->sample.facts.turns == 3 && !b->sample.facts.lost);
    CHECK("empty: a call alone is an answer",
          sample(b, CALLS, "[" USER("a") "," CALL("k1", "f") "]", NULL) &&
              b->sample.facts.empty == 0);
}

int main(void)
{
    struct bench b = {0};
    if (!bench_open(&b)) return 1;
    left_out(&b);
    kept(&b);
    empty(&b);
    bench_close(&b);
    TEST_END();
}
