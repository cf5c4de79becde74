/* SPDX-License-Identifier: Apache-2.0 */
/* Real chat templates over a set of conversations: the text that transformers renders, or an error
 * where it raises. Also that provenance is exact: bytes said to be content are that content. */
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
static size_t wrong_spans(const struct jstr *s, const struct json *messages)
{
    size_t wrong = 0;
    uint32_t end = 0;
    for (uint32_t i = 0; i < s->nspans; i++) {
        const struct jspan *k = &s->spans[i];
        wrong += k->begin < end || k->end <= k->begin || k->end > s->n;
        end = k->end;
        if (!(k->flags & JSPAN_CONTENT) || k->message < 0) continue;
        const struct json *m = &messages->items[k->message];
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

static void check_line(char *line, const struct json *conversations, const struct json *extra,
                       const char *dir, struct counts *n)
{
    static char last[256];
    static struct jinja *t;
    struct err e = {0};
    char name[128], want[32], path[512];
    unsigned index, prompt;
    if (sscanf(line, "%127s\t%u\t%u\t%31s", name, &index, &prompt, want) != 4) return;
    if (strcmp(name, last) != 0) {
        struct buf b = {0};
        jinja_free(t);
        snprintf(path, sizeof path, "%s/%s", dir, name);
        t = io_slurp(path, 1 << 20, &b, &e) < 0 ? NULL
                                                : jinja_compile((struct str){b.data, b.len}, &e);
        if (!t) printf("# %s: %s\n", name, e.msg);
        buf_free(&b);
        snprintf(last, sizeof last, "%s", name);
    }
    struct arena a = {0};
    const struct json *c = &conversations->items[index];
    const struct jstr *s = NULL;
    struct chat_template template = {.jinja = t, .extra = extra, .clock = CHAT_CLOCK};
    int rc = t ? chat_template_render(&template, &a, json_get(c, "messages"), json_get(c, "tools"),
                                      prompt, &s, &e)
               : -1;
    char got[32] = "error";
    if (rc == 0) snprintf(got, sizeof got, "%016" PRIx64, fnv(s->p, s->n));
    n->renders++;
    n->errors += rc < 0;
    if (strcmp(got, want) == 0)
        n->agree++;
    else
        printf("# %s conversation %u prompt %u: %s, not %s (%s)\n", name, index, prompt, got, want,
               rc < 0 ? e.msg : "");
    if (rc == 0) n->inexact += wrong_spans(s, json_get(c, "messages")) > 0;
    arena_free(&a);
}

int main(void)
{
    static const char dir[] = "../shared/data/templates";
    struct err e = {0};
    struct buf lines = {0}, text = {0};
    struct arena a = {0};
    struct counts n = {0};
    if (!io_is_dir(dir)) {
        SKIP("real templates render as in transformers", "no ../shared/data/templates");
        return 0;
    }
    if (io_slurp("tests/golden/template/conversations.json", 1 << 20, &text, &e) < 0 ||
        io_slurp("tests/golden/template/renders.tsv", 1 << 20, &lines, &e) < 0) {
        printf("not ok golden files: %s\n", e.msg);
        return 1;
    }
    const struct json *conversations = json_parse(text.data, text.len, &a, &e);
    const struct json *extra = json_parse(special, sizeof special - 1, &a, &e);
    char *save = NULL;
    if (conversations && extra)
        for (char *l = strtok_r(lines.data, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
            check_line(l, conversations, extra, dir, &n);
    printf("# %zu of %zu renders agree, %zu of them errors; %zu with changed content\n", n.agree,
           n.renders, n.errors, n.inexact);
    CHECK("there are renders to compare", n.renders > 1000);
    CHECK("real templates render as in transformers", n.agree == n.renders);
    CHECK("content keeps its exact origin", n.inexact == 0);
    buf_free(&text);
    buf_free(&lines);
    arena_free(&a);
    return test_failed;
}
