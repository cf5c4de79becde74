/* SPDX-License-Identifier: Apache-2.0 */
/* Small templates, one feature each: the text that transformers renders, or an error where it
 * raises one. Also the bounds of the engine. */
#include "conversation.h"
#include "test.h"

#include "base/io.h"
#include "base/json.h"
#include "chat/chat_impl.h"

/* Renders with the members of `vars` as variables; NULL with the error set. */
static const struct jstr *render(struct str source, const struct json *vars, struct arena *a,
                                 struct err *e)
{
    struct jinja_var v[64];
    struct vm vm = {.a = a, .e = e, .clock = CHAT_CLOCK};
    const struct jstr *out = NULL;
    struct jinja *t = jinja_compile(source, e);
    size_t n = 0;
    if (!t) return NULL;
    for (; vars && n < vars->count && n < 64; n++) {
        v[n].name = arena_copy(a, vars->keys[n].p, vars->keys[n].n, e);
        if (!v[n].name || chat_value_json(&vm, &vars->items[n], &v[n].value) < 0) break;
    }
    if (jinja_render(t, &vm, v, n, &out) < 0) out = NULL;
    if (out) { /* constants live in the template */
        struct jstr *s = arena_alloc(a, sizeof *s, e);
        *s = *out;
        s->p = arena_copy(a, out->p, out->n, e);
        out = s;
    }
    jinja_free(t);
    return out;
}

/* Features that are refused by a message that says so; transformers may render it. */
static bool refused(const struct err *e)
{
    return strstr(e->msg, "supported") || strstr(e->msg, "64 bits") || strstr(e->msg, "know no") ||
           strstr(e->msg, "too large");
}

/* The cases of a file, which tests/oracle makes. */
static void features(const char *path, bool strict)
{
    struct err e = {0};
    struct arena a = {0};
    struct buf text = {0};
    size_t right = 0, refusals = 0;
    const struct json *all = NULL;
    if (io_slurp(path, 8 << 20, &text, &e) == 0) all = json_parse(text.data, text.len, &a, &e);
    const struct json *cases = json_get(all, "cases"), *vars = json_get(all, "vars");
    for (size_t i = 0; cases && i < cases->count; i++) {
        const struct json *c = &cases->items[i], *want = json_get(c, "text");
        struct str source = json_get(c, "source")->s;
        struct arena scratch = {0};
        const struct jstr *got = render(source, vars, &scratch, &e);
        bool ok = got ? want->kind == JSON_STRING && str_eq(want->s, jstr_str(got))
                      : want->kind == JSON_NULL;
        if (!ok && !got && !strict && refused(&e)) {
            refusals++;
            ok = true;
        }
        right += ok;
        if (!ok && got)
            printf("# %.*s: \"%.*s\", not \"%.*s\"\n", STR_FMT(source), STR_FMT(jstr_str(got)),
                   STR_FMT(want->s));
        if (!ok && !got)
            printf("# %.*s: %s, not \"%.*s\"\n", STR_FMT(source), e.msg, STR_FMT(want->s));
        arena_free(&scratch);
    }
    printf("# %zu of %zu agree, %zu refused here\n", right - refusals, cases ? cases->count : 0,
           refusals);
    CHECK("jinja: there are features to compare", cases && cases->count > 600);
    CHECK("jinja: small templates render as in transformers", cases && right == cases->count);
    buf_free(&text);
    arena_free(&a);
}

static bool fails(const char *source, const char *message)
{
    struct err e = {0};
    struct arena a = {0};
    bool failed = !render(str_z(source), NULL, &a, &e);
    bool ok = failed && e.code == ERR_DATA && strstr(e.msg, message);
    if (!ok) printf("# %.60s: %s\n", source, failed ? e.msg : "no error");
    arena_free(&a);
    return ok;
}

static char *repeated(const char *unit, size_t n, const char *end)
{
    struct buf b = {0};
    for (size_t i = 0; i < n; i++) buf_puts(&b, unit);
    buf_puts(&b, end);
    return b.data;
}

static void bounds(void)
{
    char *deep = repeated("{{ (((((((((((((((((((((((((((((((((", 1, "");
    CHECK("jinja bounds: an open tag is an error", fails(deep, "not closed"));
    free(deep);
    char brackets[3003];
    snprintf(brackets, sizeof brackets, "{{ %02990d", 0);
    for (char *p = brackets + 3; *p; p++) *p = '[';
    CHECK("jinja bounds: brackets nest to a bound", fails(brackets, "nested too deeply"));
    deep = repeated("{% if 1 %}", 3000, "");
    CHECK("jinja bounds: blocks nest to a bound", fails(deep, "levels of nesting"));
    free(deep);
    struct buf b = {0};
    buf_puts(&b, "{{ 1");
    for (int i = 0; i < 3000; i++) buf_puts(&b, ".a");
    buf_puts(&b, " }}");
    CHECK("jinja bounds: chains nest to a bound", fails(b.data, "levels of nesting"));
    buf_free(&b);
    buf_puts(&b, "{{ ");
    for (int i = 0; i < 3000; i++) buf_puts(&b, "not ");
    buf_puts(&b, "1 }}");
    CHECK("jinja bounds: prefixes nest to a bound", fails(b.data, "levels of nesting"));
    buf_free(&b);
    CHECK("jinja bounds: macros recurse to a bound",
          fails("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "deep"));
    CHECK("jinja bounds: work is bounded",
          fails("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
                "more than 10000000 steps"));
    CHECK("jinja bounds: output is bounded",
          fails("{% set n = namespace(x='ab') %}{% for i in range(99) %}"
                "{% set n.x = n.x + n.x %}{% endfor %}",
                "grows beyond"));
    CHECK("jinja bounds: values nest to a bound",
          fails("{% set n = namespace(x=1) %}{% for i in range(9999) %}"
                "{% set n.x = [n.x] %}{% endfor %}",
                "nested more than"));
    CHECK("jinja bounds: memory is bounded",
          fails("{% set n = namespace(x='a' * 9999999, y='') %}{% for i in range(999) %}"
                "{% set n.y = n.x + 'b' %}{% endfor %}",
                "more than"));
    CHECK("jinja bounds: integers are bounded", fails("{{ 9223372036854775807 + 1 }}", "64 bits"));
    CHECK("jinja bounds: an error names its line",
          fails("a\nb\n\n{{ x.y }}", "line 4: 'x' is undefined"));
    CHECK("jinja bounds: a parse error names its line", fails("\n\n{% if %}", "line 3"));
    CHECK("jinja: random is refused, since it is not repeatable",
          fails("a\n{{ [1]|random }}", "line 2: `random` is not supported: equal rows"));
    CHECK("jinja: a loop's variable called loop is refused with its line",
          fails("a\nb{% for x,\n loop in l %}{% endfor %}", "line 3: `loop` cannot be assigned"));
    CHECK("jinja: a block that is defined twice is refused with its line",
          fails("{% block a %}{% endblock %}\n{% block a %}{% endblock %}",
                "line 2: block `a` is defined twice"));
    CHECK("jinja: a caller without a default is refused with its line",
          fails("\n{% macro m(a, caller) %}{{ caller() }}{% endmacro %}",
                "line 2: the parameter `caller` of a macro needs a default"));
    CHECK("jinja: the end of another block is refused",
          fails("{% block a %}{% endblock b %}", "line 1: the end of the tag expected before `b`"));
    CHECK("jinja bounds: include is refused by name",
          fails("{% include 'x' %}", "`include` is not supported"));
    CHECK("jinja bounds: raise_exception gives its text",
          fails("{{ raise_exception('roles must alternate') }}", "roles must alternate"));
    CHECK("jinja bounds: bytes that are not UTF-8 are refused", fails("a\xff", "UTF-8"));
}

static void calls(void)
{
    static const char *const wrong[] = {"a=1, 2",   "*a, 2",   "*a, *b",
                                        "**a, b=1", "**a, *b", "**a, **b"};
    static const char *const right[] = {"1, *[2], b=3, **{'c': 4}", "b=3, *[2], c=4,", ""};
    char source[64];
    bool ok = true;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        snprintf(source, sizeof source, "{{ f(%s) }}", wrong[i]);
        ok &= fails(source, "an argument of this kind is not allowed here");
    }
    CHECK("jinja calls: arguments have an order", ok);
    ok = true;
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        snprintf(source, sizeof source, "{{ f(%s) }}", right[i]);
        ok &= fails(source, "'f' is undefined");
    }
    CHECK("jinja calls: arguments of every kind are parsed", ok);
    CHECK("jinja calls: parameters with a default come last",
          fails("{% macro f(a=1, b) %}{% endmacro %}", "a parameter without default"));
    CHECK("jinja calls: parameters are names",
          fails("{% macro f(a, 1) %}{% endmacro %}", "a parameter name expected"));
    struct buf b = {0};
    ok = true;
    for (int n = 64; n <= 65; n++) {
        buf_reset(&b);
        buf_puts(&b, "{% macro f(");
        for (int i = 0; i < n; i++) buf_printf(&b, "%sp%d", i ? ", " : "", i);
        buf_puts(&b, ") %}{% endmacro %}{{ x.y }}");
        ok &= fails(b.data, n == 64 ? "'x' is undefined" : "more than 64 parameters");
    }
    CHECK("jinja calls: a macro has at most 64 parameters", ok);
    buf_free(&b);
}

/* The spans that a template leaves on {"role": "user", "content": "<x>ab</x>  cd"}. */
static bool spans(const char *source, const char *want)
{
    static const char conversation[] = "[{\"role\":\"user\",\"content\":\"<x>ab</x>  cd\"}]";
    struct err e = {0};
    struct arena a = {0};
    struct buf b = {0};
    const struct jstr *s = NULL;
    const struct json *m = json_parse(conversation, sizeof conversation - 1, &a, &e);
    struct chat_template t = {.jinja = jinja_compile(str_z(source), &e)};
    struct chat_conversation conv = conversation_of(m, NULL, &a);
    struct chat_sources sources = {0};
    if (t.jinja && chat_template_render(&t, &a, &conv, false, &sources, &s, &e) == 0)
        for (uint32_t i = 0; i < s->nspans; i++) {
            const struct jspan *k = &s->spans[i];
            const struct chat_source *from = k->source ? &sources.v[k->source - 1] : NULL;
            buf_printf(&b, "%s%u-%u:%d@%u%s%s%s", i ? " " : "", (unsigned)k->begin,
                       (unsigned)k->end, from ? (int)from->message : -1, (unsigned)k->offset,
                       from && from->part == CHAT_CONTENT ? "c" : "",
                       from && from->part == CHAT_ROLE ? "r" : "",
                       k->flags & JSPAN_GENERATION ? "g" : "");
        }
    mem_free(sources.v);
    bool ok = s && strcmp(b.data ? b.data : "", want) == 0;
    if (!ok) printf("# %s: \"%s\", not \"%s\" %s\n", source, b.data ? b.data : "", want, e.msg);
    jinja_free(t.jinja);
    buf_free(&b);
    arena_free(&a);
    return ok;
}

static void provenance(void)
{
    static const struct {
        const char *what, *source, *want;
    } cases[] = {
        {"printing", "a{{ messages[0].content }}", "1-14:0@0c"},
        {"role and content", "{{ messages[0].role ~ ': ' ~ messages[0].content }}",
         "0-4:0@0r 6-19:0@0c"},
        {"split and strip", "{{ messages[0].content.split('</x>')[-1].lstrip() }}", "0-2:0@11c"},
        {"slice", "{{ messages[0].content[3:5] }}", "0-2:0@3c"},
        {"a slice with steps", "{{ messages[0].content[3:5][::-1] }}", "0-1:0@4c 1-2:0@3c"},
        {"trim and upper", "{{ (messages[0].content[9:]|trim|upper) + '!' }}", "0-2:0@11c"},
        {"replace", "{{ messages[0].content.replace('</x>', '--') }}", "0-5:0@0c 7-11:0@9c"},
        {"join of a split", "{{ messages[0].content.split('ab')|join('++') }}",
         "0-3:0@0c 5-13:0@5c"},
        {"set and macro",
         "{% set c = messages[0].content %}{% macro m(x) %}[{{ x[:3] }}]{% endmacro %}{{ m(c) }}",
         "1-4:0@0c"},
        {"a set block and a filter",
         "{% set b | upper %}-{{ messages[0].content }}-{% endset %}{{ b }}", "1-14:0@0c"},
        {"tojson", "{{ messages[0].content[:3]|tojson }}", "1-4:0@0c"},
        {"escaping", "{{ messages[0].content[:3]|e }}", "0-4:0@0c 4-9:0@1c"},
        {"format", "{{ '<%s>' % messages[0].content[3:5] }}{{ '{:>4}'.format(messages[0].role) }}",
         "1-3:0@3c 4-8:0@0r"},
        {"generation", "a{% generation %}b{{ messages[0].content[:3] }}{% endgeneration %}c",
         "1-2:-1@0g 2-5:0@0cg"},
        {"a loop over characters", "{% for c in messages[0].content[3:5] %}{{ c }}{% endfor %}",
         "0-2:0@3c"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[80];
        snprintf(name, sizeof name, "provenance: bytes keep their source through %s",
                 cases[i].what);
        CHECK(name, spans(cases[i].source, cases[i].want));
    }
}

/* With an argument: only the cases of that file, in which a refusal is no failure. */
int main(int argc, char **argv)
{
    features(argc > 1 ? argv[1] : "tests/golden/template/features.json", argc < 2);
    if (argc > 1) return test_failed;
    provenance();
    bounds();
    calls();
    TEST_END();
}
