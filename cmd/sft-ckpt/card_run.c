/* SPDX-License-Identifier: Apache-2.0 */
/* The settings of a run, as a checkpoint has them in state/run.json and in adapter_config.json. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/doc.h"
#include "base/io.h"
#include "base/json.h"
#include "base/num.h"
#include "card.h"
#include "hf/peft.h"

enum { MAX_RUN = 1 << 20, TARGETS = 20 };

#define TRAINING "sft_train.training_args."
static const struct {
    const char *key, *label;
} shown[] = {
    {TRAINING "num_train_epochs", "epochs"},
    {TRAINING "learning_rate", "learning rate"},
    {TRAINING "lr_scheduler_type", "schedule"},
    {TRAINING "lr_scheduler_kwargs", "arguments of the schedule"},
    {TRAINING "warmup_steps", "warmup steps"},
    {TRAINING "warmup_ratio", "warmup ratio"},
    {TRAINING "optim", "optimizer"},
    {TRAINING "optim_args", "arguments of the optimizer"},
    {TRAINING "weight_decay", "weight decay"},
    {"max_grad_norm", "largest gradient norm"},
    {"sft_train.model_args.dtype", "type of the computation"},
    {"sft_train.model_args.freeze_module_prefix", "frozen modules"},
};

static void put_number(struct buf *b, const char *label, const struct json *v)
{
    if (v && v->kind == JSON_NUMBER) card_item(b, label, v->s);
}

static void put_settings(const struct json *run, struct buf *b)
{
    const struct json *settings = json_get(run, "settings");
    put_number(b, "steps", json_get(run, "step"));
    put_number(b, "global batch size", json_get(run, "global_batch"));
    put_number(b, "tokens of a row", json_get(run, "length"));
    for (size_t i = 0; settings && i < sizeof shown / sizeof *shown; i++) {
        const struct json *v = json_get(settings, shown[i].key);
        if (v && v->kind == JSON_STRING) card_item(b, shown[i].label, v->s);
    }
    put_number(b, "seed", json_get(run, "seed"));
    const struct json *gpu = json_get(run, "gpu"), *name = gpu ? json_get(gpu, "name") : NULL;
    if (name && name->kind == JSON_STRING) card_item(b, "GPU", name->s);
}

static double last_loss(const struct json *run)
{
    double v = NAN;
    const struct json *guard = json_get(run, "guard");
    const struct json *losses =
        guard && guard->kind == JSON_OBJECT ? json_get(guard, "losses") : NULL;
    if (losses && losses->kind == JSON_ARRAY && losses->count)
        json_real(&losses->items[losses->count - 1], &v);
    return v;
}

static int parse(const struct json *run, struct card_point *p, struct err *e)
{
    const struct json *rows = json_get(run, "rows_checksum");
    if (run->kind != JSON_OBJECT || json_int(json_get(run, "step"), &p->step) || p->step < 0)
        return err_set(e, ERR_DATA, "step is missing");
    if (!rows || rows->kind != JSON_STRING || rows->s.n != sizeof p->rows - 1)
        return err_set(e, ERR_DATA, "rows_checksum is missing");
    memcpy(p->rows, rows->s.p, sizeof p->rows - 1);
    p->loss = last_loss(run);
    return 0;
}

static int read_run(const char *path, struct buf *settings, struct card_point *p, struct err *e)
{
    struct buf text = {0};
    struct arena tree = {0};
    const struct json *v = NULL;
    if (io_slurp(path, MAX_RUN, &text, e) == 0) v = doc_parse(text.data, text.len, &tree, e);
    int rc = v && parse(v, p, e) == 0 ? 0 : err_prefix(e, "%s", path);
    if (rc == 0) put_settings(v, settings);
    arena_free(&tree);
    buf_free(&text);
    return rc;
}

int card_run(const struct verb_model *m, struct buf *settings, struct card_point *p, struct err *e)
{
    *p = (struct card_point){.step = -1};
    char *path = io_path(m->dir, "state/run.json", e);
    const int there = path ? io_exists(path, e) : -1;
    int rc = there > 0 ? read_run(path, settings, p, e) : there;
    mem_free(path);
    return rc;
}

/* ---- an adapter ---- */
static void put_names(struct buf *b, const char *label, const struct peft_names *names)
{
    struct buf text = {0};
    for (size_t i = 0; i < names->n && i < TARGETS; i++)
        buf_printf(&text, "%s%s", i ? ", " : "", names->v[i]);
    if (names->n > TARGETS) buf_printf(&text, " and %zu more", names->n - TARGETS);
    if (text.failed) b->failed = true;
    card_item(b, label, (struct str){text.data, text.failed ? 0 : text.len});
    buf_free(&text);
}

int card_adapter(const struct verb_model *m, struct buf *settings, struct err *e)
{
    struct peft_config c = {0};
    char number[NUM_TEXT];
    if (peft_config_read(m->dir, &c, e)) {
        peft_config_free(&c);
        return -1;
    }
    snprintf(number, sizeof number, "%" PRId64, c.rank);
    card_item(settings, "LoRA rank", str_z(number));
    num_text(c.alpha, false, number);
    card_item(settings, "LoRA alpha", str_z(number));
    num_text(c.dropout, false, number);
    card_item(settings, "LoRA dropout", str_z(number));
    if (c.rslora) card_item(settings, "LoRA scale", STR("alpha / sqrt(rank)"));
    if (c.pattern)
        card_item(settings, "adapted layers", str_z(c.pattern));
    else
        put_names(settings, "adapted layers", &c.targets);
    put_names(settings, "modules trained whole", &c.saved);
    peft_config_free(&c);
    return 0;
}
