/* SPDX-License-Identifier: Apache-2.0 */
/* A trainer of a tiny model (tests/tiny.h) on a device of its own, and steps to train it on. */
#ifndef SFT_TEST_RIG_H
#define SFT_TEST_RIG_H

#include "mesh.h"
#include "tiny.h"
#include "train/trainer.h"

/* The optimizer of the oracle's scripts. */
#define RIG_ADAMW                                                                                  \
    {                                                                                              \
        .beta1 = 0.9, .beta2 = 0.98, .epsilon = 1e-8, .weight_decay = 0.1, .max_norm = 1           \
    }

struct rig {
    struct device *device;
    struct mesh mesh;
    struct trainer t;
};
/* With the model's weights, or false after a message. Documents may have 32 tokens. */
TINY bool rig_open(struct rig *r, const char *device, const struct model *m,
                   struct trainer_options o)
{
    struct err e = {0};
    o.length = 32;
    *r = (struct rig){.device = device_open(device, 2, &e)};
    if (!r->device || open_mesh_alone(&r->mesh, r->device, &e) ||
        trainer_init(&r->t, m, &o, &r->mesh, r->device, &e) || trainer_alloc(&r->t, &e)) {
        printf("not ok open %s: %s\n", device, e.msg);
        return false;
    }
    tiny_weights(&r->t.weights, optimizer_master(&r->t.optimizer));
    return true;
}
TINY void rig_close(struct rig *r)
{
    trainer_close(&r->t);
    mesh_close(&r->mesh);
    device_close(r->device);
}

/* The documents of tiny_batch as the rows of a step, a row a document; feed_step_free. */
TINY struct feed_step rig_rows(const int *lengths, int docs, int vocab, uint32_t first)
{
    struct feed_step s = {0};
    enum { MOST_TOKENS = 4096, MOST_DOCS = 64 };
    s.ids = malloc(MOST_TOKENS * sizeof *s.ids);
    s.weights = malloc(MOST_TOKENS * sizeof *s.weights);
    s.samples = calloc(MOST_DOCS, sizeof *s.samples);
    s.rows = calloc(MOST_DOCS, sizeof *s.rows);
    for (int d = 0; d < docs; d++) {
        s.samples[d] = (struct feed_sample){
            .source = {.row = first + (uint64_t)d}, .first = s.tokens, .n = (uint32_t)lengths[d]};
        s.rows[d] =
            (struct feed_row){.first = (size_t)d, .samples = 1, .tokens = (uint64_t)lengths[d]};
        for (int i = 0; i < lengths[d]; i++, s.tokens++) {
            uint32_t h = tiny_hash("ids", first + (uint32_t)s.tokens);
            float weight = i == 0 || h >> 30 == 0 ? 0 : h >> 30 == 1 ? 0.5F : 1;
            s.ids[s.tokens] = h % (uint32_t)vocab;
            s.weights[s.tokens] = weight;
            s.weight += (double)weight;
            s.label_tokens += weight > 0;
        }
    }
    s.nsamples = s.nrows = (size_t)docs;
    return s;
}

/* The step that the oracle's scripts take k-th: five documents of tiny_model's vocabulary. */
enum { RIG_DOCS = 5, RIG_TOKENS = 62 };
TINY struct feed_step rig_step(uint32_t k)
{
    static const int lengths[RIG_DOCS] = {17, 9, 1, 23, 12};
    return rig_rows(lengths, RIG_DOCS, 97, 1000 * k);
}

#endif
