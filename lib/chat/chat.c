/* SPDX-License-Identifier: Apache-2.0 */
/* Chooses and compiles a chat template; the template names of ROLL. */
#include "chat/chat.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/io.h"
#include "base/opt.h"
#include "chat/chat_impl.h"

static const char chatml[] = "{% for m in messages %}"
                             "{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] }}"
                             "{{ '<|im_end|>\\n' }}"
                             "{% endfor %}"
                             "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}"
                             "{% endif %}";
static const char one_user[] = "it renders a single user message only, so that there is no answer "
                               "to train on";

/* The names in roll/datasets/chat_template.py of ROLL. */
static const struct chat_name names[] = {
    {.name = "native"},
    {.name = "qwen2_5"},
    {.name = "qwen3", .thinking = 1},
    {.name = "native_nonthinking", .thinking = -1},
    {.name = "chatml", .source = chatml},
    {.name = "longCOT_qwen2.5",
     .user_prefix = "Return your final response within \\boxed{}. ",
     .needs_system = true},
    {.name = "longcot_V3", .suffix = "<think>\n"},
    {.name = "base", .refused = one_user},
    {.name = "empty", .refused = one_user},
};

static const struct chat_name *name_find(const char *name)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i].name, name) == 0) return &names[i];
    return NULL;
}

static int64_t clock_of(const struct chat_options *o)
{
    int64_t t;
    const char *epoch = getenv("SOURCE_DATE_EPOCH");
    if (o->clock) return o->clock;
    return epoch && !num_i64(epoch, &t) ? t : CHAT_CLOCK;
}

static bool is_file(const char *name)
{
    size_t n = strlen(name);
    return n > 6 && strcmp(name + n - 6, ".jinja") == 0;
}

/* ---- the template's source ---- */
/* Appends the names of the model's templates, separated by commas. */
static int list_own(const struct tokenizer *tok, struct buf *b, struct err *e)
{
    for (size_t i = 0; i < tokenizer_template_count(tok); i++) {
        const char *name;
        struct str text;
        tokenizer_template_at(tok, i, &name, &text);
        buf_printf(b, "%s%s", i ? ", " : "", name);
    }
    return buf_check(b, e);
}

/* True for a name of ROLL's that this model can use: some need a template of the model. */
static bool is_usable(const struct chat *c, const struct chat_name *n)
{
    const struct tokenizer *tok = c->t.tok;
    return !n->refused && (n->source || tokenizer_template(tok, "default").p ||
                           tokenizer_template(tok, "tool_use").p);
}

/* Finds the nearest of the names that can be used, ROLL's and the model's; NULL when none is near.
 */
static const char *nearest_name(const struct chat *c, const char *name)
{
    enum { NAMES = sizeof names / sizeof *names };
    const struct tokenizer *tok = c->t.tok;
    const size_t own = tokenizer_template_count(tok);
    const char **words = mem_alloc(NAMES + own + 1, sizeof *words, NULL);
    size_t n = 0;
    for (size_t i = 0; words && i < NAMES; i++)
        if (is_usable(c, &names[i])) words[n++] = names[i].name;
    for (size_t i = 0; words && i < own; i++) {
        struct str text;
        tokenizer_template_at(tok, i, &words[n++], &text);
    }
    const char *near = words ? opt_nearest(name, words) : NULL;
    mem_free(words);
    return near;
}

static int unknown_name(const struct chat *c, const char *name, struct err *e)
{
    struct buf list = {0};
    const char *near = nearest_name(c, name), *comma = "";
    if (io_exists(name, NULL) > 0 && io_is_dir(name, NULL) == 0)
        return err_set(e, ERR_USAGE, "%.200s: a file with a template has to end in .jinja", name);
    buf_puts(&list, near ? "did you mean " : "there are ");
    if (near) buf_printf(&list, "%s? There are ", near);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!is_usable(c, &names[i])) continue;
        buf_printf(&list, "%s%s", comma, names[i].name);
        comma = ", ";
    }
    if (c->own.len) buf_printf(&list, ", the model's own %s", c->own.data);
    if (!buf_check(&list, e))
        err_set(e, ERR_USAGE, "there is no template \"%.200s\"; %s; or give a file FILE.jinja",
                name, list.data);
    buf_free(&list);
    return -1;
}

/* The source of the template, and of the one for conversations with tools. */
struct sources {
    struct str plain, tool_use; /* p NULL: none */
    struct buf file;            /* the contents of a FILE.jinja */
};

/* As in transformers, tool_use renders conversations with tools where the model has it, and default
 * the others. */
static int own_sources(const struct chat *c, struct sources *s, struct err *e)
{
    s->plain = tokenizer_template(c->t.tok, "default");
    s->tool_use = tokenizer_template(c->t.tok, "tool_use");
    if (s->plain.p || s->tool_use.p || !c->own.len) return 0;
    return err_set(e, ERR_DATA,
                   "the model has several chat templates and none is called default; name one "
                   "with -t: %s",
                   c->own.data);
}

static int find_sources(struct chat *c, const char *name, struct sources *s, struct err *e)
{
    if (is_file(name)) {
        if (io_slurp_any(name, (size_t)1 << 20, &s->file, e)) return -1;
        s->plain = (struct str){s->file.data ? s->file.data : "", s->file.len};
        return 0;
    }
    const struct chat_name *known = name_find(name);
    if (known && known->refused)
        return err_set(e, ERR_USAGE, "template %s cannot be used: %s", name, known->refused);
    c->t.name = known;
    if (known && !known->source) return own_sources(c, s, e);
    s->plain = known ? str_z(known->source) : tokenizer_template(c->t.tok, name);
    return s->plain.p ? 0 : unknown_name(c, name, e);
}

static int compile(struct chat *c, const char *name, const struct sources *s, struct err *e)
{
    if (s->plain.p && !(c->t.jinja = jinja_compile(s->plain, e)))
        return err_prefix(e, is_file(name) ? "%s" : "chat template of %s", name);
    if (s->tool_use.p && !(c->t.tool_use = jinja_compile(s->tool_use, e)))
        return err_prefix(e, "chat template tool_use");
    return 0;
}

/* ---- identity ---- */
static void hash_str(struct hash128 *h, struct str s)
{
    uint64_t n = s.n;
    hash128_add(h, &n, sizeof n);
    if (n) hash128_add(h, s.p, s.n);
}

static void hash_z(struct hash128 *h, const char *z) { hash_str(h, z ? str_z(z) : STR("")); }

static int hash_json(struct hash128 *h, const struct json *v, struct err *e)
{
    struct buf b = {0};
    if (v) json_write(v, &b);
    int rc = buf_check(&b, e);
    hash_str(h, (struct str){b.data, b.len});
    buf_free(&b);
    return rc;
}

/* Hashes everything that changes a sample, except the conversation and the tokenizer's tables. */
static int identify(struct chat *c, const struct sources *s, struct err *e)
{
    static const struct chat_name none = {.name = ""};
    const struct chat_name *n = c->t.name ? c->t.name : &none;
    struct hash128 *h = hash128_new(e);
    if (!h) return -1;
    hash_str(h, s->plain);
    hash_str(h, s->tool_use);
    hash_z(h, n->user_prefix);
    hash_z(h, n->suffix);
    int64_t numbers[4] = {n->thinking, c->mask, c->t.clock, c->t.keep_arguments};
    hash128_add(h, numbers, sizeof numbers);
    const uint32_t *before;
    const size_t nbefore = tokenizer_prefix(c->t.tok, &before);
    if (nbefore) hash128_add(h, before, nbefore * sizeof *before);
    int rc = hash_json(h, c->t.vars, e);
    for (size_t i = 0; i < tokenizer_named_count(c->t.tok); i++) {
        const char *name;
        struct str text;
        tokenizer_named_at(c->t.tok, i, &name, &text);
        hash_z(h, name);
        hash_str(h, text);
    }
    hash128_hex(h, c->identity);
    hash128_free(h);
    return rc;
}

static bool named_id(const struct tokenizer *tok, const char *name, uint32_t *id)
{
    struct str text = tokenizer_named(tok, name);
    return text.p && text.n && tokenizer_id(tok, text, id);
}

struct chat *chat_new(const struct tokenizer *tok, const struct chat_options *o, struct err *e)
{
    const char *name = o->name ? o->name : "native";
    struct chat *c = mem_alloc(1, sizeof *c, e);
    struct sources sources = {0};
    if (!c) return NULL;
    c->t = (struct chat_template){
        .tok = tok, .vars = o->vars, .keep_arguments = o->keep_arguments, .clock = clock_of(o)};
    c->mask = o->mask;
    c->has_bos = named_id(tok, "bos_token", &c->bos);
    c->has_eos = named_id(tok, "eos_token", &c->eos);
    int rc = list_own(tok, &c->own, e);
    c->t.names = c->own.data;
    if (!rc) rc = find_sources(c, name, &sources, e);
    if (!rc) rc = compile(c, name, &sources, e);
    if (!rc) rc = identify(c, &sources, e);
    buf_free(&sources.file);
    if (!rc) return c;
    chat_free(c);
    return NULL;
}

void chat_free(struct chat *c)
{
    if (!c) return;
    jinja_free(c->t.jinja);
    jinja_free(c->t.tool_use);
    buf_free(&c->own);
    mem_free(c);
}

void chat_identity(const struct chat *c, char out[HASH128_HEX])
{
    memcpy(out, c->identity, HASH128_HEX);
}
