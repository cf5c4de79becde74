#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The template engine against the installed transformers: the golden files are still what it makes,
and random small templates render the same."""
import contextlib
import io
import json
import os
import pathlib
import random
import subprocess
import sys

import make_label_golden
import make_template_golden as golden
import template_features

ATOMS = list(template_features.VARS) + [
    "nothing", "1", "0", "-2", "2.5", "'a'", "''", "'b,c d'", "none", "true", "false", "[]", "[1, 'x']", "(2,)",
    "{'k': 'v'}", "{}", "range(4)", "users[0]", "nest.x", "lines", "' \\n'", "'%s-%s'", "3 ** 2",
]
BINARY = ["+", "-", "*", "/", "//", "%", "~", "==", "!=", "<", ">=", "and", "or", "in", "not in"]
FILTERS = [
    "upper", "lower", "title", "capitalize", "trim", "length", "first", "last", "list", "string", "int", "float",
    "abs", "round", "round(1)", "join", "join(',')", "sort", "reverse|list", "unique|list", "sum",
    "default('d')", "default('d', true)", "tojson", "tojson(indent=1)", "items|list", "dictsort", "min", "max",
    "replace('a', 'xy')", "indent(2)", "safe", "e", "map('upper')|list", "map('string')|join('.')",
    "select|list", "reject('string')|list", "select('number')|list", "batch(2)|list", "slice(2)|list",
    "map(attribute='name')|list", "selectattr('name')|list", "truncate(4)", "center(9)",
    "tojson(sort_keys=true)", "tojson(separators=('', '='))", "select('in', [1, 'a'])|list",
]
METHODS = [
    "upper()", "strip()", "split()", "split(',')", "split('l', 1)", "rsplit(' ', 1)", "lstrip('H ')", "rstrip()",
    "startswith('a')", "endswith(('e', 'd'))", "find('l')", "count('l')", "replace('l', '')", "title()", "splitlines()",
    "items()", "keys()", "values()", "get('a')", "get('zz', 1)", "append(1)", "partition(',')", "join(words)",
    "removeprefix('He')", "swapcase()", "zz", "name", "a", "isupper()", "format(1, 2)", "rfind('o', 1, 9)",
]
TESTS = [
    "defined", "undefined", "none", "string", "number", "integer", "float", "mapping", "iterable", "sequence",
    "true", "false", "boolean", "odd", "even", "divisibleby 3", "in l", "eq 1", "callable", "not none", "not string",
    "lt 3", "ne 'a'", "lower", "upper", "sameas none", "escaped",
]
SUBSCRIPTS = ["[0]", "[-1]", "['a']", "['items']", "[5]", "[1.5]"]
# Jinja folds constants, and what cannot be sliced is then undefined, not an error: only variables here.
SLICES = ["[1:]", "[:2]", "[::-1]", "[::2]", "[-3:-1]", "[none:1]"]


def expression(rng, depth):
    if depth == 0 or rng.random() < 0.15:
        return rng.choice(ATOMS)
    inner = lambda: expression(rng, depth - 1)
    kind = rng.randrange(9)
    if kind == 0:
        return f"({inner()} {rng.choice(BINARY)} {inner()})"
    if kind in (1, 2):
        return f"({inner()})|{rng.choice(FILTERS)}"
    if kind == 3:
        return f"({inner()}).{rng.choice(METHODS)}"
    if kind == 4:
        return f"(({inner()}) is {rng.choice(TESTS)})"
    if kind == 5:
        if rng.random() < 0.5:
            return rng.choice([v for v in template_features.VARS if v != "none"]) + rng.choice(SLICES)
        return f"({inner()}){rng.choice(SUBSCRIPTS)}"
    if kind == 6:
        return f"({inner()} if {inner()} else {inner()})"
    if kind == 7:
        return rng.choice(["[{}, {}]", "({}, {})", "{{'a': {}, 'b': {}}}", "({} ~ {})"]).format(inner(), inner())
    return rng.choice(["(not {})", "(-{})", "dict(a={})", "namespace(q={}).q", "({})|d('z')"]).format(inner())


BODIES = [
    "{{{{ {0} }}}}", "{{% for x in {0} %}}{{{{ loop.index }}}}{{{{ x }}}},{{% else %}}E{{% endfor %}}",
    "{{% set x = {0} %}}{{% if {1} %}}{{{{ x }}}}{{% else %}}no{{% endif %}}",
    " {{%- for x in {0} if {1} %}}\n  {{{{ x }}}}{{{{ loop.last }}}}\n{{% endfor -%}} z",
    "{{% macro m(a, b={0}) %}}<{{{{ a }}}}|{{{{ b }}}}>{{% endmacro %}}{{{{ m({1}) }}}}",
    "{{% set x %}}{{{{ {0} }}}}{{% endset %}}{{{{ x|length }}}}{{{{ x }}}}",
    "{{% filter upper %}}{{{{ {0} }}}}{{% endfilter %}}", "{{% with x = {0} %}}{{{{ x is defined }}}}{{{{ {1} }}}}{{% endwith %}}",
]


def check(name, ok, why=""):
    print(f"ok {name}" if ok else f"not ok {name}: {why}", flush=True)


def random_templates(seed, n):
    rng = random.Random(seed)
    return [rng.choice(BODIES).format(expression(rng, 3), expression(rng, 2)) for _ in range(n)]


def compare_random(binary, seed, n):
    path = pathlib.Path(os.environ.get("TEST_TMP", "/tmp")) / "random_features.json"
    with open(path, "w") as out:
        golden.features(out, random_templates(seed, n))
    got = subprocess.run([binary, str(path)], capture_output=True, text=True)
    tail = [l for l in got.stdout.splitlines() if l.startswith("#")][-1:]
    if got.returncode:
        sys.stderr.write(got.stdout)
    check(f"{n} random templates render as in transformers ({' '.join(tail)[2:]})", got.returncode == 0,
          got.stdout.splitlines()[:1])


def main():
    shared = pathlib.Path("../shared/data")
    binary = pathlib.Path(os.environ.get("O", "build")) / "test" / "jinja_features"
    if len(sys.argv) > 1:
        return compare_random(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    if binary.exists():
        compare_random(binary, 1, 4000)
    else:
        print("skip random templates: the unit tests are not built")
    if not shared.is_dir():
        return print("skip golden files of templates: no ../shared/data")
    for name, text in golden.files(shared / "templates").items():
        check(f"{name} is what transformers makes", text == (golden.GOLDEN / name).read_text())
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        make_label_golden.make(shared)
    check("labels.tsv is what transformers makes", text.getvalue() == (golden.GOLDEN / "labels.tsv").read_text())


if __name__ == "__main__":
    main()
