/* SPDX-License-Identifier: Apache-2.0 */
/* Every fuzz target on its seeds in tests/fuzz/seeds/NAME (run from the root of the repository):
 * small inputs of each kind, and one for each fault that a target has found. A target that does not
 * get what it expects kills this program after its name. */
#include <stdint.h>
#include <unistd.h>

#include "base/io.h"
#include "test.h"

#define TARGETS(X)                                                                                 \
    X(fuzz_adapter)                                                                                \
    X(fuzz_beside)                                                                                 \
    X(fuzz_config)                                                                                 \
    X(fuzz_document)                                                                               \
    X(fuzz_encode)                                                                                 \
    X(fuzz_expand)                                                                                 \
    X(fuzz_gguf)                                                                                   \
    X(fuzz_gguf_convert)                                                                           \
    X(fuzz_hf_config)                                                                              \
    X(fuzz_include)                                                                                \
    X(fuzz_index)                                                                                  \
    X(fuzz_jinja)                                                                                  \
    X(fuzz_json)                                                                                   \
    X(fuzz_launch)                                                                                 \
    X(fuzz_letter)                                                                                 \
    X(fuzz_manifest)                                                                               \
    X(fuzz_metrics)                                                                                \
    X(fuzz_options)                                                                                \
    X(fuzz_peft_config)                                                                            \
    X(fuzz_prompts)                                                                                \
    X(fuzz_regex)                                                                                  \
    X(fuzz_report)                                                                                 \
    X(fuzz_rows)                                                                                   \
    X(fuzz_safetensors)                                                                            \
    X(fuzz_state)                                                                                  \
    X(fuzz_stream)                                                                                 \
    X(fuzz_tokenizer_files)                                                                        \
    X(fuzz_tokenizer_json)

typedef int target(const uint8_t *data, size_t n);
#define DECLARE(name) target name;
#define ENTRY(name)   {#name, name},
TARGETS(DECLARE)
static const struct {
    const char *name;
    target *run;
} targets[] = {TARGETS(ENTRY)};
enum { COUNT = sizeof targets / sizeof *targets };

struct replay {
    target *run;
    char dir[100];
    int inputs;
};

/* The input is copied to an allocation of its size, so that the sanitizers see its end. */
static int replay_file(void *arg, const char *name, struct err *e)
{
    struct replay *r = arg;
    struct buf b = {0};
    char path[400];
    snprintf(path, sizeof path, "%s/%s", r->dir, name);
    fprintf(stderr, "%s\n", path);
    if (io_slurp(path, 1 << 24, &b, e)) return -1;
    uint8_t *copy = malloc(b.len ? b.len : 1);
    if (b.len) memcpy(copy, b.data, b.len);
    r->run(copy, b.len);
    r->inputs++;
    free(copy);
    buf_free(&b);
    return 0;
}

/* Every source file of a target is listed above. */
static int find_target(void *arg, const char *name, struct err *e)
{
    size_t n = strlen(name);
    bool found = n < 2 || strcmp(name + n - 2, ".c") != 0;
    (void)e;
    for (size_t i = 0; i < COUNT; i++)
        found |= strlen(targets[i].name) == n - 2 && strncmp(targets[i].name, name, n - 2) == 0;
    *(bool *)arg &= found;
    return 0;
}

int main(void)
{
    struct err e = {0};
    bool all = true;
    const int out = dup(1); /* a target closes standard output to what it prints */
    CHECK("fuzz: every target is replayed",
          io_list("tests/fuzz", find_target, &all, &e) == 0 && all);
    for (size_t i = 0; i < COUNT; i++) {
        struct replay r = {.run = targets[i].run};
        snprintf(r.dir, sizeof r.dir, "tests/fuzz/seeds/%s", targets[i].name);
        r.run((const uint8_t *)"", 0);
        const int rc = io_is_dir(r.dir, &e) > 0 ? io_list(r.dir, replay_file, &r, &e) : 0;
        fflush(stdout);
        dup2(out, 1);
        CHECK_IN(targets[i].name, "its inputs are accepted or refused as they should be",
                 rc == 0 && r.inputs > 0);
    }
    TEST_END();
}
