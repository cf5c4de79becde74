/* SPDX-License-Identifier: Apache-2.0 */
/* sft-view: shows a stream as JSON Lines or painted, its header, checksum, count or statistics, or
 * checks it. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/opt.h"
#include "hf/folder.h"
#include "view.h"

enum { CHUNK = 64 << 10 }; /* bytes written at a time */
enum { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER };

struct job {
    const char *output, *model;
    char *dir; /* the resolved folder of the model */
    bool header, check, checksum, count, stats;
    int64_t show; /* number of the record; -1: none */
    int color;
    struct opt_common common;
    struct io_out *out;
    struct tokenizer *tokenizer;
    struct buf text; /* output that is not yet written */
    bool several;    /* several files: lines contain the file name */
};

static int flush(struct job *j, size_t least, struct err *e)
{
    if (buf_check(&j->text, e)) return -1;
    if (j->text.len < least || j->text.len == 0) return 0;
    int rc = io_write(j->out, j->text.data, j->text.len, e);
    buf_reset(&j->text);
    return rc;
}

/* Reads the rest of r, which verifies its end. */
static int read_rest(struct job *j, struct stream_reader *r, struct view_stats *stats, bool json,
                     struct err *e)
{
    const struct stream_record *rec;
    int rc;
    while ((rc = stream_next(r, &rec, e)) > 0) {
        if (stats && view_stats_add(stats, rec, e)) return -1;
        if (!json) continue;
        view_json(rec, &j->text);
        if (flush(j, CHUNK, e)) return -1;
    }
    return rc;
}

static void name_end(struct job *j, struct stream_reader *r)
{
    if (j->several) buf_printf(&j->text, "\t%s", stream_name(r));
    buf_putc(&j->text, '\n');
}

static int summarize(struct job *j, struct stream_reader *r, struct view_stats *stats,
                     struct err *e)
{
    if (j->count) buf_printf(&j->text, "%" PRIu64, stream_counts(r).records);
    if (j->checksum) buf_printf(&j->text, "%016" PRIx64, stream_checksum(r));
    if (j->count || j->checksum) name_end(j, r);
    if (j->check) log_line(LOG_DEBUG, "%s: good", stream_name(r));
    if (stats) return view_stats_json(stats, r, j->several ? stream_name(r) : NULL, &j->text, e);
    return 0;
}

/* A pipe is read to its end, so that its writer does not get SIGPIPE. */
static bool is_pipe(const struct stream_reader *r)
{
    return strcmp(stream_name(r), "<stdin>") == 0 && lseek(STDIN_FILENO, 0, SEEK_CUR) < 0;
}

static int show(struct job *j, struct stream_reader *r, struct err *e)
{
    char identity[HASH128_HEX];
    const struct stream_record *rec;
    if (tokenizer_identity(j->tokenizer, identity, e)) return -1;
    if (strcmp(identity, stream_header(r)->tokenizer) != 0)
        return err_set(e, ERR_DATA, "%s: was made with another tokenizer than that of %s",
                       stream_name(r), j->model);
    bool color = j->color == COLOR_ALWAYS ||
                 (j->color == COLOR_AUTO && io_out_is_tty(j->out) && log_color());
    int rc = 0;
    for (int64_t i = 0; i <= j->show; i++)
        if ((rc = stream_next(r, &rec, e)) <= 0) break;
    if (rc == 0)
        return err_set(e, ERR_DATA, "%s: has records 0 to %" PRId64, stream_name(r),
                       (int64_t)stream_counts(r).records - 1);
    if (rc > 0) rc = view_paint(rec, (uint64_t)j->show, j->tokenizer, color, &j->text, e);
    return rc == 0 && is_pipe(r) ? read_rest(j, r, NULL, false, e) : rc;
}

static int view_stream(struct job *j, struct stream_reader *r, struct err *e)
{
    if (j->header) return stream_header_json(stream_header(r), &j->text, e);
    if (j->show >= 0) return show(j, r, e);
    struct view_stats *stats = j->stats ? view_stats_new(e) : NULL;
    bool json = !(j->check || j->checksum || j->count || j->stats);
    int rc = j->stats && !stats ? -1 : read_rest(j, r, stats, json, e);
    if (rc == 0) rc = summarize(j, r, stats, e);
    view_stats_free(stats);
    return rc;
}

static int view(struct job *j, const char *path, struct err *e)
{
    struct stream_reader *r = stream_open_any(path, e);
    if (!r) return -1;
    int rc = view_stream(j, r, e);
    if (rc == 0) rc = flush(j, 0, e);
    stream_close(r);
    return rc;
}

/* Checks every file; the exit status is that of the first bad one. */
static int check_all(struct job *j, int n, char **paths, struct err *e)
{
    int bad = 0;
    for (int i = 0; i < n; i++) {
        struct err mine = {0};
        if (view(j, paths[i], &mine) == 0) continue;
        if (bad++ > 0) {
            log_fail(e);
            mine.code = e->code;
        }
        *e = mine;
    }
    return bad ? -1 : 0;
}

static int run(struct job *j, int n, char **paths, struct err *e)
{
    char dash[] = "-", *standard[] = {dash};
    if (n == 0) {
        paths = standard;
        n = 1;
    }
    j->several = n > 1;
    if (j->header + j->check + j->checksum + j->count + j->stats + (j->show >= 0) > 1)
        return err_set(e, ERR_USAGE,
                       "-H, --check, --checksum, --count, --stats and --show exclude "
                       "each other");
    if (j->show >= 0 && !j->model)
        return err_set(e, ERR_USAGE, "--show needs -m MODEL, whose tokenizer gives the text");
    if (j->model &&
        (hf_folder_resolve(j->model, &j->dir, e) || !(j->tokenizer = tokenizer_load(j->dir, e))))
        return -1;
    if (!(j->out = io_create(j->output, e))) return -1;
    if (j->check) {
        if (check_all(j, n, paths, e)) return -1;
    } else {
        for (int i = 0; i < n; i++)
            if (view(j, paths[i], e)) return -1;
    }
    struct io_out *out = j->out;
    j->out = NULL;
    return io_commit(out, e);
}

int main(int argc, char **argv)
{
    struct job j = {.output = "-", .show = -1};
    const struct opt opts[] = {
        {.letter = 'o',
         .name = "output",
         .kind = OPT_STR,
         .to = &j.output,
         .arg = "FILE",
         .help = "write here (default: standard output)"},
        {.letter = 'H',
         .name = "header",
         .kind = OPT_FLAG,
         .to = &j.header,
         .help = "the header only, as JSON"},
        {.name = "check",
         .kind = OPT_FLAG,
         .to = &j.check,
         .help = "verify everything, print nothing"},
        {.name = "checksum",
         .kind = OPT_FLAG,
         .to = &j.checksum,
         .help = "a checksum of the samples that does not depend on their order"},
        {.letter = 'c',
         .name = "count",
         .kind = OPT_FLAG,
         .to = &j.count,
         .help = "the number of records"},
        {.name = "stats",
         .kind = OPT_FLAG,
         .to = &j.stats,
         .help = "counts, lengths and density, as JSON"},
        {.name = "show",
         .kind = OPT_INT,
         .to = &j.show,
         .arg = "N",
         .help = "record N (from 0) painted: trained text stands out",
         .max = INT64_MAX},
        {.letter = 'm',
         .name = "model",
         .kind = OPT_STR,
         .to = &j.model,
         .arg = "MODEL",
         .help = "model whose tokenizer --show uses: a folder, a checkpoint-N folder or a hub id"},
        {.name = "color",
         .kind = OPT_ENUM,
         .to = &j.color,
         .arg = "auto|always|never",
         .help = "colours of --show"},
        {0},
    };
    const struct opt_cmd cmd = {
        .name = "sft-view",
        .synopsis = "[options] [FILE...]",
        .about = "Shows a token stream: by default a line of JSON for each record.",
        .opts = opts,
        .examples = "  sft-view train.sfts | head -1 | jq .source\n"
                    "  sft-view --show 0 -m MODEL train.sfts\n"
                    "  sft-view --check *.sfts\n"};
    struct err e = {0};
    int n, rc = opt_parse(&cmd, &j.common, argc, argv, &n, &e);
    if (rc == 0) rc = run(&j, n, argv + 1, &e);
    io_abort(j.out);
    tokenizer_free(j.tokenizer);
    mem_free(j.dir);
    buf_free(&j.text);
    return rc < 0 ? log_fail(&e) : 0;
}
