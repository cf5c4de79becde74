/* SPDX-License-Identifier: Apache-2.0 */
/* Real chat templates over a set of conversations: the text that transformers renders, or an error
 * where it raises. Also that provenance is exact: bytes said to be content are that content. */
#include "conversation.h"
#include "test.h"

#include <inttypes.h>

#include "base/io.h"
#include "base/json.h"
#include "chat/chat_impl.h"

static const char special[] = "{\"bos_token\": \"<s>\", \"eos_token\": \"</s>\", "
                              "\"pad_token\": \"<pad>\", \"unk_token\": \"<unk>\"}";

static uint64_t fnv(const char *p, size_t n)
{
    uint64_t h = UINT64_C(0xCBF29CE484222325);
    for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)p[i]) * UINT64_C(0x100000001B3);
    return h;
}

/* Counts spans of content whose bytes are not those of the message at their offset. Lists of parts
 * and what a tool returned are left out: some templates print these in Python's or JSON's form. */
static size_t wrong_spans(const struct jstr *s, const struct chat_sources *sources,
                          const struct json *messages)
{
    size_t wrong = 0;
    uint32_t end = 0;
    for (uint32_t i = 0; i < s->nspans; i++) {
        const struct jspan *k = &s->spans[i];
        wrong += k->begin < end || k->end <= k->begin || k->end > s->n;
        end = k->end;
        const struct chat_source *from = k->source ? &sources->v[k->source - 1] : NULL;
        if (!from || from->part != CHAT_CONTENT) continue;
        const struct json *m = &messages->items[from->message];
        if (json_get(m, "content")->kind != JSON_STRING || str_is(json_get(m, "role")->s, "tool"))
            continue;
        struct str text = json_get(m, "content")->s;
        size_t n = k->end - k->begin;
        wrong += k->offset + n > text.n || memcmp(text.p + k->offset, s->p + k->begin, n) != 0;
    }
    return wrong;
}

struct counts {
    size_t renders, agree, errors, inexact;
};

/* The template of a file, with one byte changed where `at` is not negative. */
static struct jinja *load(const char *dir, const char *name, long at, int byte)
{
    struct err e = {0};
    struct buf b = {0};
    struct jinja *t = NULL;
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (io_slurp(path, 1 << 20, &b, &e) == 0) {
        if (at >= 0 && (size_t)at < b.len) b.data[at] = (char)byte;
        t = jinja_compile((struct str){b.data, b.len}, &e);
    }
    if (!t && at < 0) printf("# %s: %s\n", name, e.msg);
    buf_free(&b);
    return t;
}

/* The hash of the rendering, or "error". */
static void outcome(const struct jinja *t, const struct json *c, const struct json *extra,
                    bool prompt, char got[32], struct counts *n)
{
    struct err e = {0};
    struct arena a = {0};
    const struct jstr *s = NULL;
    struct chat_template template = {
        .jinja = (struct jinja *)t, .vars = extra, .keep_arguments = true, .clock = CHAT_CLOCK};
    const struct json *messages = json_get(c, "messages");
    struct chat_conversation conv = conversation_of(messages, json_get(c, "tools"), &a);
    struct chat_sources sources = {0};
    int rc = t ? chat_template_render(&template, &a, &conv, prompt, &sources, &s, &e) : -1;
    snprintf(got, 32, "error");
    if (rc == 0) snprintf(got, 32, "%016" PRIx64, fnv(s->p, s->n));
    n->renders++;
    n->errors += rc < 0;
    if (rc == 0) n->inexact += wrong_spans(s, &sources, messages) > 0;
    mem_free(sources.v);
    arena_free(&a);
}

static void render_line(const char *line, const struct json *conversations,
                        const struct json *extra, const char *dir, struct counts *n)
{
    char name[128], want[32], got[32];
    unsigned index, prompt;
    if (sscanf(line, "%127s\t%u\t%u\t%31s", name, &index, &prompt, want) != 4) return;
    struct jinja *t = load(dir, name, -1, 0);
    outcome(t, &conversations->items[index], extra, prompt, got, n);
    jinja_free(t);
    n->agree += strcmp(got, want) == 0;
    if (strcmp(got, want) != 0)
        printf("# %s conversation %u prompt %u: %s, not %s\n", name, index, prompt, got, want);
}

static void edit_line(const char *line, const struct json *conversations, const struct json *extra,
                      const char *dir, struct counts *n)
{
    char name[128], want[32], got[32];
    unsigned at, byte, index;
    if (sscanf(line, "%127s\t%u\t%u\t%u\t%31s", name, &at, &byte, &index, want) != 5) return;
    struct jinja *t = load(dir, name, (long)at, (int)byte);
    outcome(t, &conversations->items[index], extra, false, got, n);
    jinja_free(t);
    n->agree += strcmp(got, want) == 0;
    if (strcmp(got, want) != 0)
        printf("# %s with %c at %u, conversation %u: %s, not %s\n", name, (int)byte, at, index, got,
               want);
}

typedef void line_fn(const char *line, const struct json *conversations, const struct json *extra,
                     const char *dir, struct counts *n);
static struct counts each_line(const char *file, line_fn *f, const struct json *conversations,
                               const struct json *extra, const char *dir)
{
    struct err e = {0};
    struct buf lines = {0};
    struct counts n = {0};
    char *save = NULL;
    if (io_slurp(file, 1 << 20, &lines, &e) < 0) printf("# %s\n", e.msg);
    for (char *l = lines.data ? strtok_r(lines.data, "\n", &save) : NULL; l;
         l = strtok_r(NULL, "\n", &save))
        f(l, conversations, extra, dir, &n);
    buf_free(&lines);
    printf("# %zu of %zu renders agree, %zu of them errors\n", n.agree, n.renders, n.errors);
    return n;
}

int main(void)
{
    static const char dir[] = "../shared/data/templates";
    struct err e = {0};
    struct buf text = {0};
    struct arena a = {0};
    if (!io_is_dir(dir, NULL)) {
        SKIP("templates: real templates render as in transformers", "no ../shared/data/templates");
        return 0;
    }
    const struct json *conversations = NULL;
    if (io_slurp("tests/golden/template/conversations.json", 1 << 20, &text, &e) == 0)
        conversations = json_parse(text.data, text.len, &a, &e);
    const struct json *extra = json_parse(special, sizeof special - 1, &a, &e);
    if (!conversations || !extra) {
        printf("not ok golden files: %s\n", e.msg);
        return 1;
    }
    struct counts n =
        each_line("tests/golden/template/renders.tsv", render_line, conversations, extra, dir);
    CHECK("templates: there are renders to compare", n.renders > 1000);
    CHECK("templates: real templates render as in transformers", n.agree == n.renders);
    CHECK("templates: content keeps its exact origin", n.inexact == 0);
    n = each_line("tests/golden/template/edits.tsv", edit_line, conversations, extra, dir);
    CHECK("templates: there are edited templates to compare",
          n.renders > 800 && n.errors < n.renders);
    CHECK("templates: templates with one character changed render as in transformers",
          n.agree == n.renders);
    buf_free(&text);
    arena_free(&a);
    return test_failed;
}
