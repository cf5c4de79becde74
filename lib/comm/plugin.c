/* SPDX-License-Identifier: Apache-2.0 */
/* Finding and loading plugins. */
#include "comm/plugin.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"

/* The folder of plugins; mem_free(). A program in BIN has them in BIN/../lib/sft, built or
 * installed.
 */
static char *plugin_folder(struct err *e)
{
    char program[4000];
    const char *set = getenv("SFT_PLUGIN_PATH");
    if (set && *set) return mem_strndup(set, strlen(set), e);
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (n <= 0) {
        err_errno(e, ERR_DEVICE,
                  "/proc/self/exe: cannot tell where this program is; set "
                  "SFT_PLUGIN_PATH to the folder of its plugins");
        return NULL;
    }
    program[n] = 0;
    for (int i = 0; i < 2; i++) { /* the program's name, and its folder */
        char *slash = strrchr(program, '/');
        if (slash) *slash = 0;
    }
    return io_path(program, "lib/sft", e);
}

/* What dlopen says begins with the path, or tells of another library that is missing. */
static int refuse(const char *path, const char *why, struct err *e)
{
    if (!io_exists(path))
        return err_set(e, ERR_DEVICE,
                       "%s: missing: this build has no MPI; install an MPI with its compiler "
                       "(Debian: apt-get install libopenmpi-dev openmpi-bin), then run make again",
                       path);
    return err_set(e, ERR_DEVICE,
                   "%s: cannot be loaded: %s; is the MPI that it was built with "
                   "installed (Debian: openmpi-bin)? Else run make again",
                   path, why ? why : "unknown error");
}

static const struct comm_plugin *load(const char *path, struct err *e)
{
    /* Global: MPI loads parts of its own that look for its symbols. */
    void *library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    if (!library) {
        refuse(path, dlerror(), e);
        return NULL;
    }
    const struct comm_plugin *p = dlsym(library, COMM_PLUGIN_SYMBOL);
    if (p && p->version == COMM_PLUGIN_VERSION) return p;
    err_set(e, ERR_DEVICE, "%s: of another version than this program; run make again", path);
    return NULL;
}

const struct comm_plugin *comm_plugin_load(const char *name, struct err *e)
{
    char file[64];
    snprintf(file, sizeof file, "%s.so", name);
    char *folder = plugin_folder(e), *path = folder ? io_path(folder, file, e) : NULL;
    const struct comm_plugin *p = path ? load(path, e) : NULL;
    mem_free(path);
    mem_free(folder);
    return p;
}
