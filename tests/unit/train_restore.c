/* SPDX-License-Identifier: Apache-2.0 */
/* state/run.json with any text, in a checkpoint whose hashes are right. */
#include "train/checkpoint.h"

#include <unistd.h>

#include "base/io.h"
#include "save/ckpt_impl.h"
#include "test.h"

static char root[] = "/tmp/sft-restore.XXXXXX";

static int put(const char *dir, const char *name, const char *text, struct err *e)
{
    char *path = io_path(dir, name, e);
    int rc = path ? io_put(path, text, strlen(text), e) : -1;
    mem_free(path);
    return rc;
}

/* Restores a checkpoint that has this run.json, and nothing of a model. */
static int restore(const char *run, struct err *e)
{
    struct trainer t = {.optimizer.weights = &t.weights};
    struct restore_cursor cursor = {0};
    char *path = NULL;
    struct ckpt *c = ckpt_begin(root, 7, e);
    if (!c || put(ckpt_dir(c), "config.json", "{}", e) ||
        put(ckpt_state_dir(c), "run.json", run, e) || ckpt_commit(c, &path, e))
        return 0;
    guard_init(&t.guard, &(struct guard_options){.window = 5});
    int rc = checkpoint_load(&t, path, &cursor, e);
    io_remove_tree(path, NULL);
    mem_free(path);
    restore_cursor_free(&cursor);
    return rc;
}

#define SUM   "\"rows_checksum\":\"0123456789abcdef\""
#define GUARD ",\"guard\":"

int main(void)
{
    static const char *const bad[] = {
        "",
        "{",
        "3",
        "[]",
        "{}",
        "{\"step\":7," SUM "}",
        "{\"version\":2,\"step\":7," SUM "}",
        "{\"version\":\"1\",\"step\":7," SUM "}",
        "{\"version\":1," SUM "}",
        "{\"version\":1,\"step\":-1," SUM "}",
        "{\"version\":1,\"step\":1.5," SUM "}",
        "{\"version\":1,\"step\":\"7\"," SUM "}",
        "{\"version\":1,\"step\":9223372036854775808," SUM "}",
        "{\"version\":1,\"step\":1e300," SUM "}",
        "{\"version\":1,\"step\":7}",
        "{\"version\":1,\"step\":7,\"rows_checksum\":1}",
        "{\"version\":1,\"step\":7,\"rows_checksum\":\"0123\"}",
        "{\"version\":1,\"step\":7,\"rows_checksum\":\"0123456789abcdeg\"}",
        "{\"version\":1,\"step\":7,\"rows_checksum\":\"0123456789abcdef0\"}",
        "{\"version\":1,\"step\":7," SUM GUARD "3}",
        "{\"version\":1,\"step\":7," SUM GUARD "{\"skipped\":8,\"losses\":[]}}",
        "{\"version\":1,\"step\":7," SUM GUARD "{\"skipped\":1e30,\"losses\":[]}}",
        "{\"version\":1,\"step\":7," SUM GUARD "{\"skipped\":0,\"losses\":[1,{}]}}",
        "{\"version\":1,\"step\":7," SUM "}}",
    };
    struct err e = {0};
    char name[64];
    if (!mkdtemp(root)) return 70;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(name, sizeof name, "run.json: bad one %zu is refused, and named", i);
        int rc = restore(bad[i], &e);
        CHECK(name, rc == -1 && e.code == ERR_CONFIG && strstr(e.msg, "state/run.json: "));
        if (rc != -1 || !strstr(e.msg, "state/run.json: ")) printf("# %s: %s\n", bad[i], e.msg);
    }
    struct buf b = {0};
    for (int i = 0; i < 1 << 17; i++) buf_putc(&b, '[');
    buf_putc(&b, 0);
    CHECK("run.json: one that is too long is refused",
          restore(b.data, &e) == -1 && strstr(e.msg, "run.json: longer"));
    b.data[60000] = 0;
    CHECK("run.json: one that is too deep is refused",
          restore(b.data, &e) == -1 && strstr(e.msg, "run.json: "));
    buf_free(&b);
    CHECK("run.json: a good one is read, then the model is missed",
          restore("{\"version\":1,\"step\":7," SUM GUARD
                  "{\"skipped\":7,\"losses\":[1]},\"settings\":[[]]}",
                  &e) == -1 &&
              !strstr(e.msg, "run.json") && strstr(e.msg, "/config.json"));
    io_remove_tree(root, NULL);
    TEST_END();
}
