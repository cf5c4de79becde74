/* SPDX-License-Identifier: Apache-2.0 */
/* A conversation in the terminal, or with lines of standard input: each line is a message of the
 * user, and the model's answer becomes part of the conversation. */
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "eval.h"

/* ---- lines ---- */
/* Line editing, where the library is installed: its calls are those of readline(3). */
struct editor {
    char *(*read)(const char *prompt);
    void (*keep)(const char *line);
    bool tty;
};
static const char ask[] = "> ";
enum { LINE_MOST = 1 << 20 }; /* bytes of a message */

static struct editor open_editor(void)
{
    static const char *const names[] = {"libreadline.so.8", "libreadline.so.7"};
    struct editor d = {.tty = isatty(STDIN_FILENO) && isatty(STDERR_FILENO)};
    void *lib = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names && d.tty && !lib; i++)
        lib = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (!lib) return d;
    *(void **)&d.read = dlsym(lib, "readline");
    *(void **)&d.keep = dlsym(lib, "add_history");
    if (!d.read || !d.keep) d.read = NULL;
    return d;
}

/* Returns the next line without its end, which the caller frees; NULL at the end. */
static char *next_line(const struct editor *d)
{
    char *line = NULL;
    size_t room = 0;
    if (d->read) {
        line = d->read(ask);
        if (line && *line) d->keep(line);
        return line;
    }
    if (d->tty) fputs(ask, stderr);
    const ssize_t n = getline(&line, &room, stdin);
    if (n < 0) {
        free(line);
        return NULL;
    }
    if (n > 0 && line[n - 1] == '\n') line[n - 1] = 0;
    return line;
}

/* ---- Ctrl-C ends an answer; while a line is read it ends the program ---- */
static sigset_t interrupt;

static void hold_interrupt(bool hold)
{
    pthread_sigmask(hold ? SIG_BLOCK : SIG_UNBLOCK, &interrupt, NULL);
}

static bool interrupted(void)
{
    const struct timespec now = {0};
    return sigtimedwait(&interrupt, NULL, &now) == SIGINT;
}

/* ---- the conversation ---- */
struct history {
    struct chat_message *m; /* the texts are of memory that history_cut() frees */
    size_t n, cap, first;   /* first: the number of messages that stay, the system's */
};

static int append(struct history *h, struct str role, const char *text, size_t n, struct err *e)
{
    char *copy = mem_alloc(n + 1, 1, e);
    if (!copy || mem_grow(&h->m, &h->cap, h->n + 1, sizeof *h->m, e)) {
        mem_free(copy);
        return -1;
    }
    memcpy(copy, text, n);
    h->m[h->n++] = (struct chat_message){.role = role, .content = {copy, n}};
    return 0;
}

/* Forgets all but the first n messages. */
static void history_cut(struct history *h, size_t n)
{
    while (h->n > n) mem_free((void *)(uintptr_t)h->m[--h->n].content.p);
}

/* Makes the answer to the last message, and its message. */
static int answer(struct talk *t, struct eval *v, struct history *h, struct err *e)
{
    struct live live = {.v = v};
    const struct talk_watch watch = {live_took, &live};
    struct buf text = {0};
    struct talk_answer a = {.most = v->max_tokens};
    a.ids = mem_alloc((size_t)a.most, sizeof *a.ids, e);
    progress_doing(&v->progress, "reading the prompt", 0, 0);
    int rc = a.ids ? talk_read(t, &t->prompt, t->docs, e) : -1;
    progress_erase(&v->progress);
    if (rc == 0) rc = talk_decode(t, &watch, &a, e);
    if (rc == 0) rc = live_write(&live, a.ids, (size_t)a.n, true, e);
    if (rc == 0) eval_warn_nameless(v, a.ids, a.n);
    if (rc == 0 && a.end == TALK_LENGTH)
        log_line(LOG_WARN, "the answer was cut after %lld tokens", (long long)a.n);
    if (rc == 0) rc = tokenizer_decode(v->tokenizer, a.ids, (size_t)a.n, true, &text, e);
    if (rc == 0) rc = append(h, STR("assistant"), text.data ? text.data : "", text.len, e);
    buf_free(&text);
    mem_free(a.ids);
    return rc;
}

/* Answers a line. A conversation that the model has no room for is told, and goes on without it. */
static int turn(struct talk *t, struct eval *v, struct history *h, const char *line, struct err *e)
{
    const size_t before = h->n;
    if (strcmp(line, "/clear") == 0) return history_cut(h, h->first), 0;
    if (!*line) return 0;
    if (strlen(line) > LINE_MOST) return err_set(e, ERR_DATA, "a message of more than 1 MiB");
    if (append(h, STR("user"), line, strlen(line), e)) return -1;
    const struct chat_conversation c = {.messages = h->m, .nmessages = h->n};
    t->docs->number++;
    if (talk_encode(t, &c, e)) return -1;
    if (talk_check(t, t->room.length, e) == 0) return answer(t, v, h, e);
    log_line(LOG_WARN, "%s; this message is left out; /clear begins anew", e->msg);
    history_cut(h, before);
    return 0;
}

static int converse(struct talk *t, struct eval *v, struct history *h, struct err *e)
{
    const struct editor d = open_editor();
    if (d.tty)
        log_line(LOG_INFO, "Ctrl-C ends an answer, /clear begins anew, Ctrl-D ends the program");
    for (int rc;;) {
        hold_interrupt(false);
        char *line = next_line(&d);
        hold_interrupt(true);
        if (!line) return 0;
        rc = turn(t, v, h, line, e);
        interrupted(); /* one that came when the answer had ended does not end the program */
        free(line);
        if (rc) return -1;
    }
}

int eval_chat(struct eval *v, struct err *e)
{
    struct talk t;
    struct history h = {0};
    const int64_t reach = rope_reach(&v->m, 1), length = reach < v->length ? reach : v->length;
    int rc = eval_talk(&t, v, e);
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    hold_interrupt(true); /* also of the threads that compute, which start now */
    t.stop = interrupted;
    const struct talk_room room = {.length = length,
                                   .pass = length < TALK_PASS ? length : TALK_PASS,
                                   .cache = length,
                                   .docs = 1};
    if (rc == 0) rc = eval_talk_open(&t, v, &room, e);
    progress_erase(&v->progress);
    if (rc == 0 && v->system) rc = append(&h, STR("system"), v->system, strlen(v->system), e);
    h.first = h.n;
    if (rc == 0) rc = converse(&t, v, &h, e);
    history_cut(&h, 0);
    mem_free(h.m);
    talk_close(&t);
    return rc;
}
