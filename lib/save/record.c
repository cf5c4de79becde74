/* SPDX-License-Identifier: Apache-2.0 */
/* Recognises a run's own logs, and records which run wrote them. */
#include "save/record_impl.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"

/* The logs, and the run that will write there. */
struct record {
    char *output, *logs;   /* absolute */
    char *config;          /* logs/config.yaml */
    char *id;              /* in output; NULL: none */
    struct run_owner told; /* what config.yaml says */
    bool metrics, samples; /* metrics.jsonl, samples.jsonl has something in it */
    bool used;             /* so has metrics.jsonl, config.yaml or the log */
};

/* Tells whether a file is there and not empty: 1, 0, or -1. */
static int has_bytes(const char *path, struct err *e)
{
    struct stat st;
    const int there = io_exists(path, e);
    if (there <= 0) return there;
    return io_stat(path, &st, e) ? -1 : st.st_size > 0;
}

/* Reads the id in an output folder; *id is NULL when there is none. */
static int read_id(const char *output, char **id, struct err *e)
{
    struct buf b = {0};
    char *path = io_path(output, ".run", e);
    const int there = path ? io_exists(path, e) : -1;
    int rc = there > 0 ? io_slurp(path, 4096, &b, e) : there;
    *id = NULL;
    const size_t n = rc == 0 && b.data ? strcspn(b.data, "\n") : 0;
    if (n) rc = (*id = mem_strndup(b.data, n, e)) ? 0 : -1;
    buf_free(&b);
    mem_free(path);
    return rc;
}

static void record_free(struct record *r)
{
    mem_free(r->output);
    mem_free(r->logs);
    mem_free(r->config);
    mem_free(r->id);
    arena_free(&r->told.memory);
}

static int record_read(const struct run_folder *f, const struct run_names *n, struct record *r,
                       struct err *e)
{
    *r = (struct record){0};
    int rc = (r->output = io_real(f->output, e)) && (r->logs = io_real(f->logs, e)) &&
                     (r->config = io_path(f->logs, "config.yaml", e))
                 ? read_id(f->output, &r->id, e)
                 : -1;
    const int config = rc ? -1 : io_exists(r->config, e);
    if (config > 0) rc = n->read(n->arg, r->config, &r->told, e);
    const int metrics = rc || config < 0 ? -1 : has_bytes(f->metrics, e);
    const int log = metrics < 0 ? -1 : has_bytes(f->log, e);
    const int samples = log < 0 ? -1 : has_bytes(f->samples, e);
    if (samples < 0) return record_free(r), -1;
    r->metrics = metrics;
    r->samples = samples;
    r->used = metrics || log || config;
    return 0;
}

static bool same(const char *a, const char *b) { return a && b && strcmp(a, b) == 0; }

/* Tells whether the output folder that config.yaml names still has the run that it names: 1, 0, or
 * -1 with ERR_MEMORY. It has not after it was moved; for copied logs the result is 0 too, since
 * their config.yaml names another logs folder. */
static int still_there(const struct record *r, struct err *e)
{
    struct err why = {0};
    char *id = NULL;
    if (!same(r->told.logs, r->logs) || !r->told.output) return 0;
    if (read_id(r->told.output, &id, &why))
        return why.code == ERR_MEMORY ? err_set(e, why.code, "%s", why.msg) : 0;
    const int there = same(id, r->told.id);
    mem_free(id);
    return there;
}

/* True if the logs are of a version that wrote no id: output_dir, as typed, identifies them. */
static bool older(const struct record *r, const struct run_names *n)
{
    return !r->id && !r->told.id && r->metrics && same(r->told.output_dir, n->output_dir);
}

/* Tells whether the logs are this run's: 1, 0, or -1 with ERR_MEMORY. */
static int is_own(const struct record *r, bool resumed, const struct run_names *n, struct err *e)
{
    const bool here = same(r->told.output, r->output);
    if (!r->used || older(r, n)) return 1;
    if (here && (!resumed || !r->id)) return 1;
    if (!same(r->told.id, r->id)) return 0;
    const int there = here ? 0 : still_there(r, e);
    return there < 0 ? -1 : !there;
}

int record_check(const struct run_folder *f, const struct run_names *n, struct err *e)
{
    struct record r;
    if (record_read(f, n, &r, e)) return -1;
    const int own = is_own(&r, f->resume, n, e);
    int rc = own < 0 ? -1 : 0;
    if (own == 0 && r.told.output)
        rc = err_set(e, ERR_CREATE,
                     "%s: has the logs of another run, of %s; give this one its own: "
                     "exp_name=OTHER or logging_dir=OTHER",
                     f->logs, r.told.output);
    else if (own == 0)
        rc = err_set(e, ERR_CREATE,
                     "%s: has files that nothing there says this run wrote; move them, or give "
                     "this run logs of its own: exp_name=OTHER or logging_dir=OTHER",
                     f->logs);
    record_free(&r);
    return rc;
}

void record_busy(const struct run_folder *f, const struct run_names *n, struct err *e)
{
    struct record r;
    struct err why = {0};
    if (record_read(f, n, &r, &why)) {
        if (why.code == ERR_MEMORY) *e = why;
        return;
    }
    const struct run_owner *t = &r.told;
    if (t->output && t->process && t->host && t->started)
        err_set(e, ERR_CREATE,
                "%s: in use by the run of %s, process %s on %s since %s; give this one logs of its "
                "own: exp_name=OTHER or logging_dir=OTHER",
                f->log, t->output, t->process, t->host, t->started);
    record_free(&r);
}

/* ---- writing ---- */
/* The strings about this process in config.yaml. */
struct process {
    char id[HOST_NAME_MAX + 64], host[HOST_NAME_MAX + 1], number[24], started[40];
};

static void this_process(struct process *p)
{
    struct timespec now;
    struct tm utc = {0};
    char second[40] = "";
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    *p = (struct process){0};
    if (gethostname(p->host, sizeof p->host - 1) || !*p->host)
        snprintf(p->host, sizeof p->host, "localhost");
    snprintf(p->number, sizeof p->number, "%ld", (long)getpid());
    strftime(p->started, sizeof p->started, "%Y-%m-%dT%H:%M:%SZ", &utc);
    strftime(second, sizeof second, "%Y%m%dT%H%M%S", &utc);
    snprintf(p->id, sizeof p->id, "%s.%06ldZ.%s.%s", second, now.tv_nsec / 1000, p->host,
             p->number);
}

/* Makes the paths of metrics-N.jsonl and config-N.yaml for the first N that is free for both. */
static int free_names(const char *logs, char **metrics, char **config, unsigned *n, struct err *e)
{
    for (*n = 1;; ++*n) {
        char m[40], k[40];
        snprintf(m, sizeof m, "metrics-%u.jsonl", *n);
        snprintf(k, sizeof k, "config-%u.yaml", *n);
        *metrics = io_path(logs, m, e);
        *config = *metrics ? io_path(logs, k, e) : NULL;
        int there = *config ? io_exists(*metrics, e) : -1;
        if (there == 0) there = io_exists(*config, e);
        if (there == 0) return 0;
        mem_free(*metrics);
        mem_free(*config);
        if (there < 0) return -1;
    }
}

static int copy(const char *from, const char *to, struct err *e)
{
    struct buf b = {0};
    int rc = io_slurp(from, 16 << 20, &b, e);
    if (rc == 0) rc = io_put(to, b.data ? b.data : "", b.len, e);
    buf_free(&b);
    return rc;
}

/* Renames the samples.jsonl beside it, if there is one. */
static int keep_samples(const struct run_folder *f, unsigned n, struct err *e)
{
    char name[40];
    const int there = io_exists(f->samples, e);
    if (there <= 0) return there;
    snprintf(name, sizeof name, "samples-%u.jsonl", n);
    char *path = io_path(f->logs, name, e);
    const int rc = path ? io_rename_dir(f->samples, path, e) : -1;
    mem_free(path);
    return rc;
}

/* Renames the metrics.jsonl that an earlier attempt at this run left, and its samples.jsonl, which
 * may be there alone: answers come before the metrics of their step. config.yaml is copied, since
 * it must tell at every moment whose logs these are. */
static int keep_earlier(struct run_folder *f, const struct record *r, struct err *e)
{
    char *metrics, *config;
    unsigned n;
    if (!r->metrics && !r->samples) return 0;
    if (free_names(f->logs, &metrics, &config, &n, e)) return -1;
    const int there = io_exists(r->config, e);
    int rc = there > 0 ? copy(r->config, config, e) : there;
    if (rc == 0) rc = keep_samples(f, n, e);
    if (rc == 0 && r->metrics) rc = io_rename_dir(f->metrics, metrics, e);
    if (rc == 0)
        buf_printf(&f->kept, "%s-%u.jsonl and config-%u.yaml", r->metrics ? "metrics" : "samples",
                   n, n);
    mem_free(metrics);
    mem_free(config);
    return rc ? -1 : buf_check(&f->kept, e);
}

static int write_config(const struct record *r, const struct run_folder *f,
                        const struct run_names *n, const struct process *p, struct err *e)
{
    const struct run_owner run = {.id = f->id,
                                  .output = r->output,
                                  .logs = r->logs,
                                  .process = p->number,
                                  .host = p->host,
                                  .started = p->started};
    struct buf b = {0};
    int rc = n->write(n->arg, &run, &b, e);
    if (rc == 0) rc = io_put(r->config, b.data, b.len, e);
    buf_free(&b);
    return rc;
}

static int write_id(const struct record *r, const struct run_folder *f, struct err *e)
{
    if (same(r->id, f->id)) return 0;
    struct buf b = {0};
    char *path = io_path(f->output, ".run", e);
    buf_printf(&b, "%s\n", f->id);
    int rc = path && buf_check(&b, e) == 0 ? io_put(path, b.data, b.len, e) : -1;
    buf_free(&b);
    mem_free(path);
    return rc;
}

/* A continued run has an id already, unless an older version began it or it starts from a
 * checkpoint of another folder. */
static const char *id_of(const struct record *r, const struct run_folder *f,
                         const struct process *p)
{
    if (f->resume && r->id) return r->id;
    return f->resume && r->told.id && same(r->told.output, r->output) ? r->told.id : p->id;
}

int record_write(struct run_folder *f, const struct run_names *n, struct err *e)
{
    struct record r;
    struct process p;
    if (record_read(f, n, &r, e)) return -1;
    this_process(&p);
    const char *id = id_of(&r, f, &p);
    mem_free(f->id);
    f->id = mem_strndup(id, strlen(id), e);
    f->again = !f->resume && r.used;
    int rc = f->id ? 0 : -1;
    if (rc == 0 && !f->resume) rc = keep_earlier(f, &r, e);
    if (rc == 0) rc = write_config(&r, f, n, &p, e);
    if (rc == 0) rc = write_id(&r, f, e);
    record_free(&r);
    return rc;
}
