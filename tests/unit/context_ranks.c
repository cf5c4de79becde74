/* SPDX-License-Identifier: Apache-2.0 */
/* Context parallelism where documents are short: ranks without a token of a micro-batch, and
 * documents with rotary frequencies of their own. The losses and norms are those of one rank.
 * tests/cli/ranks_context.sh starts it as several ranks; alone it is one. usage: [DEVICE] */
#include "job.h"
#include "rig.h"

/* Rows of one document each; the first two are a micro-batch of their own. */
enum { ROWS = 5 };
static const int lengths[ROWS] = {2, 1, 17, 1, 13};

static bool steps(struct job *j)
{
    struct err e = {0};
    bool ok = j->open;
    for (int k = 0; ok && k < JOB_STEPS; k++) {
        struct trainer_report r;
        struct feed_step s = rig_rows(lengths, ROWS, 97, 0);
        ok = trainer_gradients(&j->t, &s, &r, &e) == 0 && trainer_update(&j->t, 5e-3, &e) == 0;
        j->loss[k] = r.loss;
        j->norm[k] = r.grad_norm;
        feed_step_free(&s);
    }
    if (j->open && !ok) printf("# %s\n", e.msg);
    return ok;
}

static void runs(const struct form *f)
{
    char name[120];
    struct job alone = {0}, cut = {0};
    const struct job_layout l = {.sizes = {.axis = {1, w->place.size, 1, 1}}, .zero = 1};
    const bool ok = job_open(&alone, f, NULL, "cpu") && steps(&alone) &&
                    job_open(&cut, f, &l, device_name) && steps(&cut);
    snprintf(name, sizeof name, "context parallel, %s: losses are those of one rank", f->name);
    all_agree(name, ok && job_off(cut.loss, alone.loss) <= 1e-6 &&
                        alone.loss[JOB_STEPS - 1] < alone.loss[0]);
    snprintf(name, sizeof name, "context parallel, %s: norms are those of one rank", f->name);
    all_agree(name, ok && job_off(cut.norm, alone.norm) <= 1e-6);
    if (!w->place.rank)
        printf("# %s: loss off by %.1e, norm by %.1e\n", f->name, job_off(cut.loss, alone.loss),
               job_off(cut.norm, alone.norm));
    job_close(&cut);
    job_close(&alone);
}

int main(int argc, char **argv)
{
    struct model plain = tiny_model(false, true), normed = tiny_model(true, false), own = plain;
    char gpu[20];
    if (!join()) return test_failed;
    if (argc > 1) device_name = argv[1];
    if (!strcmp(device_name, "cuda")) { /* each rank has one of its own */
        snprintf(gpu, sizeof gpu, "cuda:%d", w->place.rank);
        device_name = gpu;
    }
    normed.family = hf_family_find("qwen3");
    normed.qk_norm = true;
    normed.window = 3;
    normed.window_layers[0] = 2;
    own.rope.type = ROPE_DYNAMIC;
    own.rope.factor = 4;
    own.positions = 8; /* longer documents have their own frequencies */
    const struct form forms[] = {
        {.name = "short documents", .m = plain, .epsilon = 1e-5},
        {.name = "tied, norms of q and k, a window, recomputed",
         .m = normed,
         .recompute = RECOMPUTE_SELECTIVE,
         .max_norm = 1,
         .epsilon = 1e-5},
        {.name = "own rotary frequencies", .m = own, .recompute = RECOMPUTE_FULL, .epsilon = 1e-5},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) runs(&forms[i]);
    world_leave(w, 1);
    return test_failed;
}
