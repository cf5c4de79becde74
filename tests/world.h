/* SPDX-License-Identifier: Apache-2.0 */
/* Tests that mpirun starts as several ranks; alone each is one. */
#ifndef SFT_TEST_WORLD_H
#define SFT_TEST_WORLD_H

#include "comm/launch.h"
#include "comm/world.h"
#include "test.h"

static struct world world, *const w = &world;

/* Meets the other ranks, if there are any. */
static bool join(void)
{
    struct err e;
    world = *world_self();
    const bool ok = launch_detect(getenv).size == 1 || world_join(w, "mpi", &e) == 0;
    if (!ok) CHECK("joins", false);
    return ok;
}

/* One line for all ranks; each of them fails when one does. */
static void all_agree(const char *name, bool ok)
{
    struct err e = {0};
    if (!ok) err_set(&e, ERR_DIFFER, "differs");
    const bool fine = world_agree(w, ok ? 0 : -1, &e) == 0;
    if (!fine) test_failed = 1;
    if (!w->place.rank) CHECK(name, fine);
}

#endif
