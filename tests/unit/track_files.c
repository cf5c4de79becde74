/* SPDX-License-Identifier: Apache-2.0 */
/* metrics.jsonl and TensorBoard's records: their bytes, and what is kept when a run is resumed. */
#include <unistd.h>

#include "base/io.h"
#include "test.h"
#include "track/track.h"

static void records(void)
{
    struct buf b = {0};
    const struct track_value v[] = {{"a", 1.5, NULL}, {"bc", -2, NULL}};
    CHECK("event files: CRC-32C of 123456789 is known",
          tfevents_crc("123456789", 9) == 0xe3069283u);
    CHECK("event files: CRC-32C of 32 zeros is known",
          tfevents_crc((char[32]){0}, 32) == 0x8a9136aau);
    tfevents_version(&b, 1);
    size_t head = b.len;
    CHECK("event files: the first record is the version", head == 16 + 9 + 2 + 13);
    tfevents_scalars(&b, 2, 300, v, 2);
    const unsigned char *p = (const unsigned char *)b.data + head;
    CHECK("event files: a record has its step and first tag",
          p[12] == 0x09 && p[21] == 0x10 && p[22] == 0xac && p[23] == 2 && p[24] == 0x2a &&
              p[26] == 0x0a && p[28] == 0x0a && p[29] == 1 && p[30] == 'a');
    const struct track_value rows[] = {{"a", 1.5, NULL}, {"rows", 0, "[[0,1]]"}, {"bc", -2, NULL}};
    buf_reset(&b);
    tfevents_scalars(&b, 2, 300, v, 2);
    const size_t n = b.len;
    tfevents_scalars(&b, 2, 300, rows, 3);
    CHECK("event files: a value that is no number is left out",
          b.len == 2 * n && !memcmp(b.data, b.data + n, n));
    buf_reset(&b);
    tfevents_scalars(&b, 2, 300, &(struct track_value){"a", NAN, NULL}, 1);
    const unsigned char *f = (const unsigned char *)b.data + b.len - 8; /* before the CRC */
    CHECK("event files: a NaN is written as it is", (f[3] & 0x7f) == 0x7f && (f[2] & 0xc0) == 0xc0);
    static const unsigned char text[] = {
        0x2a, 40, 0x0a, 38,  0x0a, 3,   'a',  '/', '0',       /* summary, value, tag */
        0x4a, 8,  0x0a, 6,   0x0a, 4,   't',  'e', 'x',  't', /* metadata of the plugin */
        0x42, 21, 0x08, 7,   0x12, 4,   0x12, 2,   0x08, 1,   /* tensor: strings, [1] */
        0x42, 11, '*',  'h', 'i',  '*', '\n', '<', 'b',  '>', 0xc3, 0xa4, '!'};
    buf_reset(&b);
    tfevents_text(&b, 2, 5, "a/0", STR("*hi*\n<b>\xc3\xa4!"));
    CHECK("event files: a text is a tensor of the plugin for texts",
          b.len == 12 + 11 + sizeof text + 4 && !memcmp(b.data + 23, text, sizeof text));
    buf_free(&b);
}

static void answers(const char *dir)
{
    struct err e = {0};
    struct buf text = {0};
    char *metrics = io_path(dir, "m.jsonl", &e), *samples = io_path(dir, "s.jsonl", &e);
    struct track_options o = {.metrics = metrics, .samples = samples, .answers = true};
    struct track *t = track_open(&o, &e);
    const struct str line[] = {STR("{\"step\":0}\n"), STR("{\"step\":2}\n"), STR("{\"step\":4}\n")};
    for (int i = 0; i < 3; i++)
        if (t && track_sample(t, 2 * (uint64_t)i, line[i], "samples/0", STR("x"), &e))
            printf("# %s\n", e.msg);
    track_close(t, &e);
    o = (struct track_options){.metrics = metrics, .samples = samples, .resume = true, .from = 3};
    t = track_open(&o, &e);
    track_close(t, &e);
    CHECK("answers: lines of later steps are cut, also by a run without answers",
          io_slurp(samples, 4096, &text, &e) == 0 && text.data &&
              !strcmp(text.data, "{\"step\":0}\n{\"step\":2}\n"));
    buf_free(&text);
    mem_free(metrics);
    mem_free(samples);
}

/* ---- a folder of event files, as TensorBoard reads it: by name, forgetting at each restart ----
 */
enum { MOST = 100 };
struct seen {
    const char *folder;
    char names[4][160]; /* of the first files, in order */
    size_t files, n;
    struct {
        uint64_t step;
        float loss; /* the value of the first tag */
    } v[MOST];
};

static uint64_t little(const unsigned char *p, int bytes)
{
    uint64_t v = 0;
    for (int i = bytes - 1; i >= 0; i--) v = v << 8 | p[i];
    return v;
}

/* An Event below 128 bytes and steps: wall_time, then the step, then what it holds. */
static void see_event(struct seen *s, const unsigned char *p)
{
    const uint64_t step = p[9] == 0x10 ? p[10] : 0;
    if (p[9] == 0x10 && p[11] == 0x3a && p[13] == 8 && p[14] == 1) {
        size_t kept = 0;
        for (size_t i = 0; i < s->n; i++)
            if (s->v[i].step < step) s->v[kept++] = s->v[i];
        s->n = kept;
    } else if (p[9] == 0x10 && p[11] == 0x2a && s->n < MOST) {
        const uint32_t bits = (uint32_t)little(p + 17 + p[16] + 1, 4);
        s->v[s->n].step = step;
        memcpy(&s->v[s->n++].loss, &bits, 4);
    }
}

static int see_file(void *arg, const char *name, struct err *e)
{
    struct seen *s = arg;
    struct buf b = {0};
    char path[300];
    snprintf(path, sizeof path, "%s/%s", s->folder, name);
    if (s->files < 4) snprintf(s->names[s->files], sizeof s->names[0], "%s", name);
    s->files++;
    if (io_slurp(path, 1 << 20, &b, e)) return -1;
    const unsigned char *p = (const unsigned char *)b.data;
    for (size_t at = 0; b.len - at >= 16; at += 16 + (size_t)little(p + at, 8))
        see_event(s, p + at + 12);
    buf_free(&b);
    return 0;
}

static struct seen look(const char *folder)
{
    static struct seen s;
    struct err e;
    s = (struct seen){.folder = folder};
    io_list(folder, see_file, &s, &e);
    return s;
}

/* "1:0.5 2:0.25": steps and their values. */
static const char *curve(const char *folder)
{
    static char text[MOST * 20];
    const struct seen s = look(folder);
    size_t n = 0;
    text[0] = 0;
    for (size_t i = 0; i < s.n; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%d:%g", n ? " " : "", (int)s.v[i].step,
                              (double)s.v[i].loss);
    return text;
}

static int put(struct track *t, uint64_t step, double x, struct err *e)
{
    const struct track_value v[] = {{"loss", x, NULL}, {"n", 12, NULL}, {"rows", 0, "[[0,1]]"}};
    return track_put(t, step, v, 3, true, e);
}

/* Opens, puts values from `first` on, all x, up to and with `last`, and closes. */
static bool track(const struct track_options *o, uint64_t first, uint64_t last, double x)
{
    struct err e = {0};
    struct track *t = track_open(o, &e);
    bool fine = t;
    for (uint64_t k = first; fine && k <= last; k++) fine = put(t, k, x, &e) == 0;
    if (track_close(t, &e)) fine = false;
    if (!fine) printf("# %s\n", e.msg);
    return fine;
}

static void files(const char *dir)
{
    struct err e = {0};
    struct buf text = {0};
    char *metrics = io_path(dir, "metrics.jsonl", &e), *tb = io_path(dir, "tb", &e);
    struct track_options o = {.metrics = metrics, .tensorboard = tb};
    struct track *t = track_open(&o, &e);
    bool fine = t && put(t, 1, 0.5, &e) == 0 && put(t, 2, NAN, &e) == 0 && put(t, 3, 1, &e) == 0 &&
                track_close(t, &e) == 0;
    CHECK("metrics: a new run does not touch those of another",
          track_open(&o, &e) == NULL && e.code == ERR_CREATE);
    o.resume = true;
    o.from = 2;
    fine = fine && track(&o, 3, 3, 0.125);
    CHECK("metrics: written and resumed", fine && io_slurp(metrics, 4096, &text, &e) == 0);
    CHECK("metrics: lines up to the step are kept, one is written again, JSON as it is",
          text.data &&
              strcmp(text.data,
                     "{\"system/step\":1,\"loss\":0.5,\"n\":12,\"rows\":[[0,1]]}\n"
                     "{\"system/step\":2,\"loss\":null,\"n\":12,\"rows\":[[0,1]]}\n"
                     "{\"system/step\":3,\"loss\":0.125,\"n\":12,\"rows\":[[0,1]]}\n") == 0);
    static const char damaged[] = "{\"system/step\":1}\n{\"syst\n{\"system/step\":2}\n"
                                  "{\"system/step\":3}\n{\"system/st";
    io_put(metrics, damaged, sizeof damaged - 1, &e);
    buf_reset(&text);
    fine = track(&o, 3, 2, 0) && io_slurp(metrics, 4096, &text, &e) == 0;
    CHECK("metrics: a damaged line takes none with it",
          fine && strcmp(text.data, "{\"system/step\":1}\n{\"syst\n{\"system/step\":2}\n") == 0);
    static const char changed[] = "{\"system/step\":1}\n{\"system/step\":92}\n"
                                  "{\"system/step\":3}\n{\"system/step\":4}\n{\"syst\n"
                                  "{\"system/step\":5}\n";
    io_put(metrics, changed, sizeof changed - 1, &e);
    buf_reset(&text);
    o.from = 3;
    fine = track(&o, 4, 3, 0) && io_slurp(metrics, 4096, &text, &e) == 0;
    CHECK("metrics: neither does one whose step became a later one",
          fine && strcmp(text.data, "{\"system/step\":1}\n{\"system/step\":92}\n"
                                    "{\"system/step\":3}\n") == 0);
    buf_free(&text);
    free(metrics);
    free(tb);
}

/* events.out.tfevents.TIME.HOST.PROCESS.N of this process, with N as given. */
static bool is_name(const char *name, unsigned n)
{
    char host[80] = "", tail[160];
    gethostname(host, sizeof host - 1);
    snprintf(tail, sizeof tail, ".%s.%ld.%u", host, (long)getpid(), n);
    const size_t length = strlen(name), end = strlen(tail);
    return tfevents_time(name) > 0 && length > end && strcmp(name + length - end, tail) == 0;
}

static void events(const char *dir)
{
    struct err e = {0};
    struct seen s;
    char *metrics = io_path(dir, "metrics.jsonl", &e), *tb = io_path(dir, "events", &e), first[400];
    struct buf before = {0}, after = {0};
    struct track_options o = {.metrics = metrics, .tensorboard = tb};
    io_sys.unlink(metrics);
    bool fine = track(&o, 1, 5, 0.5);
    s = look(tb);
    CHECK("events: the name is as TensorBoard's", fine && s.files == 1 && is_name(s.names[0], 0));
    snprintf(first, sizeof first, "%s/%s", tb, s.names[0]);
    io_slurp(first, 1 << 20, &before, &e);
    o.resume = true;
    o.from = 3;
    fine = track(&o, 4, 6, 0.25);
    s = look(tb);
    CHECK("events: a resumed run has a file of its own, which comes after",
          fine && s.files == 2 && tfevents_time(s.names[1]) > tfevents_time(s.names[0]));
    CHECK("events: a resumed curve has each step once",
          strcmp(curve(tb), "1:0.5 2:0.5 3:0.5 4:0.25 5:0.25 6:0.25") == 0);
    CHECK("events: the first file is as it was", io_slurp(first, 1 << 20, &after, &e) == 0 &&
                                                     before.len == after.len &&
                                                     !memcmp(before.data, after.data, after.len));
    io_sys.unlink(metrics);
    o.resume = false;
    o.again = true;
    fine = track(&o, 1, 2, 1);
    CHECK("events: a run that begins anew takes the place of its earlier attempts",
          fine && strcmp(curve(tb), "1:1 2:1") == 0 && look(tb).files == 3);
    io_sys.unlink(metrics);
    o.again = false;
    struct track *t = track_open(&o, &e);
    CHECK("events: files of another run are noticed", t && track_beside_others(t));
    fine = t && put(t, 1, 2, &e) == 0 && track_close(t, &e) == 0;
    CHECK("events: files of another run stay", fine && strcmp(curve(tb), "1:1 2:1 1:2") == 0);
    buf_free(&before);
    buf_free(&after);
    free(metrics);
    free(tb);
}

/* The clock of a machine that wrote before is ahead. */
static void clocks(const char *dir)
{
    struct err e = {0};
    char *metrics = io_path(dir, "metrics.jsonl", &e), *tb = io_path(dir, "clocks", &e);
    struct track_options o = {.metrics = metrics, .tensorboard = tb};
    char future[400], name[100];
    io_mkdirs(tb, &e);
    tfevents_name(name, sizeof name, 4000000000, 0);
    snprintf(future, sizeof future, "%s/%s", tb, name);
    io_put(future, "", 0, &e);
    io_sys.unlink(metrics);
    CHECK("events: the last file's time is the latest, whatever the clock says",
          track(&o, 1, 1, 1) && tfevents_time(look(tb).names[1]) == 4000000001);
    CHECK("events: names of other files have no time",
          tfevents_time("events.out.tfevents.sft") == -1 && tfevents_time("metrics") == -1 &&
              tfevents_time("events.out.tfevents.99999999999999.a.1.0") == -1);
    free(metrics);
    free(tb);
}

int main(void)
{
    char dir[] = "/tmp/track.XXXXXX";
    records();
    if (!mkdtemp(dir)) return 70;
    answers(dir);
    files(dir);
    events(dir);
    clocks(dir);
    io_remove_tree(dir, NULL);
    TEST_END();
}
