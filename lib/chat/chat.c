/* SPDX-License-Identifier: Apache-2.0 */
/* A chat template with the tokenizer that it is for; the template names that ROLL knows. */
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

/* What roll/datasets/chat_template.py registers. */
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

const struct chat_name *chat_name_find(const char *name, struct err *e)
{
    struct buf list = {0};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i].name, name) == 0) {
            buf_free(&list);
            if (!names[i].refused) return &names[i];
            err_set(e, ERR_USAGE, "template %s cannot be used: %s", name, names[i].refused);
            return NULL;
        }
        buf_printf(&list, "%s%s", i ? ", " : "", names[i].name);
    }
    err_set(e, ERR_USAGE, "there is no template \"%.200s\"; there are %s, or a file FILE.jinja",
            name, list.failed ? "native" : list.data);
    buf_free(&list);
    return NULL;
}

static int64_t clock_of(const struct chat_options *o)
{
    int64_t t;
    const char *epoch = getenv("SOURCE_DATE_EPOCH");
    if (o->clock) return o->clock;
    return epoch && num_i64(epoch, &t) == 0 ? t : CHAT_CLOCK;
}

static bool is_file(const char *name)
{
    size_t n = strlen(name);
    return n > 6 && strcmp(name + n - 6, ".jinja") == 0;
}

/* The template's source: from the file, the name or the model. `file` keeps what was read. */
static int find_source(struct chat *c, const struct tokenizer *tok, const char *name,
                       struct buf *file, struct str *source, struct err *e)
{
    if (is_file(name)) {
        if (io_slurp(name, (size_t)1 << 20, file, e) < 0) return -1;
        *source = (struct str){file->data ? file->data : "", file->len};
        return 0;
    }
    if (!(c->t.name = chat_name_find(name, e))) return -1;
    *source = c->t.name->source ? str_z(c->t.name->source) : tokenizer_template(tok, "default");
    if (source->p) return 0;
    return err_set(e, ERR_DATA,
                   "the model's files hold no chat template; give one as FILE.jinja or by name, "
                   "such as chatml");
}

static void hash_str(struct hash128 *h, struct str s)
{
    uint64_t n = s.n;
    hash128_add(h, &n, sizeof n);
    if (n) hash128_add(h, s.p, s.n);
}

static void hash_z(struct hash128 *h, const char *z) { hash_str(h, z ? str_z(z) : STR("")); }

/* Everything that changes a sample but the conversation and the tokenizer's own tables. */
static int identify(struct chat *c, struct str source, struct err *e)
{
    static const struct chat_name none = {.name = ""};
    const struct chat_name *n = c->t.name ? c->t.name : &none;
    struct hash128 *h = hash128_new(e);
    if (!h) return -1;
    hash_str(h, source);
    hash_z(h, n->user_prefix);
    hash_z(h, n->suffix);
    int64_t numbers[3] = {n->thinking, c->mask_roll, c->t.clock};
    hash128_add(h, numbers, sizeof numbers);
    for (size_t i = 0; i < tokenizer_named_count(c->t.tok); i++) {
        const char *name;
        struct str text;
        tokenizer_named_at(c->t.tok, i, &name, &text);
        hash_z(h, name);
        hash_str(h, text);
    }
    hash128_hex(h, c->identity);
    hash128_free(h);
    return 0;
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
    struct buf file = {0};
    struct str source;
    if (!c) return NULL;
    c->t.tok = tok;
    c->t.clock = clock_of(o);
    c->mask_roll = o->mask_roll;
    c->has_bos = named_id(tok, "bos_token", &c->bos);
    c->has_eos = named_id(tok, "eos_token", &c->eos);
    int rc = find_source(c, tok, name, &file, &source, e);
    if (rc == 0 && !(c->t.jinja = jinja_compile(source, e)))
        rc = err_prefix(e, is_file(name) ? "%s" : "chat template of %s", name);
    if (rc == 0) rc = identify(c, source, e);
    buf_free(&file);
    if (rc == 0) return c;
    chat_free(c);
    return NULL;
}

void chat_free(struct chat *c)
{
    if (!c) return;
    jinja_free(c->t.jinja);
    mem_free(c);
}

void chat_identity(const struct chat *c, char out[HASH128_HEX])
{
    memcpy(out, c->identity, HASH128_HEX);
}
