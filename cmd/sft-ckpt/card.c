/* SPDX-License-Identifier: Apache-2.0 */
/* README.md of an exported model, in the form of the Hugging Face hub: facts in YAML between lines
 * of dashes, then Markdown.
 * Format: https://huggingface.co/docs/hub/model-cards */
#include "card.h"

#include <string.h>

#include "base/io.h"
#include "base/version.h"
#include "hf/folder.h"
#include "hf/peft.h"

/* The answers of the sources. */
struct facts {
    struct buf settings, data, losses;
    struct buf base; /* the base model as it was given to the run: a hub id or a path */
    bool hub;        /* base is a hub id */
    struct card_point point;
};

static bool is_hub_id(const char *name) { return strchr(name, '/') && hf_is_hub_id(name); }

/* Sets the base to what the logs told, or else to what the adapter tells. A folder of that name may
 * be the one that was meant, so its name is not given as an id. */
static int find_base(const struct card *c, struct facts *f, struct err *e)
{
    struct peft_config adapter = {0};
    int rc = 0;
    if (!f->base.len && c->model->adapter) {
        rc = peft_config_read(c->model->dir, &adapter, e);
        if (rc == 0 && adapter.base) buf_puts(&f->base, adapter.base);
        peft_config_free(&adapter);
    }
    if (rc == 0) rc = buf_check(&f->base, e);
    if (rc || !f->base.len || !is_hub_id(f->base.data)) return rc;
    const int folder = io_is_dir(f->base.data, e);
    f->hub = folder == 0;
    return folder < 0 ? -1 : 0;
}

static int set_base(const char *id, struct facts *f, struct err *e)
{
    if (!is_hub_id(id))
        return err_set(e, ERR_USAGE, "--base-model: '%s' is not a hub id, ORG/NAME", id);
    buf_reset(&f->base);
    buf_puts(&f->base, id);
    f->hub = true;
    return buf_check(&f->base, e);
}

static int gather(const struct card *c, struct facts *f, struct err *e)
{
    if (card_run(c->model, &f->settings, &f->point, e)) return -1;
    if (f->point.step < 0 && (c->logs || c->stream))
        return err_set(e, ERR_USAGE, "%s: is no checkpoint of a run; leave out --%s",
                       c->model->path, c->logs ? "logs" : "stream");
    if (c->model->adapter && card_adapter(c->model, &f->settings, e)) return -1;
    if (c->logs && card_logs(c, &f->point, &f->data, &f->losses, &f->base, e)) return -1;
    if (c->stream && card_stream(c, &f->point, &f->data, e)) return -1;
    return c->base ? set_base(c->base, f, e) : find_base(c, f, e);
}

static void put_front(const struct card *c, const struct facts *f, struct buf *b)
{
    const bool adapter = c->model->adapter && !c->merged;
    buf_puts(b, "---\n");
    if (f->hub) buf_printf(b, "base_model: \"%s\"\n", f->base.data);
    buf_printf(b, "library_name: %s\npipeline_tag: text-generation\ntags:\n- sft\n",
               adapter ? "peft" : "transformers");
    if (c->model->adapter) buf_puts(b, "- lora\n");
    buf_puts(b, "---\n\n");
}

/* The name of a folder without those above it; a hub id as it is. */
static struct str base_name(const struct facts *f)
{
    size_t end = f->base.len, begin;
    while (end > 1 && f->base.data[end - 1] == '/') end--;
    for (begin = end; begin > 0 && f->base.data[begin - 1] != '/';) begin--;
    return f->hub ? (struct str){f->base.data, f->base.len}
                  : (struct str){f->base.data + begin, end - begin};
}

static void put_about(const struct card *c, const struct facts *f, struct buf *b)
{
    buf_puts(b, "# ");
    card_code(b, str_z(c->name));
    buf_puts(b, c->merged           ? "\n\nA model with a LoRA adapter merged into it"
                : c->model->adapter ? "\n\nA LoRA adapter"
                                    : "\n\nA language model");
    if (f->point.step >= 0) buf_puts(b, ", trained by supervised fine-tuning");
    if (f->base.len) {
        buf_puts(b, c->merged || c->model->adapter ? "; the base is " : " from ");
        card_code(b, base_name(f));
    }
    buf_puts(b, ".\n");
}

int card_write(const struct card *c, struct buf *b, struct err *e)
{
    struct facts f = {.point.step = -1};
    int rc = gather(c, &f, e);
    if (rc == 0) {
        put_front(c, &f, b);
        put_about(c, &f, b);
        card_section(b, "Data", &f.data);
        card_section(b, "Settings", &f.settings);
        card_section(b, "Losses", &f.losses);
        buf_printf(b, "\nWritten by `sft-ckpt export` of sft %s.\n", sft_version);
        rc = buf_check(b, e);
    }
    if (rc == 0) rc = buf_check(&f.data, e);
    if (rc == 0) rc = buf_check(&f.settings, e);
    if (rc == 0) rc = buf_check(&f.losses, e);
    buf_free(&f.data);
    buf_free(&f.settings);
    buf_free(&f.losses);
    buf_free(&f.base);
    return rc;
}
