/* SPDX-License-Identifier: Apache-2.0 */
/* sft-ckpt convert: converts a model in another format to a Hugging Face folder, or the other way.
 */

#include "convert.h"

#include "base/io.h"
#include "base/log.h"
#include "hf/gguf_convert.h"
#include "verbs.h"

/* Tells where llama.cpp may tokenize otherwise than what was made of its file. */
static void tell(const struct gguf_converted *done, const char *file)
{
    if (done->tied)
        log_line(LOG_WARN,
                 "%s: %zu tokens have the score of another: where both fit, llama.cpp joins the "
                 "first in the text, the tokenizer made from it always the same one",
                 file, done->tied);
    if (done->loose)
        log_line(LOG_WARN,
                 "%s: %zu %s with a character that is no token: llama.cpp joins it, which "
                 "tokenizer.json cannot say",
                 file, done->loose,
                 done->loose == 1 ? "token begins or ends" : "tokens begin or end");
}

static int convert_from(const char *file, const char *out, const char *tokenizer, struct err *e)
{
    struct gguf *g = gguf_open(file, e);
    struct io_folder *f = g ? io_folder_new(out, e) : NULL;
    struct gguf_converted done;
    int rc = f ? gguf_convert(g, io_folder_path(f), tokenizer, &done, e) : -1;
    if (rc == 0)
        rc = io_folder_commit(f, e);
    else
        io_folder_abort(f);
    if (rc == 0) tell(&done, file);
    gguf_close(g);
    return rc;
}

/* The formats: the words of --from and --to, and the type when --type is absent. */
enum { NONE = -1, GGUF, BF16 = 2 };

static int check_options(int from, int to, int type, const char *out, const char *tokenizer,
                         struct err *e)
{
    if (from == GGUF && to == GGUF) return err_set(e, ERR_USAGE, "give --from or --to, not both");
    if (!out)
        return err_set(e, ERR_USAGE, "where to? give the new %s",
                       to == GGUF ? "file with -o FILE" : "folder with -o DIR");
    if (to == GGUF && tokenizer) return err_set(e, ERR_USAGE, "--tokenizer is for --from gguf");
    if (to != GGUF && type != NONE) return err_set(e, ERR_USAGE, "--type is for --to gguf");
    return 0;
}

int verb_convert(int argc, char **argv, struct err *e)
{
    const char *out = NULL, *tokenizer = NULL;
    int from = NONE, to = NONE, type = NONE, nargs;
    bool json = false;
    const struct opt opts[] = {
        {.letter = 'f',
         .name = "from",
         .kind = OPT_ENUM,
         .to = &from,
         .arg = "gguf",
         .help = "format of the input file; the output is a folder"},
        {.name = "to",
         .kind = OPT_ENUM,
         .to = &to,
         .arg = "gguf",
         .help = "format of the output file; the input is a folder"},
        {.name = "type",
         .kind = OPT_ENUM,
         .to = &type,
         .arg = CONVERT_TYPES,
         .help = "type of the weights with --to; default bf16"},
        {.letter = 'o',
         .name = "output",
         .kind = OPT_STR,
         .to = &out,
         .arg = "PATH",
         .help = "the new folder, which must not exist, or with --to the new file"},
        {.letter = 't',
         .name = "tokenizer",
         .kind = OPT_STR,
         .to = &tokenizer,
         .arg = "DIR",
         .help = "copy the tokenizer from this folder instead of making it"},
        VERB_JSON(json, "one JSON object"),
        {0},
    };
    const struct opt_cmd cmd = {
        .name = "sft-ckpt convert",
        .synopsis = "[options] -o DIR FILE | --to gguf [options] -o FILE MODEL",
        .about =
            "Turns a GGUF file of a Llama, Mistral, Qwen2 or Qwen3 model into a Hugging Face "
            "folder: bf16 weights, config.json, tokenizer.json, tokenizer_config.json with the "
            "chat template. With --to gguf it turns such a folder into a GGUF file that llama.cpp "
            "runs.",
        .opts = opts,
        .examples = "  sft-ckpt convert --from gguf model.Q4_1.gguf -o model/\n"
                    "  sft-ckpt convert --to gguf --type q4_k -o model.gguf model/\n"};
    int rc = verb_parse(&cmd, argc, argv, 1, 1, &nargs, e);
    if (rc) return rc > 0 ? 0 : -1;
    if (check_options(from, to, type, out, tokenizer, e)) return -1;
    if (to == GGUF) return convert_to_gguf(argv[1], type == NONE ? BF16 : type, out, json, e);
    if (convert_from(argv[1], out, tokenizer, e)) return -1;
    return verb_made(json, out, argv + 1, nargs, e);
}
