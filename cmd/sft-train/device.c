/* SPDX-License-Identifier: Apache-2.0 */
/* The device of each rank. All ranks compute on one kind, each on a GPU of its own. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "ops/choose.h"
#include "run.h"

/* Each rank tells the others this about its device. */
struct device_note {
    int32_t gpu;
    unsigned char id[16];
};
_Static_assert(sizeof(struct device_note) <= WORLD_NOTE, "the device fits a note");

static struct device_note note_of(const struct device *d)
{
    struct device_note n = {.gpu = d->card != NULL};
    if (d->card) memcpy(n.id, d->card->id, sizeof n.id);
    return n;
}

static int shared(const struct run *r, int other, struct err *e)
{
    const struct comm_place *p = &r->world.place;
    const int gpus = r->device->card->gpus;
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    return err_set(e, ERR_CONFIG,
                   "computes on the GPU of rank %d: this node has %d ranks, and there %s %d GPU%s "
                   "for them%s%s; start as many ranks on a node as it has GPUs",
                   other, p->node_size, gpus == 1 ? "is" : "are", gpus, gpus == 1 ? "" : "s",
                   visible ? "; CUDA_VISIBLE_DEVICES=" : "", visible ? visible : "");
}

/* Compares the devices of all ranks. */
static int check_devices(struct run *r, struct err *e)
{
    const struct device_note mine = note_of(r->device);
    const struct device_note *all = world_notes(&r->world, &mine, sizeof mine, e);
    const int n = r->world.place.size, rank = r->world.place.rank;
    if (!all) return -1;
    for (int i = 0; i < n; i++) {
        if (mine.gpu < all[i].gpu)
            return err_set(e, ERR_DEVICE,
                           "finds no GPU, and rank %d has one: all ranks compute on the same kind "
                           "of device; repair the GPU's driver there, leave this node out, or use "
                           "--device cpu",
                           i);
        if (i != rank && mine.gpu && all[i].gpu && !memcmp(mine.id, all[i].id, sizeof mine.id))
            return shared(r, i, e);
    }
    return 0;
}

/* The rank is part of the message, since run_agreed adds none for rank 0. */
static int check_all(struct run *r, struct err *e)
{
    if (r->world.place.size == 1) return 0;
    const int rc = check_devices(r, e);
    return rc && r->world.place.rank == 0 ? err_prefix(e, "rank 0") : rc;
}

static void tell_choice(const struct device_choice *c)
{
    if (*c->why) log_line(c->hidden ? LOG_WARN : LOG_INFO, "computing on the CPU: %s", c->why);
}

/* A kind of GPU is only planned for. */
static int check_planned(const struct run *r, struct err *e)
{
    const struct device_card *card = r->device->card;
    if (!card || !card->planned || r->plan) return 0;
    return err_set(e, ERR_CONFIG, "--device cuda:KIND is for --plan; a run takes cuda or cuda:N");
}

static int open_device(struct run *r, int threads, struct err *e)
{
    const char *asked = r->device_name ? r->device_name : r->config->sft.device;
    struct device_choice c;
    if (device_choose(asked, r->world.place.node_rank, &c, e)) return -1;
    tell_choice(&c);
    r->device = device_open(c.name, threads, e);
    return r->device ? check_planned(r, e) : -1;
}

int run_device(struct run *r, struct err *e)
{
    const int64_t threads = r->common.threads > 0 ? r->common.threads : r->config->sft.threads;
    int share = opt_threads(threads);
    if (threads == 0 && world_share_cpus(&r->world, share, &share, e)) return -1;
    if (run_agreed(r, open_device(r, share, e), e) || run_agreed(r, check_all(r, e), e)) return -1;
    const struct mesh_sizes sizes = {{[MESH_TP] = (int)r->config->run.tensor_parallel_size,
                                      [MESH_CP] = (int)r->config->run.context_parallel_size,
                                      [MESH_DP] = (int)r->config->run.data_parallel_size,
                                      [MESH_PP] = (int)r->config->run.pipeline_parallel_size},
                                     (int)r->config->run.virtual_pipeline_parallel_size,
                                     (int)r->config->run.expert_parallel_size,
                                     r->config->run.expert_key};
    const bool planned = run_alone(r) && !r->world.plugin; /* for rank 0 of those that will be */
    const int rc = planned ? mesh_planned(&r->mesh, &sizes, r->device, e)
                           : mesh_open(&r->mesh, &sizes, &r->world, r->device, e);
    if (rc) return -1;
    return mesh_split(&r->mesh, (int)r->config->run.shard_size, planned ? NULL : &r->world,
                      r->device, e);
}
