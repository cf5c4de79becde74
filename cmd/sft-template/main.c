/* SPDX-License-Identifier: Apache-2.0 */
/* sft-template: converts conversations to samples: token ids and loss weights. The main thread
 * reads conversations, the pool renders them, and the main thread counts and writes samples in
 * order. */
#include <inttypes.h>
#include <string.h>

#include "hf/folder.h"
#include "job.h"
#include "rows/turns.h"
#include "vars.h"

/* ---- reading ---- */
static int flush(struct job *j, struct err *e)
{
    struct chunk *c = j->chunk;
    j->chunk = NULL;
    return c ? pool_put(j->pool, c, e) : 0;
}

static int add_record(struct job *j, const struct stream_record *rec, struct err *e)
{
    if (!j->chunk && !(j->chunk = mem_alloc(1, sizeof *j->chunk, e))) return -1;
    struct chunk *c = j->chunk;
    if (turns_copy(rec, &c->arena, &c->turns[c->n++], e)) return -1;
    return c->n == CHUNK_TURNS || c->arena.used >= CHUNK_BYTES ? flush(j, e) : 0;
}

static int read_all(struct job *j, struct err *e)
{
    const struct stream_record *rec;
    uint64_t n = 0;
    int rc;
    while ((rc = stream_set_next(j->in, &rec, e)) > 0) {
        if (add_record(j, rec, e)) return -1;
        if (++n % 1024 == 0) progress_step(&j->progress, n, NULL);
    }
    if (rc < 0 || flush(j, e)) return -1;
    return pool_finish(j->pool, e);
}

/* ---- set-up ---- */
static int check_tokenizer(struct job *j, struct err *e)
{
    char identity[HASH128_HEX];
    if (tokenizer_identity(j->tokenizer, identity, e)) return -1;
    if (strcmp(identity, stream_set_header(j->in)->tokenizer) == 0) return 0;
    return err_set(e, ERR_DATA,
                   "%s: was made with another tokenizer than that of %s; tokenize with "
                   "the same model",
                   stream_set_name(j->in), j->model);
}

/* Returns "file" for a template file, because a stream contains no paths; its hash identifies it.
 */
static const char *template_word(const char *name)
{
    size_t n = strlen(name);
    bool file = strchr(name, '/') || (n > 6 && strcmp(name + n - 6, ".jinja") == 0);
    return file ? "file" : name;
}

static int create(struct job *j, struct err *e)
{
    static const char *const masks[] = {"turn", "content", "roll"};
    const struct stream_header *from = stream_set_header(j->in);
    struct stream_header h = *from;
    struct buf options = {0};
    h.kind = STREAM_SAMPLES;
    h.stages = (struct buf){0};
    buf_add(&h.stages, from->stages.data, from->stages.len);
    chat_identity(j->chat, h.template_id);
    buf_puts(&options, "\"template\":");
    buf_json(&options, str_z(template_word(j->template)));
    buf_printf(&options, ",\"mask\":\"%s\"", masks[j->mask]);
    if (j->bad.skip) buf_puts(&options, ",\"skip_bad\":true");
    if (j->arguments) buf_puts(&options, ",\"arguments\":\"text\"");
    if (j->variables) buf_puts(&options, ",\"vars\":");
    if (j->variables) json_write(j->variables, &options);
    int rc = buf_check(&options, e);
    if (rc == 0) rc = stream_add_stage(&h, "sft-template", options.data, e);
    if (rc == 0) j->out = stream_create(j->output, &h, j->threads / 4, e);
    stream_header_free(&h);
    buf_free(&options);
    return rc == 0 && j->out ? 0 : -1;
}

/* Loads what the options name. */
static int load(struct job *j, struct err *e)
{
    if (vars_parse(j->vars_object, &j->vars, &j->arena, &j->variables, e)) return -1;
    const struct chat_options options = {.name = j->template,
                                         .mask = (enum chat_mask)j->mask,
                                         .keep_arguments = j->arguments == 1,
                                         .vars = j->variables};
    if (faults_allow(&j->faults, j->allow, e)) return -1;
    if (!j->model)
        return err_set(e, ERR_USAGE,
                       "-m MODEL is needed: a folder or hub id with the tokenizer's files");
    if (hf_folder_resolve(j->model, &j->dir, e) || !(j->tokenizer = tokenizer_load(j->dir, e)) ||
        !(j->chat = chat_new(j->tokenizer, &options, e)))
        return -1;
    return 0;
}

static int prepare(struct job *j, char *const *paths, int n, struct err *e)
{
    if (!(j->in = stream_set_open(paths, n, STREAM_TURNS, e)) || check_tokenizer(j, e)) return -1;
    j->threads = opt_threads(j->common.threads);
    j->workers = mem_alloc((size_t)j->threads, sizeof *j->workers, e);
    for (int i = 0; j->workers && i < j->threads; i++)
        if (!(j->workers[i].scratch = chat_scratch_new(j->chat, e))) return -1;
    j->pool = j->workers ? chunk_pool(j, e) : NULL;
    return j->pool ? create(j, e) : -1;
}

static int report_bad(struct job *j, struct err *e)
{
    struct buf text = {0};
    int rc = bad_rows_end(&j->bad, j->faults.samples, j->out, &text, e);
    if (rc == 0 && text.len) log_line(LOG_WARN, "%s", text.data);
    buf_free(&text);
    return rc;
}

static int run(struct job *j, char *const *paths, int n, struct err *e)
{
    if (load(j, e)) return -1;
    if (j->check) return 0;
    if (prepare(j, paths, n, e)) return -1;
    progress_start(&j->progress, "samples", 0);
    if (read_all(j, e)) return -1;
    progress_end(&j->progress);
    if (faults_summary(&j->faults, e) || faults_check(&j->faults, e) || report_bad(j, e) ||
        stream_set_origins(j->in, j->out, e) || faults_notes(&j->faults, j->out, e))
        return -1;
    struct stream_writer *out = j->out;
    j->out = NULL;
    return stream_finish(out, e);
}

static void release(struct job *j)
{
    pool_free(j->pool);
    chunk_free(j->chunk);
    stream_abort(j->out);
    for (int i = 0; j->workers && i < j->threads; i++) {
        chat_scratch_free(j->workers[i].scratch);
        chat_sample_free(&j->workers[i].sample);
    }
    mem_free(j->workers);
    stream_set_close(j->in);
    chat_free(j->chat);
    tokenizer_free(j->tokenizer);
    mem_free(j->dir);
    faults_free(&j->faults);
    bad_rows_free(&j->bad);
    arena_free(&j->arena);
}

int main(int argc, char **argv)
{
    struct job j = {.output = "-", .template = "native"};
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
        {.letter = 't',
         .name = "template",
         .kind = OPT_STR,
         .to = &j.template,
         .arg = "NAME|FILE.jinja",
         .help = "chat template (default native: the model's own)"},
        {.name = "mask",
         .kind = OPT_ENUM,
         .to = &j.mask,
         .arg = CHAT_MASK_WORDS,
         .help = "train the assistant's turns from the generation prompt to the stop (default), "
                 "the bytes of its messages and the stop, or by ROLL's rule"},
        {.name = "var",
         .kind = OPT_LIST,
         .to = &j.vars,
         .arg = "NAME=JSON",
         .help = "a variable for the template, such as enable_thinking=false; repeatable"},
        {.name = "vars",
         .kind = OPT_STR,
         .to = &j.vars_object,
         .arg = "JSON",
         .help = "variables as one object; --var overrides its members"},
        {.name = "arguments",
         .kind = OPT_ENUM,
         .to = &j.arguments,
         .arg = "json|text",
         .help = "decode arguments of calls that are JSON text (default), or keep the text"},
        {.name = "skip-bad",
         .kind = OPT_FLAG,
         .to = &j.bad.skip,
         .help = "skip conversations that the template refuses or that are bad, and tell them, "
                 "instead of failing"},
        {.name = "allow",
         .kind = OPT_STR,
         .to = &j.allow,
         .arg = FAULT_WORDS,
         .help =
             "accept samples with these faults: no trained token in any sample, no trained stop "
             "token, BOS twice, a turn without the generation prompt before it, or messages, "
             "calls or tools that the template does not render"},
        {.name = "check",
         .kind = OPT_FLAG,
         .to = &j.check,
         .help = "check the options, the model and its template, and stop; no input is read"},
        {0},
    };
    const struct opt_cmd cmd = {.name = "sft-template",
                                .synopsis = "-m MODEL [options] [FILE...]",
                                .about = "Renders conversations with a chat template and decides "
                                         "which tokens the loss falls on.",
                                .opts = opts,
                                .examples = "  sft-tokenize -m MODEL data.json | sft-template -m "
                                            "MODEL | sft-view --show 0 -m MODEL\n"};
    struct err e = {0};
    int n, rc = opt_parse(&cmd, &j.common, argc, argv, &n, &e);
    if (rc == 0) rc = run(&j, argv + 1, n, &e);
    release(&j);
    return rc < 0 ? log_fail(&e) : 0;
}
