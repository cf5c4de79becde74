/* SPDX-License-Identifier: Apache-2.0 */
/* Writes and compares settings. Those that the stream and the tensors show are left out, since a
 * resumed run checks stream and tensors themselves. */
#include "config/settings.h"

#include <stdio.h>
#include <string.h>

#define TRAINING "sft_train.training_args."
#define MODEL    "sft_train.model_args."

static const char *const keys[] = {"seed",
                                   "max_steps",
                                   "max_grad_norm",
                                   MODEL "dtype",
                                   MODEL "freeze_module_prefix",
                                   MODEL "moe_aux_loss_coef",
                                   TRAINING "num_train_epochs",
                                   TRAINING "max_steps",
                                   TRAINING "learning_rate",
                                   TRAINING "lr_scheduler_type",
                                   TRAINING "lr_scheduler_kwargs",
                                   TRAINING "warmup_steps",
                                   TRAINING "warmup_ratio",
                                   TRAINING "weight_decay",
                                   TRAINING "adam_beta1",
                                   TRAINING "adam_beta2",
                                   TRAINING "adam_epsilon",
                                   TRAINING "optim",
                                   TRAINING "optim_args",
                                   TRAINING "early_stopping_patience",
                                   TRAINING "early_stopping_threshold",
                                   "sft.master_dtype",
                                   "sft.moments_dtype",
                                   "sft.skip_nonfinite",
                                   "sft.spike_factor",
                                   "sft.spike_window",
                                   "sft.spike_action",
                                   "sft.gradient_dtype",
                                   "sft.gradient_sum",
                                   "sft.logits_dtype",
                                   "zero_stage"};
enum { KEYS = sizeof keys / sizeof *keys };

/* The value of a setting that a checkpoint does not have; NULL: unknown. Checkpoints older than a
 * key lack it, and it is left out of new ones, too, where it has this value. */
static const char *absent(const char *key)
{
    static const char *const later[][2] = {{"sft.gradient_dtype", "fp32"},
                                           {"sft.gradient_sum", ""},
                                           {"sft.logits_dtype", "fp32"},
                                           {"zero_stage", "0"},
                                           {MODEL "moe_aux_loss_coef", ""},
                                           {TRAINING "early_stopping_patience", ""},
                                           {TRAINING "early_stopping_threshold", "0.0"}};
    for (size_t i = 0; i < sizeof later / sizeof *later; i++)
        if (strcmp(key, later[i][0]) == 0) return later[i][1];
    return NULL;
}

/* The value of a key without its line's end. */
static int value(const struct config *c, const char *key, struct buf *b, struct err *e)
{
    buf_reset(b);
    if (config_get(c, key, '\n', b, e)) return -1;
    while (b->len && b->data[b->len - 1] == '\n') b->data[--b->len] = 0;
    return 0;
}

int config_settings_write(const struct config *c, struct buf *b, struct err *e)
{
    struct buf v = {0};
    int rc = 0;
    buf_putc(b, '{');
    for (int i = 0; i < KEYS && rc == 0; i++) {
        const char *left_out = absent(keys[i]);
        rc = value(c, keys[i], &v, e);
        if (rc == 0 && left_out && str_eq((struct str){v.data, v.len}, str_z(left_out))) continue;
        if (i) buf_putc(b, ',');
        buf_json(b, str_z(keys[i]));
        buf_putc(b, ':');
        buf_json(b, (struct str){v.data ? v.data : "", v.len});
    }
    buf_putc(b, '}');
    buf_free(&v);
    return rc;
}

static const char *shown(struct str s) { return s.n ? s.p : "not set"; }
static int length(struct str s) { return s.n == 0 ? 7 : s.n > 80 ? 80 : (int)s.n; }

/* The setting's value in `then`; false: `then` does not say. */
static bool value_then(const struct json *then, const char *key, struct str *was)
{
    const struct json *old = json_get(then, key);
    const char *left_out = absent(key);
    if (old && old->kind == JSON_STRING)
        *was = old->s;
    else if (!old && left_out)
        *was = str_z(left_out);
    else
        return false;
    return true;
}

static void tell(const char *key, struct str now, struct str was,
                 void (*say)(void *arg, const char *text), void *arg)
{
    char text[400];
    snprintf(text, sizeof text,
             "%s is %.*s, but was %.*s when the checkpoint was made: the run continues with the "
             "new value",
             key, length(now), shown(now), length(was), shown(was));
    for (char *p = text; (p = strchr(p, '\n'));) *p = ','; /* between arguments of a schedule */
    err_clean(text);
    say(arg, text);
}

int config_settings_compare(const struct config *c, const struct json *then,
                            void (*say)(void *arg, const char *text), void *arg, struct err *e)
{
    struct buf v = {0};
    struct str was;
    int rc = 0;
    for (int i = 0; i < KEYS && rc == 0; i++) {
        rc = value(c, keys[i], &v, e);
        const struct str now = {v.data ? v.data : "", v.len};
        if (rc == 0 && value_then(then, keys[i], &was) && !str_eq(was, now))
            tell(keys[i], now, was, say, arg);
    }
    buf_free(&v);
    return rc;
}
