/* SPDX-License-Identifier: Apache-2.0 */
/* Locks: who holds one, and how a process passes its own on to those that it starts. */
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "test.h"

static char path[200];

/* The line of the lock file, without its end. */
static const char *line(void)
{
    static char text[300];
    struct buf b = {0};
    struct err e;
    text[0] = 0;
    if (io_slurp(path, 4096, &b, &e) == 0 && b.data)
        snprintf(text, sizeof text, "%.*s", (int)strcspn(b.data, "\n"), b.data);
    buf_free(&b);
    return text;
}

static bool names(const char *text, pid_t process)
{
    char start[30];
    snprintf(start, sizeof start, "%ld ", (long)process);
    return strncmp(text, start, strlen(start)) == 0;
}

/* f in a process of its own; whether it returned true there. */
static bool elsewhere(bool (*f)(void *arg), void *arg)
{
    int status;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) _exit(f(arg) ? 0 : 1);
    return waitpid(pid, &status, 0) == pid && status == 0;
}

static bool gets(void *lent)
{
    struct err e;
    int fd;
    return io_lock_named(path, lent, &fd, &e) == 0;
}

/* Without the descriptor that a fork left it. */
static bool gets_alone(void *arg)
{
    char **lent = arg; /* the number, then what is lent */
    close((int)strtol(lent[0], NULL, 10));
    return gets(lent[1]);
}

static bool refused_naming_parent(void *lent)
{
    char process[40];
    struct err e;
    int fd;
    snprintf(process, sizeof process, "in use by process %ld on ", (long)getppid());
    return io_lock_named(path, lent, &fd, &e) == 1 && e.code == ERR_CREATE && fd == -1 &&
           strstr(e.msg, process) && strstr(e.msg, " UTC") && strstr(e.msg, path);
}

static void test_named(void)
{
    struct err e;
    int fd;
    CHECK("lock: the first process takes it", io_lock_named(path, NULL, &fd, &e) == 0 && fd >= 0);
    CHECK("lock: the file names this process", names(line(), getpid()));
    CHECK("lock: refused elsewhere, with that name", elsewhere(refused_naming_parent, NULL));
    char used[] = "0", nonsense[] = "-1 x", none[] = "999", other[] = "999 1 host then";
    CHECK("lock: what lends nothing is ignored",
          elsewhere(refused_naming_parent, used) && elsewhere(refused_naming_parent, nonsense) &&
              elsewhere(refused_naming_parent, none) && elsewhere(refused_naming_parent, other));
    io_unlock_named(fd);
    CHECK("lock: given back, the file names nobody", *line() == 0);
    CHECK("lock: another process takes it once it is free", elsewhere(gets, NULL));
}

static void test_lent(void)
{
    struct err e;
    int own = open(path, O_RDWR | O_CREAT, 0666), fd;
    char number[20], known[400], *alone[] = {number, known};
    snprintf(number, sizeof number, "%d", own);
    CHECK("lent: a process takes it for the one that started it", elsewhere(gets, number));
    CHECK("lent: the file names the process that took it", names(line(), getpid()));
    CHECK("lent: another process is told that name", elsewhere(refused_naming_parent, NULL));
    snprintf(known, sizeof known, "%d %s", own, line());
    CHECK("lent: further processes are let in", elsewhere(gets, known) && elsewhere(gets, known));
    CHECK("lent: further processes do not put their names there",
          strcmp(line(), strchr(known, ' ') + 1) == 0);
    CHECK("lent: a process without the descriptor is let in by the lock's line",
          elsewhere(gets_alone, alone));
    snprintf(known, sizeof known, "%d", own);
    CHECK("lent: a process without the descriptor and the line is refused",
          !elsewhere(gets_alone, alone));
    snprintf(known, sizeof known, "%d ", own);
    CHECK("lent: a process with an empty line is refused", !elsewhere(gets_alone, alone));
    close(own);
    CHECK("lent: free when the last descriptor is closed",
          io_lock_named(path, known, &fd, &e) == 0 && names(line(), getpid()));
    int late = open(path, O_RDWR);
    snprintf(number, sizeof number, "%d", late);
    CHECK("lent: a descriptor without the lock is refused",
          elsewhere(refused_naming_parent, number));
    close(late);
    io_unlock(fd);
}

int main(void)
{
    const char *tmp = getenv("TEST_TMP");
    snprintf(path, sizeof path, "%s/base_lock.%ld", tmp ? tmp : "/tmp", (long)getpid());
    test_named();
    test_lent();
    unlink(path);
    TEST_END();
}
