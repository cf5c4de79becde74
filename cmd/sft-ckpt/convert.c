/* SPDX-License-Identifier: Apache-2.0 */
/* sft-ckpt convert: converts a model in another format to a Hugging Face folder. */

#include "base/io.h"
#include "hf/gguf_convert.h"
#include "verbs.h"

static int convert(const char *file, const char *out, const char *tokenizer, struct err *e)
{
    struct gguf *g = gguf_open(file, e);
    struct io_folder *f = g ? io_folder_new(out, e) : NULL;
    int rc = f ? gguf_convert(g, io_folder_path(f), tokenizer, e) : -1;
    if (rc == 0)
        rc = io_folder_commit(f, e);
    else
        io_folder_abort(f);
    gguf_close(g);
    return rc;
}

int verb_convert(int argc, char **argv, struct err *e)
{
    const char *out = NULL, *tokenizer = NULL;
    int from = 0, nargs;
    bool json = false;
    const struct opt opts[] = {
        {.letter = 'f',
         .name = "from",
         .kind = OPT_ENUM,
         .to = &from,
         .arg = "gguf",
         .help = "format of the input"},
        {.letter = 'o',
         .name = "output",
         .kind = OPT_STR,
         .to = &out,
         .arg = "DIR",
         .help = "the new folder; must not exist"},
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
        .synopsis = "[options] -o DIR FILE",
        .about =
            "Turns a GGUF file of a Llama or Qwen2 model into a Hugging Face folder: bf16 weights, "
            "config.json, tokenizer.json, tokenizer_config.json with the chat template.",
        .opts = opts,
        .examples = "  sft-ckpt convert --from gguf model.Q4_1.gguf -o model/\n"};
    int rc = verb_parse(&cmd, argc, argv, 1, 1, &nargs, e);
    if (rc) return rc > 0 ? 0 : -1;
    if (!out) return err_set(e, ERR_USAGE, "where to? give the new folder with -o DIR");
    if (convert(argv[1], out, tokenizer, e)) return -1;
    return verb_made(json, out, argv + 1, nargs, e);
}
