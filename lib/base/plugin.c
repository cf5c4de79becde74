/* SPDX-License-Identifier: Apache-2.0 */
/* Finds and loads plugins. */
#include "base/plugin.h"

#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"

/* Returns the folder of plugins, released by mem_free(). A program in BIN has it at BIN/../lib/sft,
 * in a build and when installed. */
static char *plugin_folder(struct err *e)
{
    char program[4000];
    const char *set = getenv("SFT_PLUGIN_PATH");
    if (set && *set) return mem_strndup(set, strlen(set), e);
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (n <= 0) {
        err_errno(e, ERR_DEVICE,
                  "/proc/self/exe: cannot tell where this program is; set SFT_PLUGIN_PATH to the "
                  "folder of its plugins");
        return NULL;
    }
    program[n] = 0;
    for (int i = 0; i < 2; i++) { /* the program's name, and its folder */
        char *slash = strrchr(program, '/');
        if (slash) *slash = 0;
    }
    return io_path(program, "lib/sft", e);
}

static void plugin_refuse(const char *path, struct err *e)
{
    err_set(e, ERR_DEVICE, "%s: of another version than this program; run make again", path);
}

static void *load(const struct plugin *p, const char *path, struct err *e)
{
    /* RTLD_GLOBAL: MPI loads components that look up its symbols. */
    void *library = dlopen(path, RTLD_NOW | RTLD_GLOBAL), *found = NULL;
    if (library && (found = dlsym(library, p->symbol))) return found;
    if (library) {
        plugin_refuse(path, e);
        return NULL;
    }
    const int there = io_exists(path, e);
    if (there < 0) return NULL;
    if (there == 0) {
        err_set(e, ERR_DEVICE, "%s: missing: %s", path, p->missing);
        return NULL;
    }
    const char *why = dlerror(); /* names the plugin or a library it needs */
    err_set(e, ERR_DEVICE, "%s: cannot be loaded: %s; %s", path, why ? why : "unknown error",
            p->broken);
    return NULL;
}

void *plugin_load(const struct plugin *p, struct err *e)
{
    char *folder = plugin_folder(e), *path = folder ? io_path(folder, p->file, e) : NULL;
    const int *version = path ? load(p, path, e) : NULL;
    if (version && *version != p->version) {
        plugin_refuse(path, e);
        version = NULL;
    }
    mem_free(path);
    mem_free(folder);
    return (void *)(uintptr_t)version;
}
