/* SPDX-License-Identifier: Apache-2.0 */
/* The option table: parsing, what wrong command lines are told, and the texts made from it. */
#include "base/opt.h"

#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "test.h"

static struct {
    bool dry;
    const char *out;
    int64_t length;
    uint64_t size;
    double rate;
    int mode, level;
    bool secret;
} v;
static const struct opt opts[] = {
    {'o', "output", OPT_STR, &v.out, "FILE", "write to FILE", 0, 0, false},
    {'l', "length", OPT_INT, &v.length, "N", "tokens in a row", 1, 1000000, false},
    {0, "size", OPT_SIZE, &v.size, "BYTES", "memory to use", 0, 0, false},
    {0, "rate", OPT_REAL, &v.rate, "R", "a rate", 0, 0, false},
    {0, "mode", OPT_ENUM, &v.mode, "batch|dense|none",
     "how samples are put into rows, with a text that is so long that it must be broken", 0, 0,
     false},
    {'n', "dry-run", OPT_FLAG, &v.dry, NULL, "don't write; it's [only: shown]", 0, 0, false},
    {'x', "level", OPT_COUNT, &v.level, NULL, "more of it", 0, 0, false},
    {0, "secret", OPT_FLAG, &v.secret, NULL, "hidden", 0, 0, true},
    {0, NULL, OPT_FLAG, NULL, NULL, NULL, 0, 0, false},
};
static const struct opt_cmd cmd = {.name = "sft-pack",
                                   .synopsis = "[options] [FILE...]",
                                   .about = "Packs samples into rows.",
                                   .opts = opts,
                                   .examples = "  sft-pack -l 2048 a.sfts > b.sfts\n"};
static struct opt_common common;
static char *argv[16];
static int nargs;
static struct err e;

/* Parses the words of a line; what opt_parse returned. */
static int parse(const char *line)
{
    static char words[400];
    int argc = 1;
    memset(&v, 0, sizeof v);
    memset(&common, 0, sizeof common);
    memset(&e, 0, sizeof e);
    snprintf(words, sizeof words, "%s", line);
    argv[0] = (char *)"sft-pack";
    for (char *w = words; *w && argc < 15;) {
        argv[argc++] = w;
        w += strcspn(w, " ");
        if (*w) *w++ = 0;
    }
    argv[argc] = NULL;
    return opt_parse(&cmd, &common, argc, argv, &nargs, &e);
}

static bool refuses(const char *line, const char *says)
{
    bool ok = parse(line) == -1 && e.code == ERR_USAGE && strstr(e.msg, says);
    if (!ok) printf("# %s: %s\n", line, e.msg);
    return ok;
}

static void test_parse(void)
{
    CHECK("options: an empty command line has no operand",
          parse("") == 0 && nargs == 0 && argv[1] == NULL);
    CHECK("options: operands and options mixed",
          parse("a -o x b --length 5 - --mode=none c") == 0 && nargs == 4 &&
              !strcmp(argv[1], "a") && !strcmp(argv[2], "b") && !strcmp(argv[3], "-") &&
              !strcmp(argv[4], "c") && !argv[5] && !strcmp(v.out, "x") && v.length == 5 &&
              v.mode == 2);
    CHECK("options: bundled letters",
          parse("-nxxofile") == 0 && v.dry && v.level == 2 && !strcmp(v.out, "file"));
    CHECK("options: -- ends options",
          parse("-n -- -l --mode") == 0 && nargs == 2 && !strcmp(argv[2], "--mode"));
    CHECK("options: the last one counts", parse("-l3 -l 4") == 0 && v.length == 4);
    CHECK("options: --no- takes a flag back", parse("-n --no-dry-run") == 0 && !v.dry);
    CHECK("options: a value may look like an option",
          parse("-o -n") == 0 && !strcmp(v.out, "-n") && !v.dry);
    CHECK("options: an empty value is taken", parse("--output=") == 0 && v.out && !*v.out);
    CHECK("options: a hidden option works", parse("--secret") == 0 && v.secret);
    CHECK("options: a real number is read", parse("--rate 1e-5") == 0 && v.rate == 1e-5);
    CHECK("options: the common options are read",
          parse("-@ 3 -q -vv") == 0 && common.threads == 3 && common.quiet && common.verbose == 2);
    CHECK("options: -q and -v set the level of messages",
          log_level() == LOG_ERROR && parse("-v") == 0 && log_level() == LOG_DEBUG &&
              parse("") == 0 && log_level() == LOG_INFO);
    static const struct {
        const char *text;
        uint64_t size;
    } sizes[] = {{"--size=0", 0},           {"--size=12", 12},         {"--size=2K", 2000},
                 {"--size=64Mi", 64 << 20}, {"--size=3G", 3000000000}, {"--size=1Ti", 1ull << 40},
                 {"--size=1ki", 1024}};
    bool all = true;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        all &= parse(sizes[i].text) == 0 && v.size == sizes[i].size;
    CHECK("options: sizes take the suffixes of powers of 1024", all);
}

static void test_refusals(void)
{
    CHECK("options refused: unknown option", refuses("--lenght=5", "did you mean --length?"));
    CHECK("options refused: an unknown option far from all", refuses("--zebra", "sft-pack --help"));
    CHECK("options refused: a hidden one is not suggested", refuses("--secre", "sft-pack --help"));
    CHECK("options refused: no abbreviations", refuses("--len 5", "unknown option --len"));
    CHECK("options refused: unknown letter", refuses("-z", "unknown option -z"));
    CHECK("options refused: missing value", refuses("--length", "--length needs a value (N)"));
    CHECK("options refused: missing value of a letter", refuses("-nl", "-l needs a value (N)"));
    CHECK("options refused: value not taken", refuses("--dry-run=yes", "takes no value"));
    CHECK("options refused: --no- of a value", refuses("--no-length", "unknown option"));
    CHECK("options refused: --no-help", refuses("--no-help", "unknown option"));
    CHECK("options refused: a value that is no number",
          refuses("-l 5x", "'5x' is not a whole number"));
    CHECK("options refused: out of range", refuses("-l 0", "not between 1 and 1000000"));
    CHECK("options refused: too many threads", refuses("-@ 5000", "between 0 and 4096"));
    CHECK("options refused: a value that is none of the words",
          refuses("--mode=best", "not one of batch|dense|none"));
    CHECK("options refused: part of a word", refuses("--mode=bat", "not one of"));
    CHECK("options refused: empty word", refuses("--mode=", "not one of"));
    CHECK("options refused: nan for a real number", refuses("--rate=nan", "not a number"));
    static const char *const sizes[] = {"--size=",
                                        "--size=K",
                                        "--size=-1",
                                        "--size=1X",
                                        "--size=1Kib",
                                        "--size=20000000Ti",
                                        "--size=99999999999999999999",
                                        "--size=1i"};
    bool all = true;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        all &= refuses(sizes[i], "is not a size");
    CHECK("options refused: values that are no sizes", all);
}

/* The text that parsing this line prints on standard output. */
static bool printed(const char *line, struct buf *b)
{
    char path[300];
    const char *tmp = getenv("TEST_TMP");
    int status = 1;
    snprintf(path, sizeof path, "%s/base_opt.%ld", tmp ? tmp : "/tmp", (long)getpid());
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        if (!freopen(path, "w", stdout)) _exit(9);
        _exit(parse(line) == 1 ? 0 : 1);
    }
    waitpid(pid, &status, 0);
    buf_reset(b);
    bool ok = status == 0 && io_slurp(path, 1 << 20, b, &e) == 0;
    remove(path);
    return ok;
}

static bool has(const struct buf *b, const char *text) { return strstr(b->data, text) != NULL; }

static void test_texts(void)
{
    struct buf b = {0};
    CHECK("option texts: --help is printed, and not after a bad option",
          printed("--nonsense -h", &b) == false && printed("-h", &b));
    CHECK("option texts: help begins with the usage line",
          has(&b, "usage: sft-pack [options] [FILE...]\nPacks samples into rows.\n\nOptions:\n"));
    CHECK("option texts: help has columns",
          has(&b, "\n  -o, --output FILE            write to FILE\n") &&
              has(&b, "\n      --size BYTES             memory to use\n") &&
              has(&b, "\n      --mode batch|dense|none  how samples"));
    CHECK("option texts: common options in help",
          has(&b, "-@, --threads N") && has(&b, "-V, --version"));
    CHECK("option texts: help leaves a hidden option out", !has(&b, "secret"));
    CHECK("option texts: help ends with examples", has(&b, "\nExamples:\n  sft-pack -l 2048"));
    bool fits = true;
    for (char *p = b.data, *q; *p; p = q + 1) {
        q = strchr(p, '\n');
        fits &= q && q - p <= 80;
        if (!q) break;
    }
    CHECK("option texts: help has lines of at most 80 columns", fits);
    CHECK("option texts: -V prints the version",
          printed("-V", &b) && !strcmp(b.data, "sft-pack 0.1.0\n"));
    CHECK("option texts: --help works after options",
          printed("-n -l 5 --help --bad", &b) && has(&b, "usage:"));
    CHECK("option texts: the manual page has the options",
          printed("--help-man", &b) && has(&b, "sft\\-pack \\- packs samples into rows\n") &&
              has(&b, "\\fB\\-l\\fR, \\fB\\-\\-length\\fR \\fIN\\fR\ntokens in a row\n") &&
              has(&b, "don\\(aqt write"));
    CHECK("option texts: the completion for bash is printed",
          printed("--help-complete=bash", &b) &&
              has(&b, "complete -o filenames -F _sft_pack sft-pack") && has(&b, "--mode)\n") &&
              has(&b, "batch dense none"));
    CHECK("option texts: the completion for zsh is printed",
          printed("--help-complete=zsh", &b) && has(&b, "#compdef sft-pack") &&
              has(&b, "don'\\''t write; it'\\''s \\[only\\: shown\\]"));
    CHECK("option texts: the completion for fish is printed",
          printed("--help-complete=fish", &b) &&
              has(&b, "complete -c sft-pack -s l -l length -x -d"));
    CHECK("option texts: a completion for another shell is refused",
          refuses("--help-complete=csh", "not one of bash|zsh|fish"));
    buf_free(&b);
}

static void test_numbers(void)
{
    static const char *const bad[] = {"", " 1", "1 ", "+1", "0x10", "1.5", "-", "--1", "a"};
    int64_t i;
    uint64_t u;
    double d;
    bool all = true;
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++)
        all &= num_i64(bad[k], &i) < 0 && num_u64(bad[k], &u) < 0;
    CHECK("numbers: text that is no whole number is refused", all);
    CHECK("numbers: the bounds of int64 are kept", num_i64("-9223372036854775808", &i) == 0 &&
                                                       i == INT64_MIN &&
                                                       num_i64("9223372036854775808", &i) < 0);
    CHECK("numbers: the bounds of uint64 are kept",
          num_u64("18446744073709551615", &u) == 0 && u == UINT64_MAX &&
              num_u64("18446744073709551616", &u) < 0 && num_u64("-1", &u) < 0);
    static const char *const reals[] = {"",      ".",   "inf", "nan", "1e999",
                                        "0x1p3", "1,5", " 1",  "-",   "-0x1"};
    all = true;
    for (size_t k = 0; k < sizeof reals / sizeof *reals; k++) all &= num_f64(reals[k], &d) < 0;
    CHECK("numbers: text that is no real number is refused", all);
    CHECK("numbers: all forms of real numbers are read", num_f64("-.5", &d) == 0 && d == -0.5 &&
                                                             num_f64("1e-400", &d) == 0 && d == 0 &&
                                                             num_f64("3.", &d) == 0 && d == 3);
}

static bool text_is(double x, bool single, const char *text)
{
    char got[NUM_TEXT];
    num_text(x, single, got);
    return !strcmp(got, text);
}

static void test_number_texts(void)
{
    CHECK("number texts: as few digits as read back",
          text_is(0.1, false, "0.1") && text_is(2, false, "2") &&
              text_is(1.0 / 3, false, "0.3333333333333333") &&
              text_is(-2.5e-300, false, "-2.5e-300") && text_is(5e-324, false, "5e-324"));
    CHECK("number texts: those of a float",
          text_is((double)0.1F, true, "0.1") && text_is(1e-5, true, "1e-05"));
    CHECK("number texts: whole numbers in full",
          text_is(100000, false, "100000") && text_is(1e15, false, "1e+15"));
    CHECK("number texts: what is not finite is null", text_is(NAN, false, "null") &&
                                                          text_is(INFINITY, false, "null") &&
                                                          text_is(-INFINITY, true, "null"));
}

static void test_rest(void)
{
    static const char *const words[] = {"learning_rate", "max_steps", "seed", "lr", NULL};
    const char *w = opt_nearest("learnign_rate", words);
    CHECK("nearest word: two letters swapped", w && !strcmp(w, "learning_rate"));
    w = opt_nearest("max_step", words);
    CHECK("nearest word: a letter is missing", w && !strcmp(w, "max_steps"));
    CHECK("nearest word: there is none for a word far from all",
          !opt_nearest("temperature", words) && !opt_nearest("xy", words));
    CHECK("threads: the number asked for is taken", opt_threads(3) == 3);
    cpu_set_t all, one;
    sched_getaffinity(0, sizeof all, &all);
    int most = opt_threads(0), first = 0;
    CHECK("threads: by default those of the machine", most >= 1 && most <= CPU_COUNT(&all));
    CPU_ZERO(&one);
    while (!CPU_ISSET(first, &all)) first++;
    CPU_SET(first, &one);
    sched_setaffinity(0, sizeof one, &one);
    CHECK("threads: the affinity counts", opt_threads(0) == 1);
    sched_setaffinity(0, sizeof all, &all);
}

int main(void)
{
    test_parse();
    test_refusals();
    test_texts();
    test_numbers();
    test_number_texts();
    test_rest();
    TEST_END();
}
