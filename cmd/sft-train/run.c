/* SPDX-License-Identifier: Apache-2.0 */
/* Loads the weights and runs the loop. */
#include "run.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/trace.h"
#include "comm/comm.h"
#include "config/settings.h"
#include "hf/folder.h"

static void say(void *arg, const char *text)
{
    (void)arg;
    log_line(LOG_WARN, "%s", text);
}

static int restore(struct run *r, struct restore_cursor *cursor, struct err *e)
{
    char text[48];
    snprintf(text, sizeof text, "restoring checkpoint-%llu", (unsigned long long)r->folder.step);
    progress_doing(&r->progress, text, 0, 0);
    signals_stop(r->folder.step, r->steps);
    return run_agreed(r, checkpoint_load(&r->trainer, r->folder.resume, cursor, e), e);
}

/* Loads the newest checkpoint that is whole, and sets aside each that is not. 1: there is none. */
static int load(struct run *r, struct restore_cursor *cursor, struct err *e)
{
    while (r->folder.resume && restore(r, cursor, e)) {
        if (!r->folder.automatic || e->code != ERR_DATA) return -1;
        log_line(LOG_WARN, "%s; it is set aside, and the checkpoint before it is used", e->msg);
        restore_cursor_free(cursor);
        if (run_agreed(r, run_fall_back(r, e), e) || run_broadcast_resume(r, e)) return -1;
        run_tell_aside(r);
    }
    return r->folder.resume ? 0 : 1;
}

/* Another GPU or version of CUDA may sum in another order: that is logged, and the run goes on. */
static int tell_gpu(const struct run *r, const struct restore_cursor *cursor, struct err *e)
{
    struct buf b = {0};
    const int rc = restore_gpu_changes(cursor, r->device->card, &b, e);
    if (rc == 0 && b.len) log_line(LOG_WARN, "%s", b.data);
    buf_free(&b);
    return rc;
}

/* Settings may differ, since people change them on purpose; each difference is logged. */
static int go_on(struct run *r, const struct restore_cursor *cursor, struct err *e)
{
    if (cursor->step != r->folder.step)
        return err_set(e, ERR_CONFIG, "%s: holds step %llu; give the folder its name back",
                       r->folder.resume, (unsigned long long)cursor->step);
    log_line(LOG_INFO, "continuing after step %llu from %s", (unsigned long long)cursor->step,
             r->folder.resume);
    int rc = tell_gpu(r, cursor, e);
    if (rc == 0) rc = run_restore_best(r, cursor, e);
    if (run_agreed(r, rc, e)) return -1;
    if (run_same_stream(r, cursor, e)) return -1;
    if (cursor->settings && config_settings_compare(r->config, cursor->settings, say, NULL, e))
        return -1;
    return feed_seek(r->feed, cursor->step, cursor->checksum, e);
}

static int resume(struct run *r, struct err *e)
{
    struct restore_cursor cursor = {0};
    int rc = load(r, &cursor, e);
    if (rc == 0) rc = go_on(r, &cursor, e);
    restore_cursor_free(&cursor);
    return rc;
}

static void tell_loaded(const struct run *r, const struct safetensors *s)
{
    uint64_t all = 0;
    for (size_t i = 0; i < safetensors_count(s); i++) all += safetensors_at(s, i)->bytes;
    log_line(LOG_DEBUG, "rank %d has copied %llu of the %llu bytes of the model's tensors",
             r->world.place.rank, (unsigned long long)r->trainer.weights.loaded,
             (unsigned long long)all);
}

static int load_model(struct run *r, struct err *e)
{
    progress_doing(&r->progress, "loading the model", 0, 0);
    struct safetensors *s = safetensors_open(r->model_dir, e);
    int rc = s ? trainer_load(&r->trainer, s, e) : -1;
    if (rc == 0) tell_loaded(r, s);
    if (rc == 0)
        rc = adapter_load(r->adapter, s, &r->trainer.weights,
                          optimizer_master(&r->trainer.optimizer), e);
    if (rc == 0 && adapter_on(r->adapter) && !r->silent)
        rc = peft_base_id(s, r->base, e) ? -1 : run_same_base(r, e);
    safetensors_close(s);
    return rc;
}

int run_weights(struct run *r, struct err *e)
{
    struct trainer *t = &r->trainer;
    signals_stop(0, r->steps);
    best_init(&r->best, &r->options.best);
    const struct feed_rooms *rooms = &t->o.rooms;
    int rc = trainer_alloc(t, e);
    if (rc == 0) rc = feed_prefetch(r->feed, &rooms->training, rooms->ahead, t->steps, e);
    /* an adapter's checkpoint has nothing of the base */
    if (rc == 0 && adapter_on(r->adapter)) rc = load_model(r, e);
    if (rc == 0 && r->folder.resume) rc = adapter_same(r->adapter, r->folder.resume, e);
    if (run_agreed(r, rc, e)) return -1;
    rc = r->folder.resume ? resume(r, e) : 1;
    if (rc <= 0) return rc;
    if (r->folder.automatic) log_line(LOG_INFO, "no checkpoint to continue from: starting anew");
    return adapter_on(r->adapter) ? 0 : load_model(r, e);
}

static int open_tracker(struct run *r, struct err *e)
{
    const char *with = r->config->track_with;
    r->out = io_create("-", e);
    if (!r->out) return -1;
    const struct track_options o = {.metrics = r->folder.metrics,
                                    .samples = r->folder.samples,
                                    .answers = r->samples,
                                    .tensorboard = r->folder.tensorboard,
                                    .lines = with && strcmp(with, "stdout") == 0 ? r->out : NULL,
                                    .resume = r->trainer.step > 0,
                                    .from = r->trainer.step,
                                    .again = r->folder.again};
    r->track = track_open(&o, e);
    if (!r->track) return -1;
    if (track_beside_others(r->track))
        log_line(LOG_WARN,
                 "%s: has event files of other runs, which TensorBoard shows as one with this; "
                 "exp_name=OTHER or tracker_kwargs.log_dir=OTHER keeps them apart",
                 r->folder.tensorboard);
    return 0;
}

/* Tells what is kept; closes the files if there is nothing. */
static void tell_kept(struct run *r)
{
    const struct kept *k = &r->kept;
    if (k->count) {
        log_line(LOG_INFO,
                 "%zu tensors beside the text model, %.1f MiB, such as %s, are not trained; "
                 "checkpoints keep them",
                 k->count, (double)k->bytes / (1 << 20), k->list[0].name);
        return;
    }
    safetensors_close(r->source);
    r->source = NULL;
}

/* Opens the files that have what checkpoints keep: those of the checkpoint that the run continues
 * from, or of the model. */
static int open_kept(struct run *r, struct err *e)
{
    char *dir = NULL;
    if (r->silent || adapter_on(r->adapter)) return 0;
    if (hf_folder_resolve(r->folder.resume ? r->folder.resume : r->model_dir, &dir, e)) return -1;
    r->source = safetensors_open(dir, e);
    mem_free(dir);
    if (!r->source || kept_find(&r->trainer.weights, r->source, &r->kept, e)) return -1;
    tell_kept(r);
    return 0;
}

static int open_saver(struct run *r, struct err *e)
{
    const struct config *c = r->config;
    if (open_kept(r, e)) return -1;
    const struct saver_options o = {.async = c->sft.async_save,
                                    .root = r->folder.root,
                                    .source = r->model_dir,
                                    .adapter = adapter_config(r->adapter),
                                    .base = *r->base ? r->base : NULL,
                                    .kept = r->kept.count ? &r->kept : NULL,
                                    .keep = (uint64_t)c->max_ckpt_to_keep};
    if (config_settings_write(c, &r->settings, e) || buf_check(&r->settings, e)) return -1;
    r->saver = checkpoint_open(&r->trainer, o, e);
    return r->saver ? 0 : -1;
}

static int open_outputs(struct run *r, struct err *e)
{
    if (!r->silent && open_tracker(r, e)) return -1;
    return open_saver(r, e);
}

static void note(void *arg, const char *text)
{
    (void)arg;
    log_line(LOG_INFO, "%s", text);
}

static void show_doing(void *arg, const char *what, uint64_t done, uint64_t all)
{
    struct run *r = arg;
    progress_doing(&r->progress, what, done, all);
}

/* Shows a bar on a terminal, and logs a line every logging_steps with the time that is left. */
static void show_step(void *arg, uint64_t done, uint64_t total, const char *note, double left)
{
    struct run *r = arg;
    const uint64_t every = (uint64_t)r->config->logging_steps;
    progress_left(&r->progress, left);
    if (r->progress.tty) progress_step(&r->progress, done, note);
    if (done != r->first_step + 1 && done != total && done % every) return;
    log_line(LOG_INFO, "step %llu of %llu: %s, %.0f s left", (unsigned long long)done,
             (unsigned long long)total, note, left);
}

static bool stop(void *arg)
{
    struct run *r = arg;
    world_step(&r->world, r->trainer.step + 1);
    return signals_stop(r->trainer.step, r->steps);
}

static void tell_reserve(void)
{
    const struct mem_sealed m = mem_sealed();
    log_line(LOG_DEBUG, "reserve: at most %.1f of %.1f MiB in use, %llu allocations beyond it",
             (double)m.most / (1 << 20), (double)m.room / (1 << 20), (unsigned long long)m.beyond);
}

/* Opens --trace FILE; of several ranks, each has FILE.RANK. */
static int open_trace(const struct run *r, struct err *e)
{
    struct buf b = {0};
    if (!r->trace) return 0;
    buf_puts(&b, r->trace);
    if (r->world.place.size > 1) buf_printf(&b, ".%d", r->world.place.rank);
    const int rc = buf_check(&b, e) ? -1 : trace_open(b.data, r->world.place.rank, e);
    buf_free(&b);
    return rc;
}

/* Logs what this rank has sent to others. */
static void tell_sent(const struct run *r)
{
    for (int g = 0; g < MESH_GROUPS; g++) {
        const struct comm *c = mesh_group(&r->mesh, g);
        if (!c || strcmp(c->label, mesh_group_name(g)) != 0) continue; /* told as another group */
        for (int k = 0; k < COMM_KINDS; k++)
            if (c->sent[k].calls)
                log_line(LOG_DEBUG, "sent: %s %s: %llu bytes in %llu calls", c->label,
                         comm_kind_name(k), (unsigned long long)c->sent[k].bytes,
                         (unsigned long long)c->sent[k].calls);
    }
}

static void log_start(const struct run *r, uint64_t steps)
{
    char on[300], what[100];
    const struct params *p = trainer_params(&r->trainer);
    int n = 0;
    if (p->elements_trained < p->elements)
        n = snprintf(what, sizeof what, "%.2f M trained of ", (double)p->elements_trained * 1e-6);
    snprintf(what + n, sizeof what - (size_t)n, "%.1f M parameters", (double)p->elements * 1e-6);
    device_about(r->device, on, sizeof on);
    log_line(LOG_INFO, "%llu steps, %s in %s on %s, %.2f GiB", (unsigned long long)steps, what,
             dtype_name(r->trainer.weights.compute), on,
             (double)plan_size(&r->trainer.memory.plan) / (1 << 30));
    const struct zero *z = &r->trainer.optimizer.zero;
    if (z->ranks > 1 && z->stage > 0 && z->parts < z->ranks)
        log_line(LOG_INFO, "%d data-parallel ranks, ZeRO-%d over %d of them", z->ranks, z->stage,
                 z->parts);
    else if (z->ranks > 1)
        log_line(LOG_INFO, "%d data-parallel ranks, ZeRO-%d", z->ranks, z->stage);
    if (r->config->run.max_steps > (int64_t)steps)
        log_line(LOG_WARN,
                 "max_steps %lld: the stream ends after %llu; a larger num_train_epochs makes more",
                 (long long)r->config->run.max_steps, (unsigned long long)steps);
}

int run_loop(struct run *r, struct err *e)
{
    struct loop l = {.o = r->options.loop,
                     .trainer = &r->trainer,
                     .train = r->feed,
                     .vocab = run_vocab(r),
                     .validation = r->validation,
                     .validation_wanted = r->options.validation,
                     .best = &r->best,
                     .hooks = {.arg = r,
                               .say = say,
                               .note = note,
                               .step = show_step,
                               .doing = show_doing,
                               .answer = r->config->sft.sample_prompts ? run_answer : NULL,
                               .stop = stop}};
    const uint64_t steps = r->steps;
    l.sched = sched_make(&r->options.sched, steps);
    int rc = open_outputs(r, e);
    if (rc == 0) rc = open_trace(r, e);
    if (run_agreed(r, rc, e)) return -1;
    l.track = r->track;
    l.saver = r->saver;
    l.settings = r->settings.data;
    log_start(r, steps);
    r->first_step = r->trainer.step;
    run_tell_room(r, steps);
    run_tell_done(r);
    struct loop_result x;
    trainer_seal(&r->trainer);
    progress_total(&r->progress, steps);
    progress_step(&r->progress, r->first_step, NULL);
    stop(r);
    rc = loop_run(&l, &x, e);
    progress_erase(&r->progress);
    tell_reserve();
    tell_sent(r);
    if (rc == 0)
        rc = run_agreed(r, trace_close(e), e);
    else
        trace_close(NULL);
    if (rc == 0) rc = run_agreed(r, run_best_model(r, &x, e), e);
    if (rc == 0) rc = run_report(r, &x, e);
    mem_free(x.checkpoint);
    return rc;
}

void run_close(struct run *r)
{
    track_close(r->track, NULL);
    io_abort(r->out);
    mem_free(r->best_model); /* of the trainer's memory */
    feed_close(r->feed);
    checkpoint_close(&r->trainer, r->saver);
    kept_free(&r->kept);
    safetensors_close(r->source);
    run_samples_close(r);
    trainer_close(&r->trainer);
    adapter_free(r->adapter);
    mesh_close(&r->mesh);
    device_close(r->device);
    run_folder_close(&r->folder);
    hf_config_free(&r->hf);
    config_free(r->config);
    buf_free(&r->resume_path);
    buf_free(&r->typed);
    buf_free(&r->settings);
    mem_free(r->model_dir);
    log_tee(-1);
    if (r->log_fd >= 0) io_sys.close(r->log_fd);
}
