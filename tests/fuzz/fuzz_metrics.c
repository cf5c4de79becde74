/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes, after one for the step, as the metrics.jsonl of a run that continues: what stays is a
 * prefix that ends with a line, the next line goes behind it, and continuing once more from the
 * same step gives the same file. */
#include "fuzz/fuzz.h"
#include "track/track.h"

/* Continues after the step and reads what is left; with the line of the next step if `line`. */
static bool go_on(uint64_t step, bool line, struct buf *b)
{
    struct err e = {0};
    const char *path = fuzz_path("metrics.jsonl");
    const struct track_options o = {.metrics = path, .resume = true, .from = step};
    const struct track_value v = {.name = "sft_train/loss", .value = 0.5};
    struct track *t = track_open(&o, &e);
    if (!t) return need_refusal(&e), false;
    need(!line || track_put(t, step + 1, &v, 1, true, &e) == 0);
    need(track_close(t, &e) == 0);
    fuzz_get(path, b);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct buf first, second;
    char line[100];
    if (size == 0) return 0;
    const uint64_t step = data[0];
    const int n =
        snprintf(line, sizeof line, "{\"system/step\":%d,\"sft_train/loss\":0.5}\n", data[0] + 1);
    fuzz_put(fuzz_path("metrics.jsonl"), data + 1, size - 1);
    if (!go_on(step, true, &first)) return 0;
    const size_t kept = first.len - (size_t)n;
    need(first.len >= (size_t)n && memcmp(first.data + kept, line, (size_t)n) == 0);
    need(kept < size && (kept == 0 || memcmp(first.data, data + 1, kept) == 0));
    need(kept == 0 || first.data[kept - 1] == '\n');
    need(go_on(step, false, &second));
    need(second.len == kept && (kept == 0 || memcmp(second.data, first.data, kept) == 0));
    return 0;
}
