/* SPDX-License-Identifier: Apache-2.0 */
/* The option parser. */
#include "base/opt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/opt_impl.h"

/* ---- values ---- */
/* Returns the length of the word of an OPT_ENUM at *p, 0 at the end; moves *p to the next word. */
static size_t next_word(const char **p)
{
    const char *from = *p;
    size_t n = strcspn(from, "|");
    *p = from + n + (from[n] == '|');
    return n;
}

static int set_enum(const struct opt *o, const char *text, const char *shown, struct err *e)
{
    const char *p = o->arg, *word = p;
    for (int i = 0; *p; i++, word = p) {
        size_t n = next_word(&p);
        if (strlen(text) != n || memcmp(text, word, n) != 0) continue;
        *(int *)o->to = i;
        return 0;
    }
    return err_set(e, ERR_USAGE, "%s: '%s' is not one of %s", shown, text, o->arg);
}

static int set_int(const struct opt *o, const char *text, const char *shown, struct err *e)
{
    int64_t v;
    bool any = o->min == 0 && o->max == 0;
    if (num_i64(text, &v))
        return err_set(e, ERR_USAGE, "%s: '%s' is not a whole number", shown, text);
    if (!any && (v < o->min || v > o->max))
        return err_set(e, ERR_USAGE, "%s: %s is not between %lld and %lld", shown, text,
                       (long long)o->min, (long long)o->max);
    *(int64_t *)o->to = v;
    return 0;
}

/* Parses 64Mi, 2G, 1000: K, M, G and T are powers of 1000; Ki, Mi, Gi and Ti of 1024. */
static int set_size(const struct opt *o, const char *text, const char *shown, struct err *e)
{
    static const char units[] = "KMGT";
    char *end;
    errno = 0;
    unsigned long long v = *text >= '0' && *text <= '9' ? strtoull(text, &end, 10) : 0;
    bool ok = *text >= '0' && *text <= '9' && !errno;
    uint64_t r = v;
    const char *unit = ok && *end ? strchr(units, *end >= 'a' ? *end - 32 : *end) : NULL;
    if (ok && *end) {
        uint64_t base = end[1] == 'i' ? 1024 : 1000;
        ok = unit && end[base == 1024 ? 2 : 1] == 0;
        for (const char *u = units; ok && u <= unit; u++) ok = !__builtin_mul_overflow(r, base, &r);
    }
    if (!ok)
        return err_set(e, ERR_USAGE, "%s: '%s' is not a size (such as 4096, 64Mi or 2G)", shown,
                       text);
    *(uint64_t *)o->to = r;
    return 0;
}

static int add_to_list(struct opt_list *l, const char *text, const char *shown, struct err *e)
{
    if (l->n == OPT_LIST_MAX)
        return err_set(e, ERR_USAGE, "%s: is given more than %d times", shown, OPT_LIST_MAX);
    l->v[l->n++] = text;
    return 0;
}

static int set_value(const struct opt *o, const char *text, const char *shown, struct err *e)
{
    switch (o->kind) {
    case OPT_STR:
        *(const char **)o->to = text;
        return 0;
    case OPT_LIST:
        return add_to_list(o->to, text, shown, e);
    case OPT_INT:
        return set_int(o, text, shown, e);
    case OPT_SIZE:
        return set_size(o, text, shown, e);
    case OPT_ENUM:
        return set_enum(o, text, shown, e);
    case OPT_REAL:
        if (num_f64(text, o->to) == 0) return 0;
        return err_set(e, ERR_USAGE, "%s: '%s' is not a number", shown, text);
    default:
        return err_set(e, ERR_INTERNAL, "%s: takes no value", shown);
    }
}

/* ---- the walk over argv ---- */
struct walk {
    const struct opt_cmd *cmd;
    struct opt common[OPT_COMMON_MAX];
    int argc, at; /* argv[at] is the current argument */
    char **argv;
    char special;           /* 'h' --help, 'V' --version, 'm' --help-man, 'c' --help-complete */
    const char *completion; /* the shell of --help-complete */
};

static const struct opt *find(const struct walk *w, char letter, const char *name, size_t n)
{
    const struct opt *tables[] = {w->cmd->opts, w->common};
    for (int t = 0; t < 2; t++)
        for (const struct opt *o = tables[t]; o && o->name; o++) {
            if (letter && o->letter == letter) return o;
            if (!letter && strlen(o->name) == n && memcmp(o->name, name, n) == 0) return o;
        }
    return NULL;
}

static void switch_on(struct walk *w, const struct opt *o, bool on)
{
    if (!o->to)
        w->special = o->letter;
    else if (o->kind == OPT_COUNT)
        *(int *)o->to = on ? *(int *)o->to + 1 : 0;
    else
        *(bool *)o->to = on;
}

static int unknown(const struct walk *w, const char *name, struct err *e)
{
    enum { MOST = 100 };
    const char *words[MOST + 1] = {0};
    size_t n = 0;
    const struct opt *tables[] = {w->cmd->opts, w->common};
    for (int t = 0; t < 2; t++)
        for (const struct opt *o = tables[t]; o && o->name && n < MOST; o++)
            if (!o->hidden) words[n++] = o->name;
    const char *near = opt_nearest(name, words);
    if (near) return err_set(e, ERR_USAGE, "unknown option --%s; did you mean --%s?", name, near);
    return err_set(e, ERR_USAGE, "unknown option --%s; see %s --help", name, w->cmd->name);
}

static int take_long(struct walk *w, struct err *e)
{
    char shown[100];
    const char *name = w->argv[w->at] + 2, *value = strchr(name, '=');
    size_t n = value ? (size_t)(value++ - name) : strlen(name);
    const struct opt *o = find(w, 0, name, n);
    bool on = true;
    if (!o && !value && strncmp(name, "no-", 3) == 0) {
        o = find(w, 0, name + 3, n - 3);
        if (o && (opt_value_name(o) || !o->to)) o = NULL;
        on = false;
    }
    snprintf(shown, sizeof shown, "%.*s", (int)(n < 90 ? n : 90), name);
    if (!o) return unknown(w, shown, e);
    if (!opt_value_name(o)) {
        if (value) return err_set(e, ERR_USAGE, "--%s takes no value", shown);
        switch_on(w, o, on);
        return 0;
    }
    if (!value && w->at + 1 >= w->argc)
        return err_set(e, ERR_USAGE, "--%s needs a value (%s)", shown, opt_value_name(o));
    if (!value) value = w->argv[++w->at];
    snprintf(shown, sizeof shown, "--%s", o->name);
    return set_value(o, value, shown, e);
}

/* -abc, -oFILE, -o FILE */
static int take_letters(struct walk *w, struct err *e)
{
    char shown[3] = "-?";
    for (const char *p = w->argv[w->at] + 1; *p && !w->special; p++) {
        const struct opt *o = find(w, *p, NULL, 0);
        shown[1] = *p;
        if (!o)
            return err_set(e, ERR_USAGE, "unknown option %s; see %s --help", shown, w->cmd->name);
        if (!opt_value_name(o)) {
            switch_on(w, o, true);
            continue;
        }
        const char *value = p[1] ? p + 1 : w->at + 1 < w->argc ? w->argv[++w->at] : NULL;
        if (!value) return err_set(e, ERR_USAGE, "%s needs a value (%s)", shown, opt_value_name(o));
        return set_value(o, value, shown, e);
    }
    return 0;
}

static int walk(struct walk *w, int *nargs, struct err *e)
{
    bool ended = false;
    int kept = 0;
    for (w->at = 1; w->at < w->argc && !w->special; w->at++) {
        char *a = w->argv[w->at];
        int rc = 0;
        if (ended || a[0] != '-' || a[1] == 0) {
            w->argv[++kept] = a; /* kept never exceeds at */
        } else if (strcmp(a, "--") == 0) {
            ended = true;
        } else if (strcmp(a, "--help-man") == 0) {
            w->special = 'm';
        } else if (strncmp(a, "--help-complete=", 16) == 0) {
            w->special = 'c';
            w->completion = a + 16;
        } else {
            rc = a[1] == '-' ? take_long(w, e) : take_letters(w, e);
        }
        if (rc) return -1;
    }
    *nargs = kept;
    if (!w->special) w->argv[kept + 1] = NULL;
    return 0;
}

/* Prints the text of --help, --version, --help-man or --help-complete. Returns 1 or -1. */
static int print_special(const struct walk *w, struct err *e)
{
    struct buf b = {0};
    int rc = 0;
    switch (w->special) {
    case 'h':
        opt_help(w->cmd, &b);
        break;
    case 'V':
        opt_version(w->cmd, &b);
        break;
    case 'm':
        opt_man(w->cmd, &b);
        break;
    default:
        rc = opt_complete(w->cmd, w->completion, &b, e);
    }
    if (rc == 0) rc = buf_check(&b, e);
    if (rc == 0) rc = io_put("-", b.data, b.len, e);
    buf_free(&b);
    return rc ? -1 : 1;
}

int opt_threads(int64_t n)
{
    const int64_t wanted = n > 0 ? n : limits_cpus();
    return wanted < 4096 ? (int)wanted : 4096;
}

int opt_parse(const struct opt_cmd *cmd, struct opt_common *common, int argc, char **argv,
              int *nargs, struct err *e)
{
    struct walk w = {.cmd = cmd, .argc = argc, .argv = argv};
    *nargs = 0;
    log_init(cmd->name, LOG_INFO); /* for messages about the options */
    if (io_standard(e)) return -1;
    opt_common_table(w.common, common);
    if (walk(&w, nargs, e)) return -1;
    if (w.special) return print_special(&w, e);
    log_init(cmd->name, common->quiet ? LOG_ERROR : common->verbose ? LOG_DEBUG : LOG_INFO);
    return 0;
}
