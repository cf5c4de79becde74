/* SPDX-License-Identifier: Apache-2.0 */
/* Plugins: libraries that a program loads on demand, so that it does not depend on the libraries
 * that they link. */
#ifndef SFT_BASE_PLUGIN_H
#define SFT_BASE_PLUGIN_H

#include "base/err.h"

struct plugin {
    const char *file;    /* "mpi.so" */
    const char *symbol;  /* the struct that the plugin exports */
    const char *missing; /* part of the message when the file is missing: what to install */
    const char *broken;  /* part of the message when the file cannot be loaded: what to do */
    int version;         /* must equal the first member of the struct, an int */
};

/* Loads the file from the folder SFT_PLUGIN_PATH, or else from LIBDIR/sft of the Makefile, as it
 * lies relative to the folder of the program, or if there is no such folder, from ../lib/sft.
 * Returns the address of the symbol, or NULL with ERR_DEVICE. The plugin stays loaded.
 */
void *plugin_load(const struct plugin *p, struct err *e);

#endif
