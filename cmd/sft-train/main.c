/* SPDX-License-Identifier: Apache-2.0 */
/* sft-train: trains a model on a packed stream as the configuration says. */
#include <stdlib.h>

#include "base/log.h"
#include "run.h"

static const char examples[] =
    "  sft-train --config sft_config.yaml --plan\n"
    "  sft-train --config sft_config.yaml --val val.sfts train.sfts\n"
    "  sft-pack -l 1024 -b 16 samples.sfts | sft-train --config sft_config.yaml -\n"
    "  sft-train --config sft_config.yaml sft.device=cpu max_steps=10 train.sfts\n";

static int parse(struct run *r, int argc, char **argv, struct err *e)
{
    const struct opt opts[] = {
        {.letter = 'c',
         .name = "config",
         .kind = OPT_STR,
         .to = &r->config_path,
         .arg = "FILE",
         .help = "the configuration (required)"},
        {.letter = 'd',
         .name = "device",
         .kind = OPT_STR,
         .to = &r->device_name,
         .arg = "auto|cpu|cuda",
         .help = "where to compute (default: sft.device)"},
        {.name = "plan",
         .kind = OPT_FLAG,
         .to = &r->plan,
         .help = "print the memory plan and stop; no weight is read"},
        {.name = "json", .kind = OPT_FLAG, .to = &r->json, .help = "with --plan: as JSON"},
        {.name = "resume",
         .kind = OPT_STR,
         .to = &r->resume,
         .arg = "PATH|auto",
         .help = "continue from a checkpoint, or from the newest there is"},
        {.name = "val",
         .kind = OPT_STR,
         .to = &r->validation,
         .arg = "STREAM",
         .help = "packed stream for the validation loss"},
        {0}};
    const struct opt_cmd cmd = {.name = "sft-train",
                                .synopsis = "[options] [key=value...] STREAM|-",
                                .about = "Trains a model on a packed stream.",
                                .opts = opts,
                                .examples = examples};
    int nargs, rc = opt_parse(&cmd, &r->common, argc, argv, &nargs, e);
    if (rc) return rc;
    r->overrides = argv + 1;
    for (int i = 1; i <= nargs; i++) {
        if (config_is_override(argv[i])) {
            argv[1 + r->noverrides++] = argv[i];
        } else if (r->stream) {
            return err_set(e, ERR_USAGE, "%s: only one stream can be trained on", argv[i]);
        } else {
            r->stream = argv[i];
        }
    }
    if (!r->config_path) return err_set(e, ERR_USAGE, "which configuration? --config FILE");
    if (!r->stream && !r->plan)
        return err_set(e, ERR_USAGE, "which stream? STREAM, or - for stdin");
    return 0;
}

/* What a run is: each line needs the ones above it. */
static int train(struct run *r, struct err *e)
{
    if (run_config(r, e)) return -1; /* sft_config.yaml, key=value */
    if (run_model(r, e)) return -1;  /* config.json: what is trained */
    if (run_device(r, e)) return -1; /* where it is computed */
    if (run_plan(r, e)) return -1;   /* all memory, before any is used */
    if (r->plan && run_print_plan(r, e)) return -1;
    if (run_fits(r, e)) return -1; /* before anything is loaded */
    if (r->plan) return 0;
    if (run_stream(r, e)) return -1;  /* what every step contains */
    if (run_folders(r, e)) return -1; /* where the results go */
    if (run_weights(r, e)) return -1; /* where it starts from */
    return run_loop(r, e);            /* forward, backward, update; save */
}

int main(int argc, char **argv)
{
    struct err e = {0};
    struct run r = {.log_fd = -1, .folder.lock = -1};
    int rc = parse(&r, argc, argv, &e);
    if (rc > 0) return 0;
    if (rc == 0) {
        signals_catch();
        rc = train(&r, &e);
    }
    int status = rc ? log_fail(&e) : 0;
    run_close(&r);
    return status;
}
