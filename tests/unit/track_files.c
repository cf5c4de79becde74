/* SPDX-License-Identifier: Apache-2.0 */
/* metrics.jsonl and TensorBoard's records: their bytes, and what is kept when a run is resumed. */
#include "base/io.h"
#include "test.h"
#include "track/track.h"

static void records(void)
{
    struct buf b = {0};
    const struct track_value v[] = {{"a", 1.5, NULL}, {"bc", -2, NULL}};
    CHECK("CRC-32C of 123456789", tfevents_crc("123456789", 9) == 0xe3069283u);
    CHECK("CRC-32C of 32 zeros", tfevents_crc((char[32]){0}, 32) == 0x8a9136aau);
    tfevents_version(&b, 1);
    size_t head = b.len;
    CHECK("version record", head == 16 + 9 + 2 + 13);
    tfevents_scalars(&b, 2, 300, v, 2);
    const unsigned char *p = (const unsigned char *)b.data + head;
    CHECK("scalars: step and first tag", p[12] == 0x09 && p[21] == 0x10 && p[22] == 0xac &&
                                             p[23] == 2 && p[24] == 0x2a && p[26] == 0x0a &&
                                             p[28] == 0x0a && p[29] == 1 && p[30] == 'a');
    size_t one = b.len;
    tfevents_scalars(&b, 3, 301, v, 2);
    CHECK("keep all", tfevents_keep(b.data, b.len, 301) == b.len);
    CHECK("keep up to a step", tfevents_keep(b.data, b.len, 300) == one);
    CHECK("keep what is whole", tfevents_keep(b.data, b.len - 1, 301) == one);
    CHECK("keep the version", tfevents_keep(b.data, b.len, 2) == head);
    buf_free(&b);
}

static int put(struct track *t, uint64_t step, double x, struct err *e)
{
    const struct track_value v[] = {{"loss", x, NULL}, {"n", 12, NULL}, {"rows", 0, "[[0,1]]"}};
    return track_put(t, step, v, 3, true, e);
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
    o.resume = true;
    o.from = 2;
    t = track_open(&o, &e);
    fine = fine && t && put(t, 3, 0.1, &e) == 0 && track_close(t, &e) == 0;
    CHECK("written and resumed", fine && io_slurp(metrics, 4096, &text, &e) == 0);
    CHECK("lines up to the step are kept, one is written again, JSON as it is",
          text.data && strcmp(text.data,
                              "{\"system/step\":1,\"loss\":0.5,\"n\":12,\"rows\":[[0,1]]}\n"
                              "{\"system/step\":2,\"loss\":null,\"n\":12,\"rows\":[[0,1]]}\n"
                              "{\"system/step\":3,\"loss\":0.1,\"n\":12,\"rows\":[[0,1]]}\n") == 0);
    buf_free(&text);
    free(metrics);
    free(tb);
}

int main(void)
{
    char dir[] = "/tmp/track.XXXXXX";
    records();
    if (mkdtemp(dir)) files(dir);
    io_remove_tree(dir, NULL);
    TEST_END();
}
