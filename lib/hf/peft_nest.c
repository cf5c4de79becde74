/* SPDX-License-Identifier: Apache-2.0 */
/* Adapters of routers and of experts: peft's names of their modules. */
#include <stdio.h>
#include <string.h>

#include "hf/peft.h"

#define EXPERTS ".mlp.experts."
#define GATE_UP EXPERTS "gate_up_proj"
#define DOWN    EXPERTS "down_proj"

/* Replaces the first `from` in a name, which is there and no shorter than `to`. */
static void replace(char *name, const char *from, const char *to)
{
    char *at = strstr(name, from);
    memcpy(at, to, strlen(to));
    memmove(at + strlen(to), at + strlen(from), strlen(at + strlen(from)) + 1);
}

void peft_nest_name(char *name, bool both)
{
    if (strstr(name, GATE_UP))
        replace(name, GATE_UP, both ? EXPERTS "base_layer" : ".mlp.experts");
    else
        replace(name, DOWN, ".mlp.experts");
}

/* Returns true if target_parameters has the parameter. */
static bool is_listed(const struct peft_config *c, const char *parameter)
{
    const size_t n = strlen(parameter);
    bool found = false;
    for (size_t i = 0; i < c->parameters.n; i++) {
        const size_t m = strlen(c->parameters.v[i]);
        found |= n >= m && strcmp(parameter + n - m, c->parameters.v[i]) == 0 &&
                 (n == m || parameter[n - m - 1] == '.');
    }
    return found;
}

void peft_unnest(const struct peft_config *c, char param[PEFT_MAX_NAME])
{
    char module[PEFT_MAX_NAME], down[2 * PEFT_MAX_NAME];
    const char *at = strstr(param, ".mlp.experts.");
    if (!at) return;
    snprintf(module, sizeof module, "%.*s", (int)(at - param), param);
    snprintf(down, sizeof down, "%s" DOWN, module);
    if (strcmp(at, EXPERTS "base_layer.weight") == 0 ||
        (strcmp(at, EXPERTS "weight") == 0 && !is_listed(c, down)))
        snprintf(param, PEFT_MAX_NAME, "%.150s" GATE_UP ".weight", module);
    else if (strcmp(at, EXPERTS "weight") == 0)
        snprintf(param, PEFT_MAX_NAME, "%.150s" DOWN ".weight", module);
}

static bool ends(const char *s, const char *tail)
{
    const size_t n = strlen(s), m = strlen(tail);
    return n >= m && strcmp(s + n - m, tail) == 0;
}

bool peft_is_experts(const char *param)
{
    return ends(param, GATE_UP ".weight") || ends(param, DOWN ".weight");
}

bool peft_is_routed(const char *param)
{
    return peft_is_experts(param) || ends(param, ".mlp.gate.weight");
}

uint64_t peft_rank(const struct peft_config *c, const char *param)
{
    const uint64_t r = (uint64_t)c->rank;
    return c->twice && ends(param, GATE_UP ".weight") ? 2 * r : r;
}
