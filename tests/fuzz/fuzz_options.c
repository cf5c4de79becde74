/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments, each ended by a NUL byte, as a command line with an option of each kind, and as the
 * names of roles: values are in their range, and nothing but arguments becomes a value. */
#include <fcntl.h>
#include <math.h>

#include "base/opt.h"
#include "fuzz/fuzz.h"
#include "rows/rows.h"

enum { MOST = 200 };

struct values {
    bool flag;
    const char *text;
    int64_t whole, any;
    uint64_t size;
    double real;
    int word, count;
    struct opt_list list;
};

static bool among(const char *s, char *const *args, int n)
{
    for (int i = 0; i < n; i++)
        if (s >= args[i] && s <= args[i] + strlen(args[i])) return true;
    return false;
}

static void check(const struct values *v, const struct opt_common *c, char *const *args, int n)
{
    need(v->whole >= -3 && v->whole <= 7 && v->word >= 0 && v->word < 3 && v->count >= 0);
    need(!isnan(v->real) && c->threads >= 0 && c->threads <= 4096);
    need(!v->text || among(v->text, args, n));
    need(v->list.n >= 0 && v->list.n <= OPT_LIST_MAX);
    for (int i = 0; i < v->list.n; i++) need(among(v->list.v[i], args, n));
}

static void parse(int argc, char **argv)
{
    struct values v = {0};
    struct opt_common common = {0};
    const struct opt opts[] = {
        {'f', "flag", OPT_FLAG, &v.flag, NULL, "h", 0, 0, false},
        {'s', "text", OPT_STR, &v.text, "TEXT", "h", 0, 0, false},
        {'i', "whole", OPT_INT, &v.whole, "N", "h", -3, 7, false},
        {0, "any", OPT_INT, &v.any, NULL, "h", 0, 0, false},
        {'z', "size", OPT_SIZE, &v.size, NULL, "h", 0, 0, false},
        {'r', "real", OPT_REAL, &v.real, NULL, "h", 0, 0, false},
        {'e', "word", OPT_ENUM, &v.word, "a|bc|d", "h", 0, 0, false},
        {'c', "count", OPT_COUNT, &v.count, NULL, "h", 0, 0, false},
        {'l', "list", OPT_LIST, &v.list, NULL, "h", 0, 0, false},
        {0, "hidden", OPT_FLAG, &v.flag, NULL, "h", 0, 0, true},
        {0},
    };
    const struct opt_cmd cmd = {
        .name = "sft-fuzz", .synopsis = "[options]", .about = "Fuzzes.", .opts = opts};
    char *args[MOST + 2];
    struct err e = {0};
    int n = -1;
    memcpy(args, argv, ((size_t)argc + 1) * sizeof *args);
    const int rc = opt_parse(&cmd, &common, argc, argv, &n, &e);
    if (rc < 0) return need(e.code == ERR_USAGE), need_refusal(&e);
    need(rc <= 1 && n >= 0 && n < argc);
    check(&v, &common, args, argc);
    for (int i = 1; rc == 0 && i <= n; i++) need(among(argv[i], args, argc));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int quiet = -1;
    char *argv[MOST + 2] = {(char *)(uintptr_t) "sft-fuzz"};
    int argc = 1;
    struct row_tags tags = {0};
    struct err e = {0};
    if (quiet < 0) need((quiet = open("/dev/null", O_WRONLY)) >= 0 && dup2(quiet, 1) == 1);
    char *text = malloc(size + 1);
    need(text != NULL);
    memcpy(text, data, size);
    text[size] = 0;
    for (size_t at = 0; at < size && argc <= MOST; at += strlen(text + at) + 1)
        argv[argc++] = text + at;
    if (argc > 1 && row_tags_parse(argv[1], &tags, &e)) need_refusal(&e);
    row_tags_free(&tags);
    parse(argc, argv);
    free(text);
    return 0;
}
