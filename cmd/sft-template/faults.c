/* SPDX-License-Identifier: Apache-2.0 */
/* Finds samples that would train badly. Without a trained stop token a model does not learn to end;
 * a doubled BOS is a prompt that never occurs later; a message that the template does not render is
 * not trained. */
#include "faults.h"

#include <inttypes.h>
#include <string.h>

#include "base/log.h"

enum { NAMED = 5 };

static const struct {
    const char *word, *text, *one;
} sorts[FAULTS] = {
    [FAULT_EMPTY] = {"empty", "have no trained token", "no trained token"},
    [FAULT_STOP] = {"stop", "never train the token that ends the assistant's turn",
                    "no trained stop token"},
    [FAULT_BOS] = {"bos", "begin with BOS twice", "BOS twice"},
    [FAULT_HEAD] =
        {"head",
         "have a turn without the generation prompt before it, so that the whole turn is "
         "trained",
         "no generation prompt before a turn"},
    [FAULT_UNRENDERED] = {"unrendered",
                          "have a message, call or tool that the template does not render", NULL},
};

/* The names in the trailer and the words in messages. */
static const struct {
    const char *note, *word;
} kinds[CHAT_OMITTED_KINDS] = {
    [CHAT_OMITTED_MESSAGE] = {"left_messages", "messages"},
    [CHAT_OMITTED_SYSTEM] = {"left_systems", "system prompts"},
    [CHAT_OMITTED_CALL] = {"left_calls", "calls"},
    [CHAT_OMITTED_TOOL] = {"left_tools", "tools"},
    [CHAT_OMITTED_THOUGHT] = {"left_thoughts", "thoughts"},
    [CHAT_OMITTED_PART] = {"left_parts", "parts of messages"},
};

int faults_allow(struct faults *f, const char *list, struct err *e)
{
    while (list && *list) {
        size_t n = strcspn(list, ","), i = 0;
        while (i < FAULTS && (strlen(sorts[i].word) != n || memcmp(sorts[i].word, list, n) != 0))
            i++;
        if (i == FAULTS)
            return err_set(e, ERR_USAGE, "--allow: '%.*s' is not one of %s",
                           (int)(n < 100 ? n : 100), list, FAULT_WORDS);
        f->allowed[i] = true;
        list += n + (list[n] == ',');
    }
    return 0;
}

/* ---- one sample ---- */
static void note(struct faults *f, enum fault_sort sort, struct stream_source at)
{
    if (f->count[sort]++ < NAMED)
        buf_printf(&f->names[sort], "%s%" PRIu32 ":%" PRIu64, f->names[sort].len ? ", " : "",
                   at.file, at.row);
    if (sorts[sort].one)
        log_line(LOG_DEBUG, "file %" PRIu32 " row %" PRIu64 ": %s", at.file, at.row,
                 sorts[sort].one);
}

static void describe(const struct chat_omission *k, struct buf *b)
{
    if (k->kind == CHAT_OMITTED_TOOL) {
        buf_printf(b, "tool %" PRIu32, k->item);
        return;
    }
    if (k->kind == CHAT_OMITTED_CALL) buf_printf(b, "call %" PRIu32 " of ", k->item);
    if (k->kind == CHAT_OMITTED_THOUGHT) buf_puts(b, "the thought of ");
    if (k->kind == CHAT_OMITTED_PART) buf_puts(b, "a part of ");
    if (k->kind == CHAT_OMITTED_MESSAGE && k->item) buf_puts(b, "the content of ");
    buf_printf(b, "message %" PRId32 " (%.*s)", k->message, (int)(k->role.n < 40 ? k->role.n : 40),
               k->role.p ? k->role.p : "");
}

static bool is_fault(enum chat_omitted kind)
{
    return kind != CHAT_OMITTED_THOUGHT && kind != CHAT_OMITTED_PART;
}

static void count_left(struct faults *f, const struct chat_facts *s, struct stream_source at)
{
    for (int i = 0; i < CHAT_OMITTED_KINDS; i++) f->omitted[i] += s->omitted[i];
    for (uint32_t i = 0; i < s->nnamed; i++) {
        struct buf b = {0};
        describe(&s->named[i], &b);
        if (b.failed) f->first.failed = true; /* faults_check() reports it */
        if (!b.failed)
            log_line(LOG_DEBUG, "file %" PRIu32 " row %" PRIu64 ": not rendered: %s", at.file,
                     at.row, b.data);
        if (!b.failed && s->lost && !f->first.len && is_fault(s->named[i].kind))
            buf_printf(&f->first, "file %" PRIu32 " row %" PRIu64 ": %s", at.file, at.row, b.data);
        buf_free(&b);
    }
}

void faults_count(struct faults *f, const struct chat_facts *s, struct stream_source at)
{
    f->samples++;
    f->tokens += s->tokens;
    f->trained += s->trained;
    f->straddling += s->straddling;
    f->decoded += s->decoded;
    f->joined += s->joined;
    f->unheeded += s->unheeded;
    f->empty += s->empty;
    f->outside += s->outside;
    if (s->empty)
        log_line(LOG_DEBUG, "file %" PRIu32 " row %" PRIu64 ": %" PRIu32 " empty answers", at.file,
                 at.row, s->empty);
    if (s->outside)
        log_line(LOG_DEBUG, "file %" PRIu32 " row %" PRIu64 ": text of the assistant's in no turn",
                 at.file, at.row);
    if (s->trained == 0) note(f, FAULT_EMPTY, at);
    if (s->trained > 0 && s->turns > 0 && s->stops == 0) note(f, FAULT_STOP, at);
    if (s->bos_doubled) note(f, FAULT_BOS, at);
    if (s->headless) note(f, FAULT_HEAD, at);
    if (s->lost) note(f, FAULT_UNRENDERED, at);
    count_left(f, s, at);
}

/* ---- the end ---- */
static int left_summary(const struct faults *f, struct err *e)
{
    struct buf b = {0};
    for (int i = 0; i < CHAT_OMITTED_KINDS; i++)
        if (f->omitted[i])
            buf_printf(&b, "%s%" PRIu64 " %s", b.len ? ", " : "", f->omitted[i], kinds[i].word);
    int rc = buf_check(&b, e);
    if (rc == 0 && b.len) log_line(LOG_INFO, "not rendered by the template: %s", b.data);
    buf_free(&b);
    return rc;
}

int faults_summary(const struct faults *f, struct err *e)
{
    log_line(LOG_INFO,
             "%" PRIu64 " samples, %" PRIu64 " tokens, %" PRIu64 " trained (%.1f%%), %" PRIu64
             " straddling; samples: %" PRIu64 " untrained, %" PRIu64
             " without a trained stop, %" PRIu64 " with BOS twice",
             f->samples, f->tokens, f->trained,
             f->tokens ? 100.0 * (double)f->trained / (double)f->tokens : 0.0, f->straddling,
             f->count[FAULT_EMPTY], f->count[FAULT_STOP], f->count[FAULT_BOS]);
    if (left_summary(f, e)) return -1;
    if (f->empty) log_line(LOG_INFO, "%" PRIu64 " answers are empty and not trained", f->empty);
    if (f->outside)
        log_line(LOG_WARN,
                 "%" PRIu64 " pieces of the assistant's text are after another message or after "
                 "the end of their turn, and are not trained",
                 f->outside);
    if (f->decoded)
        log_line(LOG_INFO,
                 "%" PRIu64 " calls have their arguments as JSON text, which was decoded; "
                 "--arguments text keeps it",
                 f->decoded);
    if (f->joined)
        log_line(LOG_INFO,
                 "%" PRIu64 " messages have a list of parts as content, which was joined by line "
                 "ends, since the template takes text",
                 f->joined);
    if (f->unheeded)
        log_line(LOG_WARN,
                 "%" PRIu64 " messages have a weight that is not used: another role than the "
                 "assistant has it, or --mask roll ignores weights",
                 f->unheeded);
    return 0;
}

int faults_notes(const struct faults *f, struct stream_writer *out, struct err *e)
{
    for (int i = 0; i < CHAT_OMITTED_KINDS; i++)
        if (stream_add_note(out, kinds[i].note, f->omitted[i], e)) return -1;
    if (stream_add_note(out, "untrained", f->count[FAULT_EMPTY], e) ||
        stream_add_note(out, "straddling", f->straddling, e) ||
        stream_add_note(out, "empty_answers", f->empty, e) ||
        stream_add_note(out, "outside_turns", f->outside, e) ||
        stream_add_note(out, "decoded_arguments", f->decoded, e) ||
        stream_add_note(out, "joined_contents", f->joined, e))
        return -1;
    return stream_add_note(out, "unheeded_weights", f->unheeded, e);
}

static const char *more(const struct faults *f, int i)
{
    return f->count[i] > NAMED ? ", ..." : "";
}

int faults_check(const struct faults *f, struct err *e)
{
    int rc = 0;
    if (buf_check(&f->first, e)) return -1;
    for (int i = 0; i < FAULTS; i++)
        if (buf_check(&f->names[i], e)) return -1;
    for (int i = 0; i < FAULTS; i++) {
        /* Some rows without a trained token are normal; only such rows mean a wrong mapping. */
        bool fails = i == FAULT_EMPTY ? f->samples && f->count[i] == f->samples : f->count[i] > 0;
        const char *first = i == FAULT_UNRENDERED && f->first.len ? f->first.data : NULL;
        if (fails && !f->allowed[i] && rc == 0)
            rc = err_set(e, ERR_DATA,
                         "%" PRIu64 " of %" PRIu64 " samples %s: file:row %s%s%s%s; to accept "
                         "them, use --allow %s",
                         f->count[i], f->samples, sorts[i].text, f->names[i].data, more(f, i),
                         first ? "; first in " : "", first ? first : "", sorts[i].word);
        else if (f->count[i])
            log_line(LOG_WARN, "%" PRIu64 " of %" PRIu64 " samples %s: file:row %s%s", f->count[i],
                     f->samples, sorts[i].text, f->names[i].data, more(f, i));
    }
    return rc;
}

void faults_free(struct faults *f)
{
    for (int i = 0; i < FAULTS; i++) buf_free(&f->names[i]);
    buf_free(&f->first);
}
