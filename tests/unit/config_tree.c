/* SPDX-License-Identifier: Apache-2.0 */
/* YAML as OmegaConf reads it: scalars, anchors, merge keys, interpolation, overrides, bounds. */
#include "config_make.h"

/* KEY_ANY values are shown as they were resolved. */
#define ENV(value) "system_envs: {v: " value "}\n"
#define V          "system_envs.v"

/* The value that OmegaConf 2.3 makes of each plain scalar, seen through JSON. */
static void test_scalars(void)
{
    static const char *const cases[][2] = {
        {"yes", "true"},
        {"Off", "false"},
        {"y", "\"y\""},
        {"1e-5", "1e-05"},
        {"1E5", "100000.0"},
        {"5.0e-6", "5e-06"},
        {".5", "0.5"},
        {"1.", "1.0"},
        {"0x1F", "31"},
        {"010", "8"},
        {"0o10", "\"0o10\""},
        {"1_000", "1000"},
        {"1:30", "90"},
        {"0b11", "3"},
        {"+1", "1"},
        {"_1", "\"_1\""},
        {"08", "\"08\""},
        {"~", "null"},
        {"Null", "null"},
        {"\"1e-5\"", "\"1e-5\""},
        {"'yes'", "\"yes\""},
        {"!!str 5", "\"5\""},
        {"2020-01-01", "\"2020-01-01\""},
        {"-0.25", "-0.25"},
        {"1.5e3", "1500.0"},
        {"1_0.5", "10.5"},
    };
    bool ok = true;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[200], wanted[100];
        snprintf(text, sizeof text, "system_envs: [{v: %s}]\n", cases[i][0]);
        snprintf(wanted, sizeof wanted, "{\"v\":%s}\n", cases[i][1]);
        ok &= EXPECT(cases[i][0], gives(text, "system_envs", wanted));
    }
    CHECK("YAML: scalars are read as OmegaConf does", ok);
}

static void test_anchors(void)
{
    CHECK("YAML anchors: an alias has the value", gives("seed: &s 7\n" ENV("*s"), V, "7\n"));
    CHECK("YAML anchors: an override of a copy leaves the original",
          gives("system_envs: {a: &a {x: 1}, b: *a}\n", "system_envs.b.x", "1\n"));
    CHECK("YAML anchors: a merge key adds what is absent",
          gives("system_envs: {a: &a {x: 1, y: 2}, b: {<<: *a, y: 3}}\n", "system_envs.b",
                "y: 3\nx: 1\n"));
    CHECK("YAML anchors: the first of a merge list wins",
          gives("system_envs: {a: &a {x: 1}, b: &b {x: 2, z: 4}, c: {<<: [*a, *b]}}\n",
                "system_envs.c", "x: 1\nz: 4\n"));
    CHECK("YAML anchors: an alias without an anchor is refused",
          refused(ENV("*nope"), "there is no &nope"));
    CHECK("YAML anchors: an alias inside its anchor is refused",
          refused("system_envs: &a {v: *a}\n", "contains it"));
    CHECK("YAML anchors: a merge of a scalar is refused",
          refused("system_envs: {<<: 3}\n", "only mappings"));
    char laughs[4000] = "hydra:\n  a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n";
    for (int i = 1; i < 12; i++) {
        char line[200];
        snprintf(line, sizeof line, "  a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i, i,
                 i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
        strncat(laughs, line, sizeof laughs - strlen(laughs) - 1);
    }
    CHECK("YAML anchors: a billion laughs are refused", refused(laughs, "more than 20000 values"));
}

static void test_interpolation(void)
{
    setenv("SFT_TEST_ENV", "4", 1);
    unsetenv("SFT_TEST_NONE");
    CHECK("interpolation: a whole value keeps its type",
          gives("save_steps: ${seed}\nseed: 7\n", "save_steps", "7\n"));
    CHECK("interpolation: a reference inside a string is put in",
          gives("exp_name: a${seed}b\nseed: 7\n", "exp_name", "a7b\n"));
    CHECK("interpolation: a path of keys is followed",
          gives("exp_name: ${sft_train.infer_batch_size}\nsft_train: {infer_batch_size: 3}\n",
                "exp_name", "3\n"));
    CHECK("interpolation: a mapping is copied",
          gives("system_envs: {a: {x: 1}, b: '${system_envs.a}'}\n", "system_envs.b.x", "1\n"));
    CHECK("interpolation: a sibling is found",
          gives("system_envs: {a: 5, v: '${.a}'}\n", V, "5\n"));
    CHECK("interpolation: a parent's sibling is found",
          gives("seed: 9\n" ENV("'${..seed}'"), V, "9\n"));
    CHECK("interpolation: an item of a list is found",
          gives("system_envs: {l: [5, 6], v: '${.l[1]}', w: '${system_envs.l.0}'}\n", V, "6\n"));
    CHECK("interpolation: a reference within a reference is resolved first",
          gives("exp_name: seed\n"
                "seed: 3\n" ENV("'${${exp_name}}'"),
                V, "3\n"));
    CHECK("interpolation: a variable of the environment is read",
          gives("save_steps: ${oc.env:SFT_TEST_ENV}\n", "save_steps", "4\n"));
    CHECK("interpolation: an unset variable has its default",
          gives("save_steps: ${oc.env:SFT_TEST_NONE,12}\n", "save_steps", "12\n"));
    CHECK("interpolation: a default may refer",
          gives("seed: 8\nsave_steps: ${oc.env:SFT_TEST_NONE,${seed}}\n", "save_steps", "8\n"));
    CHECK("interpolation: an escaped reference is text",
          gives("exp_name: 'a\\${seed}'\n", "exp_name", "a${seed}\n"));
    CHECK("interpolation: an escaped backslash is one",
          gives("exp_name: '\\\\${seed}'\nseed: 1\n", "exp_name", "\\1\n"));
    CHECK("interpolation: an unset variable is refused",
          refused("exp_name: ${oc.env:SFT_TEST_NONE}\n", "is not set"));
    CHECK("interpolation: an unknown resolver is refused",
          refused("exp_name: ${now:%Y}\n", "only ${key}"));
    CHECK("interpolation: inside hydra nothing is resolved",
          gives("hydra: {run: {dir: '${now:%Y}'}}\n", "seed", "42\n"));
    CHECK("interpolation: a missing key is refused", refused("exp_name: ${nope}\n", ":3: ${nope}"));
    CHECK("interpolation: a cycle is refused",
          refused("exp_name: ${output_dir}\noutput_dir: ${exp_name}\n", "refers to itself"));
    CHECK("interpolation: a cycle through a mapping is refused",
          refused("system_envs: {v: '${system_envs}'}\n", "itself"));
    CHECK("interpolation: an unclosed reference is refused",
          refused("exp_name: ${seed\n", "without }"));
    char deep[6000] = "hydra: 1\nsystem_envs:\n  a0: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n";
    for (int i = 1; i < 40; i++) {
        char line[100];
        snprintf(line, sizeof line, "  a%d: '${.a%d}${.a%d}'\n", i, i - 1, i - 1);
        strncat(deep, line, sizeof deep - strlen(deep) - 1);
    }
    CHECK("interpolation: strings that double without end are refused",
          refused(deep, "longer than 65536"));
}

static void test_documents(void)
{
    CHECK("YAML documents: duplicate key names both lines",
          refused("seed: 1\nseed: 2\n", ":4: the key 'seed' is already set on line 3"));
    CHECK("YAML documents: a second document is refused",
          refused("---\nseed: 1\n", "a second document"));
    CHECK("YAML documents: text that is not YAML is refused", refused("seed: [1\n", "not YAML"));
    CHECK("YAML documents: a foreign tag is refused",
          refused("exp_name: !!python/object:os.system x\n", "is not supported"));
    CHECK("YAML documents: a NUL byte is refused", refused("exp_name: \"a\\0b\"\n", "NUL"));
    char deep[200] = "hydra: ";
    for (int i = 0; i < 40; i++) strcat(deep, "[");
    CHECK("YAML documents: too deep a nesting is refused", refused(deep, "deeper than 32"));
    struct made m = make_config("", NULL, NULL);
    CHECK("YAML documents: an empty file is refused",
          m.rc == -1 && m.e.code == ERR_CONFIG && strstr(m.e.msg, "empty"));
    m = make_config("- 1\n", NULL, NULL);
    CHECK("YAML documents: a list is refused", m.rc == -1 && strstr(m.e.msg, "mapping of keys"));
}

static bool override_gives(const char *one, const char *two, const char *key, const char *wanted)
{
    struct made m = make_config(BASE "tracker_kwargs: {log_dir: a, tags: [x]}\n", one, two);
    struct buf b = {0};
    bool ok = !m.rc && !config_get(m.c, key, '\n', &b, &m.e) && b.data && !strcmp(b.data, wanted);
    if (!ok) printf("# %s: got '%s' %s\n", one, b.data ? b.data : "", m.e.msg);
    buf_free(&b);
    if (!m.rc) config_free(m.c);
    return ok;
}

static void test_overrides(void)
{
    CHECK("overrides: a path that the file lacks is added",
          override_gives("sft_train.training_args.learning_rate=1e-5", NULL,
                         "sft_train.training_args.learning_rate", "1e-05\n"));
    CHECK("overrides: the last one wins", override_gives("seed=1", "seed=2", "seed", "2\n"));
    CHECK("overrides: a flow list is taken",
          override_gives("sft_train.device_mapping=[3]", NULL, "sft_train.device_mapping", "3\n"));
    CHECK("overrides: a mapping is merged",
          override_gives("tracker_kwargs={log_dir: b}", NULL, "tracker_kwargs.tags", "x\n"));
    CHECK("overrides: an = in the value is text",
          override_gives("exp_name=a=b", NULL, "exp_name", "a=b\n"));
    CHECK("overrides: null takes a value back",
          override_gives("tracker_kwargs.log_dir=null", NULL, "tracker_kwargs.log_dir", "\n"));
    CHECK("overrides: a reference is resolved",
          override_gives("exp_name=run${seed}", "seed=5", "exp_name", "run5\n"));
    CHECK("overrides: KEY=VALUE is told from a path",
          config_is_override("a.b=1") && !config_is_override("./a=b") && !config_is_override("a") &&
              !config_is_override("=1") && !config_is_override("a..b=1") &&
              config_is_override("a=../..") && !config_is_override("a.=1") &&
              !config_is_override(""));
    struct made m = make_config(BASE, "seed.x=1", NULL);
    CHECK("overrides: a key below an overridden scalar is refused",
          m.rc == -1 && strstr(m.e.msg, "seed"));
    m = make_config(BASE "seed: 3\n", "seed.x=1", NULL);
    CHECK("overrides: a key below a scalar of the file is refused",
          m.rc == -1 && strstr(m.e.msg, "is not a mapping"));
    m = make_config(BASE, "save_steps", NULL);
    CHECK("overrides: a word without = is refused", m.rc == -1 && m.e.code == ERR_USAGE);
}

int main(void)
{
    test_scalars();
    test_anchors();
    test_interpolation();
    test_documents();
    test_overrides();
    TEST_END();
}
