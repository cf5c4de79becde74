/* SPDX-License-Identifier: Apache-2.0 */
/* The real model: every tensor converted from its GGUF file is the one transformers loads from it
 * (tests/golden/hf/smollm2.tsv). */
#include <glob.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/io.h"
#include "hf/config.h"
#include "hf/gguf_convert.h"
#include "hf/safetensors.h"
#include "test.h"

#define NAME "SmolLM2 converted"

/* $SFT_SMOLLM2_GGUF, or what the demo downloaded. */
static bool find_gguf(char *path, size_t n)
{
    const char *given = getenv("SFT_SMOLLM2_GGUF"), *o = getenv("O");
    glob_t g;
    if (given && *given) {
        snprintf(path, n, "%s", given);
        return io_exists(path, NULL);
    }
    snprintf(path, n, "%s/demo/SmolLM2-135M-Instruct.Q4_1.gguf", o && *o ? o : "build");
    if (io_exists(path, NULL)) return true;
    bool found = glob("build*/demo/SmolLM2-135M-Instruct.Q4_1.gguf", 0, NULL, &g) == 0;
    if (found) snprintf(path, n, "%s", g.gl_pathv[0]);
    globfree(&g);
    return found;
}

/* One line of the golden file: name, shape, hash. */
static bool same(const struct safetensors *s, char *line)
{
    char shape[200], hex[HASH128_HEX];
    char *name = strtok(line, "\t"), *dims = strtok(NULL, "\t"), *hash = strtok(NULL, "\t\n");
    const struct hf_tensor *t = name && dims && hash ? safetensors_find(s, name) : NULL;
    struct hash128 *h = t ? hash128_new(NULL) : NULL;
    if (!h) return false;
    hash128_add(h, t->data, (size_t)t->bytes);
    hash128_hex(h, hex);
    hash128_free(h);
    hf_tensor_shape(t, shape, sizeof shape);
    return t->dtype == DT_BF16 && strcmp(shape, dims) == 0 && strcmp(hex, hash) == 0;
}

static void check_tensors(const char *dir)
{
    struct err e = {0};
    struct safetensors *s = safetensors_open(dir, &e);
    FILE *f = fopen("tests/golden/hf/smollm2.tsv", "r");
    char line[400];
    size_t lines = 0, bad = 0;
    while (s && f && fgets(line, sizeof line, f)) {
        if (line[0] == '#') continue;
        lines++;
        if (!same(s, line)) bad++;
    }
    CHECK("SmolLM2: 272 tensors, each equal to transformers'",
          s && lines == 272 && bad == 0 && safetensors_count(s) == 272);
    if (f) fclose(f);
    safetensors_close(s);
}

static void check_config(const char *dir)
{
    struct err e = {0};
    struct hf_config c;
    bool ok = hf_config_read(dir, &c, &e) == 0;
    CHECK("SmolLM2: its config.json reads back", ok);
    if (!ok) return;
    CHECK("SmolLM2: config.json has the sizes of the model",
          c.vocab_size == 49152 && c.hidden_size == 576 && c.intermediate_size == 1536 &&
              c.num_hidden_layers == 30 && c.num_attention_heads == 9 &&
              c.num_key_value_heads == 3 && c.head_dim == 64 && c.max_position_embeddings == 8192);
    CHECK("SmolLM2: config.json has the numbers of the model",
          c.rope.theta == 100000 && c.rms_norm_eps == 1e-5 && c.tie_word_embeddings &&
              c.dtype == DT_BF16 && c.bos_token_id == 1 && c.eos_count == 1 &&
              c.eos_token_id[0] == 2 && c.pad_token_id == 2);
    hf_config_free(&c);
}

/* Cut at a few places, the file is refused. */
static void check_cuts(const struct io_map *m)
{
    bool ok = true;
    struct err e = {0};
    for (size_t n = m->n - 1; n > 0 && ok; n = n > 4000000 ? n - 3999971 : n / 3) {
        struct gguf *g = gguf_parse(m->p, n, "cut", &e);
        ok = !g && e.code == ERR_DATA;
        gguf_close(g);
    }
    CHECK("SmolLM2: a file cut anywhere is refused", ok);
}

int main(void)
{
    char path[500], dir[] = "/tmp/sft-smollm2.XXXXXX";
    struct err e = {0};
    struct io_map m;
    if (!find_gguf(path, sizeof path)) {
        SKIP(NAME, "no GGUF file; make demo downloads it, or set SFT_SMOLLM2_GGUF");
        return 0;
    }
    struct gguf *g = gguf_open(path, &e);
    bool ok = g && mkdtemp(dir) && gguf_convert(g, dir, NULL, &(struct gguf_converted){0}, &e) == 0;
    CHECK(NAME, ok);
    if (!ok) printf("# %s\n", e.msg);
    gguf_close(g);
    if (ok) {
        check_tensors(dir);
        check_config(dir);
    }
    io_remove_tree(dir, NULL);
    if (io_map(path, &m, &e) == 0) {
        check_cuts(&m);
        io_unmap(&m);
    }
    TEST_END();
}
