/* SPDX-License-Identifier: Apache-2.0 */
/* The pre-tokenizers that GGUF names. */
#include "hf/gguf_pre.h"

/* GGUF contains only the name of the pre-tokenizer. These definitions are those of the
 * tokenizer.json of the original models. */
#define BYTE_LEVEL(regex)                                                                          \
    "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, "              \
    "\"use_regex\": " regex "}"
#define SPLIT(pattern)                                                                             \
    "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"pattern\": {\"Regex\": " \
    "\"" pattern "\"}, \"behavior\": \"Isolated\", \"invert\": false}, " BYTE_LEVEL("false") "]}"
#define GPT4_PATTERN(digits)                                                                       \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|" digits                 \
    "| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"
#define SMOLLM                                                                                     \
    "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Digits\", \"individual_digits\": "  \
    "true}, " BYTE_LEVEL("true") "]}"
static const struct gguf_pre pres[] = {
    {"gpt-2", "null", BYTE_LEVEL("true"), false},
    {"smollm", "null", SMOLLM, false},
    {"llama-bpe", "null", SPLIT(GPT4_PATTERN("\\\\p{N}{1,3}")), true},
    {"llama3", "null", SPLIT(GPT4_PATTERN("\\\\p{N}{1,3}")), true},
    {"qwen2", "{\"type\": \"NFC\"}", SPLIT(GPT4_PATTERN("\\\\p{N}")), false},
};

const struct gguf_pre *gguf_pre_find(const struct gguf *g, struct err *e)
{
    struct str model = {"", 0}, name = {"", 0};
    if (gguf_get_str(g, "tokenizer.ggml.model", &model, e) < 0 ||
        gguf_get_str(g, "tokenizer.ggml.pre", &name, e) < 0)
        return NULL;
    if (!str_is(model, "gpt2")) {
        err_set(e, ERR_DATA,
                "%s: tokenizer model \"%.*s\" cannot be converted, only byte-level BPE (\"gpt2\"); "
                "give a folder with tokenizer.json with --tokenizer",
                gguf_name(g), STR_FMT(model));
        return NULL;
    }
    for (size_t i = 0; i < sizeof pres / sizeof *pres; i++)
        if (str_is(name, pres[i].name)) return &pres[i];
    err_set(e, ERR_DATA,
            "%s: pre-tokenizer \"%.*s\" is not known; give a folder with tokenizer.json with "
            "--tokenizer",
            gguf_name(g), STR_FMT(name));
    return NULL;
}
