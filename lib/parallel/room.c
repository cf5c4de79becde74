/* SPDX-License-Identifier: Apache-2.0 */
/* Host memory for the collectives of a mesh's groups. */
#include "comm/comm.h"
#include "model/plan.h"
#include "parallel/mesh.h"

struct comm *mesh_group(const struct mesh *m, int group)
{
    struct comm *c = m->comm[group];
    return c && c->size > 1 ? c : NULL;
}

/* Returns the size of the largest collective of all groups with the same ranks as group g; 0 if g
 * is not the first of them. */
static size_t largest_of(const struct mesh *m, const size_t bytes[MESH_GROUPS], int g)
{
    size_t most = 0;
    for (int i = 0; i < MESH_GROUPS; i++) {
        if (m->comm[i] != m->comm[g] || bytes[i] == 0) continue;
        if (i < g) return 0;
        if (bytes[i] > most) most = bytes[i];
    }
    return most;
}

void mesh_plan(const struct mesh *m, const size_t bytes[MESH_GROUPS], struct plan *p)
{
    for (int g = 0; g < MESH_GROUPS; g++) {
        struct comm *c = mesh_group(m, g);
        const size_t most = c ? largest_of(m, bytes, g) : 0;
        const size_t room = most ? comm_room(c, most > sizeof(double) ? most : sizeof(double)) : 0;
        if (room) plan_add_host(p, PLAN_COMMUNICATION, "collectives", room, &c->staging);
    }
}
