/* SPDX-License-Identifier: Apache-2.0 */
/* Chooses a device. */
#include "ops/choose.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/table.h"

static void explain(struct device_choice *c, const struct err *why)
{
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    if (!*why->msg) return;
    snprintf(c->why, sizeof c->why, "%.800s%s%.80s", why->msg,
             visible ? "; CUDA_VISIBLE_DEVICES=" : "", visible ? visible : "");
}

int device_choose(const char *asked, int place, struct device_choice *c, struct err *e)
{
    struct err why = {0};
    const bool any = strcmp(asked, "auto") == 0;
    *c = (struct device_choice){0};
    snprintf(c->name, sizeof c->name, "%s", any ? "cpu" : asked);
    if (!any && strcmp(asked, "cuda") != 0) return 0;
    const int gpus = cuda_find(any, &c->hidden, &why);
    if (gpus < 0 || (gpus == 0 && !any)) return err_set(e, why.code, "%s", why.msg);
    if (gpus == 0)
        explain(c, &why);
    else
        snprintf(c->name, sizeof c->name, "cuda:%d", place % gpus);
    return 0;
}
