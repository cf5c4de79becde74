#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Templates of strangers: an operation is applied 10 000 times to a list of 20 000 or a text of
# 400 kB. One that takes time for all of it counts its steps, so that the template is refused. The
# unit test jinja_bounds has every filter, test and method.
source "$(dirname "$0")/../cli.sh"
root=$PWD
cd "$T" || exit 70
m=$root/share/tiny-tokenizer
echo '{"instruction": "x", "output": "y"}' >row.jsonl
sft-tokenize -q -m "$m" row.jsonl -o turns
head='{%- set n = range(20000)|list %}{% set s = "ab" * 200000 %}{% set t = " " * 400000 %}'
# render EXPRESSION: renders it in a loop; prints "counted", "at once", "refused" or "endless"
render() {
    local rc=0
    printf '%s{%% for i in range(10000) %%}{%% set x = %s %%}{%% endfor %%}\n{{ "z" }}' \
        "$head" "$1" >t.jinja
    timeout 60 sft-template -q -@ 1 -m "$m" -t t.jinja turns >out 2>err || rc=$?
    if [ $rc -eq 124 ]; then echo endless
    elif grep -q 'more than 10000000 steps\|bytes of memory' err; then echo counted
    elif grep -q 'line [0-9]*:' err; then echo refused
    else echo 'at once'; fi
}
equal 'template: the sum of a list is counted' "$(render 'n|sum')" counted
equal 'template: a filter on each of a list is counted' "$(render 'n|map("string")|list')" counted
equal 'template: a text is indented, counted' "$(render 's|indent')" counted
equal 'template: a text is truncated, counted' "$(render 's|truncate(5)')" counted
equal 'template: the greatest of a list is counted' "$(render 'n|max')" counted
equal 'template: the last of a list is taken at once' "$(render 'n|last')" 'at once'
equal 'template: a list is joined to a list, counted' "$(render 'n + [i]')" counted
equal 'template: a search in a text is counted' "$(render '"q" in s')" counted
equal 'template: a search in a list is counted' "$(render '"q" in n')" counted
equal 'template: white space is stripped, counted' "$(render 't|trim')" counted
equal 'template: a set of characters is stripped, counted' \
    "$(render 't.strip("q" * 1000 ~ " ")')" counted
equal 'template: a long end is searched backwards, counted' \
    "$(render 's.rfind("b" ~ "ab" * 400000)')" counted
equal 'template: a long key is looked up, counted' "$(render '{s: 1}[s]')" counted
equal 'template: a text of blanks is no number, counted' "$(render 't|int')" counted
equal 'template: a long argument is formatted, counted' \
    "$(render '"{q}".format(**{"q": s})|length')" counted
names=$(printf '{%% set v%d = 1 %%}' $(seq 3000))
head+=$names
equal 'template: names are found in a scope of 3000, counted' \
    "$(render '[v2990, v2991, v2992, v2993, v2994, v2995, v2996, v2997, v2998, v2999]')" counted
exit $bad
