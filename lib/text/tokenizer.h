/* SPDX-License-Identifier: Apache-2.0 */
/* A Hugging Face tokenizer, read from tokenizer.json and tokenizer_config.json: text <-> token ids,
 * equal to `tokenizers` id for id. */
#ifndef SFT_TEXT_TOKENIZER_H
#define SFT_TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"

struct tokenizer; /* immutable once loaded: any number of threads may use one */

/* Reads the tokenizer files of a model folder. What the files ask for and this code does not do is
 * refused by name (ERR_DATA); a missing file is ERR_NOINPUT. */
struct tokenizer *tokenizer_load(const char *dir, struct err *e);
void tokenizer_free(struct tokenizer *t);

/* Result of an encode; zero-initialise, reuse between calls, release with token_list_free. */
struct token_list {
    size_t n;
    uint32_t *ids;
    uint32_t *begin, *end; /* byte range of each token in the text that was given */
    size_t cap;
};
void token_list_free(struct token_list *l);

/* Working memory of one thread. */
struct tokenizer_scratch;
struct tokenizer_scratch *tokenizer_scratch_new(const struct tokenizer *t, struct err *e);
void tokenizer_scratch_free(struct tokenizer_scratch *s);

/* tokenizer(text, add_special_tokens=False): added tokens in the text are recognised. The text must
 * be UTF-8 of less than 1 GiB. Tokens of one character that is split into bytes share that
 * character's byte range, as in `tokenizers`. */
int tokenizer_encode(const struct tokenizer *t, struct tokenizer_scratch *s, struct str text,
                     struct token_list *out, struct err *e);

/* Appends the text of ids to b, as tokenizer.decode(ids, skip_special_tokens=skip_special,
 * clean_up_tokenization_spaces=False); bytes that are not UTF-8 become U+FFFD. */
int tokenizer_decode(const struct tokenizer *t, const uint32_t *ids, size_t n, bool skip_special,
                     struct buf *b, struct err *e);
/* Appends the raw bytes that one token stands for (may be part of a character). */
int tokenizer_token_bytes(const struct tokenizer *t, uint32_t id, struct buf *b, struct err *e);

uint32_t tokenizer_vocab_size(const struct tokenizer *t); /* 1 + the largest id */
bool tokenizer_id(const struct tokenizer *t, struct str token, uint32_t *id);
bool tokenizer_is_special(const struct tokenizer *t, uint32_t id); /* an added token, "special" */
bool tokenizer_is_added(const struct tokenizer *t, uint32_t id);

/* The text of a named special token ("bos_token", "eos_token", "pad_token", ...), p NULL when the
 * files name none. */
struct str tokenizer_named(const struct tokenizer *t, const char *name);
/* All named string-valued special tokens, for the variables of a chat template. */
size_t tokenizer_named_count(const struct tokenizer *t);
void tokenizer_named_at(const struct tokenizer *t, size_t i, const char **name, struct str *text);

/* The chat templates, sorted by name. chat_template.jinja ("default") and
 * additional_chat_templates/NAME.jinja, where there is any of these files, stand for
 * "chat_template" of tokenizer_config.json, which is one template ("default") or several with
 * names. At most 64 of 4 MiB each; more, or a name that is no name of a file, is ERR_DATA. */
size_t tokenizer_template_count(const struct tokenizer *t);
void tokenizer_template_at(const struct tokenizer *t, size_t i, const char **name,
                           struct str *text);
/* The one of that name; p NULL when there is none. */
struct str tokenizer_template(const struct tokenizer *t, const char *name);

/* XXH3-128 of a canonical form: vocabulary by id, merges in order, added tokens, normalizer,
 * pre-tokenizer, decoder; not of the bytes of the file. 0, or -1 with ERR_MEMORY. */
MUST_CHECK int tokenizer_identity(const struct tokenizer *t, char out[HASH128_HEX], struct err *e);

#endif
