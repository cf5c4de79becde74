/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the files of a checkpoint beside its tensors. */
#include "base/io.h"
#include "hf/folder.h"
#include "save/saver_impl.h"

static int put_adapter(const struct saver_options *o, const char *dir, struct err *e)
{
    if (peft_config_write(o->adapter, dir, e)) return -1;
    if (o->base && peft_base_write(dir, o->base, e)) return -1;
    return hf_folder_copy_tokenizer(o->source, dir, e);
}

int saver_put_files(const struct saver *s, const struct ckpt *k, struct err *e)
{
    const struct saver_options *o = &s->o;
    if (o->adapter ? put_adapter(o, ckpt_dir(k), e) : hf_folder_copy(o->source, ckpt_dir(k), e))
        return -1;
    char *path = io_path(ckpt_state_dir(k), "run.json", e);
    int rc = path ? io_put(path, s->run.data, s->run.len, e) : -1;
    mem_free(path);
    return rc;
}
