/* SPDX-License-Identifier: Apache-2.0 */
/* Saving: the tensors through the saver, and beside them the model's small files and
 * state/run.json, which has the step, the place in the stream, and the settings. */
#include "train/state.h"

#include "base/io.h"
#include "hf/folder.h"
#include "save/ckpt.h"

struct state {
    struct trainer *t;
    struct state_options o;
    struct saver *saver;
    struct buf run; /* text of run.json of the save under way */
};

/* Whether another thread may do what saving asks of the device and of the other ranks. */
static bool beside(const struct trainer *t)
{
    const struct mesh *m = t->layout.mesh;
    return t->weights.device->ops->peek && (!m || mesh_side_threads(m));
}

struct state *state_open(struct trainer *t, const struct state_options *o, struct err *e)
{
    struct state *s = mem_alloc(1, sizeof *s, e);
    if (!s) return NULL;
    s->t = t;
    s->o = *o;
    s->saver = saver_open(&(struct saver_options){.content = t->layout.list,
                                                  .staging = t->staging,
                                                  .staging_bytes = t->staging_bytes,
                                                  .gives = !mesh_writes(t->mesh),
                                                  .async = o->async,
                                                  .read_beside = beside(t)},
                          e);
    if (!s->saver) {
        mem_free(s);
        return NULL;
    }
    optimizer_gate(&t->optimizer, saver_gate, s->saver);
    return s;
}

void state_close(struct state *s)
{
    if (!s) return;
    saver_close(s->saver);
    optimizer_gate(&s->t->optimizer, NULL, NULL);
    buf_free(&s->run);
    mem_free(s);
}

static int write_run(const struct state *s, const char *dir, struct err *e)
{
    char *path = io_path(dir, "run.json", e);
    int rc = path ? io_put(path, s->run.data, s->run.len, e) : -1;
    mem_free(path);
    return rc;
}

static int write_files(void *arg, const struct ckpt *k, struct err *e)
{
    const struct state *s = arg;
    const char *dir = ckpt_dir(k);
    if (!s->o.adapter) {
        if (hf_folder_copy(s->o.source, dir, e)) return -1;
    } else if (peft_config_write(s->o.adapter, dir, e) ||
               hf_folder_copy_tokenizer(s->o.source, dir, e)) {
        return -1;
    }
    return write_run(s, ckpt_state_dir(k), e);
}

static int describe_run(struct state *s, const struct feed *f, struct err *e)
{
    const struct stream_header *h = feed_header(f);
    buf_reset(&s->run);
    buf_printf(&s->run,
               "{\"version\":1,\"step\":%llu,\"rows_checksum\":\"%016llx\",\"tokenizer\":\"%s\","
               "\"length\":%llu,\"global_batch\":%llu,\"seed\":%llu,\"guard\":",
               (unsigned long long)s->t->step, (unsigned long long)feed_checksum(f), h->tokenizer,
               (unsigned long long)h->length, (unsigned long long)h->global_batch,
               (unsigned long long)h->seed);
    guard_write(&s->t->guard, &s->run);
    buf_printf(&s->run, ",\"settings\":%s}\n", s->o.settings);
    return buf_check(&s->run, e);
}

/* Made anew it would be empty, and perhaps on another disk. */
static int check_root(const struct state *s, struct err *e)
{
    const int there = io_is_dir(s->o.root, e);
    if (there) return there < 0 ? -1 : 0;
    return err_set(e, ERR_IO,
                   "%s: the folder is gone: it was removed, or its file system is no longer there; "
                   "checkpoint-%llu is not saved",
                   s->o.root, (unsigned long long)s->t->step);
}

/* What may fail before any rank waits for another. */
static int prepare(struct state *s, const struct feed *f, struct err *e)
{
    if (saver_settle(s->saver, e)) return -1;
    return mesh_writes(s->t->mesh) && (describe_run(s, f, e) || check_root(s, e)) ? -1 : 0;
}

int state_save(struct state *s, const struct feed *f, struct err *e)
{
    const struct saver_job job = {
        .root = s->o.root, .step = s->t->step, .keep = s->o.keep, .files = write_files, .arg = s};
    if (mesh_agree(s->t->mesh, prepare(s, f, e), e)) return -1;
    return mesh_agree(s->t->mesh, saver_save(s->saver, &job, e), e);
}

int state_poll(struct state *s, struct saver_report *r, struct err *e)
{
    return saver_poll(s->saver, r, e);
}

int state_wait(struct state *s, struct saver_report *r, struct err *e)
{
    return saver_wait(s->saver, r, e);
}

double state_stalled(struct state *s) { return saver_stalled(s->saver); }
