/* SPDX-License-Identifier: Apache-2.0 */
/* Names and arguments of operations; opens a device by name. */
#include "ops/ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "ops/table.h"

uint32_t op_random_bits(const struct op_random *r, uint64_t i)
{
    uint32_t words[4];
    rng_words(r->seed, RNG_ROUND, i / 64 * 16 + i % 16, r->step, words);
    return words[i % 64 / 16];
}

const char *op_name(enum op_id op)
{
    static const char *const names[] = {
#define X(name) #name,
        OPS_LIST(X)
#undef X
    };
    return (unsigned)op < OP_COUNT ? names[op] : "unknown operation";
}

size_t op_args_size(enum op_id op)
{
    static const size_t sizes[] = {
#define X(name) sizeof(struct op_##name),
        OPS_LIST(X)
#undef X
    };
    return (unsigned)op < OP_COUNT ? sizes[op] : 0;
}

void device_upload(struct device *d, void *dst, const void *src, size_t n)
{
    d->ops->upload(d, dst, src, n);
    d->ops->mark(d, MARK_UPLOAD);
    d->ops->reached(d, MARK_UPLOAD);
}

bool device_has_bf16(const struct device *d) { return d->has_bf16; }

struct device *device_open(const char *name, int threads, struct err *e)
{
    if (threads < 1) threads = 1;
    if (!strcmp(name, "cpu")) return cpu_open(NULL, threads, e);
    if (!strncmp(name, "cpu-", 4)) return cpu_open(name + 4, threads, e);
    if (!strcmp(name, "cuda")) return cuda_open(NULL, e);
    if (!strncmp(name, "cuda:", 5))
        return cuda_plan_knows(name + 5) ? cuda_plan_open(name + 5, e) : cuda_open(name + 5, e);
    if (!strcmp(name, "ref")) return ref_open(false, threads, e);
    if (!strcmp(name, "ref64")) return ref_open(true, threads, e);
    if (!strcmp(name, "far") || !strncmp(name, "far-", 4)) {
        struct device *inner = cpu_open(NULL, threads, e);
        return inner ? far_open(inner, name[3] ? strtoull(name + 4, NULL, 10) : 0, e) : NULL;
    }
    err_set(e, ERR_CONFIG, "device '%s': no such backend; use cpu, cuda, ref, ref64 or far", name);
    return NULL;
}

void device_about(const struct device *d, char *text, size_t bytes)
{
    const struct device_card *c = d->card;
    if (c)
        snprintf(text, bytes, "%s (%s, sm_%d)", d->ops->name, c->name, c->capability);
    else
        snprintf(text, bytes, "%s, %d thread%s", d->ops->name, d->threads,
                 d->threads == 1 ? "" : "s");
}

void device_close(struct device *d)
{
    if (d) d->ops->close(d);
}
