/* SPDX-License-Identifier: Apache-2.0 */
/* The device of each rank. All ranks compute on one kind, each on a GPU of its own. */
#include "base/log.h"
#include "comm/comm.h"
#include "ops/choose.h"
#include "run.h"

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
    if (run_agreed(r, open_device(r, share, e), e) || comm_check_devices(&r->world, r->device, e))
        return -1;
    const struct mesh_sizes sizes = {{[MESH_TP] = (int)r->config->run.tensor_parallel_size,
                                      [MESH_CP] = (int)r->config->run.context_parallel_size,
                                      [MESH_DP] = (int)r->config->run.data_parallel_size,
                                      [MESH_PP] = (int)r->config->run.pipeline_parallel_size},
                                     (int)r->config->run.virtual_pipeline_parallel_size,
                                     (int)r->config->run.expert_parallel_size,
                                     r->config->run.expert_key,
                                     (int)r->config->run.shard_size};
    const bool planned = run_alone(r) && !r->world.plugin; /* for rank 0 of those that will be */
    return planned ? mesh_planned(&r->mesh, &sizes, r->device, e)
                   : mesh_open(&r->mesh, &sizes, &r->world, r->device, e);
}
