/* SPDX-License-Identifier: Apache-2.0 */
/* Values that a shell or a user leaves out, home folders in paths, the run's name, and which run
 * wrote a config.yaml. */
#include <pwd.h>

#include "base/io.h"
#include "config_make.h"

/* BASE with one override gives key this value. */
static bool typed(const char *override, const char *key, const char *wanted)
{
    struct made m = make_config(BASE, override, NULL);
    struct buf b = {0};
    bool ok = !m.rc && !config_get(m.c, key, '\n', &b, &m.e) && b.data && !strcmp(b.data, wanted);
    if (!ok) printf("# %s: got '%s' %s\n", override, b.data ? b.data : "", m.e.msg);
    buf_free(&b);
    config_free(m.c);
    return ok;
}

static bool bad_override(const char *override, const char *part)
{
    struct made m = make_config(BASE, override, NULL);
    bool ok =
        m.rc == -1 && m.e.code == ERR_CONFIG && strstr(m.e.msg, part) && strstr(m.e.msg, override);
    if (!ok) printf("# %s: %d '%s'\n", override, m.rc, m.e.msg);
    config_free(m.c);
    return ok;
}

#define RATE "sft_train.training_args.learning_rate"

static void test_missing(void)
{
    CHECK("override: no value is an error", bad_override("seed=", "a value is missing"));
    CHECK("override: blanks are no value", bad_override("seed=  ", "a value is missing"));
    CHECK("override: a comment is no value", bad_override("seed= # 5", "a value is missing"));
    CHECK("override: the message tells how an empty string is typed",
          bad_override("system_key=", "system_key='\"\"'") &&
              bad_override("system_key=", "system_key=null"));
    CHECK("override: no value in a mapping is an error",
          bad_override("sft_train.training_args={learning_rate: }", "a value is missing") &&
              bad_override("sft_train.training_args={learning_rate: , seed: 1}", "is missing") &&
              bad_override("sft_train.training_args=learning_rate:", "a value is missing"));
    CHECK("override: no value after the last comma is an error",
          bad_override("sft_train.data_args.file_name=[a,]", "the last comma") &&
              bad_override("sft_train.training_args={learning_rate: 1, }", "the last comma") &&
              bad_override("sft_train.data_args.file_name=[é, b, ]", "the last comma"));
    CHECK("override: a bracket and a comma in quotes are a string",
          typed("exp_name='a,]'", "exp_name", "a,]\n"));
    CHECK("override: an empty mapping is a value", typed("tracker_kwargs={}", "seed", "42\n"));
    CHECK("override: null is the default",
          typed(RATE "=null", RATE, "5e-05\n") && typed(RATE "=~", RATE, "5e-05\n"));
    CHECK("override: an empty string in quotes is a value",
          typed("prompt_key=x", "prompt_key", "x\n") &&
              typed("system_key=\"\"", "system_key", "\n"));
    CHECK("file: no value is null", gives("seed:\n", "seed", "42\n"));
    setenv("SFT_TEST_EMPTY", "", 1);
    CHECK("environment: an empty variable is an empty string",
          refused("seed: ${oc.env:SFT_TEST_EMPTY}\n", "'' is not an integer") &&
              refused("output_dir: ${oc.env:SFT_TEST_EMPTY}\n", "output_dir: is empty") &&
              gives("system_key: ${oc.env:SFT_TEST_EMPTY}\n", "system_key", "\n"));
}

static void test_home(void)
{
    static const char *const keys[] = {"output_dir",
                                       "logging_dir",
                                       "tracker_kwargs.log_dir",
                                       "pretrain",
                                       "global_template",
                                       "resume_from_checkpoint",
                                       "sft_train.model_args.model_name_or_path",
                                       "sft_train.model_args.adapter_name_or_path",
                                       "sft_train.data_args.template",
                                       "sft_train.data_args.file_name",
                                       "validation.data_args.file_name"};
    setenv("HOME", "/home/of me", 1);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        char override[200], name[200];
        snprintf(override, sizeof override, "%s=~/x", keys[i]);
        snprintf(name, sizeof name, "home: in %s", keys[i]);
        CHECK(name, typed(override, keys[i], "/home/of me/x\n"));
    }
    CHECK("home: ~ alone is the home folder",
          gives("output_dir: '~'\n", "output_dir", "/home/of me\n"));
    CHECK("home: in each item of a list",
          gives("sft_train: {data_args: {file_name: [~/a, b, ./~/c]}}\n", "train_files",
                "/home/of me/a\nb\n./~/c\n"));
    CHECK("home: after references", gives("output_dir: ~/r\nlogging_dir: ${output_dir}/logs\n",
                                          "logging_dir", "/home/of me/r/logs\n"));
    CHECK("home: elsewhere in a path ~ is a letter",
          typed("output_dir=./a~/~b", "output_dir", "./a~/~b\n"));
    CHECK("home: a key that is no path keeps it", typed("exp_name=~x", "exp_name", "~x\n"));
    setenv("HOME", "/", 1);
    CHECK("home: a home folder that is the root", typed("output_dir=~/x", "output_dir", "/x\n"));
    setenv("HOME", "/h//", 1);
    CHECK("home: a slash at the end of HOME is not doubled",
          typed("output_dir=~/x", "output_dir", "/h/x\n"));
    setenv("HOME", "h", 1);
    CHECK("home: a HOME that is not absolute is an error",
          bad_override("output_dir=~/x", "HOME is 'h'"));
    unsetenv("HOME");
    CHECK("home: a HOME that is not set is an error",
          bad_override("output_dir=~/x", "HOME is not set") &&
              refused("logging_dir: ~/x\n", ":3: logging_dir: '~/x': HOME is"));
    const struct passwd *root = getpwuid(0);
    char override[200], wanted[200];
    if (root && *root->pw_dir == '/') {
        snprintf(override, sizeof override, "output_dir=~%s/x", root->pw_name);
        snprintf(wanted, sizeof wanted, "%s/x\n", root->pw_dir);
        CHECK("home: ~USER is that user's", typed(override, "output_dir", wanted));
    } else {
        SKIP("home: ~USER is that user's", "no user 0");
    }
    CHECK("home: an unknown user is an error",
          bad_override("output_dir=~nobody-has-this-name/x", "write ./~nobody-has-this-name"));
}

static void test_name(void)
{
    char long_name[300] = "exp_name: ";
    memset(long_name + 10, 'x', 255);
    strcpy(long_name + 265, "\n");
    CHECK("exp_name: a name of 255 bytes is taken", gives(long_name, "seed", "42\n"));
    strcpy(long_name + 265, "x\n");
    CHECK("exp_name: a longer name is refused",
          refused(long_name, "exp_name: is longer than 255 bytes"));
    CHECK("exp_name: a slash is refused", refused("exp_name: a/b\n", ":3: exp_name: has a /"));
    CHECK("exp_name: a path out of the folder is refused",
          refused("exp_name: ../../x\n", "exp_name: has a /") &&
              refused("exp_name: ..\n", "exp_name: is no name") &&
              refused("exp_name: .\n", "exp_name: is no name"));
    CHECK("exp_name: an empty name is refused", refused("exp_name: ''\n", "exp_name: is empty"));
    CHECK("exp_name: control characters are refused",
          refused("exp_name: \"a\\nb\"\n", "a control character") &&
              refused("exp_name: \"\\x1b[2J\"\n", "a control") &&
              refused("exp_name: \"a\\x85\"\n", "a control"));
    CHECK("exp_name: any other text is taken",
          gives("exp_name: ' -é $x=*?'\n", "exp_name", " -é $x=*?\n"));
    CHECK("exp_name: null is the file's name", gives("exp_name:\n", "seed", "42\n"));
    CHECK("output_dir: an empty path is refused",
          refused("output_dir: ''\n", "output_dir: is empty"));
    CHECK("logging_dir: an empty path is refused",
          refused("logging_dir: ''\n", "logging_dir: is empty"));
}

static void test_null(void)
{
    struct made m = make_config(BASE "exp_name: x\nsft_train: {data_args: {file_name: "
                                     "[\"a\\nb\", c]}}\n",
                                NULL, NULL);
    struct buf b = {0};
    static const char wanted[] = "a\nb\0c\0x\0\0"
                                 "42";
    bool ok = !m.rc && !config_get(m.c, "train_files", 0, &b, &m.e) &&
              !config_get(m.c, "exp_name", 0, &b, &m.e) &&
              !config_get(m.c, "query_key", 0, &b, &m.e) && !config_get(m.c, "seed", 0, &b, &m.e);
    CHECK("--null: values end with NUL",
          ok && b.len == sizeof wanted && !memcmp(b.data, wanted, b.len));
    buf_reset(&b);
    CHECK("--null: a name with a line break is refused without it",
          config_get(m.c, "train_files", '\n', &b, &m.e) == -1 && strstr(m.e.msg, "--null"));
    buf_free(&b);
    config_free(m.c);
}

static void test_record(void)
{
    char path[] = "/tmp/record-XXXXXX";
    int fd = mkstemp(path);
    if (fd >= 0) close(fd);
    struct made m = make_config(BASE "output_dir: out\n", NULL, NULL), again;
    struct buf b = {0}, resolved = {0};
    struct config_run r = {.id = "1.host.2", .output = "/a \"b\"/${c}", .host = "h"}, back;
    bool ok = !m.rc && !config_write_yaml(m.c, &resolved, &m.e) && !config_run_put(m.c, &r, &m.e) &&
              !config_write_yaml(m.c, &b, &m.e) && !io_put(path, b.data, b.len, &m.e);
    CHECK("record: read as it was written",
          ok && !config_run_read(path, &back, &m.e) && !strcmp(back.id, r.id) &&
              !strcmp(back.output, r.output) && !strcmp(back.host, "h") && !back.logs &&
              !strcmp(back.output_dir, "out"));
    config_run_free(&back);
    again = make_config(b.data, NULL, NULL);
    buf_reset(&b);
    CHECK("record: not part of the configuration that it stands in",
          !again.rc && !config_write_yaml(again.c, &b, &again.e) && !strcmp(b.data, resolved.data));
    io_put(path, "{", 1, &m.e);
    CHECK("record: a file that is no YAML holds none",
          !config_run_read(path, &back, &m.e) && !back.id);
    config_run_free(&back);
    io_put(path, "- sft\n", 6, &m.e);
    CHECK("record: another YAML file holds none",
          !config_run_read(path, &back, &m.e) && !back.output_dir);
    config_run_free(&back);
    buf_free(&b);
    buf_free(&resolved);
    config_free(m.c);
    config_free(again.c);
    unlink(path);
}

int main(void)
{
    test_missing();
    test_home();
    test_name();
    test_null();
    test_record();
    TEST_END();
}
