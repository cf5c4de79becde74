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
    CHECK("add", rc == 0 && scratch_size(s) == N * sizeof(uint64_t));
    const uint64_t *p = rc == 0 ? scratch_map(s, &e) : NULL;
    uint64_t differ = 0;
    for (uint64_t i = 0; p && i < N; i++) differ += p[i] != i;
    CHECK("map", p && differ == 0);
    scratch_free(s);
    s = scratch_new(&e);
    CHECK("an empty one", s && scratch_map(s, &e) && scratch_size(s) == 0);
    scratch_free(s);
}

static void test_full_disk(void)
{
    struct err e = {0};
    struct scratch *s = scratch_new(&e);
    ssize_t (*was)(int, const void *, size_t) = io_sys.write;
    CHECK("add a little", s && scratch_add(s, "x", 1, &e) == 0);
    io_sys.write = full;
    CHECK("a full disk", s && !scratch_map(s, &e) && e.code == ERR_IO && strstr(e.msg, "TMPDIR"));
    io_sys.write = was;
    scratch_free(s);
    setenv("TMPDIR", "/proc/none", 1);
    CHECK("no such folder", !scratch_new(&e) && e.code == ERR_CREATE);
}

int main(void)
{
    test_round_trip();
    test_full_disk();
    TEST_END();
}
