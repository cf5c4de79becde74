/* SPDX-License-Identifier: Apache-2.0 */
/* Generates the completions of bash, zsh and fish from the option table. A command with verbs and
 * each of its verbs ("sft-ckpt ls") append their parts to one file, the command first. */
#include <stdio.h>
#include <string.h>

#include "base/opt_impl.h"

/* Returns the verb of a command such as "sft-ckpt ls", or NULL. */
static const char *verb_of(const struct opt_cmd *cmd)
{
    const char *space = strchr(cmd->name, ' ');
    return space ? space + 1 : NULL;
}

/* Appends the name of the shell function that completes the command. */
static void function_name(const struct opt_cmd *cmd, struct buf *b)
{
    buf_puts(b, "_");
    for (const char *p = cmd->name; *p; p++) buf_putc(b, *p == '-' || *p == ' ' ? '_' : *p);
}

/* Appends the words of "a|b|c", with spaces between them. */
static void words(const char *list, struct buf *b)
{
    for (const char *p = list; *p; p++) buf_putc(b, *p == '|' ? ' ' : *p);
}

/* Appends the keys of operands key=value, each with its "=" and a space between them. */
static void keys(const struct opt_cmd *cmd, struct buf *b)
{
    const char *key;
    for (size_t i = 0; (key = cmd->key(i)); i++) buf_printf(b, "%s%s=", i ? " " : "", key);
}

/* ---- bash ---- */
static void bash_names(const struct opt *o, void *arg)
{
    struct buf *b = arg;
    buf_printf(b, " --%s", o->name);
    if (o->letter) buf_printf(b, " -%c", o->letter);
}

static void bash_values(const struct opt *o, void *arg)
{
    struct buf *b = arg;
    if (!opt_value_name(o)) return;
    buf_printf(b, "    --%s", o->name);
    if (o->letter) buf_printf(b, "|-%c", o->letter);
    buf_puts(b, ")\n        ");
    if (o->kind == OPT_ENUM) {
        buf_puts(b, "COMPREPLY=($(compgen -W '");
        words(o->arg, b);
        buf_puts(b, "' -- \"$cur\"))");
    } else {
        buf_puts(b, o->kind == OPT_STR ? "COMPREPLY=($(compgen -f -- \"$cur\"))" : "COMPREPLY=()");
    }
    buf_puts(b, "\n        return ;;\n");
}

static void bash_operand(const struct opt_cmd *cmd, struct buf *b)
{
    if (!cmd->verbs) {
        buf_puts(b, "compgen -f -- \"$cur\"");
        return;
    }
    buf_puts(b, "compgen -W '");
    words(cmd->verbs, b);
    buf_puts(b, "' -- \"$cur\"");
}

/* Completes a key once a part of it is there; bash has made words of the value and of "=". */
static void bash_key(const struct opt_cmd *cmd, struct buf *b)
{
    if (!cmd->key) return;
    buf_puts(b, "    elif [[ $cur == = || $prev == = ]]; then\n"
                "        COMPREPLY=($(compgen -f -- \"${cur#=}\"))\n"
                "    elif [[ $cur ]] && COMPREPLY=($(compgen -W '");
    keys(cmd, b);
    buf_puts(b, "' -- \"$cur\")); then\n        compopt +o filenames -o nospace 2>/dev/null\n"
                "        COMPREPLY+=($(compgen -f -- \"$cur\"))\n");
}

/* Hands the line to the function of its verb, if it has one. */
static void bash_verb(const struct opt_cmd *cmd, struct buf *b)
{
    buf_puts(b, "    local verb=");
    function_name(cmd, b);
    buf_puts(
        b, "_${COMP_WORDS[1]}\n    if ((COMP_CWORD > 1)) && declare -F \"$verb\" >/dev/null; then\n"
           "        \"$verb\"\n        return\n    fi\n");
}

static void complete_bash(const struct opt_cmd *cmd, struct buf *b)
{
    function_name(cmd, b);
    buf_puts(b, "() {\n    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n");
    if (cmd->verbs) bash_verb(cmd, b);
    buf_puts(b, "    case $prev in\n");
    opt_each(cmd, bash_values, b);
    buf_puts(b, "    esac\n    if [[ $cur == -* ]]; then\n        COMPREPLY=($(compgen -W '");
    opt_each(cmd, bash_names, b);
    buf_puts(b, "' -- \"$cur\"))\n");
    bash_key(cmd, b);
    buf_puts(b, "    else\n        COMPREPLY=($(");
    bash_operand(cmd, b);
    buf_puts(b, "))\n    fi\n}\n");
    if (verb_of(cmd)) return;
    buf_puts(b, "complete -o filenames -F ");
    function_name(cmd, b);
    buf_printf(b, " %s\n", cmd->name);
}

/* ---- zsh and fish ---- */
/* Escapes text for single quotes, and the `special` characters, such as the brackets and colons of
 * zsh's _arguments, with backslashes. */
static void quoted(struct buf *b, const char *s, const char *special)
{
    for (; *s; s++) {
        if (*s == '\'')
            buf_puts(b, "'\\''");
        else if (strchr(special, *s))
            buf_printf(b, "\\%c", *s);
        else
            buf_putc(b, *s);
    }
}

static void zsh_option(const struct opt *o, void *arg)
{
    struct buf *b = arg;
    const char *value = opt_value_name(o);
    char names[2][80] = {"", ""};
    int n = 0;
    if (o->letter) snprintf(names[n++], sizeof *names, "-%c%s", o->letter, value ? "+" : "");
    snprintf(names[n++], sizeof *names, "--%s%s", o->name, value ? "=" : "");
    for (int i = 0; i < n; i++) {
        buf_printf(b, " \\\n    '%s%s[", o->kind == OPT_COUNT || o->kind == OPT_LIST ? "*" : "",
                   names[i]);
        quoted(b, o->help, "[]:\\");
        buf_puts(b, "]");
        if (value) {
            buf_puts(b, ":");
            quoted(b, o->kind == OPT_ENUM ? "word" : value, "[]:\\");
            buf_puts(b, ":");
        }
        if (o->kind == OPT_STR) buf_puts(b, "_files");
        if (o->kind == OPT_ENUM) {
            buf_puts(b, "(");
            words(o->arg, b);
            buf_puts(b, ")");
        }
        buf_puts(b, "'");
    }
}

static void fish_option(const struct opt *o, void *arg)
{
    struct buf *b = arg;
    if (o->letter) buf_printf(b, " -s %c", o->letter);
    buf_printf(b, " -l %s", o->name);
    if (opt_value_name(o)) buf_puts(b, o->kind == OPT_STR ? " -r -F" : " -x");
    if (o->kind == OPT_ENUM) {
        buf_puts(b, " -a '");
        words(o->arg, b);
        buf_puts(b, "'");
    }
    buf_puts(b, " -d '");
    quoted(b, o->help, "\\");
    buf_puts(b, "'\n");
}

struct fish {
    const struct opt_cmd *cmd;
    struct buf *out;
};

/* Begins a line that counts for the command, before its verb or behind this one. */
static void fish_begin(const struct opt_cmd *cmd, struct buf *b)
{
    const char *verb = verb_of(cmd);
    const int n = verb ? (int)(verb - cmd->name) - 1 : (int)strlen(cmd->name);
    buf_printf(b, "complete -c %.*s", n, cmd->name);
    if (verb) buf_printf(b, " -n '__fish_seen_subcommand_from %s'", verb);
    if (cmd->verbs) buf_puts(b, " -n __fish_use_subcommand");
}

static void fish_line(const struct opt *o, void *arg)
{
    struct fish *f = arg;
    fish_begin(f->cmd, f->out);
    fish_option(o, f->out);
}

/* Keys are offered once a part of one is there, beside the files; fish completes the value. */
static void fish_key(const struct opt_cmd *cmd, struct buf *b)
{
    if (!cmd->key) return;
    fish_begin(cmd, b);
    buf_puts(b, " -n 'string length -q -- (commandline -ct)' -a '");
    keys(cmd, b);
    buf_puts(b, "' -d 'key of the configuration'\n");
}

static void complete_fish(const struct opt_cmd *cmd, struct buf *b)
{
    struct fish f = {cmd, b};
    opt_each(cmd, fish_line, &f);
    fish_key(cmd, b);
    if (!cmd->verbs) return;
    fish_begin(cmd, b);
    buf_puts(b, " -x -a '");
    words(cmd->verbs, b);
    buf_puts(b, "'\n");
}

/* Files, or a key once a part of it is there, and files as its value. */
static void zsh_operand(const struct opt_cmd *cmd, struct buf *b)
{
    if (!cmd->key) {
        buf_puts(b, "*:file:_files'\n");
        return;
    }
    buf_puts(b, "*:file or key=value:{ if compset -P \"*=\"; then _files; else "
                "[[ -z $PREFIX ]] || compadd -S \"\" -- ");
    keys(cmd, b);
    buf_puts(b, "; _files; fi }'\n");
}

/* A command with verbs completes the first word; the lines of its verbs, which follow in the same
 * file, all others. */
static void complete_zsh(const struct opt_cmd *cmd, struct buf *b)
{
    const char *verb = verb_of(cmd);
    if (!verb) buf_printf(b, "#compdef %s\n", cmd->name);
    if (cmd->verbs) buf_puts(b, "if (( CURRENT == 2 )); then\n");
    if (verb) buf_printf(b, "if [[ $words[2] == %s ]]; then\nshift words\n(( CURRENT-- ))\n", verb);
    buf_puts(b, "_arguments -s -S");
    opt_each(cmd, zsh_option, b);
    buf_puts(b, " \\\n    '");
    if (cmd->verbs) {
        buf_puts(b, "1:verb:(");
        words(cmd->verbs, b);
        buf_puts(b, ")'\n");
    } else {
        zsh_operand(cmd, b);
    }
    if (verb || cmd->verbs) buf_puts(b, "return\nfi\n");
}

int opt_complete(const struct opt_cmd *cmd, const char *shell, struct buf *b, struct err *e)
{
    if (strcmp(shell, "bash") == 0)
        complete_bash(cmd, b);
    else if (strcmp(shell, "zsh") == 0)
        complete_zsh(cmd, b);
    else if (strcmp(shell, "fish") == 0)
        complete_fish(cmd, b);
    else
        return err_set(e, ERR_USAGE, "--help-complete: '%s' is not one of bash|zsh|fish", shell);
    return 0;
}
