/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the samples into the spool. */
#include <inttypes.h>

#include "base/log.h"
#include "job.h"

/* Shortens s to its first `length` tokens; the new runs are in `runs`. */
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

/* Notes the trained tokens that s lacks. had: the labels before the cut. */
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

static int add_sample(struct job *j, struct stream_sample s, struct buf *runs, struct err *e)
{
    const struct stream_labels had = stream_labels(&s);
    const bool over = s.n > (uint64_t)j->length;
    j->faults.samples++;
    if (over) faults_note(&j->faults, FAULT_OVER, &s);
    if (over && j->over != OVER_CUT) return 0;
    if (over && cut(&s, (uint32_t)j->length, runs, e)) return -1;
    note_labels(&j->faults, had, &s);
    return spool_add(j->spool, &s, e);
}

static int check_over(const struct job *j, struct err *e)
{
    static const char *const done[] = {"", "; they are dropped", "; they are cut"};
    const struct faults *f = &j->faults;
    struct buf text = {0};
    int rc = 0;
    if (!f->count[FAULT_OVER]) return 0;
    buf_printf(&text, "%" PRIu64 " of %" PRIu64 " samples have more than %" PRId64 " tokens: ",
               f->count[FAULT_OVER], f->samples, j->length);
    buf_puts(&text, "file:row (tokens) ");
    faults_names(f, FAULT_OVER, &text);
    if (buf_check(&text, e))
        rc = -1;
    else if (j->over == OVER_ERROR)
        rc = err_set(e, ERR_DATA, "%s; raise -l, or use --over-length drop or cut", text.data);
    else
        log_line(LOG_WARN, "%s%s", text.data, done[j->over]);
    buf_free(&text);
    return rc;
}

int input_read(struct job *j, struct err *e)
{
    const struct stream_record *rec;
    struct buf runs = {0};
    int rc;
    while ((rc = stream_set_next(j->in, &rec, e)) > 0)
        if ((rc = add_sample(j, rec->samples[0], &runs, e))) break;
    buf_free(&runs);
    if (rc < 0 || check_over(j, e) || faults_warn(&j->faults, e)) return -1;
    if (spool_count(j->spool) == 0)
        return err_set(e, ERR_DATA, "%s: no samples to pack", stream_set_name(j->in));
    return spool_close(j->spool, e);
}
