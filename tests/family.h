/* SPDX-License-Identifier: Apache-2.0 */
/* The model of each family that tests/oracle/make_steps_golden.py describes, with what PyTorch
 * computes of it. Every family of lib/hf/family.c must have a file. */
#ifndef SFT_TEST_FAMILY_H
#define SFT_TEST_FAMILY_H

#include "golden.h"
#include "hf/config.h"

struct family {
    char name[HF_MAX_NAME];
    struct golden g;
    struct model m;
    struct optimizer_options adamw;
    double rate;
};

/* Reads one of the file's config.json; of the model itself, or another. */
TINY bool family_model(const struct family *f, const struct json *config, struct model *m)
{
    struct err e = {0};
    struct buf text = {0};
    struct hf_config c = {0};
    if (config) json_write(config, &text);
    const bool ok = buf_check(&text, &e) == 0 &&
                    hf_config_parse(text.data, text.len, f->name, &c, &e) == 0 &&
                    model_from_hf(&c, m, &e) == 0;
    if (!ok) printf("# %s\n", e.msg);
    hf_config_free(&c);
    buf_free(&text);
    return ok;
}

/* Opens the family of that name; family_close in either case. */
TINY bool family_open(struct family *f, const char *name, size_t n)
{
    char path[200];
    *f = (struct family){.rate = NAN};
    snprintf(f->name, sizeof f->name, "%.*s", (int)n, name);
    snprintf(path, sizeof path, "tests/golden/steps/%s.json", f->name);
    f->g = golden_open(path);
    if (!f->g.root || !family_model(f, json_get(f->g.root, "config"), &f->m)) return false;
    const struct json *a = json_get(f->g.root, "adamw");
    f->rate = golden_number(a, "lr");
    f->adamw = (struct optimizer_options){.kind = OPTIMIZER_ADAMW,
                                          .beta1 = golden_number(a, "beta1"),
                                          .beta2 = golden_number(a, "beta2"),
                                          .epsilon = golden_number(a, "eps"),
                                          .weight_decay = golden_number(a, "weight_decay"),
                                          .max_norm = golden_number(a, "max_norm")};
    return true;
}
TINY void family_close(struct family *f) { golden_close(&f->g); }

/* Calls check(family, arg) for all families whose name has this text; NULL: for all. */
TINY void families_check(void (*check)(struct family *f, const char *arg), const char *arg,
                         const char *only)
{
    char names[HF_FAMILY_NAMES];
    struct family f;
    hf_family_names(false, ",", names);
    for (const char *p = names; *p; p += strspn(p, ", ")) {
        const size_t n = strcspn(p, ", ");
        const bool open = family_open(&f, p, n);
        if (!open)
            CHECK_IN(f.name, "it has a golden file", open);
        else if (!only || strstr(f.name, only))
            check(&f, arg);
        family_close(&f);
        p += n;
    }
}

#endif
