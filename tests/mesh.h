/* SPDX-License-Identifier: Apache-2.0 */
/* The meshes of tests that are about something else: all ranks in data parallelism. */
#ifndef SFT_TEST_MESH_H
#define SFT_TEST_MESH_H

#include "comm/world.h"
#include "parallel/mesh.h"

static inline int open_mesh(struct mesh *m, struct world *ranks, struct device *d, struct err *e)
{
    return mesh_open(m, &(struct mesh_sizes){.axis = {1, 1, ranks->place.size, 1}}, ranks, d, e);
}
/* The mesh of this process alone. */
static inline int open_mesh_alone(struct mesh *m, struct device *d, struct err *e)
{
    return open_mesh(m, world_self(), d, e);
}

#endif
