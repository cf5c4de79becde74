/* SPDX-License-Identifier: Apache-2.0 */
/* The options that every command has. */
#include <string.h>

#include "base/opt_impl.h"

void opt_common_table(struct opt table[OPT_COMMON_MAX], struct opt_common *c)
{
    struct opt t[] = {
        {.letter = '@',
         .name = "threads",
         .kind = OPT_INT,
         .to = &c->threads,
         .arg = "N",
         .help = "workers in all; 0: the CPUs that affinity and cgroup allow",
         .max = 4096},
        {.letter = 'q',
         .name = "quiet",
         .kind = OPT_FLAG,
         .to = &c->quiet,
         .help = "print errors only"},
        {.letter = 'v',
         .name = "verbose",
         .kind = OPT_COUNT,
         .to = &c->verbose,
         .help = "print details"},
        {.letter = 'h', .name = "help", .kind = OPT_FLAG, .help = "print this text"},
        {.letter = 'V', .name = "version", .kind = OPT_FLAG, .help = "print the version"},
        {0},
    };
    memcpy(table, t, sizeof t);
}

const char *opt_value_name(const struct opt *o)
{
    if (o->kind == OPT_FLAG || o->kind == OPT_COUNT) return NULL;
    return o->arg ? o->arg : "VALUE";
}
