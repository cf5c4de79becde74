/* SPDX-License-Identifier: Apache-2.0 */
/* Loads a normalizer and applies its steps to a text. */
#include "text/normalizer.h"

#include <string.h>

#include "text/bytechars.h"
#include "text/fields.h"
#include "unicode/unicode.h"
#include "unicode/utf8.h"

enum step_kind { STEP_FORM, STEP_PREPEND, STEP_REPLACE, STEP_LOWER, STEP_STRIP, STEP_BYTES };
struct step {
    enum step_kind kind;
    bool compose, compat;  /* STEP_FORM */
    bool left, right;      /* STEP_STRIP */
    struct regex *pattern; /* STEP_REPLACE */
    char *text;            /* STEP_PREPEND, STEP_REPLACE */
    size_t text_n;
};
struct normalizer {
    struct step *step;
    size_t n, cap;
    struct cpset space;
};

static int load_steps(struct normalizer *n, const struct json *o, int depth, struct err *e);

static int load_list(struct normalizer *n, const struct json *o, int depth, struct err *e)
{
    const struct json *list = field_need_array(o, "normalizers", e);
    if (!list) return -1;
    if (depth > 16) return err_set(e, ERR_DATA, "sequences are nested too deeply");
    for (size_t i = 0; i < list->count; i++)
        if (load_steps(n, &list->items[i], depth + 1, e)) return -1;
    return 0;
}

static int own_text(struct step *s, struct str text, struct err *e)
{
    s->text = mem_strndup(text.p, text.n, e);
    s->text_n = text.n;
    return s->text ? 0 : -1;
}

static int load_step(struct step *s, struct str type, const struct json *o, struct err *e)
{
    struct str text;
    if (str_is(type, "NFC") || str_is(type, "NFD") || str_is(type, "NFKC") ||
        str_is(type, "NFKD")) {
        s->kind = STEP_FORM;
        s->compose = type.p[type.n - 1] == 'C';
        s->compat = type.n == 4;
        return 0;
    }
    if (str_is(type, "Lowercase")) return s->kind = STEP_LOWER, 0;
    if (str_is(type, "ByteLevel")) return s->kind = STEP_BYTES, 0;
    if (str_is(type, "Strip")) {
        s->kind = STEP_STRIP;
        return field_bool(o, "strip_left", false, &s->left, e) ||
                       field_bool(o, "strip_right", false, &s->right, e)
                   ? -1
                   : 0;
    }
    if (str_is(type, "Prepend")) {
        s->kind = STEP_PREPEND;
        return field_need_str(o, "prepend", &text, e) ? -1 : own_text(s, text, e);
    }
    if (str_is(type, "Replace")) {
        s->kind = STEP_REPLACE;
        s->pattern = field_pattern(o, e);
        if (!s->pattern || field_need_str(o, "content", &text, e)) return -1;
        return own_text(s, text, e);
    }
    return err_set(e, ERR_DATA, "normalizer \"%.*s\" is not supported", STR_FMT(type));
}

static int load_steps(struct normalizer *n, const struct json *o, int depth, struct err *e)
{
    struct str type = field_type(o, "normalizer", e);
    if (type.n == 0) return -1;
    if (str_is(type, "Sequence")) return load_list(n, o, depth, e);
    if (n->n == FIELDS_MAX_STEPS) return fields_too_many("normalizers", e);
    if (mem_grow(&n->step, &n->cap, n->n + 1, sizeof *n->step, e)) return -1;
    n->step[n->n] = (struct step){0};
    return load_step(&n->step[n->n++], type, o, e);
}

struct normalizer *normalizer_load(const struct json *o, struct err *e)
{
    struct normalizer *n = mem_alloc(1, sizeof *n, e);
    if (!n) return NULL;
    if (cpset_add_ranges(&n->space, unicode_rust_space, unicode_rust_space_n, e) ||
        (o && o->kind != JSON_NULL && load_steps(n, o, 0, e))) {
        normalizer_free(n);
        return NULL;
    }
    return n;
}

void normalizer_free(struct normalizer *n)
{
    if (!n) return;
    for (size_t i = 0; i < n->n; i++) {
        regex_free(n->step[i].pattern);
        mem_free(n->step[i].text);
    }
    mem_free(n->step);
    cpset_free(&n->space);
    mem_free(n);
}

void normalizer_scratch_free(struct normalizer_scratch *s)
{
    ntext_free(&s->a);
    ntext_free(&s->b);
    regex_mem_free(&s->mem);
    mem_free(s->list);
    *s = (struct normalizer_scratch){0};
}

bool normalizer_is_identity(const struct normalizer *n, struct str text)
{
    for (size_t i = 0; i < n->n; i++) {
        const struct step *s = &n->step[i];
        if (s->kind != STEP_FORM || !s->compose || s->compat ||
            normal_form_nfc_prefix(text) < text.n)
            return false;
    }
    return true;
}

static int prepend(const struct step *s, const struct ntext *from, struct ntext *to, struct err *e)
{
    if (from->n > 0 && ntext_put(to, s->text, s->text_n, from->align[0], e)) return -1;
    return ntext_copy(to, from, 0, from->n, e);
}

/* Replaces each match. The replacement has the origin of the last character of the match. */
static int replace(const struct step *s, struct regex_mem *mem, const struct ntext *from,
                   struct ntext *to, struct err *e)
{
    struct regex_iter it;
    size_t begin, end, last = 0;
    int rc = 0;
    regex_iter_init(&it, s->pattern, mem, from->p, from->n);
    while (from->n > 0 && (rc = regex_next(&it, &begin, &end, e)) > 0) {
        struct ntext_range r = {0, 0};
        if (end > 0) r = from->align[end - 1];
        if (ntext_copy(to, from, last, begin, e) || ntext_put(to, s->text, s->text_n, r, e))
            return -1;
        last = end;
    }
    return rc < 0 ? -1 : ntext_copy(to, from, last, from->n, e);
}

static int lower(const struct ntext *from, struct ntext *to, struct err *e)
{
    struct transform t = {from, 0, to};
    for (size_t i = 0; i < from->n;) {
        uint32_t c, out[3];
        i += utf8_get(from->p + i, &c);
        unsigned n = unicode_to_lower(c, out);
        for (unsigned k = 0; k < n; k++)
            if (transform_put(&t, out[k], k > 0, e)) return -1;
    }
    return 0;
}

static int to_bytes(const struct ntext *from, struct ntext *to, struct err *e)
{
    for (size_t i = 0; i < from->n; i++) {
        char out[4];
        unsigned n = utf8_put(out, bytechar_of((unsigned char)from->p[i]));
        if (ntext_put(to, out, n, from->align[i], e)) return -1;
    }
    return 0;
}

static int strip(const struct normalizer *n, const struct step *s, const struct ntext *from,
                 struct ntext *to, struct err *e)
{
    size_t begin = 0, end = from->n;
    uint32_t c;
    while (s->left && begin < end) {
        unsigned len = utf8_get(from->p + begin, &c);
        if (!cpset_has(&n->space, c)) break;
        begin += len;
    }
    while (s->right && end > begin) {
        unsigned len = utf8_get_back(from->p + end, &c);
        if (!cpset_has(&n->space, c)) break;
        end -= len;
    }
    return ntext_copy(to, from, begin, end, e);
}

static int apply_step(const struct normalizer *n, const struct step *s,
                      struct normalizer_scratch *w, const struct ntext *from, struct ntext *to,
                      struct err *e)
{
    switch (s->kind) {
    case STEP_FORM:
        if (s->compose && !s->compat) return normal_form_nfc(w, from, to, e);
        return normal_form(w, from, to, s->compose, s->compat, e);
    case STEP_PREPEND:
        return prepend(s, from, to, e);
    case STEP_REPLACE:
        return replace(s, &w->mem, from, to, e);
    case STEP_LOWER:
        return lower(from, to, e);
    case STEP_STRIP:
        return strip(n, s, from, to, e);
    case STEP_BYTES:
        return to_bytes(from, to, e);
    }
    return 0;
}

int normalizer_apply(const struct normalizer *n, struct normalizer_scratch *s,
                     const struct ntext *from, size_t begin, size_t end, struct ntext *to,
                     struct err *e)
{
    struct ntext *now = &s->a, *then = &s->b;
    const size_t room = to->max - to->n;
    ntext_clear(now, room);
    if (ntext_copy(now, from, begin, end, e)) return -1;
    for (size_t i = 0; i < n->n; i++) {
        struct ntext *swap = now;
        ntext_clear(then, room);
        if (apply_step(n, &n->step[i], s, now, then, e)) return -1;
        now = then;
        then = swap;
    }
    return ntext_copy(to, now, 0, now->n, e);
}
