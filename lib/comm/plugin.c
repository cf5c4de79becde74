/* SPDX-License-Identifier: Apache-2.0 */
/* Loads the plugin that connects the ranks. */
#include "comm/plugin.h"

#include <stdio.h>

#include "base/plugin.h"

const struct comm_plugin *comm_plugin_load(const char *name, struct err *e)
{
    char file[64];
    snprintf(file, sizeof file, "%s.so", name);
    const struct plugin p = {
        .file = file,
        .symbol = COMM_PLUGIN_SYMBOL,
        .missing =
            "this build has no MPI; install an MPI with its compiler (Debian: apt-get install "
            "libopenmpi-dev openmpi-bin), then run make again",
        .broken =
            "is the MPI that it was built with installed (Debian: openmpi-bin)? Else run make "
            "again",
        .version = COMM_PLUGIN_VERSION};
    return plugin_load(&p, e);
}
