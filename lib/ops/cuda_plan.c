/* SPDX-License-Identifier: Apache-2.0 */
/* Kinds of GPU, for planning a run without one. Their devices know the scratch of operations and
 * have the functions of the real device, which the plan asks for; none of them may be called. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "ops/cuda_rules.h"
#include "ops/table.h"

/* Memory as cudaMemGetInfo tells it: less than the name says, by what the driver and ECC take. */
#define MIB(n) ((size_t)(n) << 20)
static const struct kind {
    const char *word, *name;
    size_t memory;
} kinds[] = {
    {"a100-40", "A100 40 GB", MIB(40326)}, {"a100-80", "A100 80 GB", MIB(81038)},
    {"h100", "H100 80 GB", MIB(80994)},    {"h200", "H200 141 GB", MIB(143052)},
    {"b200", "B200 180 GB", MIB(182624)},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

const char *cuda_plan_kinds(void) { return "a100-40, a100-80, h100, h200, b200"; }

struct planned {
    struct device d; /* first, so that a struct device * is one of these */
    struct device_card card;
};

static void planned_close(struct device *d) { mem_free(d); }
static void *planned_alloc(struct device *d, size_t bytes, struct err *e)
{
    (void)bytes;
    err_set(e, ERR_CONFIG, "%s: only its memory can be planned; a run takes cuda or cuda:N",
            d->card->name);
    return NULL;
}
static void planned_free(struct device *d, void *p, size_t bytes) { (void)d, (void)p, (void)bytes; }
static void planned_upload(struct device *d, void *dst, const void *src, size_t n)
{
    (void)d, (void)dst, (void)src, (void)n;
}
static int planned_download(struct device *d, void *dst, const void *src, size_t n, struct err *e)
{
    (void)dst, (void)src, (void)n;
    return planned_alloc(d, 0, e) ? 0 : -1;
}
static int planned_sync(struct device *d, struct err *e) { return (void)d, (void)e, 0; }
static size_t planned_work(struct device *d, enum op_id op, const void *args)
{
    (void)d;
    return cuda_work_bytes(op, args);
}
static void planned_run(struct device *d, enum op_id op, const void *args, size_t size)
{
    (void)d, (void)op, (void)args, (void)size;
}
static void planned_mark(struct device *d, int slot) { (void)d, (void)slot; }
static double planned_between(struct device *d, int from, int to)
{
    return (void)d, (void)from, (void)to, 0;
}
static void planned_after(struct device *d, enum device_queue q) { (void)d, (void)q; }

static const struct ops planned_ops = {.name = "cuda",
                                       .close = planned_close,
                                       .alloc = planned_alloc,
                                       .free = planned_free,
                                       .host_alloc = planned_alloc,
                                       .host_free = planned_free,
                                       .upload = planned_upload,
                                       .download = planned_download,
                                       .peek = planned_download,
                                       .sync = planned_sync,
                                       .work = planned_work,
                                       .run = planned_run,
                                       .mark = planned_mark,
                                       .between = planned_between,
                                       .reached = planned_mark,
                                       .after = planned_after,
                                       .wait = planned_after};

static const struct kind *find(const char *word)
{
    for (int i = 0; i < KINDS; i++)
        if (strcmp(kinds[i].word, word) == 0) return &kinds[i];
    return NULL;
}

bool cuda_plan_knows(const char *word) { return find(word) != NULL; }

struct device *cuda_plan_open(const char *word, struct err *e)
{
    const struct kind *k = find(word);
    struct planned *p = mem_alloc(1, sizeof *p, e);
    if (!p) return NULL;
    *p = (struct planned){
        .d = {.ops = &planned_ops, .threads = 1, .head = CUDA_HEAD, .has_bf16 = true},
        .card = {.memory = k->memory, .free = k->memory, .planned = true}};
    p->d.card = &p->card;
    snprintf(p->card.name, sizeof p->card.name, "%s", k->name);
    return &p->d;
}
