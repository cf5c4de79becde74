/* SPDX-License-Identifier: Apache-2.0 */
/* Linked into a copy of sft-train for `make check-gpu`: weights are random and not read, so that a
 * model of 15 GB needs no file. A model's folder has configuration and tokenizer only. The values
 * are those of `sft-ckpt init` in kind: matrices normal with a deviation of 0.02, norms 1, biases
 * 0; a block of a few million numbers is repeated at different places. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "hf/safetensors.h"
#include "model/weights.h"

/* Larger than a matrix's rows, and odd, so that rows differ. */
enum { BLOCK = (1 << 22) + 1 };

struct safetensors *__wrap_safetensors_open(const char *dir, struct err *e);
int __wrap_weights_load(struct weights *w, const struct safetensors *s,
                        const struct weights_state *master, struct err *e);

int __wrap_weights_check(const struct weights *w, const struct safetensors *s, struct err *e);

int __wrap_weights_check(const struct weights *w, const struct safetensors *s, struct err *e)
{
    (void)w, (void)s, (void)e;
    return 0;
}

/* A file without tensors. */
struct safetensors *__wrap_safetensors_open(const char *dir, struct err *e)
{
    static const char empty[] = "\2\0\0\0\0\0\0\0{}";
    return safetensors_parse(empty, sizeof empty - 1, dir, e);
}

/* The numbers of a tensor: in fp32, and converted once to bf16. */
struct block {
    float *wide;
    uint16_t *narrow;
};

static int block_open(struct block *b, struct err *e)
{
    b->wide = mem_alloc(BLOCK, sizeof *b->wide, e);
    b->narrow = b->wide ? mem_alloc(BLOCK, sizeof *b->narrow, e) : NULL;
    return b->narrow ? 0 : -1;
}

static void block_close(struct block *b)
{
    mem_free(b->wide);
    mem_free(b->narrow);
}

static void block_set(struct block *b, size_t i, double value)
{
    b->wide[i] = (float)value;
    b->narrow[i] = bf16_from_f32((float)value);
}

/* Sets elements [at, at + n) of a tensor; n is at most BLOCK. */
static void set(struct weights *w, const struct weights_state *master, const struct param *p,
                size_t at, size_t n, const struct block *b)
{
    if (w->compute != DT_BF16 || (master && master->flat))
        weights_set(w, master, p, at, n, b->wide);
    else
        device_upload(w->device, (uint16_t *)w->values + p->offset + at, b->narrow,
                      n * sizeof *b->narrow);
}

static void set_all(struct weights *w, const struct weights_state *master, const struct param *p,
                    const struct block *b)
{
    for (size_t at = 0; at < p->n; at += BLOCK)
        set(w, master, p, at, p->n - at < BLOCK ? p->n - at : BLOCK, b);
}

/* A vector is a norm, or a bias. */
static double vector_value(const struct param *p)
{
    const size_t n = strlen(p->name);
    return n > 5 && strcmp(p->name + n - 5, ".bias") == 0 ? 0 : 1;
}

int __wrap_weights_load(struct weights *w, const struct safetensors *s,
                        const struct weights_state *master, struct err *e)
{
    struct block normal = {0}, even = {0};
    int rc = block_open(&normal, e);
    (void)s;
    if (rc == 0) rc = block_open(&even, e);
    for (size_t i = 0; rc == 0 && i < BLOCK; i++)
        block_set(&normal, i, 0.02 * rng_normal(1, RNG_TEST, 0, i));
    for (size_t i = 0; rc == 0 && i < w->params.count; i++) {
        const struct param *p = &w->params.p[i];
        for (size_t k = 0; p->rank == 1 && k < p->n; k++) block_set(&even, k, vector_value(p));
        set_all(w, master, p, p->rank == 1 ? &even : &normal);
    }
    block_close(&even);
    block_close(&normal);
    return rc;
}
