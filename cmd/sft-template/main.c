/* SPDX-License-Identifier: Apache-2.0 */
/* sft-template: conversations -> samples: token ids and what each token's loss weighs.
 * Conversations are read here and rendered by the pool; samples are counted and written in order.
 */
#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "base/opt.h"
#include "base/pool.h"
#include "chat/chat.h"
#include "faults.h"
#include "hf/folder.h"
#include "rows/turns.h"
#include "vars.h"

enum { CHUNK_TURNS = 32, CHUNK_BYTES = 256 << 10 };

struct chunk {
    struct arena arena; /* holds the conversations and what they become */
    int n;
    struct stream_record turns[CHUNK_TURNS];
    struct chat_facts facts[CHUNK_TURNS];
    struct stream_sample samples[CHUNK_TURNS];
};

struct worker {
    struct chat_scratch *scratch;
    struct chat_sample sample;
};

struct job {
    const char *model, *output, *template, *allow;
    char *dir;     /* the folder that model stands for */
    int mask;      /* enum chat_mask */
    int arguments; /* 0: decoded, 1: kept as text */
    struct opt_list vars;
    const char *vars_object;
    struct arena arena; /* of the variables */
    const struct json *variables;
    struct opt_common common;
    int threads;
    struct stream_set *in;
    struct tokenizer *tokenizer;
    struct chat *chat;
    struct worker *workers;
    struct pool *pool;
    struct stream_writer *out;
    struct chunk *chunk; /* being filled */
    struct faults faults;
    struct progress progress;
};

/* ---- the pool's side ---- */
static int make_sample(struct job *j, struct chunk *c, int i, struct worker *w, struct err *e)
{
    const struct stream_record *t = &c->turns[i];
    struct chat_conversation conv;
    struct stream_sample *out = &c->samples[i];
    if (turns_chat(t, &c->arena, &conv, e) < 0) return -1;
    if (chat_sample(j->chat, w->scratch, &conv, &w->sample, e) < 0) return -1;
    size_t n = w->sample.tokens.n;
    if (n == 0) return err_set(e, ERR_DATA, "the template renders it to nothing");
    out->source = t->source;
    out->n = (uint32_t)n;
    out->nruns = (uint32_t)w->sample.nruns;
    out->ids = arena_copy(&c->arena, w->sample.tokens.ids, n * sizeof *out->ids, e);
    out->runs = arena_copy(&c->arena, w->sample.runs, out->nruns * sizeof *out->runs, e);
    if (!out->ids || !out->runs) return -1;
    c->facts[i] = w->sample.facts;
    return 0;
}

static int work(void *arg, void *job, int worker, struct err *e)
{
    struct job *j = arg;
    struct chunk *c = job;
    for (int i = 0; i < c->n; i++)
        if (make_sample(j, c, i, &j->workers[worker], e) < 0)
            return err_prefix(e, "file %" PRIu32 " row %" PRIu64, c->turns[i].source.file,
                              c->turns[i].source.row);
    return 0;
}

static void chunk_free(struct chunk *c)
{
    if (c) arena_free(&c->arena);
    mem_free(c);
}

static void drop(void *arg, void *job)
{
    (void)arg;
    chunk_free(job);
}

static int done(void *arg, void *job, struct err *e)
{
    struct job *j = arg;
    struct chunk *c = job;
    int rc = 0;
    for (int i = 0; rc == 0 && i < c->n; i++) {
        const struct stream_record rec = {
            .kind = STREAM_SAMPLES, .samples = &c->samples[i], .nsamples = 1};
        faults_see(&j->faults, &c->facts[i], c->samples[i].source);
        rc = stream_put(j->out, &rec, e);
    }
    chunk_free(c);
    return rc;
}

/* ---- reading ---- */
static int flush(struct job *j, struct err *e)
{
    struct chunk *c = j->chunk;
    j->chunk = NULL;
    return c ? pool_put(j->pool, c, e) : 0;
}

static int take(struct job *j, const struct stream_record *rec, struct err *e)
{
    if (!j->chunk && !(j->chunk = mem_alloc(1, sizeof *j->chunk, e))) return -1;
    struct chunk *c = j->chunk;
    if (turns_copy(rec, &c->arena, &c->turns[c->n++], e) < 0) return -1;
    return c->n == CHUNK_TURNS || c->arena.used >= CHUNK_BYTES ? flush(j, e) : 0;
}

static int read_all(struct job *j, struct err *e)
{
    const struct stream_record *rec;
    uint64_t n = 0;
    int rc;
    while ((rc = stream_set_next(j->in, &rec, e)) > 0) {
        if (take(j, rec, e) < 0) return -1;
        if (++n % 1024 == 0) progress_step(&j->progress, n, NULL);
    }
    if (rc < 0 || flush(j, e) < 0) return -1;
    return pool_finish(j->pool, e);
}

/* ---- set-up ---- */
static int check_tokenizer(struct job *j, struct err *e)
{
    char identity[HASH128_HEX];
    if (tokenizer_identity(j->tokenizer, identity, e) < 0) return -1;
    if (strcmp(identity, stream_set_header(j->in)->tokenizer) == 0) return 0;
    return err_set(e, ERR_DATA,
                   "%s: was made with another tokenizer than that of %s; tokenize with "
                   "the same model",
                   stream_set_name(j->in), j->model);
}

/* A template of its own is named by its hash alone: paths do not enter a stream. */
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

static int prepare(struct job *j, char *const *paths, int n, struct err *e)
{
    if (vars_parse(j->vars_object, &j->vars, &j->arena, &j->variables, e) < 0) return -1;
    const struct chat_options options = {.name = j->template,
                                         .mask = (enum chat_mask)j->mask,
                                         .keep_arguments = j->arguments == 1,
                                         .vars = j->variables};
    const struct pool_ops ops = {work, done, drop, j};
    if (faults_allow(&j->faults, j->allow, e) < 0) return -1;
    if (!j->model)
        return err_set(e, ERR_USAGE, "-m MODEL is needed: a folder with the tokenizer's files");
    if (hf_folder_resolve(j->model, &j->dir, e) < 0 ||
        !(j->tokenizer = tokenizer_load(j->dir, e)) ||
        !(j->chat = chat_new(j->tokenizer, &options, e)) ||
        !(j->in = stream_set_open(paths, n, STREAM_TURNS, e)) || check_tokenizer(j, e) < 0)
        return -1;
    j->threads = opt_threads(j->common.threads);
    j->workers = mem_alloc((size_t)j->threads, sizeof *j->workers, e);
    for (int i = 0; j->workers && i < j->threads; i++)
        if (!(j->workers[i].scratch = chat_scratch_new(j->chat, e))) return -1;
    j->pool = j->workers ? pool_new(j->threads, 2 * j->threads + 1, &ops, e) : NULL;
    return j->pool ? create(j, e) : -1;
}

static int run(struct job *j, char *const *paths, int n, struct err *e)
{
    if (prepare(j, paths, n, e) < 0) return -1;
    progress_start(&j->progress, "samples", 0);
    if (read_all(j, e) < 0) return -1;
    progress_end(&j->progress);
    if (faults_summary(&j->faults, e) < 0 || faults_check(&j->faults, e) < 0 ||
        stream_set_origins(j->in, j->out, e) < 0 || faults_notes(&j->faults, j->out, e) < 0)
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
         .help = "folder with the tokenizer's files"},
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
                 "the bytes "
                 "of its messages and the stop, or by ROLL's rule"},
        {.name = "var",
         .kind = OPT_LIST,
         .to = &j.vars,
         .arg = "NAME=JSON",
         .help = "a variable for the template, such as enable_thinking=false; may be given several "
                 "times"},
        {.name = "vars",
         .kind = OPT_STR,
         .to = &j.vars_object,
         .arg = "JSON",
         .help = "variables as one object; --var holds over it"},
        {.name = "arguments",
         .kind = OPT_ENUM,
         .to = &j.arguments,
         .arg = "json|text",
         .help = "decode calls' arguments that are JSON text (default), or keep the text"},
        {.name = "allow",
         .kind = OPT_STR,
         .to = &j.allow,
         .arg = FAULT_WORDS,
         .help = "go on although all samples have nothing to learn, or some never train their stop "
                 "token, "
                 "have BOS twice, have a turn without generation prompt before it, or lose "
                 "messages, calls "
                 "or tools that the template does not render"},
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
