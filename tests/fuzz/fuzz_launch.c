/* SPDX-License-Identifier: Apache-2.0 */
/* Lines NAME=VALUE as the environment of a launcher: whatever it says, this process has a place in
 * its job, or only MPI knows it. */
#include "comm/launch.h"
#include "fuzz/fuzz.h"

static char *text; /* the lines, each ended by a NUL byte, and an empty one */

static char *lookup(const char *name)
{
    const size_t n = strlen(name);
    for (char *p = text; *p; p += strlen(p) + 1)
        if (strncmp(p, name, n) == 0 && p[n] == '=') return p + n + 1;
    return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    need((text = calloc(size + 2, 1)) != NULL);
    memcpy(text, data, size);
    for (size_t i = 0; i < size; i++)
        if (text[i] == '\n') text[i] = 0;
    const struct launch l = launch_detect(lookup);
    need(l.size >= 0 && l.size <= 1000000 && l.rank >= -1 && l.tasks >= 0);
    need(l.by ? !l.tasks : l.size == 1);
    need(l.size == 0 || l.tasks || l.rank < l.size);
    free(text);
    return 0;
}
