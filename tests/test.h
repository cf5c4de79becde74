/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests: a test prints "ok NAME", "not ok NAME: why" or "skip NAME: why"; tests/run counts. */
#ifndef SFT_TEST_H
#define SFT_TEST_H

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int test_failed;

static void test_result(bool ok, const char *name, const char *file, int line, const char *what)
{
    if (ok) {
        printf("ok %s\n", name);
    } else {
        printf("not ok %s: %s:%d: %s\n", name, file, line, what);
        test_failed = 1;
    }
    fflush(stdout);
}

/* A named check: "area: what holds", which a reader of the failing line alone understands. */
#define CHECK(name, cond) test_result((cond), (name), __FILE__, __LINE__, #cond)
/* One whose name is an item of a table: "AREA: NAME". */
#define CHECK_IN(area, name, cond)                                                                 \
    do {                                                                                           \
        char test_text[256];                                                                       \
        snprintf(test_text, sizeof test_text, "%s: %s", (area), (name));                           \
        CHECK(test_text, cond);                                                                    \
    } while (0)
/* A check that is printed only when it fails, for use inside loops; evaluates to the condition. */
#define EXPECT(name, cond)                                                                         \
    ((cond) ? true : (test_result(false, (name), __FILE__, __LINE__, #cond), false))
#define SKIP(name, why) (printf("skip %s: %s\n", (name), (why)), fflush(stdout))
/* The end of main. */
#define TEST_END() return test_failed

#endif
