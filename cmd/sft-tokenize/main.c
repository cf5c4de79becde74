/* SPDX-License-Identifier: Apache-2.0 */
/* sft-tokenize: converts rows of JSON to a stream of conversations with token ids. The main thread
 * reads and converts rows in chunks, the pool tokenizes chunks, and the main thread writes them in
 * order. */
#include <inttypes.h>
#include <string.h>

#include "check.h"
#include "hf/folder.h"
#include "ids.h"
#include "job.h"

/* ---- rows ---- */
static int flush(struct job *j, struct err *e)
{
    struct chunk *c = j->chunk;
    j->chunk = NULL;
    return c ? pool_put(j->pool, c, e) : 0;
}

/* Reports a bad row, if such rows are skipped; else it is the failure of the command. */
static int skip_row(struct job *j, uint32_t file, uint64_t index, struct err *e)
{
    if (!bad_rows_skips(&j->bad, e)) return -1;
    bool shown = bad_rows_add(&j->bad, (struct stream_source){file, index}, e);
    log_line(shown ? LOG_WARN : LOG_DEBUG, "skipped: %s", e->msg);
    *e = (struct err){0};
    return 0;
}

static int take_row(struct job *j, enum row_format *format, const struct json *row, uint32_t file,
                    struct json_rows *rows, const char *name, struct err *e)
{
    struct row_box box;
    const char *empty = NULL;
    uint64_t index = json_rows_index(rows);
    if (!j->chunk && !(j->chunk = mem_alloc(1, sizeof *j->chunk, e))) return -1;
    struct chunk *c = j->chunk;
    struct stream_record *rec = &c->recs[c->n];
    row = row_object(&j->keys, row, &box);
    if (*format == ROW_AUTO) *format = row_format_of(&j->keys, row);
    if (row_convert(*format, &j->keys, row, &c->arena, rec, &empty, e))
        return err_prefix(e, "%s: row %" PRIu64 " (line %" PRIu64 ")", name, index,
                          json_rows_line(rows));
    rec->source = (struct stream_source){file, index};
    c->n++;
    columns_count(&j->columns, *format, &j->keys, row);
    j->rows++;
    if (empty) j->empty++;
    if (empty) log_line(LOG_DEBUG, "%s: row %" PRIu64 ": %s", name, index, empty);
    return c->n == CHUNK_ROWS || c->arena.used >= CHUNK_BYTES ? flush(j, e) : 0;
}

/* Reads and takes the next row. Returns 1, 0 at the end of the file, or -1. */
static int next_row(struct job *j, struct json_rows *rows, enum row_format *format, uint32_t file,
                    const char *name, struct err *e)
{
    const struct json *row;
    int rc = json_rows_next(rows, &row, e);
    if (rc == 0) return 0;
    if (rc < 0 ? json_rows_skip(rows) : take_row(j, format, row, file, rows, name, e))
        return skip_row(j, file, json_rows_index(rows), e) ? -1 : 1;
    return rc;
}

static int read_rows(struct job *j, struct io_in *in, uint32_t file, struct err *e)
{
    struct json_rows *rows = json_rows_open(in, e);
    enum row_format format = (enum row_format)j->format;
    int rc = rows ? 1 : -1;
    bool any = false;
    while (rc > 0) {
        rc = next_row(j, rows, &format, file, io_name(in), e);
        any |= rc > 0;
        if (j->rows % 1024 == 0) progress_step(&j->progress, j->rows, NULL);
    }
    if (rc == 0 && !any) log_line(LOG_WARN, "%s: has no rows", io_name(in));
    json_rows_close(rows);
    return rc;
}

static void tap(void *arg, const void *p, size_t n) { hash128_add(arg, p, n); }

static int read_file(struct job *j, const char *path, uint32_t file, struct err *e)
{
    char digest[HASH128_HEX];
    struct io_in *in = io_open(path, e);
    struct hash128 *h = in && !io_expand(in, e) ? hash128_new(e) : NULL;
    int rc = h ? 0 : -1;
    if (h) {
        io_tap(in, tap, h);
        rc = read_rows(j, in, file, e);
        hash128_hex(h, digest);
    }
    if (rc == 0) rc = stream_add_input(j->out, digest, e);
    hash128_free(h);
    io_close(in);
    return rc;
}

static int report_bad(struct job *j, struct err *e)
{
    struct buf text = {0};
    int rc = bad_rows_end(&j->bad, j->rows, j->out, &text, e);
    if (rc == 0 && text.len) log_line(LOG_WARN, "%s", text.data);
    buf_free(&text);
    return rc;
}

static int read_files(struct job *j, char *const *paths, int n, struct err *e)
{
    for (int i = 0; i < (n ? n : 1); i++)
        if (read_file(j, n ? paths[i] : "-", (uint32_t)i, e)) return -1;
    if (flush(j, e) || pool_finish(j->pool, e) || report_bad(j, e)) return -1;
    return columns_report(&j->columns, &j->keys, e);
}

/* ---- set-up ---- */
static void put_key(struct buf *b, const char *name, const char *key)
{
    if (!key) return;
    buf_printf(b, ",\"%s\":", name);
    buf_json(b, str_z(key));
}

static int create(struct job *j, struct err *e)
{
    static const char *const formats[] = {"alpaca", "messages", "sharegpt",
                                          "prompt", "text",     "auto"};
    struct stream_header h = {.kind = STREAM_TURNS};
    struct buf options = {0};
    if (tokenizer_identity(j->tokenizer, h.tokenizer, e)) return -1;
    h.vocab_size = tokenizer_vocab_size(j->tokenizer);
    buf_printf(&options, "\"format\":\"%s\"", formats[j->format]);
    put_key(&options, "prompt_key", j->keys.prompt);
    put_key(&options, "query_key", j->keys.query);
    put_key(&options, "response_key", j->keys.response);
    put_key(&options, "system_key", j->keys.system);
    put_key(&options, "history_key", j->keys.history);
    put_key(&options, "messages_key", j->keys.messages);
    put_key(&options, "role_key", j->keys.role);
    put_key(&options, "content_key", j->keys.content);
    put_key(&options, "role_tags", j->tags);
    if (j->bad.skip) buf_puts(&options, ",\"skip_bad\":true");
    if (strcmp(j->keys.text, "text") != 0) put_key(&options, "text_key", j->keys.text);
    int rc = buf_check(&options, e);
    if (rc == 0) rc = stream_add_stage(&h, "sft-tokenize", options.data, e);
    /* A quarter of the threads compresses: compression takes at most a quarter of the time. */
    if (rc == 0) j->out = stream_create(j->output, &h, j->threads / 4, e);
    stream_header_free(&h);
    buf_free(&options);
    return rc == 0 && j->out ? 0 : -1;
}

static int prepare(struct job *j, struct err *e)
{
    j->scratch = mem_alloc((size_t)j->threads, sizeof *j->scratch, e);
    j->tokens = mem_alloc((size_t)j->threads, sizeof *j->tokens, e);
    if (!j->scratch || !j->tokens) return -1;
    for (int i = 0; i < j->threads; i++)
        if (!(j->scratch[i] = tokenizer_scratch_new(j->tokenizer, e))) return -1;
    j->pool = chunk_pool(j, e);
    return j->pool ? create(j, e) : -1;
}

static int convert(struct job *j, char *const *paths, int n, struct err *e)
{
    if (prepare(j, e)) return -1;
    progress_start(&j->progress, "rows", 0);
    if (read_files(j, paths, n, e)) return -1;
    progress_end(&j->progress);
    struct stream_writer *out = j->out;
    j->out = NULL;
    if (stream_finish(out, e)) return -1;
    log_line(LOG_INFO,
             "%" PRIu64 " conversations, %" PRIu64 " tokens of text, %" PRIu64
             " with an empty response",
             j->rows, j->count, j->empty);
    return 0;
}

static int run(struct job *j, char *const *paths, int n, struct err *e)
{
    if (!j->model)
        return err_set(e, ERR_USAGE,
                       "-m MODEL is needed: a folder or hub id with the tokenizer's files");
    if (row_tags_parse(j->tags, &j->keys.tags, e)) return -1;
    j->threads = opt_threads(j->common.threads);
    if (hf_folder_resolve(j->model, &j->dir, e) || !(j->tokenizer = tokenizer_load(j->dir, e)))
        return -1;
    if (j->check) return check_inputs(paths, n, j->ids, e);
    if (j->ids) return ids_run(j->tokenizer, paths, n, j->output, j->threads, e);
    return convert(j, paths, n, e);
}

static void release(struct job *j)
{
    pool_free(j->pool);
    chunk_free(j->chunk);
    stream_abort(j->out);
    for (int i = 0; i < j->threads; i++) {
        if (j->scratch) tokenizer_scratch_free(j->scratch[i]);
        if (j->tokens) token_list_free(&j->tokens[i]);
    }
    mem_free(j->scratch);
    mem_free(j->tokens);
    tokenizer_free(j->tokenizer);
    mem_free(j->dir);
    columns_free(&j->columns);
    bad_rows_free(&j->bad);
    row_tags_free(&j->keys.tags);
}

/* An option that names a column of the rows or a member of a message. */
#define KEY(NAME, MEMBER, HELP)                                                                    \
    {                                                                                              \
        .name = NAME, .kind = OPT_STR, .to = &j.keys.MEMBER, .arg = "KEY", .help = HELP            \
    }

int main(int argc, char **argv)
{
    struct job j = {.output = "-",
                    .keys = {.prompt = "instruction", .response = "output", .text = "text"},
                    .format = ROW_AUTO};
    const struct opt opts[] = {
        {.letter = 'm',
         .name = "model",
         .kind = OPT_STR,
         .to = &j.model,
         .arg = "MODEL",
         .help = "model with the tokenizer's files: a folder, a checkpoint-N folder or a hub id"},
        {.letter = 'o',
         .name = "output",
         .kind = OPT_STR,
         .to = &j.output,
         .arg = "FILE",
         .help = "write here (default: standard output)"},
        {.name = "format",
         .kind = OPT_ENUM,
         .to = &j.format,
         .arg = ROW_FORMAT_WORDS,
         .help = "form of the rows (default auto: by the keys of a file's first row)"},
        KEY("prompt-key", prompt, "the question (default instruction)"),
        KEY("query-key", query, "a second part of the question"),
        KEY("response-key", response, "the answer (default output)"),
        KEY("system-key", system, "a system prompt, put first"),
        KEY("history-key", history,
            "earlier questions and answers, a list of pairs, put before the question"),
        KEY("messages-key", messages, "the list of messages (default messages or conversations)"),
        KEY("role-key", role, "a message's role (default role or from)"),
        KEY("content-key", content, "a message's content (default content or value)"),
        {.name = "role-tags",
         .kind = OPT_STR,
         .to = &j.tags,
         .arg = "NAME=ROLE,...",
         .help = "meanings of the data's roles, such as bot=assistant; ROLE is user, assistant, "
                 "system, tool or function_call"},
        KEY("text-key", text, "plain text, all of it trained (default text)"),
        {.name = "skip-bad",
         .kind = OPT_FLAG,
         .to = &j.bad.skip,
         .help = "skip rows that are bad, and tell them, instead of failing"},
        {.name = "ids",
         .kind = OPT_FLAG,
         .to = &j.ids,
         .help = "text in, a line of token ids out for each line"},
        {.name = "check",
         .kind = OPT_FLAG,
         .to = &j.check,
         .help = "check the options, the model and the beginning of each file, and stop"},
        {0},
    };
    const struct opt_cmd cmd = {.name = "sft-tokenize",
                                .synopsis = "-m MODEL [options] [FILE...]",
                                .about = "Reads rows of JSON or JSON Lines and writes a stream of "
                                         "conversations with their token "
                                         "ids.",
                                .opts = opts,
                                .examples = "  sft-tokenize -m MODEL --query-key input data.json | "
                                            "sft-template -m MODEL -o s.sfts\n"
                                            "  echo 'Hello world' | sft-tokenize --ids -m MODEL\n"};
    struct err e = {0};
    int n, rc = opt_parse(&cmd, &j.common, argc, argv, &n, &e);
    if (rc == 0) rc = run(&j, argv + 1, n, &e);
    release(&j);
    return rc < 0 ? log_fail(&e) : 0;
}
