/* SPDX-License-Identifier: Apache-2.0 */
/* sft-ckpt convert --to gguf: converts a Hugging Face folder to a GGUF file. */
#include "convert.h"

#include <inttypes.h>
#include <string.h>

#include "base/io.h"
#include "base/log.h"
#include "hf/folder.h"
#include "hf/gguf_export.h"
#include "hf/peft.h"
#include "text/tokenizer.h"
#include "verbs.h"

/* The words of CONVERT_TYPES. */
static const enum gguf_type types[] = {GGUF_TYPE_F32,  GGUF_TYPE_F16,  GGUF_TYPE_BF16,
                                       GGUF_TYPE_Q8_0, GGUF_TYPE_Q4_0, GGUF_TYPE_Q4_K,
                                       GGUF_TYPE_Q6_K};

/* ---- the tokenizer ---- */
enum { MAX_TEMPLATES = 64 };
struct vocabulary {
    struct tokenizer *t;
    struct tokenizer_scratch *scratch;
    const char *names[MAX_TEMPLATES];
    struct str templates[MAX_TEMPLATES];
};

static int64_t named_id(const struct tokenizer *t, const char *name)
{
    uint32_t id;
    const struct str text = tokenizer_named(t, name);
    return text.p && tokenizer_id(t, text, &id) ? (int64_t)id : HF_NO_TOKEN;
}

static void find_ids(const struct tokenizer *t, const struct hf_config *c, struct gguf_tokens *to)
{
    to->bos = named_id(t, "bos_token");
    to->eos = named_id(t, "eos_token");
    to->pad = named_id(t, "pad_token");
    to->unk = named_id(t, "unk_token");
    if (to->bos < 0) to->bos = c->bos_token_id;
    if (to->eos < 0 && c->eos_count) to->eos = c->eos_token_id[0];
    if (to->pad < 0) to->pad = c->pad_token_id;
}

/* GGUF can say only that BOS precedes every text. */
static int find_prefix(const struct vocabulary *v, const char *dir, struct gguf_tokens *to,
                       struct err *e)
{
    const uint32_t *ids;
    const size_t n = tokenizer_prefix(v->t, &ids);
    to->add_bos = n > 0;
    if (n == 1 && to->bos < 0) to->bos = ids[0];
    if (n == 0 || (n == 1 && to->bos == ids[0])) return 0;
    return err_set(e, ERR_DATA,
                   "%s: its tokenizer puts other tokens before every text than the "
                   "beginning-of-sequence token; GGUF cannot say that",
                   dir);
}

static int alone(void *vocabulary, struct str text, size_t *parts, uint32_t *rank, struct err *e)
{
    const struct vocabulary *v = vocabulary;
    return tokenizer_alone(v->t, v->scratch, text, parts, rank, e);
}

static int open_vocabulary(struct vocabulary *v, const char *dir, struct gguf_tokens *to,
                           struct err *e)
{
    struct hf_config c;
    if (hf_config_read(dir, &c, e)) return -1;
    if (gguf_export_check(&c, dir, e) == 0) v->t = tokenizer_load(dir, e);
    if (v->t) find_ids(v->t, &c, to);
    hf_config_free(&c);
    if (!v->t || find_prefix(v, dir, to, e)) return -1;
    if (!(v->scratch = tokenizer_scratch_new(v->t, e))) return -1;
    to->alone = alone;
    to->tokenizer = v;
    to->names = v->names;
    to->templates = v->templates;
    to->ntemplates = tokenizer_template_count(v->t);
    for (size_t i = 0; i < to->ntemplates; i++)
        tokenizer_template_at(v->t, i, &v->names[i], &v->templates[i]);
    return 0;
}

/* ---- what was written ---- */
/* llama.cpp has one switch for a space before a text; by enum gguf_space. */
static const char *const spaces[] = {
    [GGUF_SPACE_MISSING] = "puts no space before a text that begins with a word, where the "
                           "tokenizer puts one; chats, which begin with a special token, are "
                           "read alike",
    [GGUF_SPACE_BEHIND] = "puts a space behind each special token, which the tokenizer does not",
    [GGUF_SPACE_TWICE] = "puts a space before a text that begins with one, which the tokenizer "
                         "does not",
};

static void tell(const struct gguf_exported *x, const char *from, const char *out)
{
    for (size_t i = 0; i < x->fallbacks; i++) {
        const struct gguf_fallback *f = &x->fallback[i];
        log_line(LOG_INFO,
                 "rows of %" PRIu64 " elements are not whole blocks of %s: %zu %s %s instead",
                 f->row, gguf_type_name(f->wanted), f->count,
                 f->count == 1 ? "tensor is" : "tensors are", gguf_type_name(f->got));
    }
    if (x->window)
        log_line(LOG_WARN,
                 "%s: GGUF has no sliding window in this family: texts of more than %" PRId64
                 " tokens are answered otherwise",
                 from, x->window);
    if (x->stripped)
        log_line(
            LOG_WARN,
            "%s: GGUF cannot say lstrip, rstrip, single_word and normalized of %zu added tokens",
            from, x->stripped);
    if (spaces[x->space]) log_line(LOG_WARN, "%s: llama.cpp %s", from, spaces[x->space]);
    log_line(LOG_INFO, "%s: written from %s", out, from);
}

static int print_json(const struct gguf_exported *x, enum gguf_type type, const char *from,
                      const char *out, struct err *e)
{
    struct buf b = {0};
    buf_puts(&b, "{\"output\":");
    buf_json(&b, str_z(out));
    buf_puts(&b, ",\"inputs\":[");
    buf_json(&b, str_z(from));
    buf_printf(&b,
               "],\"type\":\"%s\",\"tensors\":%zu,\"parameters\":%" PRIu64 ",\"bytes\":%" PRIu64
               ",\"fallbacks\":[",
               gguf_type_name(type), x->tensors, x->parameters, x->bytes);
    for (size_t i = 0; i < x->fallbacks; i++)
        buf_printf(&b, "%s{\"wanted\":\"%s\",\"got\":\"%s\",\"row\":%" PRIu64 ",\"tensors\":%zu}",
                   i ? "," : "", gguf_type_name(x->fallback[i].wanted),
                   gguf_type_name(x->fallback[i].got), x->fallback[i].row, x->fallback[i].count);
    buf_puts(&b, "]}\n");
    int rc = verb_print(&b, e);
    buf_free(&b);
    return rc;
}

/* ---- the conversion ---- */
static int find_model(const char *path, char **dir, struct err *e)
{
    char *found = NULL, *adapter = NULL;
    int rc = hf_folder_find(path, &found, e);
    if (rc == 0) rc = peft_find_dir(found, &adapter, e);
    if (rc > 0)
        err_set(e, ERR_DATA,
                "%s: is an adapter; merge it into its model first: sft-ckpt merge MODEL %s -o DIR",
                path, path);
    else if (rc == 0)
        rc = hf_folder_resolve(found, dir, e);
    mem_free(adapter);
    mem_free(found);
    return rc ? -1 : 0;
}

/* The last part of the path that was given, or of the folder that "." stands for. */
static char *model_name(const char *path, struct err *e)
{
    char *real = io_real(path, e);
    const char *slash = real ? strrchr(real, '/') : NULL;
    char *name = slash ? mem_strndup(slash + 1, strlen(slash + 1), e) : NULL;
    mem_free(real);
    return name;
}

int convert_to_gguf(const char *path, int type, const char *out, bool json, struct err *e)
{
    struct vocabulary v = {0};
    struct gguf_exported done;
    struct gguf_export x = {.type = types[type], .threads = verb_threads()};
    char *dir = NULL, *name = NULL;
    int rc = find_model(path, &dir, e);
    if (rc == 0) rc = (name = model_name(io_is_dir(path, NULL) > 0 ? path : dir, e)) ? 0 : -1;
    if (rc == 0) rc = open_vocabulary(&v, dir, &x.tokens, e);
    x.dir = dir;
    x.name = name;
    if (rc == 0) rc = gguf_export(&x, out, &done, e);
    if (rc == 0) tell(&done, path, out);
    if (rc == 0 && json) rc = print_json(&done, x.type, path, out, e);
    tokenizer_scratch_free(v.scratch);
    tokenizer_free(v.t);
    mem_free(name);
    mem_free(dir);
    return rc;
}
