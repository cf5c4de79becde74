#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The commands at the start of README.md run as they are written and print what stands there.
source "$(dirname "$0")/../cli.sh"
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$T" || exit 70
sed -n '/^## A start/,/^## What/s/^    //p' "$root/README.md" >start
grep '^\$ ' start | cut -c3- >commands
check 'start: it has commands, seven at most' \
    awk 'END { exit NR < 4 || NR > 7 }' commands
equal 'start: the first command makes the model and sets the path' "$(head -n 1 commands)" \
    "make demo && export PATH=\$PWD/build/bin:\$PATH"

demo_folder "$root"
ln -s "$root/run_sft_pipeline.sh" .

# ---- the commands behind the first, in one shell ----
{
    echo "export PATH=\$PWD/build/bin:\$PATH"
    tail -n +2 commands | while IFS= read -r line; do
        printf '%s || exit\n' "$line"
    done
} >script
check 'start: the commands succeed as they are written' bash -c 'bash script >out 2>&1'
equal 'start: the merged model is a whole one' "$(ls build/lora/merged/model.safetensors)" \
    build/lora/merged/model.safetensors
head -n 1 examples/data/messages.jsonl >row
check 'start: the row that stands there is the first of the file' grep -qxFf row start
equal 'start: all rows are lists of messages' "$(jq -c keys "$(readlink -f examples)/data/\
messages.jsonl" | sort -u)" '["messages"]'

# numbers FILE: the file with N in place of every number
numbers() { sed -E 's/[0-9]+([.e+-]+[0-9]+)*/N/g' "$1"; }
if [ -n "$real" ]; then
    grep -v '^\$\|^\.\.\.$' start | numbers /dev/stdin | sort -u >wanted
    equal 'start: each line of output that stands there was printed, but for numbers' \
        "$(numbers out | sort -u | comm -13 - wanted)" ''
    answer=$(sed -n '/^\$ sft-eval/{n;p;}' start)
    check 'start: the answer that stands there is given' grep -qxF "$answer" out
    equal 'start: the answer is one of the rows' "$(jq -r '.messages[1].content' \
        examples/data/messages.jsonl | grep -cxF "$answer")" 4
    equal 'start: the question is none of the rows' "$(grep -cF "$(sed -n \
        "s/^sft-eval.*--prompt '\(.*\)'$/\1/p" commands)" examples/data/messages.jsonl)" 0
else
    skip 'start: the answer that stands there is given' 'no model; make demo downloads it'
fi
exit $bad
