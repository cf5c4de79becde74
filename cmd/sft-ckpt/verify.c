/* SPDX-License-Identifier: Apache-2.0 */
/* sft-ckpt verify: checks every file of a checkpoint against its manifest. */
#include "base/log.h"
#include "save/ckpt.h"
#include "verbs.h"

int verb_verify(int argc, char **argv, struct err *e)
{
    int nargs;
    const struct opt opts[] = {{0}};
    const struct opt_cmd cmd = {.name = "sft-ckpt verify",
                                .synopsis = "[options] CHECKPOINT...",
                                .about = "Checks the size and hash of every file of a checkpoint; "
                                         "exit status 65 names a bad one.",
                                .opts = opts,
                                .examples = "  sft-ckpt verify output/sft_train/checkpoint-100\n"};
    int rc = verb_parse(&cmd, argc, argv, 1, 1 << 20, &nargs, e);
    if (rc) return rc > 0 ? 0 : -1;
    for (int i = 1; i <= nargs; i++) {
        if (ckpt_verify(argv[i], e)) return -1;
        log_line(LOG_INFO, "%s: whole", argv[i]);
    }
    return 0;
}
