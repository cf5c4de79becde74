/* SPDX-License-Identifier: Apache-2.0 */
/* Finds and loads plugins. */
#include "base/plugin.h"

#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"

/* Returns the folder of this program, released by mem_free(). */
static char *program_folder(struct err *e)
{
    char program[4000];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (n <= 0) {
        err_errno(e, ERR_DEVICE,
                  "/proc/self/exe: cannot tell where this program is; set SFT_PLUGIN_PATH to the "
                  "folder of its plugins");
        return NULL;
    }
    program[n] = 0;
    char *slash = strrchr(program, '/');
    if (slash) *slash = 0;
    return mem_strndup(program, strlen(program), e);
}

/* Joins and normalizes FOLDER/RELATIVE: each "../" of RELATIVE takes a name off the folder. */
static char *beside(const char *folder, const char *relative, struct err *e)
{
    char *base = mem_strndup(folder, strlen(folder), e);
    if (!base) return NULL;
    for (; strncmp(relative, "../", 3) == 0; relative += 3) {
        char *slash = strrchr(base, '/');
        if (slash) *slash = 0;
    }
    char *path = io_path(base, relative, e);
    mem_free(base);
    return path;
}

/* Returns the folder of plugins, released by mem_free(): the installed one, or that of a build or a
 * bundle where only this is there. */
static char *plugin_folder(struct err *e)
{
    static const char *const places[] = {PLUGIN_FOLDER, "../lib/sft", PLUGIN_FOLDER};
    const char *set = getenv("SFT_PLUGIN_PATH");
    if (set && *set) return mem_strndup(set, strlen(set), e);
    char *program = program_folder(e), *folder = NULL;
    int there = program ? 0 : -1;
    for (int i = 0; i < 3 && there == 0; i++) {
        mem_free(folder);
        folder = beside(program, places[i], e);
        there = folder ? io_exists(folder, e) : -1;
    }
    mem_free(program);
    if (there >= 0) return folder;
    mem_free(folder);
    return NULL;
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
