/* SPDX-License-Identifier: Apache-2.0 */
/* Ids and labels with Qwen2.5's tokenizer: equal to Hugging Face's and ROLL's on real rows, and
 * what is trained is the assistant's text with its end token and nothing else. */
#include "conversation.h"
#include "test.h"

#include <inttypes.h>

#include "base/io.h"
#include "base/json.h"
#include "chat/chat.h"

static const char model[] = "../shared/data/tokenizers/qwen2.5";
static const char templates[] = "../shared/data/templates";

/* Everything one template needs. */
struct bench {
    struct chat *chat;
    struct chat_scratch *scratch;
    struct chat_sample sample;
};

static bool bench_open(struct bench *b, const struct tokenizer *tok, const char *name,
                       enum chat_mask mask)
{
    struct err e = {0};
    struct chat_options o = {.name = name, .mask = mask};
    *b = (struct bench){0};
    b->chat = chat_new(tok, &o, &e);
    b->scratch = b->chat ? chat_scratch_new(b->chat, &e) : NULL;
    if (!b->scratch) printf("# %s: %s\n", name, e.msg);
    return b->scratch != NULL;
}

static void bench_close(struct bench *b)
{
    chat_sample_free(&b->sample);
    chat_scratch_free(b->scratch);
    chat_free(b->chat);
}

static bool sample(struct bench *b, const struct json *messages, const struct json *tools)
{
    struct err e = {0};
    struct arena a = {0};
    struct chat_conversation conv = conversation_of(messages, tools, &a);
    bool ok = chat_sample(b->chat, b->scratch, &conv, &b->sample, &e) == 0;
    arena_free(&a);
    return ok;
}

/* FNV-1a over (id, label) pairs, as the script computes it. */
static uint64_t fingerprint(const struct chat_sample *s)
{
    uint64_t h = UINT64_C(0xCBF29CE484222325);
    size_t run = 0;
    uint32_t left = s->nruns ? s->runs[0].n : 0;
    for (size_t i = 0; i < s->tokens.n; i++) {
        while (!left) left = s->runs[++run].n;
        left--;
        uint32_t pair[2] = {s->tokens.ids[i],
                            s->runs[run].weight > 0 ? s->tokens.ids[i] : (uint32_t)-100};
        for (int k = 0; k < 8; k++)
            h = (h ^ ((pair[k / 4] >> (k % 4 * 8)) & 0xFF)) * UINT64_C(0x100000001B3);
    }
    return h;
}

/* The trained tokens as text. */
static void trained_text(const struct tokenizer *tok, const struct chat_sample *s, struct buf *b)
{
    struct err e = {0};
    uint32_t *ids = malloc((s->tokens.n + 1) * sizeof *ids);
    size_t n = 0, at = 0;
    for (size_t r = 0; r < s->nruns; at += s->runs[r++].n)
        for (uint32_t i = 0; s->runs[r].weight > 0 && i < s->runs[r].n; i++)
            ids[n++] = s->tokens.ids[at + i];
    buf_reset(b);
    if (ids) tokenizer_decode(tok, ids, n, false, b, &e);
    free(ids);
}

/* ---- golden labels ---- */
static const struct json *row_messages(const struct json *row, struct arena *a)
{
    struct err e = {0};
    struct buf b = {0};
    const struct json *input = json_get(row, "input");
    struct buf user = {0};
    buf_str(&user, json_get(row, "instruction")->s);
    if (input->s.n) {
        buf_puts(&user, "\n");
        buf_str(&user, input->s);
    }
    buf_puts(&b, "[{\"role\":\"user\",\"content\":");
    buf_json(&b, (struct str){user.data, user.len});
    buf_puts(&b, "},{\"role\":\"assistant\",\"content\":");
    buf_json(&b, json_get(row, "output")->s);
    buf_puts(&b, "}]");
    const char *text = arena_copy(a, b.data, b.len, &e);
    const struct json *j = json_parse(text, b.len, a, &e);
    buf_free(&b);
    buf_free(&user);
    return j;
}

struct golden {
    struct bench native, roll, generation;
    const struct json *rows, *conversations;
    size_t checked, agree, same_prefix;
};

static void check_line(struct golden *g, const char *line)
{
    char which[32], want[16], got[16];
    unsigned index, n;
    struct arena a = {0};
    if (sscanf(line, "%31s\t%u\t%u\t%15s", which, &index, &n, want) != 4) return;
    bool row = strcmp(which, "roll") == 0 || strcmp(which, "turn") == 0;
    struct bench *b = strstr(which, "roll")              ? &g->roll
                      : strcmp(which, "generation") == 0 ? &g->generation
                                                         : &g->native;
    const struct json *c = &(row ? g->rows : g->conversations)->items[index];
    const struct json *m = row ? row_messages(c, &a) : json_get(c, "messages");
    bool ok = sample(b, m, row ? NULL : json_get(c, "tools"));
    snprintf(got, sizeof got, "%08" PRIx64, fingerprint(&b->sample) >> 32);
    ok = ok && b->sample.tokens.n == n && strcmp(got, want) == 0;
    g->checked++;
    g->agree += ok;
    if (!ok)
        printf("# %s %u: %zu tokens %s, not %u tokens %s\n", which, index, b->sample.tokens.n, got,
               n, want);
    arena_free(&a);
}

static void golden(struct golden *g)
{
    struct err e = {0};
    struct buf lines = {0};
    if (io_slurp("tests/golden/template/labels.tsv", 1 << 20, &lines, &e) < 0)
        printf("# %s\n", e.msg);
    char *save = NULL;
    for (char *l = lines.data ? strtok_r(lines.data, "\n", &save) : NULL; l;
         l = strtok_r(NULL, "\n", &save))
        check_line(g, l);
    printf("# %zu of %zu samples agree\n", g->agree, g->checked);
    CHECK("labels: there are golden labels", g->checked > 4000);
    CHECK("labels: ids and labels equal Hugging Face's and ROLL's", g->agree == g->checked);
    buf_free(&lines);
}

/* On real rows both masks train the same tokens; ROLL's text lacks the last newline. */
static void masks_agree(struct golden *g)
{
    size_t same = 0;
    for (size_t i = 0; i < g->rows->count; i++) {
        struct arena a = {0};
        const struct json *m = row_messages(&g->rows->items[i], &a);
        if (sample(&g->native, m, NULL) && sample(&g->roll, m, NULL)) {
            const struct chat_sample *d = &g->native.sample, *r = &g->roll.sample;
            bool answered = json_get(&g->rows->items[i], "output")->s.n > 0;
            same += answered
                        ? d->tokens.n == r->tokens.n + 1 && d->facts.trained == r->facts.trained &&
                              d->facts.stops == 1 && r->facts.stops == 1
                        : !d->facts.trained && !r->facts.trained;
        }
        arena_free(&a);
    }
    CHECK("labels: the default mask trains what ROLL's does", same == g->rows->count);
}

/* ---- the property: trained text == assistant text + end ---- */
static void expected_text(const struct chat_sample *s, const struct json *messages, struct buf *b)
{
    const struct chat_rendering *r = &s->rendering;
    int32_t open = -1;
    buf_reset(b);
    for (size_t i = 0; i < r->nspans; i++) {
        const struct chat_span *k = &r->spans[i];
        if (k->part != CHAT_CONTENT ||
            !str_is(json_get(&messages->items[k->message], "role")->s, "assistant"))
            continue;
        if (open >= 0 && open != k->message) buf_puts(b, "<|im_end|>");
        open = k->message;
        buf_add(b, r->text.data + k->begin, k->end - k->begin);
    }
    if (open >= 0) buf_puts(b, "<|im_end|>");
}

static void property(const struct tokenizer *tok, const struct json *conversations)
{
    static const char *const files[] = {"qwen2_5",  "qwen2_5_vl",          "qwen3",
                                        "qwen3_vl", "qwen3_instruct_2507", "qwen3_5_nothink",
                                        "lfm2",     "nemotron_3_super"};
    struct buf want = {0}, got = {0};
    size_t checked = 0, right = 0;
    for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
        char path[256];
        struct bench b;
        snprintf(path, sizeof path, "%s/%s.jinja", templates, files[f]);
        if (!bench_open(&b, tok, path, CHAT_MASK_CONTENT)) continue;
        for (size_t i = 0; i < conversations->count; i++) {
            const struct json *c = &conversations->items[i], *m = json_get(c, "messages");
            const char *name = json_get(c, "name")->s.p;
            if (strncmp(name, "think", 5) == 0 || strncmp(name, "tool", 4) == 0) continue;
            if (!sample(&b, m, NULL) || b.sample.facts.straddling) continue;
            expected_text(&b.sample, m, &want);
            trained_text(tok, &b.sample, &got);
            bool ok =
                want.len == got.len && (!want.len || memcmp(want.data, got.data, want.len) == 0);
            checked++;
            right += ok;
            if (!ok)
                printf("# %s, %.12s: trained \"%s\", not \"%s\"\n", files[f], name, got.data,
                       want.data);
        }
        bench_close(&b);
    }
    printf("# %zu of %zu\n", right, checked);
    CHECK("labels: what is trained is the assistant's text and its end",
          checked >= 70 && right == checked);
    buf_free(&want);
    buf_free(&got);
}

/* ---- single cases ---- */
static void expect(const struct tokenizer *tok, const char *what, const char *name,
                   enum chat_mask mask, const char *messages, const char *want, uint32_t stops)
{
    struct bench b;
    struct arena a = {0};
    struct err e = {0};
    struct buf got = {0};
    const struct json *m = json_parse(messages, strlen(messages), &a, &e);
    bool ok = m && bench_open(&b, tok, name, mask) && sample(&b, m, NULL);
    if (ok) trained_text(tok, &b.sample, &got);
    ok = ok && strcmp(got.data ? got.data : "", want) == 0 && b.sample.facts.stops == stops;
    if (!ok)
        printf("# trained \"%s\", %u stops\n", got.data ? got.data : "",
               (unsigned)b.sample.facts.stops);
    CHECK(what, ok);
    bench_close(&b);
    buf_free(&got);
    arena_free(&a);
}

static void cases(const struct tokenizer *tok)
{
    static const char call[] =
        "[{\"role\":\"user\",\"content\":\"Add.\"},{\"role\":\"assistant\",\"content\":\"\","
        "\"tool_calls\":[{\"type\":\"function\",\"function\":{\"name\":\"add\",\"arguments\":"
        "{\"a\":1}}}]},{\"role\":\"tool\",\"content\":\"2\"},"
        "{\"role\":\"assistant\",\"content\":\"It is 2.\"}]";
    static const char thought[] =
        "[{\"role\":\"user\",\"content\":\"Hm?\"},{\"role\":\"assistant\",\"reasoning_content\":"
        "\"Well.\",\"content\":\"Yes.\"}]";
    static const char inline_thought[] =
        "[{\"role\":\"user\",\"content\":\"Hm?\"},{\"role\":\"assistant\",\"content\":"
        "\"<think>\\nWell.\\n</think>\\n\\nYes.\"}]";
    static const char plain[] = "[{\"role\":\"user\",\"content\":\"Hm?\"},"
                                "{\"role\":\"assistant\",\"content\":\"Yes.\"}]";
    static const char empty[] = "[{\"role\":\"user\",\"content\":\"Hm?\"},"
                                "{\"role\":\"assistant\",\"content\":\"\"}]";
    static const char newline[] = "[{\"role\":\"user\",\"content\":\"Hm?\"},"
                                  "{\"role\":\"assistant\",\"content\":\"\\nYes.\"}]";
    expect(tok, "turn: a tool call is trained with what wraps it", "native", CHAT_MASK_TURN, call,
           "<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 1}}\n</tool_call><|im_end|>"
           "It is 2.<|im_end|>",
           2);
    expect(tok, "turn: an empty answer trains nothing", "native", CHAT_MASK_TURN, empty, "", 0);
    expect(tok, "turn: a newline that merges with the prompt's makes a token that is trained",
           "native", CHAT_MASK_TURN, newline, "\n\nYes.<|im_end|>", 1);
    expect(tok, "content: a token with a byte outside is not trained", "native", CHAT_MASK_CONTENT,
           newline, "Yes.<|im_end|>", 1);
    expect(tok, "roll: a newline that merges with the prompt's is masked", "native", CHAT_MASK_ROLL,
           newline, "Yes.<|im_end|>", 1);
    expect(tok, "turn: the template's own end is not trained twice", "chatml", CHAT_MASK_TURN,
           plain, "Yes.<|im_end|>", 1);
    if (!io_is_dir(templates, NULL)) {
        SKIP("turn: labels with the template qwen3", "no ../shared/data/templates");
        return;
    }
    char qwen3[256];
    snprintf(qwen3, sizeof qwen3, "%s/qwen3.jinja", templates);
    expect(tok, "turn: an empty thought behind the prompt is trained", qwen3, CHAT_MASK_TURN, plain,
           "<think>\n\n</think>\n\nYes.<|im_end|>", 1);
    expect(tok, "content: the template's own thought is not trained", qwen3, CHAT_MASK_CONTENT,
           plain, "Yes.<|im_end|>", 1);
    expect(tok, "content: what wraps a call is not trained", "native", CHAT_MASK_CONTENT, call,
           "adda<|im_end|>It is 2.<|im_end|>", 2);
    expect(tok, "roll: the template's own thought is trained", qwen3, CHAT_MASK_ROLL, plain,
           "<think>\n\n</think>\n\nYes.<|im_end|>", 1);
    expect(tok, "turn: reasoning is trained with what wraps it", qwen3, CHAT_MASK_TURN, thought,
           "<think>\nWell.\n</think>\n\nYes.<|im_end|>", 1);
    expect(tok, "turn: reasoning inside the content is trained whole", qwen3, CHAT_MASK_TURN,
           inline_thought, "<think>\nWell.\n</think>\n\nYes.<|im_end|>", 1);
}

/* The text between the content and the token that ends the turn. */
static void ends(const struct tokenizer *tok)
{
    static const char plain[] = "[{\"role\":\"user\",\"content\":\"Hm?\"},"
                                "{\"role\":\"assistant\",\"content\":\"Yes.\"},"
                                "{\"role\":\"user\",\"content\":\"And?\"},"
                                "{\"role\":\"assistant\",\"content\":\"No.\"}]";
    static const struct {
        const char *what, *end, *want;
        uint32_t stops;
        enum chat_mask mask;
    } cases[] = {
        {"turn: white space before the end token is trained", " \n<|im_end|>\n",
         "Yes. \n<|im_end|>No. \n<|im_end|>", 2, CHAT_MASK_TURN},
        {"turn: other text before the end token is trained", " </a><|im_end|>\n",
         "Yes. </a><|im_end|>No. </a><|im_end|>", 2, CHAT_MASK_TURN},
        {"content: text before the end token is not trained", " </a><|im_end|>\n",
         "Yes.<|im_end|>No.<|im_end|>", 2, CHAT_MASK_CONTENT},
        {"turn: special tokens in a row reach to EOS", "<|endoftext|><|im_end|>",
         "Yes.<|endoftext|><|im_end|>No.<|endoftext|><|im_end|>", 2, CHAT_MASK_TURN},
        {"turn: what follows the end token is not trained", "<|im_end|>\n<|endoftext|>",
         "Yes.<|im_end|>No.<|im_end|>", 2, CHAT_MASK_TURN},
        {"turn: without an end token the turn ends with what the template writes of it", " -\n",
         "Yes. -\nNo. -\n", 0, CHAT_MASK_TURN},
        {"turn: a token that straddles the end of the text is not trained", "\n", "YesNo", 0,
         CHAT_MASK_TURN},
    };
    char path[512];
    const char *tmp = getenv("TEST_TMP");
    snprintf(path, sizeof path, "%s/ends.jinja", tmp ? tmp : "/tmp");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e = {0};
        struct buf b = {0};
        buf_printf(&b,
                   "{%% for m in messages %%}{{ '[' + m.role + ']' + m.content }}%s{%% endfor %%}"
                   "{%% if add_generation_prompt %%}[assistant]{%% endif %%}",
                   cases[i].end);
        if (io_put(path, b.data, b.len, &e) < 0) printf("# %s\n", e.msg);
        expect(tok, cases[i].what, path, cases[i].mask, plain, cases[i].want, cases[i].stops);
        buf_free(&b);
    }
}

static void names(const struct tokenizer *tok)
{
    static const char *const good[] = {"native", "qwen2_5",         "qwen3",
                                       "chatml", "longCOT_qwen2.5", "longcot_V3"};
    struct err e = {0};
    char id[2][HASH128_HEX];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct chat *c = chat_new(tok, &(struct chat_options){.name = good[i]}, &e);
        EXPECT("labels: a template name of ROLL's", c != NULL);
        if (c && i < 4) chat_identity(c, id[i / 3]);
        chat_free(c);
    }
    CHECK("labels: another template has another identity", strcmp(id[0], id[1]) != 0);
    CHECK("labels: base is refused", !chat_new(tok, &(struct chat_options){.name = "base"}, &e) &&
                                         e.code == ERR_USAGE &&
                                         strstr(e.msg, "single user message"));
    CHECK("labels: an unknown name lists the known ones",
          !chat_new(tok, &(struct chat_options){.name = "alpaca"}, &e) && e.code == ERR_USAGE &&
              strstr(e.msg, "qwen2_5, qwen3"));
    CHECK("labels: a missing file is a missing input",
          !chat_new(tok, &(struct chat_options){.name = "none.jinja"}, &e) &&
              e.code == ERR_NOINPUT);
}

int main(void)
{
    struct err e = {0};
    struct golden g = {0};
    struct arena a = {0};
    struct buf rows = {0}, conversations = {0};
    char training[256];
    if (!io_is_dir(model, NULL)) {
        SKIP("labels: ids and labels with Qwen2.5", "no ../shared/data/tokenizers/qwen2.5");
        return 0;
    }
    struct tokenizer *tok = tokenizer_load(model, &e);
    snprintf(training, sizeof training, "%s/qwen2_5_training.jinja", templates);
    if (!tok ||
        io_slurp("tests/golden/template/conversations.json", 1 << 20, &conversations, &e) < 0 ||
        io_slurp("../shared/data/instruct/code_alpaca_2k.json", 8 << 20, &rows, &e) < 0 ||
        !(g.conversations = json_parse(conversations.data, conversations.len, &a, &e)) ||
        !(g.rows = json_parse(rows.data, rows.len, &a, &e)) ||
        !bench_open(&g.native, tok, "native", CHAT_MASK_TURN) ||
        !bench_open(&g.roll, tok, "native", CHAT_MASK_ROLL) ||
        !bench_open(&g.generation, tok, training, CHAT_MASK_TURN)) {
        printf("not ok set-up: %s\n", e.msg);
        return 1;
    }
    golden(&g);
    masks_agree(&g);
    property(tok, g.conversations);
    cases(tok);
    ends(tok);
    names(tok);
    bench_close(&g.native);
    bench_close(&g.roll);
    bench_close(&g.generation);
    tokenizer_free(tok);
    buf_free(&rows);
    buf_free(&conversations);
    arena_free(&a);
    TEST_END();
}
