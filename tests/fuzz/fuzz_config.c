/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a configuration: a file, then overrides after NULs. What loads must print as YAML
 * that loads to the same, and be checked without a crash. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct config *load(const char *text, size_t n, char *const *overrides, size_t count,
                           struct err *e)
{
    struct config *c = NULL;
    char path[64];
    int fd = memfd_create("config", 0);
    if (fd < 0 || write(fd, text, n) != (ssize_t)n) abort();
    /* One name for all, since exp_name may come from it. */
    if (dup2(fd, 777) < 0) abort();
    close(fd);
    snprintf(path, sizeof path, "/proc/self/fd/777");
    if (config_load(path, overrides, count, &c, e)) c = NULL;
    close(777);
    return c;
}

static void round_trip(const struct config *c)
{
    struct buf one = {0}, two = {0}, json = {0};
    struct err e = {0};
    if (config_write_yaml(c, &one, &e) || config_write_json(c, &json, &e)) abort();
    struct config *again = load(one.data, one.len, NULL, 0, &e);
    if (!again) {
        fprintf(stderr, "%s\n%s\n", e.msg, one.data);
        abort();
    }
    if (config_write_yaml(again, &two, &e) || strcmp(one.data, two.data)) {
        fprintf(stderr, "%s\n----\n%s\n", one.data, two.data);
        abort();
    }
    config_free(again);
    buf_free(&one);
    buf_free(&two);
    buf_free(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *overrides[8];
    size_t count = 0;
    struct err e = {0};
    char *text = malloc(size + 1);
    if (!text) return 0;
    if (size) memcpy(text, data, size);
    text[size] = 0;
    size_t n = strlen(text);
    for (size_t at = n + 1; at < size && count < 8; at += strlen(text + at) + 1)
        overrides[count++] = text + at;
    struct config *c = load(text, n, overrides, count, &e);
    if (c) {
        config_check_trainable(c, &(struct config_start){1, "sft-train", false}, &e);
        config_no_effect(c, NULL, NULL);
        round_trip(c);
        config_free(c);
    } else if (!e.msg[0] || strchr(e.msg, '\n')) {
        abort(); /* every failure has one line */
    }
    free(text);
    return 0;
}
