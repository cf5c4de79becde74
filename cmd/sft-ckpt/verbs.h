/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs of sft-ckpt and their common functions. */
#ifndef SFT_CKPT_VERBS_H
#define SFT_CKPT_VERBS_H

#include "base/buf.h"
#include "base/err.h"
#include "base/opt.h"
#include "hf/safetensors.h"

/* Runs a verb; argv[0] is its name. Returns 0, ERR_DIFFER, or -1 with *e. */
typedef int verb_fn(int argc, char **argv, struct err *e);
verb_fn verb_ls, verb_show, verb_verify, verb_diff, verb_convert, verb_merge, verb_init,
    verb_average, verb_export;

/* Parses the options and checks that the number of operands is in [min, max]. Returns 0 to go on, 1
 * after printing help, when the verb is done, or -1. */
int verb_parse(const struct opt_cmd *cmd, int argc, char **argv, int min, int max, int *nargs,
               struct err *e);
/* The number of workers to use, by -@; after verb_parse. */
int verb_threads(void);
/* The option --json; flag: a bool. */
#define VERB_JSON(flag, text)                                                                      \
    {                                                                                              \
        .letter = 'j', .name = "json", .kind = OPT_FLAG, .to = &(flag), .help = text               \
    }
/* Tells of a new model folder that was made of n operands: one line, or with json one object on
 * standard output. */
int verb_made(bool json, const char *out, char *const *from, int n, struct err *e);
/* Writes b to standard output. */
int verb_print(const struct buf *b, struct err *e);
/* Appends the name of a tensor; as a JSON string if it contains control characters. */
void verb_name(struct buf *b, const char *name);
/* Opens a .safetensors file, or the tensors of a folder: a model, an adapter, a checkpoint-N. */
struct safetensors *verb_open(const char *path, struct err *e);

/* ---- model.c ---- */
/* A model or an adapter that an operand names: a folder, a checkpoint-N folder or a hub id. */
struct verb_model {
    const char *path; /* the operand */
    char *dir;        /* the folder of config.json, or of adapter_config.json */
    bool adapter;
    struct safetensors *tensors;
};
/* Opens it; the caller calls verb_model_close in any case. */
int verb_model_open(const char *path, struct verb_model *m, struct err *e);
void verb_model_close(struct verb_model *m);
/* Copies the files beside the weights to the folder `to`. */
int verb_model_copy(const struct verb_model *m, const char *to, struct err *e);
/* Starts the weights of a new folder: the same tensors, divided into files like those of m. */
struct safetensors_writer *verb_model_weights(const struct verb_model *m, const char *to,
                                              struct err *e);

#endif
