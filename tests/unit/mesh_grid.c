/* SPDX-License-Identifier: Apache-2.0 */
/* The grid of ranks: Megatron-LM's order, and the groups of every small grid. */
#include <string.h>

#include "comm/comm.h"
#include "mesh.h"
#include "test.h"

enum { MOST = 3, RANKS = MOST * MOST * MOST * MOST };

/* rank = tp + TP (cp + CP (dp + DP pp)), for all ranks of a grid, and back. */
static bool in_order(const int n[MESH_AXES])
{
    int r = 0, at[MESH_AXES], back[MESH_AXES];
    for (at[MESH_PP] = 0; at[MESH_PP] < n[MESH_PP]; at[MESH_PP]++)
        for (at[MESH_DP] = 0; at[MESH_DP] < n[MESH_DP]; at[MESH_DP]++)
            for (at[MESH_CP] = 0; at[MESH_CP] < n[MESH_CP]; at[MESH_CP]++)
                for (at[MESH_TP] = 0; at[MESH_TP] < n[MESH_TP]; at[MESH_TP]++, r++) {
                    mesh_locate(n, r, back);
                    if (mesh_rank_at(n, at) != r || memcmp(at, back, sizeof at) != 0) return false;
                }
    return r == n[0] * n[1] * n[2] * n[3];
}

static int group_size(const int n[MESH_AXES], int group)
{
    switch (group) {
    case MESH_DP_CP:
        return n[MESH_DP] * n[MESH_CP];
    case MESH_MODEL:
        return n[MESH_TP] * n[MESH_PP];
    case MESH_ENDS:
        return n[MESH_PP] == 1 ? 1 : 2;
    case MESH_SHARD:
        return n[MESH_DP] * n[MESH_CP];
    case MESH_EDP:
    case MESH_ESHARD:
        return n[MESH_DP] * n[MESH_CP];
    case MESH_REPLICATE:
    case MESH_EP:
        return 1;
    default:
        return n[group];
    }
}

/* A group of every rank has the right size, rises, has the rank itself, and is the same group for
 * each of its members. */
static bool group_holds(const int n[MESH_AXES], int group)
{
    int at[MESH_AXES], ranks[RANKS], others[RANKS];
    const int all = n[0] * n[1] * n[2] * n[3];
    for (int r = 0; r < all; r++) {
        mesh_locate(n, r, at);
        const bool between = at[MESH_PP] > 0 && at[MESH_PP] < n[MESH_PP] - 1;
        const int size = mesh_members(n, at, group, ranks);
        bool self = false;
        if (size != (group == MESH_ENDS && between ? 0 : group_size(n, group))) return false;
        for (int i = 0; i < size; i++) {
            self |= ranks[i] == r;
            if (i && ranks[i] <= ranks[i - 1]) return false;
            mesh_locate(n, ranks[i], at);
            if (mesh_members(n, at, group, others) != size) return false;
            if (memcmp(ranks, others, (size_t)size * sizeof *ranks) != 0) return false;
        }
        if (size && !self) return false;
    }
    return true;
}

/* Calls f for all grids of up to MOST ranks along each axis. */
static bool every_grid(bool (*f)(const int n[MESH_AXES], int arg), int arg)
{
    int n[MESH_AXES];
    for (int i = 0; i < RANKS; i++) {
        for (int k = 0, x = i; k < MESH_AXES; k++, x /= MOST) n[k] = 1 + x % MOST;
        if (!f(n, arg)) return false;
    }
    return true;
}
static bool ordered(const int n[MESH_AXES], int arg)
{
    (void)arg;
    return in_order(n);
}

/* The groups through rank 13 of 2 x 1 x 3 x 4 ranks (tp, cp, dp, pp), as Megatron-LM makes them:
 * rank 13 is tp 1, dp 0, pp 2. */
static void by_hand(void)
{
    static const struct {
        int group, n, ranks[8];
    } want[] = {
        {MESH_TP, 2, {12, 13}},        {MESH_CP, 1, {13}},
        {MESH_DP, 3, {13, 15, 17}},    {MESH_PP, 4, {1, 7, 13, 19}},
        {MESH_DP_CP, 3, {13, 15, 17}}, {MESH_MODEL, 8, {0, 1, 6, 7, 12, 13, 18, 19}},
        {MESH_ENDS, 0, {0}},
    };
    const int n[MESH_AXES] = {2, 1, 3, 4};
    int at[MESH_AXES], ranks[24];
    bool ok = true;
    mesh_locate(n, 13, at);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        ok &= mesh_members(n, at, want[i].group, ranks) == want[i].n &&
              memcmp(ranks, want[i].ranks, (size_t)want[i].n * sizeof *ranks) == 0;
    CHECK("groups: those of a rank of 2 x 1 x 3 x 4", ok);
    mesh_locate(n, 1, at);
    CHECK("groups: the first and the last stage share the ends",
          mesh_members(n, at, MESH_ENDS, ranks) == 2 && ranks[0] == 1 && ranks[1] == 19);
}

/* Rank 14 of 2 x 2 x 4 x 1 ranks (tp, cp, dp, pp) is tp 0, cp 1, dp 3, so index 7 of the 8 ranks of
 * dp x cp, which are the even ones. */
static void split(void)
{
    static const int shard[] = {8, 10, 12, 14}, replicate[] = {6, 14};
    struct mesh m = {.size = {2, 2, 4, 1}, .shard = 4};
    int ranks[16];
    mesh_locate(m.size, 14, m.at);
    CHECK("split: a copy is on adjacent ranks of dp x cp",
          mesh_divided_members(&m, MESH_SHARD, ranks) == 4 &&
              memcmp(ranks, shard, sizeof shard) == 0);
    CHECK("split: the same parts are as far apart as a copy is large",
          mesh_divided_members(&m, MESH_REPLICATE, ranks) == 2 &&
              memcmp(ranks, replicate, sizeof replicate) == 0);
    static const int same[] = {10, 14};
    m.experts = 2;
    CHECK("split: of a copy every other rank has the same of two parts of the experts",
          mesh_divided_members(&m, MESH_ESHARD, ranks) == 2 &&
              memcmp(ranks, same, sizeof same) == 0);
}

/* Rank 14 of the same grid is index 7 of dp x cp: with rank 12, index 6, it has all experts of two
 * parts. Two of 3 x 2 ranks (cp, dp): ranks 2 and 3 are of one group, and of both rows. */
static void experts(void)
{
    static const int ep[] = {12, 14}, same[] = {2, 6, 10, 14};
    struct mesh m = {.size = {2, 2, 4, 1}, .experts = 2};
    int ranks[16];
    mesh_locate(m.size, 14, m.at);
    CHECK("experts: ranks that are adjacent in dp x cp share them out",
          mesh_divided_members(&m, MESH_EP, ranks) == 2 && memcmp(ranks, ep, sizeof ep) == 0);
    CHECK("experts: ranks of dp x cp that are so far apart have the same ones",
          mesh_divided_members(&m, MESH_EDP, ranks) == 4 && memcmp(ranks, same, sizeof same) == 0);
    static const int odd[] = {2, 3};
    int end;
    struct mesh o = {.size = {1, 3, 2, 1}, .at = {0, 2, 0, 0}, .experts = 2};
    CHECK("experts: a group has ranks of two rows of dp where it has some of cp of each",
          mesh_divided_members(&o, MESH_EP, ranks) == 2 && memcmp(ranks, odd, sizeof odd) == 0 &&
              mesh_expert_rows(&o, &end) == 0 && end == 2);
    mesh_locate(o.size, 1, o.at);
    CHECK("experts: a group within cp has the tokens of one row of dp",
          mesh_expert_rows(&o, &end) == 0 && end == 1);
}

static void refused(struct device *d)
{
    struct err e = {0};
    struct mesh m;
    const struct mesh_sizes odd = {.axis = {1, 2, 2, 1}, .experts = 3, .experts_key = "ep_size"};
    const struct mesh_sizes two = {.axis = {1, 1, 4, 1}, .experts = 2};
    const struct mesh_sizes half = {.axis = {1, 1, 4, 1}, .experts = 2, .shard = 2};
    const struct mesh_sizes few = {.axis = {1, 1, 8, 1}, .experts = 4, .shard = 2};
    const struct mesh_sizes uneven = {.axis = {1, 1, 4, 1}, .shard = 3};
    CHECK("experts: ranks that do not divide those of dp x cp are refused",
          mesh_planned(&m, &odd, d, &e) && e.code == ERR_CONFIG &&
              strstr(e.msg, "ep_size 3 does not divide the 4"));
    const bool open = mesh_planned(&m, &two, d, &e) == 0;
    CHECK("experts: their groups are their own beside those of gradients",
          open && m.comm[MESH_EP] != m.comm[MESH_DP] && m.comm[MESH_EP]->size == 2 &&
              m.comm[MESH_EDP] != m.comm[MESH_DP_CP] && m.comm[MESH_EDP]->size == 2);
    mesh_close(&m);
    const bool split = mesh_planned(&m, &half, d, &e) == 0;
    CHECK("split: ranks that share out the experts of a copy each have theirs whole",
          split && m.comm[MESH_ESHARD]->size == 1 && m.comm[MESH_SHARD]->size == 2);
    CHECK("split: the ranks with the same parts are then those with the same experts",
          split && m.comm[MESH_REPLICATE] == m.comm[MESH_EDP] && m.comm[MESH_EDP]->size == 2);
    mesh_close(&m);
    CHECK("split: copies that do not divide the ranks are refused",
          mesh_planned(&m, &uneven, d, &e) && e.code == ERR_CONFIG &&
              strstr(e.msg, "fsdp_size 3 is not a divisor of the 4"));
    CHECK("split: copies without all experts are refused",
          mesh_planned(&m, &few, d, &e) && e.code == ERR_CONFIG && strstr(e.msg, "fsdp_size 2") &&
              strstr(e.msg, "expert_model_parallel_size 4"));
}

static void planned(void)
{
    struct err e;
    struct mesh m;
    struct device *d = device_open("cpu", 1, &e);
    const bool open = mesh_planned(&m, &(struct mesh_sizes){.axis = {2, 1, 3, 4}}, d, &e) == 0;
    CHECK("planned: a grid without ranks is rank 0 of it",
          open && mesh_ranks(&m) == 24 && mesh_writes(&m));
    m.at[MESH_DP] = 1;
    CHECK("planned: another rank does not write", !mesh_writes(&m));
    mesh_close(&m);
    const bool cut = mesh_planned(&m, &(struct mesh_sizes){.axis = {1, 2, 1, 1}}, d, &e) == 0;
    CHECK("planned: cp has a group of its own beside that of gradients and weights",
          cut && m.comm[MESH_CP] != m.comm[MESH_DP_CP] && m.comm[MESH_SHARD] == m.comm[MESH_DP_CP]);
    mesh_close(&m);
    const bool one = open_mesh_alone(&m, d, &e) == 0;
    CHECK("alone: the only rank writes, agrees and finishes",
          one && mesh_ranks(&m) == 1 && mesh_writes(&m) && mesh_agree(&m, 0, &e) == 0 &&
              mesh_finish(&m, &e) == 0);
    mesh_close(&m);
    refused(d);
    device_close(d);
}

int main(void)
{
    CHECK("order: tensor, context, data, pipeline, in every small grid", every_grid(ordered, 0));
    static const char *const names[MESH_GROUPS] = {[MESH_TP] = "tensor",
                                                   [MESH_CP] = "context",
                                                   [MESH_DP] = "data",
                                                   [MESH_PP] = "pipeline",
                                                   [MESH_DP_CP] = "data x context",
                                                   [MESH_MODEL] = "one model copy",
                                                   [MESH_ENDS] = "both ends",
                                                   [MESH_SHARD] = "one copy of the parts",
                                                   [MESH_REPLICATE] = "the same parts",
                                                   [MESH_EP] = "the experts of one copy",
                                                   [MESH_EDP] = "the same experts",
                                                   [MESH_ESHARD] = "a copy's same experts"};
    for (int g = 0; g < MESH_GROUPS; g++) {
        char name[80];
        snprintf(name, sizeof name, "groups: %s, in every small grid", names[g]);
        CHECK(name, every_grid(group_holds, g));
    }
    by_hand();
    split();
    experts();
    planned();
    TEST_END();
}
