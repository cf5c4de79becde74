/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of faults, settings from the environment, and random numbers. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emu.h"

char emu_message[512];

long emu_setting(const char *name, long otherwise)
{
    const char *s = getenv(name);
    return s && *s ? strtol(s, NULL, 0) : otherwise;
}

void emu_die(const char *text, ...)
{
    va_list a;
    va_start(a, text);
    fprintf(stderr, "emulator: ");
    vfprintf(stderr, text, a);
    fputc('\n', stderr);
    exit(70);
}

uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

/* Records the first fault of a launch. */
static void note(struct block *b, const struct instr *i, int thread, const char *text)
{
    const struct module *m = b->launch->kernel->module;
    const char *file = i && i->file < m->nfiles && m->files[i->file] ? m->files[i->file] : "?";
    const char *slash = strrchr(file, '/');
#pragma omp critical(emu_note)
    if (!b->launch->failed) {
        b->launch->failed = 1;
        snprintf(emu_message, sizeof emu_message, "%s:%u: %s: block %u,%u,%u thread %d: %s",
                 slash ? slash + 1 : file, i ? i->line : 0, b->launch->kernel->name, b->at[0],
                 b->at[1], b->at[2], thread, text);
        fprintf(stderr, "emulator: %s\n", emu_message);
    }
}

void fault(struct warp *w, const struct instr *i, int lane, const char *text, ...)
{
    char line[256];
    va_list a;
    va_start(a, text);
    vsnprintf(line, sizeof line, text, a);
    va_end(a);
    const size_t n = strlen(line);
    snprintf(line + n, sizeof line - n, " [%s]", i->text);
    note(w->block, i, w->index * LANES + lane, line);
    memory_lock(w, false);
    longjmp(w->block->group->end, 1);
}
