/* SPDX-License-Identifier: Apache-2.0 */
/* Files of the safetensors writer read back the same, in one file and in shards. */
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "hf/safetensors.h"
#include "test.h"

static char dir[] = "/tmp/sft-write.XXXXXX";

static struct hf_tensor spec(const char *name, enum dtype t, uint64_t rows, uint64_t cols)
{
    struct hf_tensor s = {.name = name, .dtype = t, .ndim = cols ? 2 : 1, .dim = {rows, cols}};
    return s;
}

static unsigned char byte_at(size_t i) { return (unsigned char)(i * 131 + i / 256); }

/* Writes all n bytes in pieces of `step`. */
static int write_all(struct safetensors_writer *w, size_t n, size_t step, struct err *e)
{
    unsigned char piece[64];
    for (size_t i = 0; i < n; i += step) {
        size_t k = n - i < step ? n - i : step;
        for (size_t j = 0; j < k; j++) piece[j] = byte_at(i + j);
        if (safetensors_write(w, piece, k, e) != 0) return -1;
    }
    return 0;
}

static bool reads_back(const char *stem, const struct hf_tensor *list, size_t n)
{
    struct err e = {0};
    struct safetensors *s = safetensors_open_stem(dir, stem, &e);
    bool ok = s && safetensors_count(s) == n;
    size_t at = 0;
    if (!ok) printf("# %s\n", e.msg);
    for (size_t i = 0; ok && i < n; i++) {
        const struct hf_tensor *t = safetensors_find(s, list[i].name);
        ok = t && t->dtype == list[i].dtype && t->ndim == list[i].ndim;
        for (uint64_t j = 0; ok && j < t->bytes; j++) ok = t->data[j] == byte_at(at++);
    }
    safetensors_close(s);
    return ok;
}

static void round_trip(void)
{
    struct err e = {0};
    struct hf_tensor list[] = {spec("z.weight", DT_BF16, 3, 5), spec("empty", DT_F32, 0, 4),
                               spec("a.weight", DT_F32, 7, 0), spec("m \"q\"\n", DT_U8, 9, 0)};
    struct safetensors_writer *w = safetensors_create(dir, "model", list, 4, 0, &e);
    CHECK("safetensors: one file is written",
          w && write_all(w, 30 + 28 + 9, 13, &e) == 0 && safetensors_commit(w, &e) == 0);
    CHECK("safetensors: one file reads back", reads_back("model", list, 4));
    char path[100];
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    struct safetensors *s = safetensors_open(path, &e);
    CHECK("safetensors: the data starts aligned",
          s && ((uintptr_t)safetensors_at(s, 0)->data & 63) == 0);
    safetensors_close(s);

    /* 30 | 0 + 28 | 9: a bound of 36 gives three files, as the fourth would pass it. */
    w = safetensors_create(dir, "big", list, 4, 36, &e);
    CHECK("shards: written", w && write_all(w, 67, 1, &e) == 0 && safetensors_commit(w, &e) == 0);
    CHECK("shards: read back through the index", reads_back("big", list, 4));
    snprintf(path, sizeof path, "%s/big-00001-of-00003.safetensors", dir);
    CHECK("shards: named as transformers names them", access(path, F_OK) == 0);
}

static void failures(void)
{
    struct err e = {0};
    struct hf_tensor list[] = {spec("a", DT_U8, 4, 0)};
    char path[100];
    snprintf(path, sizeof path, "%s/short.safetensors", dir);
    struct safetensors_writer *w = safetensors_create(dir, "short", list, 1, 0, &e);
    CHECK("safetensors: missing bytes are an error", w && safetensors_write(w, "123", 3, &e) == 0 &&
                                                         safetensors_commit(w, &e) == -1 &&
                                                         strstr(e.msg, "missing"));
    CHECK("safetensors: missing bytes leave no file", access(path, F_OK) != 0);
    w = safetensors_create(dir, "short", list, 1, 0, &e);
    CHECK("safetensors: too many bytes are an error",
          w && safetensors_write(w, "12345", 5, &e) == -1);
    safetensors_abort(w);
    CHECK("safetensors: too many bytes leave no file", access(path, F_OK) != 0);
}

static bool index_refused(const char *text, const char *why)
{
    struct err e = {0};
    char path[100];
    snprintf(path, sizeof path, "%s/big.safetensors.index.json", dir);
    if (io_put(path, text, strlen(text), &e) != 0) return false;
    struct safetensors *s = safetensors_open_stem(dir, "big", &e);
    bool ok = !s && strstr(e.msg, why);
    if (!ok) printf("# %s\n", e.msg);
    safetensors_close(s);
    return ok;
}

static void bad_index(void)
{
    CHECK("safetensors: an index that leaves its folder is refused",
          index_refused("{\"weight_map\":{\"a\":\"../model.safetensors\"}}", "plain name"));
    CHECK("safetensors: an index to an absent shard is refused",
          index_refused("{\"weight_map\":{\"a\":\"nowhere.safetensors\"}}", "nowhere"));
    CHECK("safetensors: an index to an absent tensor is refused",
          index_refused("{\"weight_map\":{\"a\":\"big-00001-of-00003.safetensors\"}}", "\"a\""));
    CHECK("safetensors: an index without a map is refused", index_refused("{}", "weight_map"));
    CHECK("safetensors: an index whose shard holds another tensor is refused",
          index_refused("{\"weight_map\":{\"z.weight\":\"model.safetensors\","
                        "\"y\":\"big-00001-of-00003.safetensors\"}}",
                        "too"));
}

int main(void)
{
    if (!mkdtemp(dir)) return 1;
    round_trip();
    failures();
    bad_index();
    io_remove_tree(dir, NULL);
    TEST_END();
}
