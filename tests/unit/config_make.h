/* SPDX-License-Identifier: Apache-2.0 */
/* Configurations from text, for the tests of lib/config. */
#ifndef SFT_TESTS_CONFIG_MAKE_H
#define SFT_TESTS_CONFIG_MAKE_H

#include <unistd.h>

#include "config/config.h"
#include "test.h"

/* The keys that every configuration needs. */
#define BASE "pretrain: m\nsequence_length: 128\n"

struct made {
    struct config *c;
    struct err e;
    int rc;
};

/* Loads text with up to two overrides (NULL: none). */
static inline struct made make_config(const char *text, const char *one, const char *two)
{
    struct made m = {0};
    char path[] = "/tmp/config-XXXXXX";
    int fd = mkstemp(path);
    size_t n = strlen(text);
    if (fd < 0 || write(fd, text, n) != (ssize_t)n) abort();
    close(fd);
    char *const overrides[] = {(char *)(size_t)one, (char *)(size_t)two};
    m.rc = config_load(path, overrides, one ? two ? 2 : 1 : 0, &m.c, &m.e);
    unlink(path);
    return m;
}

/* BASE and text load, and key has this value. */
static inline bool gives(const char *text, const char *key, const char *wanted)
{
    char all[8192];
    snprintf(all, sizeof all, "%s%s", BASE, text);
    struct made m = make_config(all, NULL, NULL);
    struct buf b = {0};
    bool ok = !m.rc && !config_get(m.c, key, '\n', &b, &m.e) && b.data && !strcmp(b.data, wanted);
    if (!ok) printf("# %s: got '%s' %s\n", text, b.data ? b.data : "", m.e.msg);
    buf_free(&b);
    config_free(m.c);
    return ok;
}

/* BASE and text do not load, and the message holds part. */
static inline bool refused(const char *text, const char *part)
{
    char all[8192];
    snprintf(all, sizeof all, "%s%s", BASE, text);
    struct made m = make_config(all, NULL, NULL);
    bool ok =
        m.rc == -1 && m.e.code == ERR_CONFIG && strstr(m.e.msg, part) && !strchr(m.e.msg, '\n');
    if (!ok) printf("# %s: %d '%s'\n", text, m.rc, m.e.msg);
    if (!m.rc) config_free(m.c);
    return ok;
}

#endif
