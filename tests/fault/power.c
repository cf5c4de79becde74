/* SPDX-License-Identifier: Apache-2.0 */
/* Replays the recording of a command that changed a folder, cuts the power after each operation,
 * and runs a check in each state in which a file system may have left the folder.
 *
 *     power [-s STRIDE] [-c CHANCES] BEFORE RECORDING FOLDER COMMAND...
 *
 * BEFORE is a copy of the folder before the command, RECORDING is of `fault -w`. The state is
 * written to FOLDER, which must not exist, and then COMMAND is run; its output tells what is wrong.
 * States that were checked before are skipped. A name that was renamed to and whose folder was
 * synced has to be there. Prints a line for each state that fails: the number of operations before
 * the cut, the policy, what is wrong; at the end "states N". */
#include "power.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FAILED = 99, SEEN = 1 << 16 };

struct operation {
    const char *name, *path, *to; /* to: NULL when there is none */
    size_t at, n;
    const char *data;
};
struct job {
    struct operation *ops;
    long count;
    const char *before, *folder, *command;
    uint64_t *seen;
    size_t nseen;
};

static void stop(const char *what)
{
    fprintf(stderr, "power: %s\n", what);
    exit(FAILED);
}

/* ---- the recording ---- */
static char *slurp(const char *path, size_t *n)
{
    FILE *f = fopen(path, "r");
    char *p = NULL;
    *n = 0;
    for (size_t k = 1; f && k; *n += k) {
        p = room(p, *n + (1 << 20) + 1);
        k = fread(p + *n, 1, 1 << 20, f);
    }
    if (!f || fclose(f)) stop(path);
    p[*n] = 0;
    return p;
}

/* Parses the line at p, which it cuts into strings. Returns the next one. */
static char *parse(char *p, struct operation *o)
{
    char *end = strchr(p, '\n'), *rest;
    if (!end) stop("recording: cut short");
    *end++ = 0;
    o->name = strsep(&p, " ");
    o->at = strtoull(p, &rest, 10);
    o->n = strtoull(rest, &rest, 10);
    o->path = ++rest;
    char *tab = strchr(rest, '\t');
    if (tab) *tab++ = 0;
    o->to = tab;
    o->data = end;
    return o->n ? end + o->n + 1 : end;
}

static void load(struct job *j, const char *path)
{
    size_t n;
    char *p = slurp(path, &n);
    for (char *end = p + n; p < end; j->count++) {
        j->ops = room(j->ops, ((size_t)j->count + 1) * sizeof *j->ops);
        p = parse(p, &j->ops[j->count]);
    }
}

static bool is(const struct operation *o, const char *name) { return strcmp(o->name, name) == 0; }

static void apply(struct node *root, const struct operation *o, long op)
{
    if (is(o, "create") || is(o, "mkdir"))
        tree_create(root, o->path, is(o, "mkdir"), op);
    else if (is(o, "write"))
        tree_change(root, o->path, (struct change){op, o->at, o->n, o->data});
    else if (is(o, "truncate"))
        tree_change(root, o->path, (struct change){op, o->at, 0, NULL});
    else if (is(o, "rename") || is(o, "link"))
        tree_rename(root, o->path, o->to, is(o, "link"), op);
    else if (is(o, "unlink"))
        tree_remove(root, o->path, op);
    else if (is(o, "sync"))
        tree_sync(root, o->path);
    else
        stop(o->path);
}

/* ---- a state ---- */
static bool seen(struct job *j, uint64_t hash)
{
    for (size_t i = 0; i < j->nseen; i++)
        if (j->seen[i] == hash) return true;
    if (j->nseen == SEEN) stop("too many states");
    j->seen[j->nseen++] = hash;
    return false;
}

struct missing {
    struct node *state;
    char *out;
};

static void find_missing(void *arg, const char *path)
{
    struct missing *m = arg;
    if (tree_find(m->state, path)) return;
    snprintf(m->out, 4096, "%s is absent, whose folder was synced", path);
}

/* Runs the check. Returns what is wrong, or "". */
static void check(const struct job *j, const struct node *state, char *out)
{
    char line[4096];
    snprintf(line, sizeof line, "rm -rf '%s'", j->folder);
    if (system(line)) stop(line);
    tree_write(state, j->folder);
    FILE *f = popen(j->command, "r");
    if (!f) stop(j->command);
    const size_t n = fread(out, 1, 4095, f);
    out[n] = 0;
    for (char *p = out; *p; p++)
        if (*p == '\n') *p = ' ';
    if (pclose(f) && !n) snprintf(out, 4096, "the check fails");
}

static void examine(struct job *j, const struct node *root, long cut, int policy)
{
    char out[4096] = "";
    struct node *state = tree_after(root, policy);
    struct missing m = {state, out};
    tree_promised(root, "", find_missing, &m);
    if (*out || !seen(j, tree_hash(state))) {
        if (!*out) check(j, state, out);
        if (*out) printf("%ld %d: %s\n", cut, policy, out);
    }
    tree_free(state);
}

int main(int argc, char **argv)
{
    struct job j = {0};
    long stride = 1, chances = 0;
    for (int c; (c = getopt(argc, argv, "+s:c:")) >= 0;) {
        if (c == 's') stride = strtol(optarg, NULL, 10);
        if (c == 'c') chances = strtol(optarg, NULL, 10);
    }
    if (argc - optind != 4 || stride < 1) stop("BEFORE RECORDING FOLDER COMMAND");
    load(&j, argv[optind + 1]);
    j.before = argv[optind];
    j.folder = argv[optind + 2];
    j.command = argv[optind + 3];
    j.seen = room(NULL, SEEN * sizeof *j.seen);
    struct node *root = tree_read(j.before);
    for (long cut = 0; cut <= j.count; cut++) {
        if (cut % stride == 0 || cut == j.count)
            for (int p = CERTAIN; p < CHANCE + chances; p++) examine(&j, root, cut, p);
        if (cut < j.count) apply(root, &j.ops[cut], cut);
    }
    printf("states %zu\n", j.nseen);
    return 0;
}
