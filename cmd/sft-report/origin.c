/* SPDX-License-Identifier: Apache-2.0 */
/* From the data files to the newest checkpoint, by the hashes that the stream, the run and the
 * checkpoint have recorded. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/doc.h"
#include "base/hash.h"
#include "base/io.h"
#include "base/log.h"
#include "base/num.h"
#include "config/config.h"
#include "report.h"
#include "stream/stream.h"

enum { MAX_TEXT = 64 << 20 };

static const char *copy(struct run *r, struct str s, struct err *e)
{
    return arena_copy(&r->memory, s.p, s.n, e);
}

/* Adds a line; hash and link may be NULL. */
static int add(struct run *r, const char *what, struct str name, struct str hash, const char *link,
               struct err *e)
{
    if (r->norigins == ORIGINS) return 0;
    struct origin *o = &r->origins[r->norigins];
    const char *p = copy(r, name, e);
    *o = (struct origin){.what = what, .name = {p, name.n}, .link = link};
    if (!p || (hash.p && !(o->hash = copy(r, hash, e)))) return -1;
    r->norigins++;
    return 0;
}

static struct str text_of(const struct json *object, const char *key)
{
    const struct json *v = object && object->kind == JSON_OBJECT ? json_get(object, key) : NULL;
    return v && v->kind == JSON_STRING ? v->s : (struct str){0};
}

/* A JSON file of a checkpoint, in the run's memory; NULL with no error where it is not there. */
static const struct json *read_json(struct run *r, const char *dir, const char *name, struct err *e)
{
    struct buf text = {0};
    const struct json *v = NULL;
    char *path = io_path(dir, name, e);
    const int there = path ? io_exists(path, e) : -1;
    if (there > 0 && io_slurp(path, MAX_TEXT, &text, e) == 0) {
        v = doc_parse(text.data, text.len, &r->memory, e);
        if (!v) err_prefix(e, "%s", path);
    }
    mem_free(path);
    buf_free(&text);
    return v;
}

/* ---- the checkpoint ---- */
struct point {
    char *dir; /* NULL: there is none */
    uint64_t step;
    const struct json *run; /* its run.json; NULL: none */
};

/* *newest: the largest step of a folder of that name so far; -1: none. */
static int find_newest(void *newest, const char *name, struct err *e)
{
    static const char begin[] = "checkpoint-";
    int64_t step;
    (void)e;
    if (strncmp(name, begin, sizeof begin - 1) == 0 &&
        num_i64(name + sizeof begin - 1, &step) == 0 && step > *(int64_t *)newest)
        *(int64_t *)newest = step;
    return 0;
}

/* Finds the newest checkpoint, which is whole under its name. */
static int find_point(struct run *r, const char *output, struct point *p, struct err *e)
{
    char name[64];
    int64_t newest = -1;
    char *root = io_path(output, "sft_train", e);
    const int there = root ? io_is_dir(root, e) : -1;
    int rc = there > 0 ? io_list(root, find_newest, &newest, e) : there;
    snprintf(name, sizeof name, "checkpoint-%lld/sft_train", (long long)newest);
    if (rc == 0 && newest >= 0) rc = (p->dir = io_path(root, name, e)) ? 0 : -1;
    mem_free(root);
    if (rc || !p->dir) return rc;
    p->step = (uint64_t)newest;
    p->run = read_json(r, p->dir, "state/run.json", e);
    return !p->run && e->code ? -1 : 0;
}

/* Adds the files of the weights, by the hashes of the manifest. */
static int add_files(struct run *r, const struct json *manifest, struct err *e)
{
    const struct json *files = json_get(manifest, "files");
    for (size_t i = 0; files && files->kind == JSON_ARRAY && i < files->count; i++) {
        const struct str path = text_of(&files->items[i], "path"), end = STR(".safetensors");
        if (path.n < end.n || memcmp(path.p + path.n - end.n, end.p, end.n) != 0 ||
            memchr(path.p, '/', path.n))
            continue;
        if (add(r, "weights", path, text_of(&files->items[i], "xxh128"),
                "XXH3-128 of the file, from the manifest", e))
            return -1;
    }
    return 0;
}

static int add_point(struct run *r, const struct point *p, struct err *e)
{
    const struct json *manifest = p->dir ? read_json(r, p->dir, "manifest.json", e) : NULL;
    if (!manifest) return p->dir && e->code ? -1 : 0;
    const struct json *base = read_json(r, p->dir, "base_weights.json", e);
    if (!base && e->code) return -1;
    if (base && add(r, "base model", STR("the weights that the adapter is trained on"),
                    text_of(base, "xxh128"), "from base_weights.json of the checkpoint", e))
        return -1;
    if (add(r, "checkpoint", str_z(p->dir), text_of(manifest, "self"),
            "XXH3-128 of its manifest, which has those of all its files", e))
        return -1;
    return add_files(r, manifest, e);
}

/* ---- the stream ---- */
static bool known(const struct stream_reader *s, const char *digest)
{
    for (size_t i = 0; i < stream_inputs(s); i++)
        if (strcmp(stream_input(s, i), digest) == 0) return true;
    return false;
}

/* Computes the digest of a data file as sft-tokenize does, of its decompressed bytes. */
static int digest_of(const char *path, char digest[HASH128_HEX], struct err *e)
{
    char part[1 << 16];
    struct io_in *in = io_open_regular(path, e);
    struct hash128 *h = in && io_expand(in, e) == 0 ? hash128_new(e) : NULL;
    ssize_t n = h ? 1 : -1;
    while (n > 0 && (n = io_read(in, part, sizeof part, e)) > 0) hash128_add(h, part, (size_t)n);
    if (n == 0) hash128_hex(h, digest);
    hash128_free(h);
    io_close(in);
    return n == 0 ? 0 : -1;
}

static int add_data_file(struct run *r, const struct stream_reader *s, struct str name,
                         struct err *e)
{
    char digest[HASH128_HEX];
    struct err why = {0};
    const char *path = copy(r, name, e);
    if (!path) return -1;
    if (digest_of(path, digest, &why))
        return why.code == ERR_MEMORY
                   ? err_set(e, why.code, "%s", why.msg)
                   : add(r, "data file", name, (struct str){0}, "cannot be read from here", e);
    return add(r, "data file", name, str_z(digest),
               !s                 ? "as it is now; the stream is not there to compare with"
               : known(s, digest) ? "the stream was made from these bytes"
                                  : "as it is now; the stream was not made from these bytes",
               e);
}

/* The files that config.yaml names, then what the stream says that it was made from. */
static int add_data(struct run *r, const struct stream_reader *s, struct err *e)
{
    const struct json *at = r->settings;
    static const char *const keys[] = {"sft_train", "data_args", "file_name"};
    for (size_t i = 0; at && i < sizeof keys / sizeof *keys; i++)
        at = at->kind == JSON_OBJECT ? json_get(at, keys[i]) : NULL;
    for (size_t i = 0; at && at->kind == JSON_ARRAY && i < at->count; i++)
        if (at->items[i].kind == JSON_STRING && add_data_file(r, s, at->items[i].s, e)) return -1;
    for (size_t i = 0; s && i < stream_inputs(s); i++)
        if (add(r, "input of the stream", (struct str){0}, str_z(stream_input(s, i)),
                "XXH3-128 of a data file, from the stream", e))
            return -1;
    return 0;
}

static int read_stream(struct stream_reader *s, uint64_t steps, struct stream_rows *rows,
                       struct err *e)
{
    const struct stream_record *rec;
    int rc;
    while ((rc = stream_next(s, &rec, e)) > 0)
        if (rec->step < steps && stream_rows_add(rows, rec, e)) return -1;
    return rc;
}

static const char *same(struct str a, const char *b, const char *yes, const char *no)
{
    return !a.p ? NULL : str_is(a, b) ? yes : no;
}

static int add_stream(struct run *r, const struct stream_reader *s, const struct point *p,
                      const struct stream_rows *rows, struct err *e)
{
    char sum[17];
    const struct stream_header *h = stream_header(s);
    snprintf(sum, sizeof sum, "%016" PRIx64, rows->checksum);
    if (add(r, "tokenizer", STR("of the stream"), str_z(h->tokenizer),
            same(text_of(p->run, "tokenizer"), h->tokenizer, "that of the checkpoint, too",
                 "the checkpoint has another one"),
            e) ||
        add(r, "chat template", STR("of the stream"), str_z(h->template_id), NULL, e))
        return -1;
    return add(r, "stream", str_z(stream_name(s)), str_z(sum),
               same(text_of(p->run, "rows_checksum"), sum,
                    "XXH64 of its rows up to the step of the checkpoint, which was trained on them",
                    "XXH64 of its rows up to the step of the checkpoint, which was trained on "
                    "others"),
               e);
}

static int add_made(struct run *r, const char *path, const struct point *p, struct err *e)
{
    struct stream_rows rows = {0};
    struct stream_reader *s = stream_open(path, STREAM_PACKED, e);
    int rc = s ? read_stream(s, p->run ? p->step : 0, &rows, e) : -1;
    if (rc == 0) rc = add_data(r, s, e);
    if (rc == 0) rc = add_stream(r, s, p, &rows, e);
    stream_rows_free(&rows);
    stream_close(s);
    return rc;
}

/* ---- the run ---- */
/* True for a stream that sft-run has made; its folder may have anything of that name. */
static bool is_file(const char *path)
{
    struct stat st;
    return io_stat(path, &st, NULL) == 0 && S_ISREG(st.st_mode);
}

static int find(struct run *r, const struct config_run *c, const char *stream, struct err *e)
{
    struct point p = {0};
    char *path = NULL;
    if (find_point(r, c->output, &p, e)) return -1;
    if (!stream) stream = path = io_path(c->output, "data/train.sfts", e);
    int rc = !stream                  ? -1
             : path && !is_file(path) ? add_data(r, NULL, e)
                                      : add_made(r, stream, &p, e);
    if (rc == 0)
        rc = add(r, "run", str_z(c->id ? c->id : ""), (struct str){0},
                 p.dir ? NULL : "has no checkpoint where its config.yaml says", e);
    if (rc == 0) rc = add_point(r, &p, e);
    mem_free(p.dir);
    mem_free(path);
    return rc;
}

int origins_find(struct run *r, const char *stream, struct err *e)
{
    struct config_run c;
    char *path = io_path(r->path, "config.yaml", e);
    const int there = path ? io_exists(path, e) : -1;
    int rc = there > 0 ? config_run_read(path, &c, e) : there;
    mem_free(path);
    if (rc || there <= 0) return rc;
    struct err why = {0};
    if (c.output && find(r, &c, stream, &why)) {
        if (stream || why.code == ERR_MEMORY)
            rc = err_set(e, why.code, "%s", why.msg);
        else
            log_line(LOG_WARN, "%s; the way from the data to the checkpoint is not complete",
                     why.msg);
    }
    config_run_free(&c);
    return rc;
}
