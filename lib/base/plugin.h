/* SPDX-License-Identifier: Apache-2.0 */
/* Libraries that a program loads only when it needs them, so that it neither links nor requires
 * what they link. */
#ifndef SFT_BASE_PLUGIN_H
#define SFT_BASE_PLUGIN_H

#include "base/err.h"

struct plugin {
    const char *file;    /* "mpi.so" */
    const char *symbol;  /* of what is looked for in it */
    const char *missing; /* said when the file is not there: what to install */
    const char *broken;  /* said when it cannot be loaded */
    int version;         /* that is the symbol's first member */
};

/* Loads the file from the folder SFT_PLUGIN_PATH, else from ../lib/sft beside the folder of the
 * program, and returns the address of the symbol; NULL with ERR_DEVICE. It stays loaded. */
void *plugin_load(const struct plugin *p, struct err *e);

#endif
