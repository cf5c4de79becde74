/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of sft-eval: its options by task, and what may not be given together. */
#include <string.h>

#include "eval.h"
#include "ops/choose.h"

static const char examples[] =
    "  sft-eval -m output/sft_train/checkpoint-100 val.sfts | jq .loss\n"
    "  sft-eval -m M --adapter output/sft_train/checkpoint-100 val.sfts | jq .loss\n"
    "  sft-eval -m M --per-sample --dtype fp32 samples.sfts\n"
    "  sft-eval -m M --by file samples.sfts\n"
    "  sft-eval -m M --compare output/sft_train/checkpoint-100 val.sfts\n"
    "  mpirun -np 8 --bind-to none sft-eval -m M val.sfts\n"
    "  sft-eval -m M --prompt 'How do I list open files?' --max-tokens 80\n"
    "  sft-eval -m M --chat --system 'Be brief.' --temperature 0.7 --top-p 0.9\n"
    "  sft-eval -m M --prompts questions.jsonl -o answers.jsonl\n";

static int check_sampling(const struct eval *v, struct err *e)
{
    const struct sampling *s = &v->sampling;
    if (!(s->temperature >= 0 && s->temperature <= 1e3))
        return err_set(e, ERR_USAGE, "--temperature: not from 0 to 1000");
    if (!(s->top_p > 0 && s->top_p <= 1))
        return err_set(e, ERR_USAGE, "--top-p: not above 0 and at most 1");
    if (!(s->min_p >= 0 && s->min_p <= 1)) return err_set(e, ERR_USAGE, "--min-p: not from 0 to 1");
    if (!(s->repetition > 0 && s->repetition <= 1e3))
        return err_set(e, ERR_USAGE, "--repetition-penalty: not above 0 and at most 1000");
    if (s->temperature > 0 || (s->top_k == 0 && s->top_p == 1 && s->min_p == 0)) return 0;
    return err_set(e, ERR_USAGE,
                   "%s: without --temperature the likeliest token is always taken; add, for "
                   "example, --temperature 1",
                   s->top_k       ? "--top-k"
                   : s->top_p < 1 ? "--top-p"
                                  : "--min-p");
}

/* Exactly one of a stream, a prompt, a file of prompts and a chat is given. */
static int check_arguments(struct eval *v, int nargs, char **args, struct err *e)
{
    if (!v->model) return err_set(e, ERR_USAGE, "which model? -m MODEL");
    if (nargs > 1) return err_set(e, ERR_USAGE, "%s: only one stream can be given", args[1]);
    v->stream = nargs ? args[0] : NULL;
    if (v->logits && !v->prompt)
        return err_set(e, ERR_USAGE, "--logits: of which prompt? --prompt TEXT");
    if (v->compare && (!v->stream || strcmp(v->stream, "-") == 0))
        return err_set(e, ERR_USAGE, "--compare: on which stream? A file, as it is read twice");
    if (v->compare && (v->per_sample || v->adapter_name || v->by))
        return err_set(e, ERR_USAGE, "--compare: not with %s",
                       v->per_sample ? "--per-sample"
                       : v->by       ? "--by"
                                     : "--adapter");
    if (v->by && !v->stream) return err_set(e, ERR_USAGE, "--by: groups of which STREAM?");
    if (v->system && v->stream)
        return err_set(e, ERR_USAGE, "--system: a stream has its own system prompts");
    if (v->batch && !v->prompts) return err_set(e, ERR_USAGE, "--batch: only with --prompts FILE");
    if (v->output && !v->prompts)
        return err_set(e, ERR_USAGE, "--output: only with --prompts FILE");
    if ((v->stream != NULL) + (v->prompt != NULL) + (v->prompts != NULL) + v->chat != 1)
        return err_set(e, ERR_USAGE,
                       "give a STREAM to compute its loss, or one of --prompt TEXT, --prompts FILE "
                       "and --chat");
    return check_sampling(v, e);
}

/* Appends n options. */
static struct opt *append(struct opt *to, const struct opt *from, size_t n)
{
    memcpy(to, from, n * sizeof *from);
    return to + n;
}

static struct opt *model_options(struct opt *to, struct eval *v)
{
    const struct opt o[] = {
        {.letter = 'm',
         .name = "model",
         .kind = OPT_STR,
         .to = &v->model,
         .arg = "MODEL",
         .help = "Hugging Face folder, checkpoint-N folder or hub id (required)"},
        {.letter = 'a',
         .name = "adapter",
         .kind = OPT_STR,
         .to = &v->adapter_name,
         .arg = "DIR",
         .help = "LoRA adapter of that model: a folder of peft's, its hub id, or a checkpoint-N "
                 "folder"},
        {.letter = 'd',
         .name = "device",
         .kind = OPT_STR,
         .to = &v->device_name,
         .arg = "auto|cpu|cuda|cuda:N",
         .help = "where to compute (default auto)"},
        {.name = "dtype",
         .kind = OPT_ENUM,
         .to = &v->dtype,
         .arg = "auto|bf16|fp32",
         .help = "type of the computation (default: bf16 where the device is fast at it)"},
    };
    return append(to, o, sizeof o / sizeof *o);
}

static struct opt *stream_options(struct opt *to, struct eval *v)
{
    const struct opt o[] = {
        {.name = "per-sample",
         .kind = OPT_FLAG,
         .to = &v->per_sample,
         .help = "print an object for each sample first"},
        {.name = "by",
         .kind = OPT_ENUM,
         .to = &v->by,
         .arg = "none|file|length|messages",
         .help = "print an object for each group of samples first: those of one file, of about one "
                 "length, or with so many messages"},
        {.name = "compare",
         .kind = OPT_STR,
         .to = &v->compare,
         .arg = "MODEL",
         .help = "compare with this model, or this adapter of the model, sample by sample"},
        {.name = "comm-timeout",
         .kind = OPT_INT,
         .to = &v->comm_timeout,
         .min = 1,
         .max = 1 << 20,
         .arg = "SECONDS",
         .help = "under mpirun or srun: a rank that stands still so long ends the job (default "
                 "600)"},
    };
    return append(to, o, sizeof o / sizeof *o);
}

static struct opt *prompt_options(struct opt *to, struct eval *v)
{
    const struct opt o[] = {
        {.letter = 'p',
         .name = "prompt",
         .kind = OPT_STR,
         .to = &v->prompt,
         .arg = "TEXT",
         .help = "print what the model answers to this message of a user"},
        {.name = "prompts",
         .kind = OPT_STR,
         .to = &v->prompts,
         .arg = "FILE|-",
         .help = "answer each row of this JSON file: its \"prompt\", or its \"messages\""},
        {.name = "batch",
         .kind = OPT_INT,
         .to = &v->batch,
         .arg = "N",
         .min = 1,
         .max = 256,
         .help = "with --prompts: answer N rows together, in memory for N of --length tokens "
                 "(default: up to 64 that have room in the memory of one)"},
        {.letter = 'o',
         .name = "output",
         .kind = OPT_STR,
         .to = &v->output,
         .arg = "FILE",
         .help = "with --prompts: the rows with their answers (default: standard output)"},
        {.name = "chat",
         .kind = OPT_FLAG,
         .to = &v->chat,
         .help = "answer each line of standard input, with the conversation before it"},
        {.name = "system",
         .kind = OPT_STR,
         .to = &v->system,
         .arg = "TEXT",
         .help = "the system prompt of the conversations"},
    };
    return append(to, o, sizeof o / sizeof *o);
}

static struct opt *sampling_options(struct opt *to, struct eval *v)
{
    const struct opt o[] = {
        {.name = "temperature",
         .kind = OPT_REAL,
         .to = &v->sampling.temperature,
         .arg = "T",
         .help = "draw tokens, with logits divided by T (default 0: the likeliest token)"},
        {.name = "top-k",
         .kind = OPT_INT,
         .to = &v->sampling.top_k,
         .arg = "N",
         .min = 0,
         .max = INT32_MAX,
         .help = "draw from the N likeliest tokens (default 0: all)"},
        {.name = "top-p",
         .kind = OPT_REAL,
         .to = &v->sampling.top_p,
         .arg = "P",
         .help = "draw from the fewest tokens that have the probability P together (default 1)"},
        {.name = "min-p",
         .kind = OPT_REAL,
         .to = &v->sampling.min_p,
         .arg = "P",
         .help = "draw from tokens with at least P times the largest probability (default 0)"},
        {.name = "repetition-penalty",
         .kind = OPT_REAL,
         .to = &v->sampling.repetition,
         .arg = "R",
         .help =
             "divide the positive logits of tokens before by R, multiply the others (default 1)"},
        {.name = "seed",
         .kind = OPT_INT,
         .to = &v->seed,
         .arg = "N",
         .min = 0,
         .max = INT64_MAX,
         .help = "of the draws (default 42)"},
    };
    return append(to, o, sizeof o / sizeof *o);
}

static struct opt *length_options(struct opt *to, struct eval *v)
{
    const struct opt o[] = {
        {.name = "max-tokens",
         .kind = OPT_INT,
         .to = &v->max_tokens,
         .arg = "N",
         .min = 1,
         .max = 1 << 20,
         .help = "longest answer (default 256)"},
        {.name = "logits",
         .kind = OPT_FLAG,
         .to = &v->logits,
         .help = "with --prompt: print the logits of the answer's first token instead, as JSON"},
        {.letter = 'l',
         .name = "length",
         .kind = OPT_INT,
         .to = &v->length,
         .arg = "N",
         .min = 1,
         .max = 1 << 24,
         .help = "longest sample of an unpacked stream, or conversation (default 4096)"},
    };
    return append(to, o, sizeof o / sizeof *o);
}

int eval_parse(struct eval *v, struct opt_common *common, int argc, char **argv, struct err *e)
{
    struct opt opts[32] = {0}, *end = model_options(opts, v);
    end = stream_options(end, v);
    end = prompt_options(end, v);
    end = sampling_options(end, v);
    length_options(end, v);
    const struct opt_cmd cmd = {.name = "sft-eval",
                                .synopsis = "[options] [STREAM]",
                                .about = "Computes the loss of a model, or answers prompts.",
                                .opts = opts,
                                .built = device_built,
                                .examples = examples};
    int nargs;
    const int rc = opt_parse(&cmd, common, argc, argv, &nargs, e);
    v->sampling.seed = (uint64_t)v->seed;
    return rc ? rc : check_arguments(v, nargs, argv + 1, e);
}
