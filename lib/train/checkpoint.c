/* SPDX-License-Identifier: Apache-2.0 */
/* A trainer's state to and from checkpoints. */
#include "train/checkpoint.h"

struct saver *checkpoint_open(struct trainer *t, struct saver_options o, struct err *e)
{
    o.list = t->layout.list;
    o.mesh = t->mesh;
    o.staging = t->staging;
    o.staging_bytes = t->staging_bytes;
    o.read_beside = layout_reads_beside(&t->layout);
    struct saver *s = saver_open(&o, e);
    if (s) optimizer_gate(&t->optimizer, saver_gate, s);
    return s;
}

void checkpoint_close(struct trainer *t, struct saver *s)
{
    if (!s) return;
    saver_close(s);
    optimizer_gate(&t->optimizer, NULL, NULL);
}

int checkpoint_save(struct trainer *t, struct saver *s, const struct feed *f, const struct best *b,
                    const char *settings, struct err *e)
{
    const struct stream_header *h = feed_header(f);
    struct buf guard = {0}, best = {0};
    if (mesh_writes(t->mesh)) guard_write(&t->guard, &guard);
    if (mesh_writes(t->mesh) && b->o.on) best_write(b, &best);
    const struct saver_point p = {.step = t->step,
                                  .checksum = feed_checksum(f),
                                  .tokenizer = h->tokenizer,
                                  .length = h->length,
                                  .global_batch = h->global_batch,
                                  .seed = h->seed,
                                  .card = t->weights.device->card,
                                  .guard = &guard,
                                  .best = b->o.on ? &best : NULL,
                                  .best_step = b->step,
                                  .settings = settings};
    int rc = saver_save(s, &p, e);
    buf_free(&guard);
    buf_free(&best);
    return rc;
}

/* The guard judges as if the run had not been interrupted. */
static int load_guard(struct trainer *t, const struct restore_cursor *c, struct err *e)
{
    int rc = guard_read(&t->guard, c->guard, e);
    if (rc == 0 && t->guard.skipped > c->step)
        rc = err_set(e, ERR_DATA, "more steps were left out than there were");
    if (rc == 0) return 0;
    if (e && e->code == ERR_DATA) e->code = ERR_CONFIG; /* the file is as it was written */
    return err_prefix(e, "%s", c->path);
}

int checkpoint_load(struct trainer *t, const char *checkpoint, struct restore_cursor *c,
                    struct err *e)
{
    struct save_part part[OPTIMIZER_PARTS];
    if (restore_cursor_read(checkpoint, c, e) || load_guard(t, c, e)) return -1;
    const int n = optimizer_parts(&t->optimizer, part);
    if (restore_tensors(checkpoint, &t->weights, part, n, e)) return -1;
    t->step = c->step;
    return 0;
}
