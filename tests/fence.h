/* SPDX-License-Identifier: Apache-2.0 */
/* Memory between two pages that nobody may touch: a read or write past its end, by whatever
 * library, ends the test. */
#ifndef SFT_TEST_FENCE_H
#define SFT_TEST_FENCE_H

#include <stddef.h>
#include <sys/mman.h>

enum { FENCE_PAGE = 4096 };

/* n bytes, zeroed, the last before the second page; NULL: there is no memory. Never freed. */
static void *fence_alloc(size_t n)
{
    const size_t room = (n + FENCE_PAGE - 1) / FENCE_PAGE * FENCE_PAGE;
    char *p = mmap(NULL, room + 2 * FENCE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return NULL;
    if (mprotect(p + FENCE_PAGE, room, PROT_READ | PROT_WRITE)) return NULL;
    return p + FENCE_PAGE + room - n;
}

#endif
