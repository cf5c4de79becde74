/* SPDX-License-Identifier: Apache-2.0 */
/* The logs of a run as sft-report reads them, one after the other with a NUL byte between them:
 * metrics.jsonl, samples.jsonl, config.yaml, and the output of sft-eval --per-sample. They are
 * refused, or become a page in which no text is markup, and a text without control characters. */
#include "../../cmd/sft-report/report.h"

#include <ctype.h>

#include "base/log.h"
#include "fuzz/fuzz.h"

enum { FILES = 4, NEEDED = 1, LOSSES = 3 };
static const char *const names[FILES] = {"metrics.jsonl", "samples.jsonl", "config.yaml",
                                         "losses.jsonl"};

/* Tags are those of the page, which has no script, and none is within another. */
static void check_page(const struct buf *b)
{
    bool inside = false;
    for (const char *p = b->data; p < b->data + b->len; p++) {
        need(*p == '\n' || (unsigned char)*p >= 0x20);
        if (*p == '<') {
            need(!inside && (isalpha((unsigned char)p[1]) || p[1] == '/' || p[1] == '!'));
            need(strncasecmp(p + 1, "script", 6) != 0 && strncasecmp(p + 1, "img", 3) != 0);
            inside = true;
        }
        if (*p == '>') inside = false;
    }
    need(!inside && b->len > 8 && memcmp(b->data + b->len - 8, "</html>\n", 8) == 0);
}

static void check_text(const struct buf *b)
{
    for (size_t i = 0; i < b->len; i++)
        need(b->data[i] == '\n' || ((unsigned char)b->data[i] >= 0x20 && b->data[i] != 0x7f));
}

static void report(const struct run *r, const struct worst *w)
{
    struct err e = {0};
    struct buf page = {0}, text = {0};
    need(page_report(&page, r, 1, w, &e) == 0);
    check_page(&page);
    text_report(&text, r, 1);
    words_answers(&text, r);
    words_worst(&text, w);
    check_text(&text);
    buf_free(&page);
    buf_free(&text);
}

static void try_run(bool losses)
{
    struct err e = {0};
    struct run r;
    struct worst w = {.name = losses ? "losses.jsonl" : NULL};
    const struct opt_list none = {.n = 0};
    if (run_open(&r, fuzz_folder(), &e))
        need_refusal(&e);
    else if (losses && worst_read(&w, fuzz_path(names[LOSSES]), &none, &e))
        need_refusal(&e);
    else
        report(&r, &w);
    arena_free(&w.memory);
    run_close(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool losses = false;
    log_init("fuzz", LOG_ERROR);
    for (int i = 0; i < FILES; i++) {
        const struct str part = fuzz_part(&data, &size);
        if (part.n || i < NEEDED)
            fuzz_put(fuzz_path(names[i]), part.p, part.n);
        else
            unlink(fuzz_path(names[i]));
        losses = i == LOSSES && part.n;
    }
    try_run(losses);
    return 0;
}
