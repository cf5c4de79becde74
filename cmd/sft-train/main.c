/* SPDX-License-Identifier: Apache-2.0 */
/* sft-train: trains a model on a packed stream as the configuration says. */
#include <stdlib.h>

#include "base/log.h"
#include "config/keys.h"
#include "ops/choose.h"
#include "ops/waits.h"
#include "run.h"

static const char examples[] =
    "  sft-train --config sft_config.yaml --plan\n"
    "  sft-train --config sft_config.yaml --plan --device cuda:h100\n"
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
         .arg = "auto|cpu|cuda|cuda:N",
         .help =
             "where to compute (default: sft.device); with --plan also a kind of GPU: cuda:h100"},
        {.name = "plan",
         .kind = OPT_FLAG,
         .to = &r->plan,
         .help = "print the memory plan and stop; no weight is read"},
        {.name = "check",
         .kind = OPT_FLAG,
         .to = &r->check,
         .help =
             "say what stands in the way of a run, if anything does, and stop; no stream is read"},
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
        {.name = "comm-timeout",
         .kind = OPT_INT,
         .to = &r->comm_timeout,
         .min = 1,
         .max = 1 << 20,
         .arg = "SECONDS",
         .help = "a rank that stands still so long ends the job (default: "
                 "sft.collective_timeout, 600)"},
        {.name = "trace",
         .kind = OPT_STR,
         .to = &r->trace,
         .arg = "FILE",
         .help = "write what the run does when, for Perfetto; FILE.RANK if there are several"},
        {0},
    };
    const struct opt_cmd cmd = {.name = "sft-train",
                                .synopsis = "[options] [key=value...] STREAM|-",
                                .about = "Trains a model on a packed stream.",
                                .opts = opts,
                                .built = device_built,
                                .key = config_key_used,
                                .examples = examples};
    int nargs, rc = opt_parse(&cmd, &r->common, argc, argv, &nargs, e);
    if (rc) return rc;
    if (r->check && log_level() == LOG_INFO) log_init("sft-train", LOG_WARN);
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
    if (!r->stream && !r->plan && !r->check)
        return err_set(e, ERR_USAGE, "which stream? STREAM, or - for stdin");
    return 0;
}

/* Runs the parts in order; each needs those above it. After each, all ranks agree that it went
 * well, or all of them have the error of the one that failed. */
static int train(struct run *r, struct err *e)
{
    static int (*const parts[])(struct run *, struct err *) = {
        run_config,     /* sft_config.yaml, key=value */
        run_model,      /* config.json */
        run_device,     /* operations, and the ranks */
        run_samples,    /* prompts to answer */
        run_plan,       /* all memory, before any is used */
        run_print_plan, /* with --plan */
        run_fits,       /* before anything is loaded */
        run_check,      /* with --check: the folders */
        run_ready,      /* what later parts need; the last part of --plan and --check */
        run_stream,     /* the steps */
        run_folders,    /* output and logs */
        run_weights,    /* of the model, or of a checkpoint */
        run_loop,       /* forward, backward, update; save */
    };
    if (run_launch(r, e)) return -1; /* alone, or one of many */
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (run_agreed(r, parts[i](r, e), e)) return -1;
        if (parts[i] == run_ready && run_alone(r)) break;
    }
    return 0;
}

int main(int argc, char **argv)
{
    waits_short(argv, "1000"); /* longer than most waits within an operation */
    struct err e = {0};
    struct run r = {.log_fd = -1, .folder = RUN_FOLDER_NONE};
    int rc = run_begin(&r, argc, argv, &e);
    if (rc == 0) rc = parse(&r, argc, argv, &e);
    if (rc > 0) {
        run_close(&r);
        return 0;
    }
    if (rc == 0) rc = signals_catch(&e);
    if (rc == 0) rc = train(&r, &e);
    progress_erase(&r.progress);
    int status = rc ? world_fail(&r.world, r.silent, &e) : 0;
    run_close(&r);
    world_leave(&r.world, status);
    return status;
}
