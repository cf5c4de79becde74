/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes, after one that chooses the file, as the small files beside weights and logs:
 * base_weights.json, generation_config.json, and the config.yaml by which a run knows its own logs.
 * They are read or refused. */
#include "config/config.h"
#include "decode/talk_impl.h"
#include "fuzz/fuzz.h"
#include "hf/peft.h"

static void try_base(void)
{
    struct err e = {0};
    char id[HASH128_HEX], again[HASH128_HEX];
    const int rc = peft_base_read(fuzz_folder(), id, &e);
    if (rc < 0) return need_refusal(&e);
    if (rc == 0) return;
    need(strlen(id) < sizeof id && peft_base_write(fuzz_folder(), id, &e) == 0);
    need(peft_base_read(fuzz_folder(), again, &e) == 1 && strcmp(again, id) == 0);
}

static void try_stops(void)
{
    static struct hf_config hf;
    static struct tokenizer *tokenizer;
    struct err e = {0};
    struct stops s = {0};
    if (!tokenizer) need((tokenizer = tokenizer_load("share/tiny-tokenizer", &e)) != NULL);
    const struct talk_with with = {.dir = fuzz_folder(), .hf = &hf, .tokenizer = tokenizer};
    if (stops_find(&s, &with, &e)) return need_refusal(&e);
    need(s.n >= 0 && s.n <= (int)(sizeof s.id / sizeof *s.id));
    for (int i = 0; i < s.n; i++) need(stops_at(&s, s.id[i]));
}

static void try_owner(const char *path)
{
    struct err e = {0};
    struct config_run r;
    if (config_run_read(path, &r, &e)) return need_refusal(&e);
    const char *const texts[] = {r.id,   r.output,  r.logs,      r.process,
                                 r.host, r.started, r.output_dir};
    size_t n = 0;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) n += texts[i] ? strlen(texts[i]) : 0;
    need(n < 1 << 20);
    config_run_free(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"base_weights.json", "generation_config.json",
                                        "config.yaml"};
    if (size == 0) return 0;
    const unsigned which = data[0] % 3;
    fuzz_put(fuzz_path(names[which]), data + 1, size - 1);
    if (which == 0) try_base();
    if (which == 1) try_stops();
    if (which == 2) try_owner(fuzz_path(names[which]));
    return 0;
}
