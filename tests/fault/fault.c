/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a command and counts the system calls by which it and all its threads and children touch
 * files below a folder; one of them fails, is cut short, or kills the command.
 *
 *     fault [OPTION...] FOLDER COMMAND...
 *       -o        writes to standard output count too
 *       -r        calls that read count, in the place of those that change something
 *       -n N      the call that fails, from 1
 *       -a        all calls fail from there on, except removals
 *       -f WHAT   ENOSPC, EIO, EINTR, EPIPE, short (half of a write), kill
 *       -l FILE   a line for each counted call: number, name, path
 *       -w FILE   a recording, which the program `power` reads
 *
 * The kernel stops the command at these calls (seccomp, ptrace), whoever makes them: the program,
 * the C library, a sanitizer. They are made one at a time. The exit code is the command's, or 128
 * and the signal that ended it; 99 when this program cannot do its work. */
#include "fault.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FAILED = 99 };
static long counted;

static void die(const char *what)
{
    fprintf(stderr, "fault: %s: %s\n", what, strerror(errno));
    exit(FAILED);
}

/* ---- the command ---- */
/* The kernel asks the tracer about the calls of the table, and allows all others. */
static void install_filter(void)
{
    struct sock_filter code[2 * 64 + 4];
    size_t n = 0;
    code[n++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < call_count; i++) {
        code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
                                                 (uint32_t)call_table[i].number, 0, 1);
        code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
    }
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {(unsigned short)n, code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, 2, &program))
        die("cannot filter system calls");
}

static void child(int go, char **command)
{
    char c;
    if (read(go, &c, 1) != 1) _exit(FAILED);
    close(go);
    install_filter();
    execvp(command[0], command);
    _exit(127);
}

static pid_t start(char **command)
{
    int go[2];
    if (pipe(go)) die("pipe");
    const pid_t pid = fork();
    if (pid < 0) die("fork");
    if (pid == 0) {
        close(go[1]);
        child(go[0], command);
    }
    close(go[0]);
    const long options = PTRACE_O_TRACESECCOMP | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
                         PTRACE_O_TRACEVFORK | PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL;
    if (ptrace(PTRACE_SEIZE, pid, NULL, options)) die("cannot trace");
    if (write(go[1], "x", 1) != 1) die("pipe");
    close(go[1]);
    return pid;
}

/* ---- a call ---- */
/* Lets the stopped thread make its call, and waits for the end of the call. Returns its result, or
 * a negative number when the thread is gone. */
static long finish(struct stop *s)
{
    int status, sig = 0;
    for (;;) {
        if (ptrace(PTRACE_SYSCALL, s->tid, NULL, (void *)(long)sig)) return -ESRCH;
        if (waitpid(s->tid, &status, __WALL) < 0 || !WIFSTOPPED(status)) return -ESRCH;
        if (WSTOPSIG(status) == (SIGTRAP | 0x80)) break;
        sig = status >> 16 ? 0 : WSTOPSIG(status);
    }
    if (ptrace(PTRACE_GETREGS, s->tid, NULL, &s->regs)) return -ESRCH;
    return (long)s->regs.rax;
}

static void set(struct stop *s)
{
    if (ptrace(PTRACE_SETREGS, s->tid, NULL, &s->regs) && errno != ESRCH) die("registers");
}

static bool halve(struct stop *s)
{
    const enum call_kind k = s->call->kind;
    if ((k != CALL_WRITE && k != CALL_PWRITE && k != CALL_READ) || s->call->n < 0) return false;
    if (s->regs.rdx < 2) return false;
    s->regs.rdx /= 2;
    set(s);
    return true;
}

/* Linux closes a descriptor also where close reports an error. */
static void fail(struct stop *s, int error)
{
    if (s->call->kind == CALL_CLOSE)
        finish(s);
    else
        s->regs.orig_rax = (unsigned long long)-1;
    s->regs.rax = (unsigned long long)-(long long)error;
    set(s);
    if (error == EPIPE) syscall(SYS_tgkill, s->tid, s->tid, SIGPIPE);
}

static void kill_at(struct stop *s)
{
    if (counted % 2 && halve(s)) finish(s);
    kill(s->tid, SIGKILL);
}

static void on_call(const struct plan *p, struct stop *s)
{
    if (!call_counts(p, s)) return;
    counted++;
    if (p->list)
        fprintf(p->list, "%ld %s %s%s%s\n", counted, s->call->name, s->path, *s->to ? " " : "",
                s->to);
    const struct stop before = *s; /* a call changes registers of its arguments */
    if (counted == p->at && p->kill)
        kill_at(s);
    else if (counted == p->at && p->shortened)
        halve(s);
    else if (counted == p->at ||
             (p->at && p->on && counted > p->at && s->call->kind != CALL_UNLINK))
        fail(s, p->error);
    else if (p->record)
        call_record(p, &before, finish(s));
}

/* ---- the loop ---- */
static const struct call *find(unsigned long long number)
{
    for (size_t i = 0; i < call_count; i++)
        if (call_table[i].number == (long)number) return &call_table[i];
    return NULL;
}

static void on_stop(const struct plan *p, pid_t tid, int status)
{
    int sig = WSTOPSIG(status);
    if (status >> 16 == PTRACE_EVENT_SECCOMP) {
        struct stop s = {.tid = tid};
        if (ptrace(PTRACE_GETREGS, tid, NULL, &s.regs) == 0 && (s.call = find(s.regs.orig_rax)))
            on_call(p, &s);
    }
    if (status >> 16 || sig == (SIGTRAP | 0x80)) sig = 0;
    ptrace(PTRACE_CONT, tid, NULL, (void *)(long)sig);
}

static int follow_all(const struct plan *p, pid_t first)
{
    int status, code = FAILED;
    for (pid_t tid; (tid = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR;) {
        if (tid <= 0) continue;
        if (WIFSTOPPED(status))
            on_stop(p, tid, status);
        else if (tid == first)
            code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    return code;
}

static void choose(struct plan *p, const char *what)
{
    static const struct {
        const char *name;
        int error;
    } errors[] = {{"ENOSPC", ENOSPC}, {"EIO", EIO}, {"EINTR", EINTR}, {"EPIPE", EPIPE}};
    p->shortened = strcmp(what, "short") == 0;
    p->kill = strcmp(what, "kill") == 0;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (strcmp(what, errors[i].name) == 0) p->error = errors[i].error;
    if (p->shortened || p->kill || p->error) return;
    errno = EINVAL;
    die(what);
}

static FILE *to_file(const char *path)
{
    FILE *f = fopen(path, "we");
    if (!f) die(path);
    return f;
}

int main(int argc, char **argv)
{
    struct plan p = {0};
    for (int c; (c = getopt(argc, argv, "+orn:af:l:w:")) >= 0;) {
        if (c == 'o') p.standard = true;
        if (c == 'r') p.reads = true;
        if (c == 'n') p.at = strtol(optarg, NULL, 10);
        if (c == 'a') p.on = true;
        if (c == 'f') choose(&p, optarg);
        if (c == 'l') p.list = to_file(optarg);
        if (c == 'w') p.record = to_file(optarg);
        if (c == '?') return FAILED;
    }
    errno = EINVAL;
    if (argc - optind < 2) die("FOLDER COMMAND...");
    if (!(p.folder = realpath(argv[optind], NULL))) die(argv[optind]);
    const int code = follow_all(&p, start(argv + optind + 1));
    if ((p.list && fclose(p.list)) || (p.record && fclose(p.record))) die("write");
    return code;
}
