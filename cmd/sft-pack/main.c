/* SPDX-License-Identifier: Apache-2.0 */
/* sft-pack: samples -> the training plan. Spools its input, so that all lengths are known; goes
 * through the plan once to count what the header promises and once to write it. */
#include <inttypes.h>

#include "base/log.h"
#include "base/opt.h"
#include "faults.h"
#include "pack/pack.h"
#include "spool.h"

enum over { OVER_ERROR, OVER_DROP, OVER_CUT };

struct job {
    const char *output;
    int64_t length, global_batch, seed;
    int mode, over; /* the words of the options below */
    double epochs;
    bool in_order;
    struct opt_common common;
    struct stream_set *in;
    struct spool *spool;
    struct pack_options plan;
    struct stream_header header;
    struct stream_writer *out;
    struct faults faults;      /* of the input's samples */
    struct stream_sample *row; /* being written */
    size_t row_cap;
    uint64_t part_tokens, part; /* of the present step (epoch: dense): for the lower bound */
    uint64_t bound;             /* rows that perfect packing would need */
};

/* ---- in ---- */
/* The first `length` tokens of s; runs receives what is left of its runs. */
static int cut(struct stream_sample *s, uint32_t length, struct buf *runs, struct err *e)
{
    uint32_t at = 0;
    buf_reset(runs);
    for (uint32_t i = 0; i < s->nruns && at < length; i++) {
        struct stream_run r = s->runs[i];
        if (r.n > length - at) r.n = length - at;
        at += r.n;
        buf_add(runs, &r, sizeof r);
    }
    s->n = length;
    s->runs = (const void *)runs->data;
    s->nruns = (uint32_t)(runs->len / sizeof *s->runs);
    return buf_check(runs, e);
}

/* had: of the sample as it was given. */
static void note_labels(struct faults *f, struct stream_labels had, const struct stream_sample *s)
{
    const struct stream_labels has = stream_labels(s);
    if (had.n == 0)
        faults_note(f, FAULT_UNTRAINED, s);
    else if (has.n == 0)
        faults_note(f, FAULT_ANSWER, s);
    else if (has.end < had.end)
        faults_note(f, FAULT_STOP, s);
}

static int take(struct job *j, struct stream_sample s, struct buf *runs, struct err *e)
{
    const struct stream_labels had = stream_labels(&s);
    const bool over = s.n > (uint64_t)j->length;
    j->faults.samples++;
    if (over) faults_note(&j->faults, FAULT_OVER, &s);
    if (over && j->over != OVER_CUT) return 0;
    if (over && cut(&s, (uint32_t)j->length, runs, e) < 0) return -1;
    note_labels(&j->faults, had, &s);
    return spool_add(j->spool, &s, e);
}

static int check_over(const struct job *j, struct err *e)
{
    static const char *const done[] = {"", "; they are left out", "; they are cut"};
    const struct faults *f = &j->faults;
    struct buf text = {0};
    int rc = 0;
    if (!f->count[FAULT_OVER]) return 0;
    buf_printf(&text, "%" PRIu64 " of %" PRIu64 " samples have more than %" PRId64 " tokens: ",
               f->count[FAULT_OVER], f->samples, j->length);
    buf_puts(&text, "file:row (tokens) ");
    faults_names(f, FAULT_OVER, &text);
    if (buf_check(&text, e) < 0)
        rc = -1;
    else if (j->over == OVER_ERROR)
        rc = err_set(e, ERR_DATA, "%s; raise -l, or say --over-length drop or cut", text.data);
    else
        log_line(LOG_WARN, "%s%s", text.data, done[j->over]);
    buf_free(&text);
    return rc;
}

static int read_all(struct job *j, struct err *e)
{
    const struct stream_record *rec;
    struct buf runs = {0};
    int rc;
    while ((rc = stream_set_next(j->in, &rec, e)) > 0)
        if ((rc = take(j, rec->samples[0], &runs, e)) < 0) break;
    buf_free(&runs);
    if (rc < 0 || check_over(j, e) < 0 || faults_warn(&j->faults, e) < 0) return -1;
    if (spool_count(j->spool) == 0)
        return err_set(e, ERR_DATA, "%s: no samples to pack", stream_set_name(j->in));
    return spool_close(j->spool, e);
}

/* ---- the plan ---- */
static void close_part(struct job *j)
{
    j->bound += (j->part_tokens + j->header.length - 1) / j->header.length;
    j->part_tokens = 0;
}

static int count_row(void *arg, const struct pack_row *r, struct err *e)
{
    struct job *j = arg;
    struct stream_header *h = &j->header;
    uint64_t part = j->plan.by == PACK_BY_EPOCH ? r->epoch : r->step;
    (void)e;
    if (part != j->part) close_part(j);
    j->part = part;
    for (uint32_t i = 0; i < r->n; i++) {
        h->tokens += spool_lengths(j->spool)[r->samples[i]];
        h->label_tokens += spool_labels(j->spool, r->samples[i]);
        j->part_tokens += spool_lengths(j->spool)[r->samples[i]];
    }
    h->samples += r->n;
    h->rows++;
    h->steps = r->step + 1;
    return 0;
}

static int write_row(void *arg, const struct pack_row *r, struct err *e)
{
    struct job *j = arg;
    if (mem_grow(&j->row, &j->row_cap, r->n, sizeof *j->row, e) < 0) return -1;
    for (uint32_t i = 0; i < r->n; i++) j->row[i] = spool_get(j->spool, r->samples[i]);
    return stream_put(
        j->out,
        &(struct stream_record){
            .kind = STREAM_PACKED, .samples = j->row, .nsamples = r->n, .step = r->step},
        e);
}

static int make_header(struct job *j, struct err *e)
{
    static const enum pack_by by[] = {
        [PACK_BATCH] = PACK_BY_STEP, [PACK_DENSE] = PACK_BY_EPOCH, [PACK_NONE] = PACK_NOT};
    static const char *const over[] = {"error", "drop", "cut"};
    struct buf options = {0};
    struct stream_header *h = &j->header;
    *h = *stream_set_header(j->in);
    h->stages = (struct buf){0};
    buf_add(&h->stages, stream_set_header(j->in)->stages.data,
            stream_set_header(j->in)->stages.len);
    h->kind = STREAM_PACKED;
    h->mode = (enum pack_mode)j->mode;
    h->length = (uint64_t)j->length;
    h->global_batch = (uint64_t)j->global_batch;
    h->epochs = j->epochs;
    h->in_order = j->in_order;
    h->seed = j->in_order ? 0 : (uint64_t)j->seed; /* what has no effect leaves no trace */
    j->plan = (struct pack_options){
        by[h->mode], (uint32_t)h->length, (uint32_t)h->global_batch, h->epochs,
        h->seed,     h->in_order};
    buf_printf(&options, "\"over_length\":\"%s\",\"over_length_samples\":%" PRIu64, over[j->over],
               j->faults.count[FAULT_OVER]);
    int rc = buf_check(&options, e);
    if (rc == 0) rc = stream_add_stage(h, "sft-pack", options.data, e);
    buf_free(&options);
    return rc;
}

static int write_plan(struct job *j, struct err *e)
{
    const uint32_t *lengths = spool_lengths(j->spool);
    uint32_t n = spool_count(j->spool);
    if (make_header(j, e) < 0 || pack_plan(&j->plan, lengths, n, count_row, j, e) < 0) return -1;
    close_part(j);
    j->out = stream_create(j->output, &j->header, opt_threads(j->common.threads), e);
    if (!j->out) return -1;
    int rc = stream_set_origins(j->in, j->out, e);
    if (rc == 0) rc = faults_notes(&j->faults, j->out, e);
    if (rc == 0) rc = pack_plan(&j->plan, lengths, n, write_row, j, e);
    if (rc == 0)
        rc = stream_finish(j->out, e);
    else
        stream_abort(j->out);
    return rc;
}

static void summary(const struct job *j)
{
    const struct stream_header *h = &j->header;
    double density = (double)h->tokens / ((double)h->rows * (double)h->length);
    log_line(LOG_INFO,
             "%" PRIu64 " steps of %" PRIu64 " %s: %" PRIu64 " samples in %" PRIu64
             " rows, %" PRIu64 " tokens (%" PRIu64 " trained)",
             h->steps, h->global_batch, h->mode == PACK_DENSE ? "rows" : "samples", h->samples,
             h->rows, h->tokens, h->label_tokens);
    if (h->mode == PACK_NONE)
        log_line(LOG_INFO, "density %.4f (a sample a row)", density);
    else
        log_line(LOG_INFO, "density %.4f, %.4f times the fewest possible rows; %.1f samples a step",
                 density, (double)h->rows / (double)j->bound,
                 (double)h->samples / (double)h->steps);
    faults_summary(&j->faults);
}

/* The plan is there to be looked at; the trainer refuses it too. */
static int check_labels(const struct job *j, struct err *e)
{
    const uint64_t lost = j->faults.count[FAULT_ANSWER];
    if (j->header.label_tokens) return 0;
    if (lost)
        return err_set(e, ERR_DATA,
                       "%s: no trained token is in the plan, so there is nothing to learn: %" PRIu64
                       " of %" PRIu64 " samples have lost their answer to --over-length cut; raise "
                       "-l, or leave long ones out with --over-length drop",
                       stream_set_name(j->in), lost, j->faults.samples);
    return err_set(e, ERR_DATA,
                   "%s: no trained token is in the plan, so there is nothing to learn; sft-view "
                   "--show 0 -m MODEL shows what of a sample is trained: look at the columns, the "
                   "roles and the mask that it was made with",
                   stream_set_name(j->in));
}

static int run(struct job *j, int n, char **paths, struct err *e)
{
    if (!j->length || !j->global_batch)
        return err_set(e, ERR_USAGE, "-l LENGTH and -b GLOBAL_BATCH are needed; see sft-pack -h");
    if (!(j->epochs > 0))
        return err_set(e, ERR_USAGE, "--epochs: %g is not greater than 0", j->epochs);
    j->in = stream_set_open(paths, n, STREAM_SAMPLES, e);
    j->spool = j->in ? spool_new(e) : NULL;
    if (!j->spool || read_all(j, e) < 0 || write_plan(j, e) < 0) return -1;
    summary(j);
    return check_labels(j, e);
}

int main(int argc, char **argv)
{
    struct job j = {.output = "-", .seed = 42, .epochs = 1};
    const struct opt opts[] = {
        {.letter = 'o',
         .name = "output",
         .kind = OPT_STR,
         .to = &j.output,
         .arg = "FILE",
         .help = "write here (default: standard output)"},
        {.letter = 'l',
         .name = "length",
         .kind = OPT_INT,
         .to = &j.length,
         .arg = "LENGTH",
         .help = "tokens a row holds",
         .min = 1,
         .max = PACK_MAX_LENGTH},
        {.letter = 'b',
         .name = "global-batch",
         .kind = OPT_INT,
         .to = &j.global_batch,
         .arg = "N",
         .help = "samples (dense: rows) of an optimizer step",
         .min = 1,
         .max = UINT32_MAX},
        {.name = "mode",
         .kind = OPT_ENUM,
         .to = &j.mode,
         .arg = "batch|dense|none",
         .help = "pack each step (default), the whole set, or nothing"},
        {.letter = 'e',
         .name = "epochs",
         .kind = OPT_REAL,
         .to = &j.epochs,
         .arg = "E",
         .help = "passes over the samples, may be 0.5 (default 1)"},
        {.letter = 's',
         .name = "seed",
         .kind = OPT_INT,
         .to = &j.seed,
         .arg = "S",
         .help = "of the order in each epoch (default 42)",
         .max = INT64_MAX},
        {.name = "in-order",
         .kind = OPT_FLAG,
         .to = &j.in_order,
         .help = "keep the order of the input"},
        {.name = "over-length",
         .kind = OPT_ENUM,
         .to = &j.over,
         .arg = "error|drop|cut",
         .help = "what to do with samples longer than LENGTH (default error)"},
        {0},
    };
    const struct opt_cmd cmd = {
        .name = "sft-pack",
        .synopsis = "-l LENGTH -b GLOBAL_BATCH [options] [FILE...]",
        .about = "Packs samples into the training plan: rows, steps, epochs, in training order.",
        .opts = opts,
        .examples = "  sft-template -m MODEL turns.sfts | sft-pack -l 2048 -b 64 --epochs 2 -o "
                    "train.sfts\n"};
    struct err e = {0};
    int n, rc = opt_parse(&cmd, &j.common, argc, argv, &n, &e);
    if (rc == 0) rc = run(&j, n, argv + 1, &e);
    stream_set_close(j.in);
    spool_free(j.spool);
    stream_header_free(&j.header);
    faults_free(&j.faults);
    mem_free(j.row);
    return rc < 0 ? log_fail(&e) : 0;
}
