/* SPDX-License-Identifier: Apache-2.0 */
/* The role and the weight of a message. */
#include <string.h>

#include "chat/chat_impl.h"

bool chat_is_assistant(const struct chat_message *m) { return str_is(m->role, "assistant"); }

/* Beyond these bounds a sum of weights in single precision can be infinite or 0. */
#define WEIGHT_MIN 1e-6
#define WEIGHT_MAX 1e6

static int number_weight(const struct json *v, float *w, struct err *e)
{
    double d;
    if (v->kind != JSON_NUMBER || json_real(v, &d) ||
        (d != 0 && (d < WEIGHT_MIN || d > WEIGHT_MAX)))
        return err_set(e, ERR_DATA, "\"weight\" is not 0 or a number from %g to %g", WEIGHT_MIN,
                       WEIGHT_MAX);
    *w = (float)d;
    return 0;
}

int chat_weight(const struct chat_message *m, float *weight, bool *said, struct err *e)
{
    static const char *const names[] = {"weight", "train", "loss", "training"};
    *weight = 1;
    *said = false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct json *v = m->members ? json_get(m->members, names[i]) : NULL;
        float w = 0;
        if (!v || v->kind == JSON_NULL) continue;
        if (i == 0) {
            if (number_weight(v, &w, e)) return -1;
        } else if (v->kind != JSON_BOOL) {
            return err_set(e, ERR_DATA, "\"%s\" is not true or false", names[i]);
        } else {
            /* true keeps the number that "weight" gives. */
            w = !v->truth ? 0 : *said && *weight > 0 ? *weight : 1;
        }
        if (*said && (*weight > 0) != (w > 0))
            return err_set(e, ERR_DATA, "\"%s\" contradicts another weight of the message",
                           names[i]);
        *weight = w;
        *said = true;
    }
    return 0;
}
