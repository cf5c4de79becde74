/* SPDX-License-Identifier: Apache-2.0 */
/* Every filter, test and method counts steps in proportion to what it reads: one call on a list of
 * 50 000 and one on a text of 256 kB. Those that look at a part alone are listed. */
#include "base/buf.h"
#include "base/io.h"
#include "jinja/filters.h"
#include "test.h"

enum { ITEMS = 50000, BYTES = 1 << 18 };

static struct arena arena, scratch;
static struct err why;
static struct vm vm;
static struct jval list, text, small;

static void make_values(void)
{
    static struct jstr s, k;
    char *p = arena_alloc(&arena, BYTES, &why);
    memset(p, ' ', BYTES);
    vm = (struct vm){.a = &arena, .e = &why};
    struct jlist *l = jlist_new(&vm, ITEMS);
    for (int i = 0; i < ITEMS; i++) (void)!jlist_add(&vm, l, jval_int(i));
    list = jval_list(l, J_LIST);
    s = (struct jstr){.p = p, .n = BYTES};
    k = (struct jstr){.p = "qr", .n = 2};
    text = jval_str(&s);
    small = jval_str(&k);
}

/* Calls f with 0 to 2 small arguments, whichever it takes. Returns the most steps of a call, or 0
 * when it refuses all of them at once. */
static uint64_t most_steps(const struct jfunc *f, struct jval self)
{
    const struct jval words[2] = {small, small}, numbers[2] = {jval_int(7), jval_int(7)};
    const struct jval whole[1] = {self};
    const struct jargs tries[] = {{.npos = 0},
                                  {.pos = words, .npos = 1},
                                  {.pos = words, .npos = 2},
                                  {.pos = numbers, .npos = 1},
                                  {.pos = whole, .npos = 1}};
    uint64_t most = 0;
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        struct jval out = {0};
        vm.steps = 0;
        vm.a = &scratch;
        (void)!jfunc_call(&vm, f, self, &tries[i], &out);
        if (vm.steps > most) most = vm.steps;
        arena_reset(&scratch);
    }
    return most;
}

typedef const struct jfunc *finder(struct str name);
static const struct jfunc *method(struct str name) { return jinja_method(text, name); }

static bool is_free(const char *names, struct str name)
{
    for (const char *p = names; *p;) {
        size_t n = strcspn(p, " ");
        if (n == name.n && memcmp(p, name.p, n) == 0) return true;
        p += n + (p[n] == ' ');
    }
    return false;
}

/* Tries each name of the table in a source file: those that `find` knows and that are supported. */
static void try_table(const char *area, const char *file, finder *find, struct jval self,
                      const char *names)
{
    const uint64_t least = self.kind == J_STR ? BYTES / 64 : ITEMS / 4;
    struct buf b = {0};
    int tried = 0;
    if (io_slurp(file, 1 << 20, &b, &why)) return CHECK(area, false);
    for (const char *p = b.data; (p = strstr(p, "{\"")); p++) {
        struct str name = {p + 2, strcspn(p + 2, "\"")};
        const struct jfunc *f = find(name);
        if (!f || !f->fn || is_free(names, name)) continue;
        tried++;
        uint64_t steps = most_steps(f, self);
        if (steps < least) printf("# %.*s: %llu steps\n", STR_FMT(name), (unsigned long long)steps);
        EXPECT("template: a call counts what it reads", steps >= least);
    }
    CHECK_IN(area, "each call counts what it reads", tried > 10);
    buf_free(&b);
}

int main(void)
{
    const char *parts =
        "attr d default first float int last length count safe string items "
        "abs round format forceescape e escape dictsort "
        "map indent truncate filesizeformat xmlattr wordwrap random"; /* they refuse a kind of value
                                                                       */
    const char *kinds =
        "odd even divisibleby defined undefined filter test none boolean false true "
        "integer float string mapping number sequence iterable callable sameas "
        "escaped";
    make_values();
    try_table("filters of a list", "lib/jinja/filter.c", jinja_filter, list, parts);
    try_table("filters of a text", "lib/jinja/filter.c", jinja_filter, text, parts);
    try_table("tests of a text", "lib/jinja/test.c", jinja_test, text, kinds);
    try_table("methods of a text", "lib/jinja/method_str.c", method, text, "");
    arena_free(&arena);
    arena_free(&scratch);
    TEST_END();
}
