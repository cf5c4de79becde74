/* SPDX-License-Identifier: Apache-2.0 */
/* Generates --help and a part of the man page from the option table. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/opt_impl.h"
#include "base/version.h"

enum { HELP_WIDTH = 80, HELP_INDENT = 2, HELP_COLUMN_MAX = 32 };

void opt_each(const struct opt_cmd *cmd, void (*f)(const struct opt *, void *), void *arg)
{
    struct opt_common unused = {0};
    struct opt common[OPT_COMMON_MAX];
    opt_common_table(common, &unused);
    for (const struct opt *o = cmd->opts; o && o->name; o++)
        if (!o->hidden) f(o, arg);
    for (const struct opt *o = common; o->name; o++) f(o, arg);
}

/* ---- --help ---- */
/* "-l, --length N" */
static void left_side(const struct opt *o, struct buf *b)
{
    const char *value = opt_value_name(o);
    if (o->letter)
        buf_printf(b, "-%c, ", o->letter);
    else
        buf_puts(b, "    ");
    buf_printf(b, "--%s%s%s", o->name, value ? " " : "", value ? value : "");
}

struct help {
    struct buf *out;
    size_t column; /* where the right side starts */
};

static void widen(const struct opt *o, void *arg)
{
    struct help *h = arg;
    struct buf left = {0};
    left_side(o, &left);
    size_t column = HELP_INDENT + left.len + 2;
    if (column <= HELP_COLUMN_MAX && column > h->column) h->column = column;
    h->out->failed |= left.failed;
    buf_free(&left);
}

static void spaces(struct buf *b, size_t n)
{
    while (n-- > 0) buf_putc(b, ' ');
}

/* Wraps text at spaces. Lines start in column `indent`; the cursor is in column `at`. */
static void wrap(struct buf *b, const char *text, size_t indent, size_t at)
{
    while (*text) {
        size_t n = strcspn(text, " ");
        if (at + n + (at > indent) > HELP_WIDTH && at > indent) {
            buf_putc(b, '\n');
            spaces(b, indent);
            at = indent;
        }
        if (at > indent) {
            buf_putc(b, ' ');
            at++;
        }
        buf_add(b, text, n);
        at += n;
        text += n;
        while (*text == ' ') text++;
    }
    buf_putc(b, '\n');
}

static void help_line(const struct opt *o, void *arg)
{
    struct help *h = arg;
    size_t from = h->out->len;
    spaces(h->out, HELP_INDENT);
    left_side(o, h->out);
    size_t used = h->out->len - from;
    if (used + 2 > h->column) {
        buf_putc(h->out, '\n');
        used = 0;
    }
    spaces(h->out, h->column - used);
    wrap(h->out, o->help, h->column, h->column);
}

void opt_help(const struct opt_cmd *cmd, struct buf *b)
{
    struct help h = {b, 16};
    buf_printf(b, "usage: %s %s\n", cmd->name, cmd->synopsis);
    wrap(b, cmd->about, 0, 0);
    buf_puts(b, "\nOptions:\n");
    opt_each(cmd, widen, &h);
    opt_each(cmd, help_line, &h);
    if (cmd->examples) buf_printf(b, "\nExamples:\n%s", cmd->examples);
    if (cmd->examples && b->len > 0 && b->data[b->len - 1] != '\n') buf_putc(b, '\n');
}

/* ---- --version ---- */
void opt_version(const struct opt_cmd *cmd, struct buf *b)
{
    buf_printf(b, "%s %s\n", cmd->name, sft_version);
    if (*sft_commit) buf_printf(b, "commit %s\n", sft_commit);
    if (cmd->built) cmd->built(b);
}

/* ---- man ---- */
/* Escapes text for roff: hyphens that can be copied, and no line that looks like a request. */
static void roff(struct buf *b, const char *s)
{
    for (; *s; s++) {
        if (*s == '-')
            buf_puts(b, "\\-");
        else if (*s == '\\')
            buf_puts(b, "\\e");
        else if (*s == '\'')
            buf_puts(b, "\\(aq");
        else
            buf_putc(b, *s);
    }
}

static void man_option(const struct opt *o, void *arg)
{
    struct buf *b = arg;
    const char *value = opt_value_name(o);
    buf_puts(b, ".TP\n");
    if (o->letter) buf_printf(b, "\\fB\\-%c\\fR, ", o->letter);
    buf_puts(b, "\\fB\\-\\-");
    roff(b, o->name);
    buf_puts(b, "\\fR");
    if (value) {
        buf_puts(b, " \\fI");
        roff(b, value);
        buf_puts(b, "\\fR");
    }
    buf_puts(b, "\n");
    roff(b, o->help);
    buf_puts(b, "\n");
}

/* Appends the NAME line: "Packs samples." becomes "packs samples" after the dash; an acronym keeps
 * its capitals. */
static void man_name(const struct opt_cmd *cmd, struct buf *b)
{
    struct buf about = {0};
    buf_puts(&about, cmd->about);
    size_t n = about.failed ? 0 : about.len;
    if (n > 0 && about.data[n - 1] == '.') about.data[--n] = 0;
    if (n > 1 && islower((unsigned char)about.data[1]))
        about.data[0] = (char)tolower((unsigned char)about.data[0]);
    roff(b, cmd->name);
    buf_puts(b, " \\- ");
    if (n > 0) roff(b, about.data);
    buf_puts(b, "\n");
    b->failed |= about.failed;
    buf_free(&about);
}

void opt_man(const struct opt_cmd *cmd, struct buf *b)
{
    buf_puts(b, ".TH ");
    for (const char *p = cmd->name; *p; p++) buf_putc(b, (char)toupper((unsigned char)*p));
    buf_printf(b, " 1 \"\" \"sft %s\" \"User Commands\"\n.SH NAME\n", sft_version);
    man_name(cmd, b);
    buf_puts(b, ".SH SYNOPSIS\n\\fB");
    roff(b, cmd->name);
    buf_puts(b, "\\fR ");
    roff(b, cmd->synopsis);
    buf_puts(b, "\n.SH OPTIONS\n");
    opt_each(cmd, man_option, b);
}
