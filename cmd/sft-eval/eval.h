/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of sft-eval: joining ranks, opening a model, the losses of a stream, an answer to a
 * prompt. */
#ifndef SFT_CMD_EVAL_EVAL_H
#define SFT_CMD_EVAL_EVAL_H

#include "base/io.h"
#include "base/log.h"
#include "base/opt.h"
#include "comm/launch.h"
#include "decode/talk.h"
#include "hf/config.h"
#include "hf/peft.h"
#include "model/sampler.h"
#include "model/stage.h"
#include "parallel/mesh.h"
#include "text/tokenizer.h"

/* The losses of all samples of a stream, in its order: sum(w * NLL) and sum(w) of each. */
struct sample_loss {
    double loss, weight;
};
struct sample_losses {
    struct sample_loss *v;
    size_t n, cap;
};

/* The words of --by: the field of a sample that groups have in common. */
enum eval_by { EVAL_BY_NONE, EVAL_BY_FILE, EVAL_BY_LENGTH, EVAL_BY_MESSAGES };

struct eval {
    /* from the command line */
    const char *model, *adapter_name, *device_name, *stream;
    const char *prompt, *system, *prompts, *output, *compare;
    struct sampling sampling;
    enum { EVAL_AUTO, EVAL_BF16, EVAL_FP32 } dtype; /* the words of --dtype */
    bool per_sample, logits, chat;
    enum eval_by by;
    int64_t max_tokens, length, seed, batch; /* batch 0: as many as have room */
    int64_t comm_timeout;                    /* seconds */
    struct launch launch;                    /* the launcher that started this process */
    /* made by eval_join */
    struct world world;   /* all ranks */
    struct mesh mesh;     /* of these ranks, without groups; --compare's other model shares it */
    bool silent;          /* another rank prints messages */
    enum log_level level; /* of a silent rank's messages about what it alone has */
    int threads;
    /* made */
    char *dir;
    struct peft *adapter; /* NULL: none */
    struct hf_config hf;
    struct model m;
    struct tokenizer *tokenizer;
    struct device *device;
    enum dtype compute;
    struct memory memory;
    struct weights weights;
    struct stage stage;
    struct io_out *out; /* NULL: another rank writes */
    struct progress progress;
    struct sample_losses *losses; /* NULL: the losses are printed, else kept here */
};

/* options.c: parses the command line, as opt_parse; v has the defaults. */
int eval_parse(struct eval *v, struct opt_common *common, int argc, char **argv, struct err *e);
/* ranks.c: joins the ranks, if a launcher started several, and shares out the CPUs. threads: of
 * this process; 0: its share of the CPUs. */
int eval_join(struct eval *v, int64_t threads, struct err *e);
/* Finds the model and its tokenizer, and opens the device; the ranks agree on it. eval_close(),
 * which may come twice, releases all but the output. */
int eval_begin(struct eval *v, struct err *e);
void eval_close(struct eval *v);
/* Loads the model for forward passes. length: tokens of the longest document. */
int eval_open(struct eval *v, const struct stage_options *o, int64_t length, struct err *e);
/* The vocabulary that every token id is checked against. */
struct model_vocab eval_vocab(struct eval *v);
/* Sets ERR_NONFINITE with the text `what` and the first weight that is not finite, if there is one.
 * Returns -1. */
int eval_nonfinite(struct eval *v, const char *what, struct err *e);
extern const char eval_hint[]; /* the end of that message in bf16, where all weights are finite */
/* live.c: an answer on a terminal. Tokens [from, to) are those whose text was written last. */
struct live {
    struct eval *v;
    size_t from, to;
};
/* Writes the text that n tokens have beyond what is written. end: with all that is left, and a line
 * break. */
int live_write(struct live *l, const uint32_t *ids, size_t n, bool end, struct err *e);
/* The same for an answer's tokens so far; arg is a struct live. */
int live_took(void *arg, const struct talk_answer *a, uint64_t tokens, struct err *e);
/* talks.c: loads the template; talk_close() releases all. */
int eval_talk(struct talk *t, struct eval *v, struct err *e);
/* Loads the model, with room for these conversations. */
int eval_talk_open(struct talk *t, struct eval *v, const struct talk_room *room, struct err *e);
/* Warns of ids that only the embedding has and the tokenizer does not: they have no text. */
void eval_warn_nameless(const struct eval *v, const uint32_t *ids, int64_t n);
int eval_loss(struct eval *v, struct err *e);     /* loss.c */
int eval_compare(struct eval *v, struct err *e);  /* compare.c */
int eval_complete(struct eval *v, struct err *e); /* complete.c */
int eval_chat(struct eval *v, struct err *e);     /* chat.c */
int eval_prompts(struct eval *v, struct err *e);  /* prompts.c */

#endif
