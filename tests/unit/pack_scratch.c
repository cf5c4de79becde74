/* SPDX-License-Identifier: Apache-2.0 */
/* Unnamed temporary files: what is added is there, a full disk is an error. */
#include <errno.h>

#include "base/scratch.h"
#include "test.h"

static ssize_t full(int fd, const void *p, size_t n)
{
    (void)fd, (void)p, (void)n;
    errno = ENOSPC;
    return -1;
}

static void test_round_trip(void)
{
    enum { N = 700000 }; /* more than is gathered in memory */
    struct err e = {0};
    struct scratch *s = scratch_new(&e);
    int rc = s ? 0 : -1;
    for (uint64_t i = 0; rc == 0 && i < N; i++) rc = scratch_add(s, &i, sizeof i, &e);
    CHECK("scratch file: bytes are added", rc == 0 && scratch_size(s) == N * sizeof(uint64_t));
    const uint64_t *p = rc == 0 ? scratch_map(s, &e) : NULL;
    uint64_t differ = 0;
    for (uint64_t i = 0; p && i < N; i++) differ += p[i] != i;
    CHECK("scratch file: the map has the bytes", p && differ == 0);
    scratch_free(s);
    s = scratch_new(&e);
    CHECK("scratch file: an empty one is mapped", s && scratch_map(s, &e) && scratch_size(s) == 0);
    scratch_free(s);
}

static void test_full_disk(void)
{
    struct err e = {0};
    struct scratch *s = scratch_new(&e);
    ssize_t (*was)(int, const void *, size_t) = io_sys.write;
    CHECK("scratch file: a few bytes are buffered", s && scratch_add(s, "x", 1, &e) == 0);
    io_sys.write = full;
    CHECK("scratch file: a full disk is an error",
          s && !scratch_map(s, &e) && e.code == ERR_IO && strstr(e.msg, "TMPDIR"));
    io_sys.write = was;
    scratch_free(s);
    setenv("TMPDIR", "/proc/none", 1);
    CHECK("scratch file: a missing TMPDIR is an error", !scratch_new(&e) && e.code == ERR_CREATE);
}

int main(void)
{
    test_round_trip();
    test_full_disk();
    TEST_END();
}
