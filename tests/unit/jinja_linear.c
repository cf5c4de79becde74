/* SPDX-License-Identifier: Apache-2.0 */
/* Templates that go through a list of messages cost steps and memory in proportion to it, also
 * where they build one text or one list in a loop; and strings that share memory for that stay as
 * they were. */
#include "base/mem.h"
#include "jinja/jinja.h"
#include "test.h"

struct cost {
    double steps, bytes;
};

/* Makes a list of n messages; each content is a source, as those of a conversation. */
static int make_messages(struct vm *vm, size_t n, struct jval *out)
{
    static const struct jstr role = {.p = "role", .n = 4}, content = {.p = "content", .n = 7},
                             user = {.p = "user", .n = 4};
    struct jlist *l = jlist_new(vm, n);
    for (size_t i = 0; l && i < n; i++) {
        struct jdict *d = jdict_new(vm);
        struct jstr *s = vm_alloc(vm, 1, sizeof *s);
        struct jspan *k = vm_alloc(vm, 1, sizeof *k);
        char *p = arena_alloc(vm->a, 64, vm->e);
        if (!d || !s || !k || !p) return -1;
        const int len = snprintf(p, 64, "message %06zu of this conversation", n - i);
        *k = (struct jspan){.end = (uint32_t)len, .source = (uint32_t)i + 1};
        *s = (struct jstr){.p = p, .n = (uint32_t)len, .spans = k, .nspans = 1};
        if (jdict_set(vm, d, jval_str(&role), jval_str(&user)) ||
            jdict_set(vm, d, jval_str(&content), jval_str(s)) ||
            jlist_add(vm, l, (struct jval){.kind = J_DICT, .u.dict = d}))
            return -1;
    }
    *out = jval_list(l, J_LIST);
    return l ? 0 : -1;
}

static bool measure(const char *source, size_t n, struct cost *cost)
{
    struct arena a = {0};
    struct err e = {0};
    struct vm vm = {.a = &a, .e = &e};
    struct jval messages = {0};
    const struct jstr *out;
    struct jinja *t = jinja_compile(str_z(source), &e);
    bool ok = t && make_messages(&vm, n, &messages) == 0;
    const struct jinja_var var = {"messages", messages};
    const uint64_t steps = vm.steps;
    const size_t used = a.used;
    ok = ok && jinja_render(t, &vm, &var, 1, &out) == 0;
    *cost = (struct cost){(double)(vm.steps - steps), (double)(a.used - used)};
    if (!ok) printf("# %s: %s\n", source, e.msg);
    jinja_free(t);
    arena_free(&a);
    return ok;
}

static void linear(void)
{
    static const struct {
        const char *name, *source;
    } cases[] = {
        {"messages that are printed",
         "{% for m in messages %}<|{{ m.role }}|>{{ m['content']|trim }}{% endfor %}"},
        {"a text that is built by +", "{% set ns = namespace(x='') %}{% for m in messages %}"
                                      "{% set ns.x = ns.x + '<|' + m.role + '|>' + m.content %}"
                                      "{% endfor %}{{ ns.x }}"},
        {"a text that is built by ~", "{% set ns = namespace(x='') %}{% for m in messages %}"
                                      "{% set ns.x = ns.x ~ m.role ~ 1 ~ m.content %}"
                                      "{% endfor %}{{ ns.x }}"},
        {"a text that is built of parts", "{% set ns = namespace(x='') %}{% for m in messages %}"
                                          "{% set ns.x = ns.x + m.content[:5] + m.content[5:] %}"
                                          "{% endfor %}{{ ns.x }}"},
        {"a list that is built by +", "{% set ns = namespace(l=[]) %}{% for m in messages %}"
                                      "{% set ns.l = ns.l + [m.content] %}{% endfor %}"
                                      "{{ ns.l|join(',') }}"},
        {"the rest of the messages", "{% for m in messages %}{{ messages[loop.index0:][0].role }}"
                                     "{{ messages[:loop.index][-1].role }}{% endfor %}"},
        {"neighbours",
         "{% for m in messages %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }}"
         "{{ messages[loop.index0 - 1].role }}{{ (messages|last).role }}{{ messages|length }}"
         "{{ loop.changed(m.role) }}{{ loop.cycle('a', 'b') }}{% endfor %}"},
        {"filters of all messages",
         "{{ messages|map(attribute='content')|sort|unique|join(',') }}"
         "{{ messages|groupby('role')|length }}{{ messages|selectattr('role', 'eq', 'user')|list|"
         "length }}{{ messages|reverse|first }}{{ messages|batch(3)|list|length }}"
         "{{ messages|tojson }}{{ messages|max(attribute='content') }}{{ messages|string }}"},
        {"filters of a long text",
         "{% set t = messages|map(attribute='content')|join(' ') %}{{ t|replace('m', 'nn')|length "
         "}}"
         "{{ t.split('s')|length }}{{ t|wordcount }}{{ t|indent|length }}{{ t|title|length }}"
         "{{ t|e|striptags|length }}{{ t.count('e') }}{{ t.splitlines()|length }}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cost a, b;
        bool ok = measure(cases[i].source, 1000, &a) && measure(cases[i].source, 4000, &b);
        if (ok) printf("# steps x%.2f, bytes x%.2f\n", b.steps / a.steps, b.bytes / a.bytes);
        /* Twelve comparisons instead of ten sort four times as many; rooms double. */
        CHECK_IN("4 times the messages cost 4 to 6 times as much", cases[i].name,
                 ok && b.steps < 6 * a.steps && b.bytes < 8 * a.bytes);
    }
}

static bool renders(const char *source, const char *want)
{
    struct arena a = {0};
    struct err e = {0};
    struct vm vm = {.a = &a, .e = &e};
    const struct jstr *out = NULL;
    struct jinja *t = jinja_compile(str_z(source), &e);
    bool ok = t && jinja_render(t, &vm, NULL, 0, &out) == 0 && str_is(jstr_str(out), want);
    if (!ok) printf("# %s: %.*s %s\n", source, out ? (int)out->n : 0, out ? out->p : "", e.msg);
    jinja_free(t);
    arena_free(&a);
    return ok;
}

static void shared(void)
{
    CHECK("jinja: two texts that begin with one keep their ends",
          renders("{% set a = 'x' + 'y' %}{% set b = a + '1' %}{% set c = a + '2' %}"
                  "{% set d = b + '3' %}{{ a }} {{ b }} {{ c }} {{ d }} {{ a + a }} {{ a }}",
                  "xy xy1 xy2 xy13 xyxy xy"));
    CHECK("jinja: so do those of one expression that appends to its own beginning",
          renders("{% set a = 'x' ~ 'y' %}{% macro f() %}{{ a ~ '1' }}{% endmacro %}"
                  "{{ a ~ f() ~ a ~ (a ~ '2') }} {{ a }}",
                  "xyxy1xyxy2 xy"));
    CHECK("jinja: two lists that begin with one keep their ends",
          renders("{% set a = [1] + [2] %}{% set b = a + [3] %}{% set c = a + [4] %}"
                  "{{ a }}{{ b }}{{ c }}{{ a + a }}{{ b + b }}{{ a }}",
                  "[1, 2][1, 2, 3][1, 2, 4][1, 2, 1, 2][1, 2, 3, 1, 2, 3][1, 2]"));
    CHECK("jinja: a part of a list does not change what it is of",
          renders("{% set a = [1, 2, 3] %}{% set b = a[:2] + [9] %}{{ a[1:] }}{{ b }}{{ a }}"
                  "{{ (1, 2, 3)[1:] }}{{ a[1:1] }}",
                  "[2, 3][1, 2, 9][1, 2, 3](2, 3)[]"));
    CHECK("jinja: a safe text is appended to an escaped one, and that stays",
          renders("{% set a = ('<'|e) + '>' %}{{ a + '&' }}{{ a }}{{ a ~ '&' }}",
                  "&lt;&gt;&amp;&lt;&gt;&lt;&gt;&"));
}

int main(void)
{
    linear();
    shared();
    TEST_END();
}
