/* SPDX-License-Identifier: Apache-2.0 */
/* sft-report: writes a page about runs, or draws their curves in the terminal. */
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/opt.h"
#include "report.h"

struct options {
    const char *out;
    bool text;
    const char *rows;
    struct opt_list data;
    const char *stream;
};

static const char examples[] =
    "  sft-report output/logs/my-run -o report.html      a page about a run\n"
    "  sft-report logs/a logs/b logs/c -o report.html    runs beside each other\n"
    "  sft-report logs/a --rows losses.jsonl --data val.json -o report.html\n"
    "  sft-report --text output/logs/my-run              the curves in the terminal\n";

static int write_out(const struct options *o, const struct buf *b, struct err *e)
{
    struct io_out *out = io_create(o->out, e);
    if (!out) return -1;
    if (io_write(out, b->data, b->len, e)) {
        io_abort(out);
        return -1;
    }
    return io_commit(out, e);
}

static int report(const struct options *o, const struct run *runs, size_t n, struct err *e)
{
    struct buf b = {0};
    struct worst w = {.name = o->rows};
    int rc = o->rows ? worst_read(&w, o->rows, &o->data, e) : 0;
    if (rc == 0 && o->text) {
        text_report(&b, runs, n);
        for (size_t r = 0; r < n; r++) words_answers(&b, &runs[r]), words_origins(&b, &runs[r]);
        words_worst(&b, &w);
    } else if (rc == 0)
        rc = page_report(&b, runs, n, &w, e);
    if (rc == 0) rc = buf_check(&b, e);
    if (rc == 0) rc = write_out(o, &b, e);
    buf_free(&b);
    arena_free(&w.memory);
    return rc;
}

static int run(const struct options *o, int n, char **paths, struct err *e)
{
    if (n < 1)
        return err_set(e, ERR_USAGE,
                       "which run? usage: sft-report [options] LOGS..., the folders "
                       "of metrics.jsonl");
    if (!o->text && o->out[0] == '-' && !o->out[1] && isatty(STDOUT_FILENO))
        return err_set(e, ERR_USAGE, "a page would go to the terminal; give -o FILE, or --text");
    if (o->data.n && !o->rows)
        return err_set(e, ERR_USAGE, "--data: only with --rows FILE, whose texts it has");
    if (o->stream && n > 1)
        return err_set(e, ERR_USAGE, "--stream: only with one run, which was trained on it");
    struct run *runs = mem_alloc((size_t)n, sizeof *runs, e);
    int rc = runs ? 0 : -1, opened = 0;
    while (rc == 0 && opened < n) rc = run_open(&runs[opened], paths[opened], e), opened++;
    for (int r = 0; rc == 0 && r < n; r++) rc = origins_find(&runs[r], o->stream, e);
    if (rc == 0) rc = report(o, runs, (size_t)n, e);
    while (opened > 0) run_close(&runs[--opened]);
    mem_free(runs);
    return rc;
}

int main(int argc, char **argv)
{
    struct options o = {.out = "-"};
    struct opt_common common = {0};
    struct err e = {0};
    int nargs;
    const struct opt opts[] = {
        {.letter = 'o',
         .name = "output",
         .kind = OPT_STR,
         .to = &o.out,
         .arg = "FILE",
         .help = "write to this file; default: standard output"},
        {.name = "text",
         .kind = OPT_FLAG,
         .to = &o.text,
         .help = "draw the curves as text, for a terminal"},
        {.name = "rows",
         .kind = OPT_STR,
         .to = &o.rows,
         .arg = "FILE",
         .help = "show the rows with the largest losses in this output of sft-eval --per-sample"},
        {.name = "data",
         .kind = OPT_LIST,
         .to = &o.data,
         .arg = "FILE",
         .help = "with --rows: the data file with their texts; if there are several, each in the "
                 "order in which sft-tokenize read them"},
        {.name = "stream",
         .kind = OPT_STR,
         .to = &o.stream,
         .arg = "STREAM",
         .help = "the packed stream that the run was trained on (default: data/train.sfts in the "
                 "run's output_dir)"},
        {0},
    };
    const struct opt_cmd cmd = {.name = "sft-report",
                                .synopsis = "[options] LOGS...",
                                .about = "Writes a page about one run, or about several beside "
                                         "each other.",
                                .opts = opts,
                                .examples = examples};
    const int rc = opt_parse(&cmd, &common, argc, argv, &nargs, &e);
    if (rc > 0) return 0;
    if (rc < 0) return log_fail(&e);
    return run(&o, nargs, argv + 1, &e) ? log_fail(&e) : 0;
}
