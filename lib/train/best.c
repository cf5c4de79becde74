/* SPDX-License-Identifier: Apache-2.0 */
/* Compares each validation loss with those before it. */
#include "train/best.h"

#include <math.h>

void best_init(struct best *b, const struct best_options *o)
{
    *b = (struct best){.o = *o, .least = INFINITY, .loss = INFINITY};
}

bool best_ends(const struct best *b) { return b->o.patience && b->waited >= b->o.patience; }

/* EarlyStoppingCallback of transformers compares with the least loss so far, which it is lowered to
 * even by an improvement within the threshold. A loss that is not finite is no improvement. */
void best_see(struct best *b, uint64_t step, double loss, bool saved)
{
    const bool improved = loss < b->least && b->least - loss > b->o.threshold;
    b->waited = b->seen == 0 || improved ? 0 : b->waited + 1;
    b->seen++;
    if (loss < b->least) b->least = loss;
    if (!(saved || best_ends(b)) || !(loss < b->loss)) return;
    b->step = step;
    b->loss = loss;
}

void best_forget(struct best *b)
{
    b->step = 0;
    b->loss = INFINITY;
}

/* ---- state ---- */
/* JSON has no infinity. */
static void put_loss(struct buf *out, double loss)
{
    if (isfinite(loss))
        buf_json_number(out, loss, 0);
    else
        buf_puts(out, "null");
}

void best_write(const struct best *b, struct buf *out)
{
    buf_printf(out, "{\"validations\":%llu,\"least\":", (unsigned long long)b->seen);
    put_loss(out, b->least);
    buf_printf(out, ",\"waited\":%llu,\"step\":%llu,\"loss\":", (unsigned long long)b->waited,
               (unsigned long long)b->step);
    put_loss(out, b->loss);
    buf_putc(out, '}');
}

static int get_count(const struct json *state, const char *name, uint64_t *n, struct err *e)
{
    const struct json *v = json_get(state, name);
    int64_t k = -1;
    if (!v || json_int(v, &k) || k < 0)
        return err_set(e, ERR_DATA, "the best checkpoint's state: %s is not a number", name);
    *n = (uint64_t)k;
    return 0;
}

static int get_loss(const struct json *state, const char *name, double *loss, struct err *e)
{
    const struct json *v = json_get(state, name);
    *loss = INFINITY;
    if (v && (v->kind == JSON_NULL || json_real(v, loss) == 0)) return 0;
    return err_set(e, ERR_DATA, "the best checkpoint's state: %s is not a number", name);
}

int best_read(struct best *b, const struct json *state, struct err *e)
{
    const struct best_options o = b->o;
    best_init(b, &o);
    if (!state) return 0;
    if (get_count(state, "validations", &b->seen, e) || get_loss(state, "least", &b->least, e) ||
        get_count(state, "waited", &b->waited, e) || get_count(state, "step", &b->step, e))
        return -1;
    return get_loss(state, "loss", &b->loss, e);
}
