/* SPDX-License-Identifier: Apache-2.0 */
/* sft-pack: packs samples into the training plan. It spools its input to know all lengths, then
 * runs the plan twice: to count the totals of the header, and to write the rows. */
#include <inttypes.h>

#include "base/log.h"
#include "job.h"

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
    if (mem_grow(&j->row, &j->row_cap, r->n, sizeof *j->row, e)) return -1;
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
    h->seed = j->in_order ? 0 : (uint64_t)j->seed; /* an unused seed must not change the header */
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
    if (make_header(j, e) || pack_plan(&j->plan, lengths, n, count_row, j, e)) return -1;
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

/* Refuses a plan without trained tokens, after it is written, so that it can be inspected. */
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
    if (!j->spool || input_read(j, e) || write_plan(j, e)) return -1;
    summary(j);
    return check_labels(j, e);
}

static void close_job(struct job *j)
{
    stream_set_close(j->in);
    spool_free(j->spool);
    stream_header_free(&j->header);
    faults_free(&j->faults);
    mem_free(j->row);
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
         .help = "most tokens per row",
         .min = 1,
         .max = PACK_MAX_LENGTH},
        {.letter = 'b',
         .name = "global-batch",
         .kind = OPT_INT,
         .to = &j.global_batch,
         .arg = "N",
         .help = "samples (dense: rows) per optimizer step",
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
         .help = "seed of the order in each epoch (default 42)",
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
    close_job(&j);
    return rc < 0 ? log_fail(&e) : 0;
}
