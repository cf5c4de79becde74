/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps the first failure of a save, from any thread. */
#include "save/saver_impl.h"

void saver_fail(struct saver *s, const struct err *e)
{
    pthread_mutex_lock(&s->lock);
    if (!s->failed) {
        s->why = *e;
        err_prefix(&s->why, "checkpoint-%llu", (unsigned long long)s->step);
    }
    s->failed = true;
    pthread_mutex_unlock(&s->lock);
}

int saver_result(const struct saver *s, struct err *why)
{
    if (s->failed && why) *why = s->why;
    return s->failed ? -1 : 0;
}

bool saver_failed(struct saver *s, struct err *why)
{
    pthread_mutex_lock(&s->lock);
    const int rc = saver_result(s, why);
    pthread_mutex_unlock(&s->lock);
    return rc != 0;
}
