/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a training run, in the order in which main.c calls them. */
#ifndef SFT_CMD_TRAIN_RUN_H
#define SFT_CMD_TRAIN_RUN_H

#include "base/log.h"
#include "base/opt.h"
#include "comm/launch.h"
#include "comm/world.h"
#include "hf/config.h"
#include "options/options.h"
#include "save/folder.h"
#include "train/checkpoint.h"
#include "train/loop.h"

struct run {
    /* from the command line */
    struct opt_common common;
    const char *config_path, *device_name, *resume, *validation, *stream, *trace;
    char **overrides;
    size_t noverrides;
    bool plan, json, check;
    int64_t comm_timeout;   /* seconds; 0: as configured */
    struct buf resume_path; /* --resume, with its ~ expanded */
    struct buf typed;       /* the command line, quoted for a shell */
    struct launch launch;   /* the launcher that started this process */
    struct world world;     /* all ranks of the job */
    bool silent;            /* another rank prints messages and results */
    /* made by the parts below, in this order */
    struct config *config;
    char *model_dir;
    struct hf_config hf;
    struct model model;
    char tokenizer[HASH128_HEX];
    struct device *device;
    struct mesh mesh;
    struct train_options options; /* of the configuration, made by run_plan */
    struct adapter *adapter;      /* LoRA, if there is any */
    char base[HASH128_HEX];       /* of the weights that the adapter is trained on; rank 0 */
    struct trainer trainer;
    struct samples *samples; /* prompts that the run answers; NULL: none, or another rank does */
    struct best best;        /* the best checkpoint so far, and early stopping */
    struct feed *feed;
    struct run_folder folder;
    struct saver *saver;
    struct safetensors *source; /* the files of what checkpoints keep, on the rank that writes */
    struct kept kept;
    uint64_t kept_bytes; /* as far as the model's files tell before the run */
    struct buf settings; /* JSON, for the checkpoints */
    struct track *track;
    struct io_out *out;
    struct progress progress;
    bool resumes;               /* a checkpoint is named, or --check has found one */
    char *best_model;           /* the folder with the best model, at the end; NULL: none */
    uint64_t first_step, steps; /* updates done before this process; those of the whole run */
    int log_fd;
};

/* Each part returns 0, or -1 with the error. */
/* launch.c: */
int run_begin(struct run *r, int argc, char *const *argv, struct err *e); /* before parsing */
void run_quote(struct buf *b, const char *s);         /* appends a word, quoted for a shell */
int run_launch(struct run *r, struct err *e);         /* joins the other ranks, if there are any */
int run_check_start(struct run *r, struct err *e);    /* their number is the configuration's */
int run_agreed(struct run *r, int rc, struct err *e); /* see world_agree */
int run_broadcast_resume(struct run *r, struct err *e); /* rank 0's choice in r->folder */

int run_config(struct run *r, struct err *e);  /* YAML and overrides -> config */
int run_model(struct run *r, struct err *e);   /* pretrain -> folder -> descriptor */
int run_device(struct run *r, struct err *e);  /* device.c: operations and the mesh */
int run_samples(struct run *r, struct err *e); /* samples.c: reads the prompts */
int run_plan(struct run *r, struct err *e);    /* places every buffer */
/* Bytes of a process beside the plan: code, libraries and their buffers, measured in
 * docs/benchmarks.md. */
enum { RUN_PROCESS = 48 << 20 };
/* Bytes that NCCL takes of a GPU, by rule. */
size_t run_peers(const struct run *r);
int run_print_plan(struct run *r, struct err *e); /* for --plan */
int run_fits(struct run *r, struct err *e);       /* ERR_MEMORY when the plan is too large */
int run_check(struct run *r, struct err *e);      /* for --check: the folders are this run's */
int run_ready(struct run *r, struct err *e);      /* ready.c: what the run will need is there */
bool run_alone(const struct run *r);           /* true for --plan and --check: no rank is needed */
int run_stream(struct run *r, struct err *e);  /* opens and checks the streams */
struct model_vocab run_vocab(struct run *r);   /* the vocabulary of their ids */
int run_folders(struct run *r, struct err *e); /* creates and locks them, finds where to resume */
int run_weights(struct run *r, struct err *e); /* loads the model or a checkpoint */
int run_loop(struct run *r, struct err *e);    /* trains; prints the summary to stdout */
/* report.c: writes the summary. ERR_STOPPED for a run that was asked to stop. */
int run_report(struct run *r, const struct loop_result *x, struct err *e);
void run_close(struct run *r);

/* same.c: */
/* Refuses to resume with other base weights than an adapter's checkpoint was trained on; warns of
 * an adapter that a run begins from. Knows nothing where the folder tells nothing. */
int run_same_base(const struct run *r, struct err *e);
/* Refuses to resume with another tokenizer or global batch than the checkpoint's. */
int run_same_stream(const struct run *r, const struct restore_cursor *c, struct err *e);
void run_tell_done(const struct run *r); /* logs that no step is left, if that is so */

/* ready.c: */
/* Bytes of a checkpoint on the disk, but for headers and the manifest. */
struct checkpoint_bytes {
    uint64_t model, state, files; /* files: those of the model's folder beside its weights */
};
int run_checkpoint_bytes(const struct run *r, struct checkpoint_bytes *d, struct err *e);
int run_tokenizer(struct run *r, struct err *e); /* loads it for its identity, r->tokenizer */
/* Warns when the checkpoints of this many steps will not fit on the disk. */
void run_tell_room(const struct run *r, uint64_t steps);

/* samples.c: */
/* Adds what answers need to the options of the trainer. */
void run_samples_options(const struct run *r, struct trainer_options *o);
/* Answers the prompts with the weights as they are: lines of samples.jsonl. arg is the run. On a
 * rank that makes no answers it does nothing. */
int run_answer(void *arg, struct err *e);
void run_samples_close(struct run *r);

/* best.c: */
int run_check_best(const struct run *r, struct err *e); /* ERR_CONFIG without a validation stream */
/* r->best as the checkpoint has it. */
int run_restore_best(struct run *r, const struct restore_cursor *c, struct err *e);
/* With load_best_model_at_end, makes r->best_model when the run is done. */
int run_best_model(struct run *r, const struct loop_result *x, struct err *e);

/* folders.c: */
/* Logs once which files r->folder set aside or kept. */
void run_tell_aside(struct run *r);
/* r->folder.resume turned out damaged: sets it aside and takes the checkpoint before it. */
int run_fall_back(struct run *r, struct err *e);

/* signals.c: SIGUSR1, SIGHUP and the first SIGINT or SIGTERM ask the run to stop after its step,
 * which a line says at once; a second SIGINT or SIGTERM ends the process. Call it before any other
 * thread is started. */
int signals_catch(struct err *e);
/* True when the run was asked to stop. done of `total` steps are done, which lines say. */
bool signals_stop(uint64_t done, uint64_t total);

/* SIGTERM comes from a launcher that ends the ranks a second later, perhaps because it lost one. */
void signals_under_mpirun(struct world *w);
/* The job ends, so from now on no line says that the run stops after a step. */
void signals_over(void);

#endif
