/* SPDX-License-Identifier: Apache-2.0 */
/* A Hugging Face tokenizer, loaded from tokenizer.json, or from vocab.json and merges.txt, and
 * tokenizer_config.json: text to token ids and back, with the ids of the library `tokenizers`. */
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

/* Loads the tokenizer files of a model folder; tokenizer_free() releases the result. NULL with
 * ERR_DATA, which names a feature that is not supported, ERR_NOINPUT for missing files and for
 * those of SentencePiece, with the command that converts them, or ERR_MEMORY. */
struct tokenizer *tokenizer_load(const char *dir, struct err *e);
void tokenizer_free(struct tokenizer *t);

/* Tokens of a text; zero-initialise it, reuse it between calls. token_list_free() releases it. */
struct token_list {
    size_t n;
    uint32_t *ids;
    uint32_t *begin, *end; /* byte range of each token in the text */
    size_t cap;
};
void token_list_free(struct token_list *l);

/* Working memory of one thread; tokenizer_scratch_free() releases it. */
struct tokenizer_scratch;
struct tokenizer_scratch *tokenizer_scratch_new(const struct tokenizer *t, struct err *e);
void tokenizer_scratch_free(struct tokenizer_scratch *s);

/* Encodes a text as tokenizer(text, add_special_tokens=False) of transformers does, which
 * recognises added tokens. The text is UTF-8 of less than 1 GiB, else ERR_DATA. Tokens that are
 * parts of one character have the byte range of that character, as in `tokenizers`. */
int tokenizer_encode(const struct tokenizer *t, struct tokenizer_scratch *s, struct str text,
                     struct token_list *out, struct err *e);

/* Encodes a text as one word: neither normalizer nor pre-tokenizer nor added tokens change it. The
 * tokenizer has a token for each byte (byte_fallback). *parts: how many parts the merges leave, a
 * character that is no token being one; *rank: of the last merge in their list, or
 * TOKENIZER_NO_MERGE. */
#define TOKENIZER_NO_MERGE UINT32_MAX
int tokenizer_alone(const struct tokenizer *t, struct tokenizer_scratch *s, struct str text,
                    size_t *parts, uint32_t *rank, struct err *e);

/* Puts n tokens, whose byte ranges are empty, before those of the list. */
int token_list_prepend(struct token_list *l, const uint32_t *ids, size_t n, struct err *e);
/* Returns the number of tokens that tokenizer(text) of transformers puts before a text, such as
 * BOS, by the "post_processor" of tokenizer.json, and their ids. */
size_t tokenizer_prefix(const struct tokenizer *t, const uint32_t **ids);

/* Appends the text of the ids to b, as tokenizer.decode(ids, skip_special_tokens=skip_special,
 * clean_up_tokenization_spaces=False) of transformers does. Bytes that are not UTF-8 become U+FFFD;
 * unknown ids are skipped. */
int tokenizer_decode(const struct tokenizer *t, const uint32_t *ids, size_t n, bool skip_special,
                     struct buf *b, struct err *e);
/* Appends the bytes of one token, which may be a part of a character. -1 with ERR_DATA for an
 * unknown id. */
int tokenizer_token_bytes(const struct tokenizer *t, uint32_t id, struct buf *b, struct err *e);

uint32_t tokenizer_vocab_size(const struct tokenizer *t); /* 1 + the largest id */
bool tokenizer_id(const struct tokenizer *t, struct str token, uint32_t *id);
bool tokenizer_is_special(const struct tokenizer *t, uint32_t id); /* a special added token */
bool tokenizer_is_added(const struct tokenizer *t, uint32_t id);

/* Returns the text of a named special token ("bos_token", "eos_token", "pad_token", ...); p NULL:
 * the files do not set it. */
struct str tokenizer_named(const struct tokenizer *t, const char *name);
/* The named special tokens, which are variables of a chat template. */
size_t tokenizer_named_count(const struct tokenizer *t);
void tokenizer_named_at(const struct tokenizer *t, size_t i, const char **name, struct str *text);

/* The chat templates, sorted by name, as transformers' from_pretrained finds them: the files
 * chat_template.jinja ("default") and additional_chat_templates/NAME.jinja; without such files,
 * "chat_template" of tokenizer_config.json, one template ("default") or several with names. More
 * than 64 templates, one of more than 4 MiB, or a name that cannot name a file is ERR_DATA. */
size_t tokenizer_template_count(const struct tokenizer *t);
void tokenizer_template_at(const struct tokenizer *t, size_t i, const char **name,
                           struct str *text);
/* Returns the template of that name; p NULL: there is none. */
struct str tokenizer_template(const struct tokenizer *t, const char *name);

/* Writes the XXH3-128 of a canonical form of vocabulary by id, merges in order, added tokens,
 * normalizer, pre-tokenizer and decoder; the bytes of the file do not matter. 0, or -1 with
 * ERR_MEMORY. */
MUST_CHECK int tokenizer_identity(const struct tokenizer *t, char out[HASH128_HEX], struct err *e);

#endif
