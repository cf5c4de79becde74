/* SPDX-License-Identifier: Apache-2.0 */
/* Samples that would train badly. A stop token that is never trained makes a model that does not
 * end; a doubled BOS is a prompt that it will never see again. */
#include "faults.h"

#include <inttypes.h>
#include <string.h>

#include "base/log.h"

enum { NAMED = 5 };

static const char *const words[FAULTS] = {"empty", "stop", "bos"};
static const char *const texts[FAULTS] = {"have no trained token",
                                          "never train the token that ends the assistant's turn",
                                          "begin with BOS twice"};
static const char *const one[FAULTS] = {"no trained token", "no trained stop token", "BOS twice"};

int faults_allow(struct faults *f, const char *list, struct err *e)
{
    while (list && *list) {
        size_t n = strcspn(list, ","), i = 0;
        while (i < FAULTS && (strlen(words[i]) != n || memcmp(words[i], list, n) != 0)) i++;
        if (i == FAULTS)
            return err_set(e, ERR_USAGE, "--allow: '%.*s' is not one of stop, bos, empty",
                           (int)(n < 100 ? n : 100), list);
        f->allowed[i] = true;
        list += n + (list[n] == ',');
    }
    return 0;
}

static void note(struct faults *f, enum fault_sort sort, struct stream_source at)
{
    if (f->count[sort]++ < NAMED)
        buf_printf(&f->names[sort], "%s%" PRIu32 ":%" PRIu64, f->names[sort].len ? ", " : "",
                   at.file, at.row);
    log_line(LOG_DEBUG, "file %" PRIu32 " row %" PRIu64 ": %s", at.file, at.row, one[sort]);
}

void faults_see(struct faults *f, const struct chat_sample *s, struct stream_source at)
{
    f->samples++;
    f->tokens += s->tokens.n;
    f->trained += s->trained;
    f->straddling += s->straddling;
    if (s->trained == 0) note(f, FAULT_EMPTY, at);
    if (s->trained > 0 && s->turns > 0 && s->stops == 0) note(f, FAULT_STOP, at);
    if (s->bos_doubled) note(f, FAULT_BOS, at);
}

void faults_summary(const struct faults *f)
{
    log_line(LOG_INFO,
             "%" PRIu64 " samples, %" PRIu64 " tokens, %" PRIu64 " trained (%.1f%%), %" PRIu64
             " straddling; samples: %" PRIu64 " untrained, %" PRIu64
             " without a trained stop, %" PRIu64 " with BOS twice",
             f->samples, f->tokens, f->trained,
             f->tokens ? 100.0 * (double)f->trained / (double)f->tokens : 0.0, f->straddling,
             f->count[FAULT_EMPTY], f->count[FAULT_STOP], f->count[FAULT_BOS]);
}

static const char *more(const struct faults *f, int i)
{
    return f->count[i] > NAMED ? ", ..." : "";
}

int faults_check(const struct faults *f, struct err *e)
{
    int rc = 0;
    for (int i = 0; i < FAULTS; i++) {
        /* Some rows with nothing to learn are usual; nothing but those is a wrong mapping. */
        bool fails = i == FAULT_EMPTY ? f->samples && f->count[i] == f->samples : f->count[i] > 0;
        if (fails && !f->allowed[i] && rc == 0)
            rc = err_set(e, ERR_DATA,
                         "%" PRIu64 " of %" PRIu64 " samples %s: file:row %s%s; if that "
                         "is meant, say --allow %s",
                         f->count[i], f->samples, texts[i], f->names[i].data, more(f, i), words[i]);
        else if (f->count[i])
            log_line(LOG_WARN, "%" PRIu64 " of %" PRIu64 " samples %s: file:row %s%s", f->count[i],
                     f->samples, texts[i], f->names[i].data, more(f, i));
    }
    return rc;
}

void faults_free(struct faults *f)
{
    for (int i = 0; i < FAULTS; i++) buf_free(&f->names[i]);
}
