/* SPDX-License-Identifier: Apache-2.0 */
/* sft-config: prints the resolved configuration or single values, and the keys without effect. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/log.h"
#include "base/opt.h"
#include "config/config.h"
#include "config/keys.h"
#include "keys.h"

enum { MAX_GETS = 64 };

struct options {
    const char *get; /* the last --get; gets has all of them */
    const char *gets[MAX_GETS];
    size_t get_count;
    bool json, null, keys;
};

static const char examples[] =
    "  sft-config sft_config.yaml                         everything, with its defaults\n"
    "  sft-config sft_config.yaml --get global_batch_size one value\n"
    "  sft-config sft_config.yaml sft.device=cpu --json   with an override, as JSON\n"
    "\n"
    "--get also prints derived values: model, model_path, template, dtype,\n"
    "pack_mode, recompute, world_size, data_parallel_size, tensor_parallel_size,\n"
    "pipeline_parallel_size, context_parallel_size, expert_parallel_size,\n"
    "zero_stage, shard_size, global_batch_size, train_files, validation_files.\n";

/* Collects the values of --get, which may be repeated, and leaves them in argv for opt_parse. -1
 * when there are too many. */
static int note_gets(int argc, char **argv, struct options *o)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--"); i++) {
        const char *value = NULL;
        if (!strncmp(argv[i], "--get=", 6))
            value = argv[i] + 6;
        else if (!strcmp(argv[i], "--get") || !strcmp(argv[i], "-g"))
            value = argv[++i];
        if (i >= argc || !value) continue;
        if (o->get_count == MAX_GETS) return -1;
        o->gets[o->get_count++] = value;
    }
    return 0;
}

static void print_idle(void *arg, const struct config_idle *k)
{
    (void)arg;
    if (k->line)
        log_line(LOG_INFO, "%s:%u: %s: no effect: %s", k->file, k->line, k->key, k->why);
    else
        log_line(LOG_INFO, "%s: no effect: %s", k->key, k->why);
}

static int print(struct buf *b, struct err *e)
{
    struct io_out *out = io_create("-", e);
    if (!out) return -1;
    if (io_write(out, b->data ? b->data : "", b->len, e)) {
        io_abort(out);
        return -1;
    }
    return io_commit(out, e);
}

static int show(const struct config *c, const struct options *o, struct buf *b, struct err *e)
{
    if (!o->get_count && !o->json) {
        const char *unused = config_lora_unused(c);
        config_no_effect(c, print_idle, NULL);
        if (unused)
            log_line(LOG_INFO, "%s: %s: no effect without lora_target: the whole model is trained",
                     c->path, unused);
        return config_write_yaml(c, b, e);
    }
    if (o->json) return config_write_json(c, b, e);
    for (size_t i = 0; i < o->get_count; i++)
        if (config_get(c, o->gets[i], o->null ? 0 : '\n', b, e)) return -1;
    return 0;
}

static int run(const struct options *o, int nargs, char **args, struct err *e)
{
    struct buf b = {0};
    struct config *c = NULL;
    int rc;
    if (o->keys) {
        keys_print(&b);
        rc = 0;
    } else if (nargs < 1) {
        rc = err_set(e, ERR_USAGE, "which file? usage: sft-config FILE [key=value...]");
    } else {
        rc = config_load(args[0], args + 1, (size_t)nargs - 1, &c, e);
        if (!rc) rc = show(c, o, &b, e);
    }
    if (!rc) rc = buf_check(&b, e);
    if (!rc) rc = print(&b, e);
    config_free(c);
    buf_free(&b);
    return rc;
}

int main(int argc, char **argv)
{
    struct options o = {0};
    struct opt_common common = {0};
    struct err e = {0};
    int nargs;
    const struct opt opts[] = {
        {.letter = 'g',
         .name = "get",
         .kind = OPT_STR,
         .to = &o.get,
         .arg = "KEY",
         .help = "print this value only; may be repeated"},
        {.letter = 'z',
         .name = "null",
         .kind = OPT_FLAG,
         .to = &o.null,
         .help = "end each value of --get with a NUL byte"},
        {.letter = 'j',
         .name = "json",
         .kind = OPT_FLAG,
         .to = &o.json,
         .help = "print one JSON object"},
        {.name = "keys",
         .kind = OPT_FLAG,
         .to = &o.keys,
         .help = "print the table of all keys as Markdown"},
        {0},
    };
    const struct opt_cmd cmd = {.name = "sft-config",
                                .synopsis = "[options] FILE [key=value...]",
                                .about = "Prints the resolved configuration of a run.",
                                .opts = opts,
                                .key = config_key_used,
                                .examples = examples};
    int noted = note_gets(argc, argv, &o); /* before opt_parse reorders argv */
    int rc = opt_parse(&cmd, &common, argc, argv, &nargs, &e);
    if (rc > 0) return 0;
    if (rc < 0) return log_fail(&e);
    if (noted) return err_set(&e, ERR_USAGE, "--get: more than %d", MAX_GETS), log_fail(&e);
    return run(&o, nargs, argv + 1, &e) ? log_fail(&e) : 0;
}
