/* SPDX-License-Identifier: Apache-2.0 */
/* sft-ckpt ls: lists the checkpoints of a run. */
#include <inttypes.h>

#include "base/io.h"
#include "save/ckpt.h"
#include "verbs.h"

static int has_checkpoint(void *arg, const char *name, struct err *e)
{
    uint64_t step;
    (void)e;
    if (ckpt_step_of(name, &step) == 0) *(bool *)arg = true;
    return 0;
}

/* Reads the checkpoints of dir, or of its sft_train/ if dir itself contains none. */
static int read_list(const char *dir, struct ckpt_list *l, struct err *e)
{
    bool here = false;
    const int folder = io_is_dir(dir, e), there = folder ? folder : io_exists(dir, e);
    if (folder == 0 && there >= 0)
        err_set(e, ERR_NOINPUT, "%s: %s", dir, there ? "not a folder" : "no such folder");
    if (folder <= 0 || io_list(dir, has_checkpoint, &here, e) != 0) return -1;
    char *inner = io_path(dir, "sft_train", e);
    const int nested = inner && !here ? io_is_dir(inner, e) : 0;
    int rc = inner && nested >= 0 ? ckpt_list_read(nested ? inner : dir, l, e) : -1;
    mem_free(inner);
    return rc;
}

static void put_text(const struct ckpt_list *l, struct buf *b)
{
    for (size_t i = 0; i < l->count; i++)
        buf_printf(b, "%" PRIu64 "\t%s\t%" PRIu64 "\t%s\n", l->items[i].step,
                   l->items[i].complete ? "complete" : "incomplete", l->items[i].bytes,
                   l->items[i].path);
}

static void put_json(const struct ckpt_list *l, struct buf *b)
{
    for (size_t i = 0; i < l->count; i++) {
        buf_printf(b, "{\"step\":%" PRIu64 ",\"complete\":%s,\"bytes\":%" PRIu64 ",\"path\":",
                   l->items[i].step, l->items[i].complete ? "true" : "false", l->items[i].bytes);
        buf_json(b, str_z(l->items[i].path));
        buf_puts(b, "}\n");
    }
}

int verb_ls(int argc, char **argv, struct err *e)
{
    bool json = false;
    int nargs;
    const struct opt opts[] = {
        VERB_JSON(json, "one JSON object a line"),
        {0},
    };
    const struct opt_cmd cmd = {
        .name = "sft-ckpt ls",
        .synopsis = "[options] DIR",
        .about = "Lists the checkpoints of a run folder: step, state, bytes, path.",
        .opts = opts,
        .examples = "  sft-ckpt ls output\n"};
    int rc = verb_parse(&cmd, argc, argv, 1, 1, &nargs, e);
    if (rc) return rc > 0 ? 0 : -1;
    struct ckpt_list l = {0};
    struct buf b = {0};
    rc = read_list(argv[1], &l, e);
    if (rc == 0) {
        if (json)
            put_json(&l, &b);
        else
            put_text(&l, &b);
        rc = verb_print(&b, e);
    }
    ckpt_list_free(&l);
    buf_free(&b);
    return rc;
}
