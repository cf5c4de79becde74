/* SPDX-License-Identifier: Apache-2.0 */
/* The composition of steps: which samples, in which step, how often. */
#include <math.h>

#include "base/rng.h"
#include "pack/pack.h"
#include "test.h"

enum { N = 1003, LENGTH = 512 };
static uint32_t lengths[N];

struct seen {
    uint64_t rows, steps, samples, order; /* order: a hash of everything, in order */
    uint32_t times[N], last_step_samples, step_rows, step_samples;
    uint32_t most_rows, most_samples, least_samples;
    uint64_t at;
    bool fits;
};

static int see(void *arg, const struct pack_row *r, struct err *e)
{
    struct seen *s = arg;
    uint32_t tokens = 0;
    (void)e;
    if (r->step != s->at || s->rows == 0) {
        if (s->rows && s->step_samples < s->least_samples) s->least_samples = s->step_samples;
        s->step_rows = s->step_samples = 0;
        s->steps++;
    }
    s->at = r->step;
    s->rows++;
    s->step_rows++;
    s->step_samples += r->n;
    if (s->step_rows > s->most_rows) s->most_rows = s->step_rows;
    if (s->step_samples > s->most_samples) s->most_samples = s->step_samples;
    s->order = s->order * 31 + r->step;
    for (uint32_t i = 0; i < r->n; i++) {
        tokens += lengths[r->samples[i]];
        s->times[r->samples[i]]++;
        s->order = s->order * 1099511628211u + r->samples[i];
    }
    s->samples += r->n;
    s->fits = s->fits && r->n > 0 && tokens <= LENGTH;
    return 0;
}

static struct seen go(enum pack_by by, uint32_t batch, double epochs, uint64_t seed, bool in_order)
{
    struct pack_options o = {by, LENGTH, batch, epochs, seed, in_order};
    struct seen s = {.fits = true, .least_samples = UINT32_MAX};
    struct err e = {0};
    EXPECT("plan: a plan is made", pack_plan(&o, lengths, N, see, &s, &e) == 0);
    return s;
}

static bool each(const struct seen *s, uint32_t times)
{
    for (uint32_t i = 0; i < N; i++)
        if (s->times[i] != times) return false;
    return true;
}

static void test_batch(void)
{
    struct seen s = go(PACK_BY_STEP, 64, 2, 42, false);
    CHECK("batch: the steps and samples of two epochs", s.steps == 2 * 16 && s.samples == 2 * N);
    CHECK("batch: every sample as often as there are epochs", each(&s, 2));
    CHECK("batch: each step has exactly the batch, the last the rest",
          s.most_samples == 64 && s.least_samples == N % 64);
    CHECK("batch: fewer rows than samples", s.fits && s.rows < s.samples);
    struct seen again = go(PACK_BY_STEP, 64, 2, 42, false);
    CHECK("batch: the same seed gives the same order", s.order == again.order);
    struct seen other = go(PACK_BY_STEP, 64, 2, 43, false);
    CHECK("batch: another seed gives another order", s.order != other.order && each(&other, 2));
    struct seen whole = go(PACK_BY_STEP, 5000, 1, 42, false);
    CHECK("batch: one larger than the set is one step",
          whole.steps == 1 && each(&whole, 1) && whole.fits);
}

static void test_none(void)
{
    struct seen s = go(PACK_NOT, 64, 1, 42, true);
    CHECK("none: a sample a row", s.rows == N && s.steps == 16 && each(&s, 1));
    uint64_t h = 0;
    for (uint32_t i = 0; i < N; i++) h = (h * 31 + i / 64) * 1099511628211u + i;
    CHECK("none: unshuffled, samples are in order", s.order == h);
    struct seen batch = go(PACK_BY_STEP, 64, 1, 42, false), none = go(PACK_NOT, 64, 1, 42, false);
    CHECK("none: it has the steps of batch", batch.steps == none.steps && each(&none, 1));
}

static void test_dense(void)
{
    struct seen s = go(PACK_BY_EPOCH, 8, 3, 42, false);
    CHECK("dense: every sample as often as there are epochs", each(&s, 3) && s.fits);
    CHECK("dense: each step has the batch's rows", s.most_rows == 8);
    struct seen batch = go(PACK_BY_STEP, 8, 3, 42, false);
    CHECK("dense: it has fewer rows than batch", s.rows < batch.rows);
    CHECK("dense: unshuffled, the order differs",
          go(PACK_BY_EPOCH, 8, 1, 42, true).order != go(PACK_BY_EPOCH, 8, 1, 42, false).order);
}

static void test_epochs(void)
{
    CHECK("epochs: half an epoch", go(PACK_BY_STEP, 64, 0.5, 42, false).steps == 8);
    CHECK("epochs: an epoch and a half", go(PACK_BY_STEP, 64, 1.5, 42, false).steps == 24);
    CHECK("epochs: a part of a step is a step", go(PACK_BY_STEP, 64, 0.01, 42, false).steps == 1);
    CHECK("epochs: 1.1 of 10 steps is 11", go(PACK_NOT, 101, 1.1, 42, false).steps == 11);
    struct seen s = go(PACK_BY_STEP, 64, 1.5, 42, false);
    uint32_t most = 0;
    for (uint32_t i = 0; i < N; i++) most = s.times[i] > most ? s.times[i] : most;
    CHECK("epochs: no sample comes more than twice in one and a half", most == 2);
}

enum { EPOCHS = 3, EPOCH_STEPS = 16 };
struct orders {
    uint32_t sample[EPOCHS][N], count[EPOCHS];
};
static int note_order(void *arg, const struct pack_row *r, struct err *e)
{
    struct orders *o = arg;
    const uint64_t epoch = r->step / EPOCH_STEPS;
    for (uint32_t i = 0; i < r->n; i++) {
        if (epoch >= EPOCHS || o->count[epoch] == N) return err_set(e, ERR_DATA, "too many");
        o->sample[epoch][o->count[epoch]++] = r->samples[i];
    }
    return 0;
}

/* Positions at which two orders have the same sample: of two at random, one on average. */
static int alike(const uint32_t *a, const uint32_t *b)
{
    int n = 0;
    for (int i = 0; i < N; i++) n += a[i] == b[i];
    return n;
}

static void test_shuffle(void)
{
    static struct orders o;
    struct err e = {0};
    const struct pack_options options = {PACK_NOT, LENGTH, 64, EPOCHS, 42, false};
    uint32_t file[N];
    bool whole = pack_plan(&options, lengths, N, note_order, &o, &e) == 0, others = true;
    for (uint32_t i = 0; i < N; i++) file[i] = i;
    for (int k = 0; k < EPOCHS; k++) {
        bool seen[N] = {false};
        double moved = 0;
        for (uint32_t i = 0; i < o.count[k]; i++) {
            seen[o.sample[k][i]] = true;
            moved += fabs((double)o.sample[k][i] - (double)i) / N / N;
        }
        for (int i = 0; i < N; i++) whole &= seen[i];
        others &= fabs(moved - 1.0 / 3) < 0.04 && alike(o.sample[k], file) < 8 &&
                  alike(o.sample[k], o.sample[(k + 1) % EPOCHS]) < 8;
    }
    CHECK("shuffle: every epoch has each sample once", whole);
    CHECK("shuffle: every epoch has an order of its own", others);
}

static int stop(void *arg, const struct pack_row *r, struct err *e)
{
    (void)arg;
    return r->step == 3 ? err_set(e, ERR_IO, "stop") : 0;
}

static void test_refusals(void)
{
    struct err e = {0};
    struct seen s = {0};
    struct pack_options o = {PACK_BY_STEP, LENGTH, 64, 1, 42, false};
    CHECK("plan refused: a failure of a row ends it",
          pack_plan(&o, lengths, N, stop, NULL, &e) < 0 && e.code == ERR_IO);
    CHECK("plan refused: no samples",
          pack_plan(&o, lengths, 0, see, &s, &e) < 0 && e.code == ERR_DATA);
    o.epochs = 0;
    CHECK("plan refused: no epochs",
          pack_plan(&o, lengths, N, see, &s, &e) < 0 && e.code == ERR_USAGE);
    o.epochs = 1e300;
    CHECK("plan refused: too many epochs", pack_plan(&o, lengths, N, see, &s, &e) < 0);
    o.epochs = 1;
    lengths[7] = LENGTH + 1;
    CHECK("plan refused: a sample over length", pack_plan(&o, lengths, N, see, &s, &e) < 0);
}

int main(void)
{
    for (uint32_t i = 0; i < N; i++)
        lengths[i] = 1 + (uint32_t)(rng_u64(1, RNG_TEST, 0, i) % (LENGTH / 2));
    lengths[0] = LENGTH;
    test_batch();
    test_none();
    test_dense();
    test_epochs();
    test_shuffle();
    test_refusals();
    TEST_END();
}
