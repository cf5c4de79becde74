/* SPDX-License-Identifier: Apache-2.0 */
/* Staging memory for the collectives of a mesh's groups. */
#include "comm/comm.h"
#include "model/plan.h"
#include "parallel/mesh.h"

struct comm *mesh_group(const struct mesh *m, int group)
{
    struct comm *c = m->comm[group];
    return c && c->size > 1 ? c : NULL;
}

/* Returns the size of the largest collective of all groups with the same ranks as group g; 0 if g
 * has none, or is not the first of them that has. */
static size_t largest_of(const struct mesh *m, const size_t bytes[MESH_GROUPS], int g)
{
    size_t most = bytes[g];
    for (int i = 0; most && i < MESH_GROUPS; i++) {
        if (m->comm[i] != m->comm[g] || bytes[i] == 0) continue;
        if (i < g) return 0;
        if (bytes[i] > most) most = bytes[i];
    }
    return most;
}

/* Declares the staging of a group whose collectives have up to this many bytes, in host or device
 * memory, as the group needs it. */
static void plan_group(struct comm *c, size_t largest, struct plan *p)
{
    const size_t room = comm_room(c, largest);
    if (room && c->direct)
        plan_add(p, PLAN_COMMUNICATION, "collectives", -1, room, 1, PLAN_ALWAYS, 0, &c->staging);
    else if (room)
        plan_add_host(p, PLAN_COMMUNICATION, "collectives", room, &c->staging);
}

void mesh_plan(const struct mesh *m, const size_t bytes[MESH_GROUPS], struct plan *p)
{
    for (int g = 0; g < MESH_GROUPS; g++) {
        struct comm *c = mesh_group(m, g);
        const size_t most = c ? largest_of(m, bytes, g) : 0;
        if (most) plan_group(c, most > sizeof(double) ? most : sizeof(double), p);
    }
}
