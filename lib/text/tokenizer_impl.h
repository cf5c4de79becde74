/* SPDX-License-Identifier: Apache-2.0 */
/* Private to the tokenizer (tokenizer*.c): its components. */
#ifndef SFT_TEXT_TOKENIZER_IMPL_H
#define SFT_TEXT_TOKENIZER_IMPL_H

#include "text/added.h"
#include "text/bpe.h"
#include "text/decoder.h"
#include "text/normalizer.h"
#include "text/prefix.h"
#include "text/pretok.h"
#include "text/tokenizer.h"

struct named_text { /* a special token's text, or a chat template */
    char *name, *text;
    size_t text_n;
};
/* Copies both strings. 0, or -1 with ERR_MEMORY and nothing to free. */
int named_text_make(struct named_text *k, struct str name, struct str text, struct err *e);
void named_text_free(struct named_text *k);

struct tokenizer {
    struct added added;
    struct normalizer *normalizer;
    struct pretok *pretok;
    struct bpe *bpe;
    struct decoder *decoder;
    struct prefix prefix;
    struct buf description; /* normalizer, pre_tokenizer and decoder in canonical JSON */
    struct named_text *named;
    size_t nnamed, named_cap;
    struct named_text *templates; /* in byte order of the names */
    size_t ntemplates, templates_cap;
};

/* ---- tokenizer_config.json and special_tokens_map.json (tokenizer_config.c) ---- */
/* Names and texts of special tokens that a class has where no file names them. */
struct tokenizer_defaults {
    const char *const *v[8]; /* pairs */
    size_t n;
};
/* Loads named tokens, added tokens and chat templates; the files are optional. */
int tokenizer_load_config(struct tokenizer *t, const char *dir,
                          const struct tokenizer_defaults *defaults, struct err *e);

/* ---- files older than tokenizer.json (tokenizer_old.c) ---- */
/* A command that makes tokenizer.json; its arguments are the folder, twice. */
#define TOKENIZER_CONVERT                                                                          \
    "python3 -c \"from transformers import AutoTokenizer; "                                        \
    "AutoTokenizer.from_pretrained('%s').save_pretrained('%s')\""
/* Returns 1 when the folder has vocab.json and merges.txt; 0 when it has no old form; -1 with
 * ERR_NOINPUT for a form that must be converted. */
int tokenizer_old_find(const char *dir, struct err *e);
/* Makes the document of tokenizer.json in the arena. -1 with ERR_NOINPUT for a tokenizer_class that
 * is not known, or ERR_DATA. */
int tokenizer_old_document(const char *dir, struct arena *a, struct json **doc,
                           struct tokenizer_defaults *defaults, struct err *e);

/* ---- chat templates (tokenizer_template.c) ---- */
/* Loads the templates that are files of their own. */
int tokenizer_file_templates(struct tokenizer *t, const char *dir, struct err *e);
/* Loads "chat_template" of tokenizer_config.json (or NULL), unless the folder has template files.
 */
int tokenizer_config_templates(struct tokenizer *t, const struct json *v, struct err *e);

#endif
