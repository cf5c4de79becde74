/* SPDX-License-Identifier: Apache-2.0 */
/* sft-ckpt: manages checkpoints and model folders, with one verb for each task. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "base/log.h"
#include "hf/folder.h"
#include "hf/peft.h"
#include "verbs.h"

static const struct verb {
    const char *name;
    verb_fn *run;
} verbs[] = {
    {"ls", verb_ls},           {"show", verb_show},       {"verify", verb_verify},
    {"diff", verb_diff},       {"convert", verb_convert}, {"merge", verb_merge},
    {"average", verb_average}, {"export", verb_export},   {"init", verb_init},
};
enum { VERBS = sizeof verbs / sizeof *verbs };

static const char examples[] =
    "  ls DIR                          the checkpoints of a run: step, state, bytes, path\n"
    "  show MODEL                      the tensors: name, type, shape\n"
    "  verify CHECKPOINT               every file against the manifest's hashes\n"
    "  diff A B                        the tensors that differ, and by how much\n"
    "  convert --from gguf FILE -o DIR a GGUF file to a Hugging Face folder\n"
    "  convert --to gguf MODEL -o FILE a Hugging Face folder to a GGUF file\n"
    "  merge BASE ADAPTER -o DIR       a LoRA adapter into its base model\n"
    "  average MODEL MODEL... -o DIR   the mean of the weights of several\n"
    "  export CHECKPOINT -o DIR        a model to publish, with a model card\n"
    "  init CONFIG.json -o DIR         a model with random weights\n"
    "\n"
    "sft-ckpt VERB --help lists the options of a verb.\n";

static struct opt_common common; /* of the verb that runs */

int verb_threads(void) { return opt_threads(common.threads); }

int verb_parse(const struct opt_cmd *cmd, int argc, char **argv, int min, int max, int *nargs,
               struct err *e)
{
    int rc = opt_parse(cmd, &common, argc, argv, nargs, e);
    if (rc) return rc;
    log_init("sft-ckpt", log_level());
    if (*nargs >= min && *nargs <= max) return 0;
    return err_set(e, ERR_USAGE, "%s operands; usage: %s %s", *nargs < min ? "too few" : "too many",
                   cmd->name, cmd->synopsis);
}

int verb_print(const struct buf *b, struct err *e)
{
    if (buf_check(b, e)) return -1;
    return b->len ? io_put("-", b->data, b->len, e) : 0;
}

static int put_made(const struct safetensors *s, const char *out, char *const *from, int n,
                    struct err *e)
{
    struct buf b = {0};
    uint64_t count = 0, bytes = 0;
    for (size_t i = 0; i < safetensors_count(s); i++) {
        count += safetensors_at(s, i)->count;
        bytes += safetensors_at(s, i)->bytes;
    }
    buf_puts(&b, "{\"output\":");
    buf_json(&b, str_z(out));
    for (int i = 0; i < n; i++) {
        buf_puts(&b, i ? "," : ",\"inputs\":[");
        buf_json(&b, str_z(from[i]));
    }
    buf_printf(&b, "],\"tensors\":%zu,\"parameters\":%" PRIu64 ",\"bytes\":%" PRIu64 "}\n",
               safetensors_count(s), count, bytes);
    int rc = verb_print(&b, e);
    buf_free(&b);
    return rc;
}

int verb_made(bool json, const char *out, char *const *from, int n, struct err *e)
{
    log_line(LOG_INFO, "%s: written from %s%s%s", out, from[0], n > 1 ? " and " : "",
             n == 2  ? from[1]
             : n > 2 ? "others"
                     : "");
    if (!json) return 0;
    struct safetensors *s = verb_open(out, e);
    int rc = s ? put_made(s, out, from, n, e) : -1;
    safetensors_close(s);
    return rc;
}

void verb_name(struct buf *b, const char *name)
{
    for (const char *p = name; *p; p++) {
        unsigned char c = (unsigned char)*p;
        if (c >= 0x20 && c != 0x7f && !(c == 0xc2 && (unsigned char)p[1] < 0xa0)) continue;
        buf_json(b, str_z(name));
        return;
    }
    buf_puts(b, name);
}

static struct safetensors *open_folder(const char *path, struct err *e)
{
    char *adapter = NULL, *inner = io_path(path, "sft_train", e);
    struct safetensors *s = NULL;
    const int found = inner ? peft_find_dir(path, &adapter, e) : -1;
    const int nested = found == 0 ? io_is_dir(inner, e) : found;
    if (found > 0)
        s = safetensors_open_stem(adapter, "adapter_model", e);
    else if (nested >= 0)
        s = safetensors_open(nested ? inner : path, e);
    mem_free(adapter);
    mem_free(inner);
    return s;
}

/* True for the name of a file rather than of a model. */
static bool is_file_name(const char *path)
{
    static const char end[] = ".safetensors";
    const size_t n = strlen(path), m = sizeof end - 1;
    return n > m && strcmp(path + n - m, end) == 0;
}

struct safetensors *verb_open(const char *path, struct err *e)
{
    const int folder = io_is_dir(path, e), there = folder ? folder : io_exists(path, e);
    if (there < 0) return NULL;
    if (!folder && (there || is_file_name(path))) return safetensors_open(path, e);
    char *found = NULL;
    struct safetensors *s = hf_folder_find(path, &found, e) ? NULL : open_folder(found, e);
    mem_free(found);
    return s;
}

/* Handles the end of an option such as --help. The completions of the command are followed by those
 * of its verbs. */
static int no_operands(int argc, char **argv, struct err *e)
{
    const bool completion = argc > 1 && strncmp(argv[1], "--help-complete=", 16) == 0;
    for (int i = 0; completion && i < VERBS; i++) {
        char *args[] = {(char *)(uintptr_t)verbs[i].name, argv[1], NULL};
        if (verbs[i].run(2, args, e)) return -1;
    }
    return 0;
}

/* Handles a command line without a known verb: --help, --version, or an error. */
static int no_verb(int argc, char **argv, struct err *e)
{
    const char *words[VERBS + 1] = {NULL};
    const struct opt none[] = {{0}};
    const struct opt_cmd cmd = {
        .name = "sft-ckpt",
        .synopsis = "ls|show|verify|diff|convert|merge|average|export|init [options] ...",
        .about = "Manages checkpoints and model folders.",
        .opts = none,
        .examples = examples,
        .verbs = "ls|show|verify|diff|convert|merge|average|export|init"};
    int nargs, rc = opt_parse(&cmd, &common, argc, argv, &nargs, e);
    if (rc) return rc > 0 ? no_operands(argc, argv, e) : -1;
    if (nargs == 0)
        return err_set(e, ERR_USAGE,
                       "what to do? ls, show, verify, diff, convert, merge, average, export, init");
    for (int i = 0; i < VERBS; i++) words[i] = verbs[i].name;
    const char *near = opt_nearest(argv[1], words);
    return err_set(e, ERR_USAGE, "'%s' is not a verb; %s%s", argv[1],
                   near ? "did you mean " : "see sft-ckpt --help", near ? near : "");
}

int main(int argc, char **argv)
{
    struct err e = {0};
    verb_fn *run = NULL;
    for (int i = 0; argc > 1 && i < VERBS; i++)
        if (strcmp(argv[1], verbs[i].name) == 0) run = verbs[i].run;
    int rc = run ? run(argc - 1, argv + 1, &e) : no_verb(argc, argv, &e);
    if (rc >= 0) return rc;
    log_init("sft-ckpt", log_level());
    return log_fail(&e);
}
