/* SPDX-License-Identifier: Apache-2.0 */
/* sft-ckpt verify: checks every file of a checkpoint against its manifest. */
#include "base/log.h"
#include "save/ckpt.h"
#include "verbs.h"

/* Appends the result for a checkpoint. problem: NULL when it is whole. */
static void put_json(struct buf *b, const char *path, const char *problem)
{
    buf_puts(b, "{\"path\":");
    buf_json(b, str_z(path));
    buf_printf(b, ",\"whole\":%s", problem ? "false" : "true");
    if (problem) {
        buf_puts(b, ",\"problem\":");
        buf_json(b, str_z(problem));
    }
    buf_puts(b, "}\n");
}

/* Checks one; a damaged one has a result, too. */
static int verify(const char *path, struct buf *b, struct err *e)
{
    int rc = ckpt_verify(path, e);
    if (rc == 0) log_line(LOG_INFO, "%s: whole", path);
    if (rc == 0 || e->code == ERR_DATA) put_json(b, path, rc ? e->msg : NULL);
    return rc;
}

int verb_verify(int argc, char **argv, struct err *e)
{
    bool json = false;
    int nargs;
    const struct opt opts[] = {VERB_JSON(json, "one JSON object a line"), {0}};
    const struct opt_cmd cmd = {.name = "sft-ckpt verify",
                                .synopsis = "[options] CHECKPOINT...",
                                .about = "Checks the size and hash of every file of a checkpoint; "
                                         "exit status 65 names a bad one.",
                                .opts = opts,
                                .examples = "  sft-ckpt verify output/sft_train/checkpoint-100\n"};
    int rc = verb_parse(&cmd, argc, argv, 1, 1 << 20, &nargs, e);
    if (rc) return rc > 0 ? 0 : -1;
    struct buf b = {0};
    struct err printing = {0};
    for (int i = 1; rc == 0 && i <= nargs; i++) rc = verify(argv[i], &b, e);
    if (json && verb_print(&b, &printing)) {
        *e = printing;
        rc = -1;
    }
    buf_free(&b);
    return rc;
}
