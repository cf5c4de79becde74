/* SPDX-License-Identifier: Apache-2.0 */
/* sft-ckpt average: makes a model of the mean weights of several. */
#include <string.h>

#include "average.h"
#include "base/io.h"

/* Writes the files of the new model. */
static int fill(const struct average *a, const char *dir, struct err *e)
{
    struct safetensors_writer *w = verb_model_weights(&a->models[0], dir, e);
    int rc = w ? average_write(a, w, e) : -1;
    if (rc == 0)
        rc = safetensors_commit(w, e);
    else
        safetensors_abort(w);
    return rc ? -1 : verb_model_copy(&a->models[0], dir, e);
}

static int average(char *const *paths, size_t n, const char *out, struct err *e)
{
    struct average a = {.n = n, .models = mem_alloc(n, sizeof *a.models, e)};
    struct io_folder *f = NULL;
    int rc = a.models ? 0 : -1;
    for (size_t i = 0; rc == 0 && i < n; i++) rc = verb_model_open(paths[i], &a.models[i], e);
    for (size_t i = 1; rc == 0 && i < n; i++) rc = average_alike(&a.models[0], &a.models[i], e);
    if (rc == 0) rc = (f = io_folder_new(out, e)) ? 0 : -1;
    if (rc == 0) rc = fill(&a, io_folder_path(f), e);
    if (rc == 0)
        rc = io_folder_commit(f, e);
    else
        io_folder_abort(f);
    for (size_t i = 0; a.models && i < n; i++) verb_model_close(&a.models[i]);
    mem_free(a.models);
    return rc;
}

int verb_average(int argc, char **argv, struct err *e)
{
    const char *out = NULL;
    int nargs;
    bool json = false;
    const struct opt opts[] = {
        {.letter = 'o',
         .name = "output",
         .kind = OPT_STR,
         .to = &out,
         .arg = "DIR",
         .help = "the new folder; must not exist"},
        VERB_JSON(json, "one JSON object"),
        {0},
    };
    const struct opt_cmd cmd = {
        .name = "sft-ckpt average",
        .synopsis = "[options] -o DIR MODEL MODEL...",
        .about = "Makes a model of the mean weights of several models or checkpoints of one shape, "
                 "or an adapter of those of several adapters: summed in fp64 in the order of the "
                 "command line and rounded once to the type of the weights. The other files are "
                 "those of the first.",
        .opts = opts,
        .examples = "  sft-ckpt average output/sft_train/checkpoint-{80,90,100} -o mean/\n"};
    int rc = verb_parse(&cmd, argc, argv, 2, 1 << 20, &nargs, e);
    if (rc) return rc > 0 ? 0 : -1;
    if (!out) return err_set(e, ERR_USAGE, "where to? give the new folder with -o DIR");
    if (average(argv + 1, (size_t)nargs, out, e)) return -1;
    return verb_made(json, out, argv + 1, nargs, e);
}
