#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The commands of docs/tutorial.md run as they are written, but for those that install and serve.
# With the real model they print what stands there: data commands exactly, others but for numbers.
# `make check-tutorial` runs all of them in a new system.
source "$(dirname "$0")/../cli.sh"
source "$(dirname "$0")/../tutorial.sh"
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$T" || exit 70

demo_folder "$root"
tutorial_commands "$root/docs/tutorial.md"
# outside N: the command installs, serves or asks the server
outside() { grep -qE '^(apt-get|git|make|python3|export|llama-server|curl) ' "$1.sh"; }
check 'tutorial: it gets the project and makes the model' \
    grep -qxF "make demo && export PATH=\$PWD/build/bin:\$PATH M=$demo" ./*.sh
check 'tutorial: the last ones serve the file and ask the server' bash -c "
    grep -q '^llama-server -m tutorial/unix.gguf ' ${numbers[-2]}.sh &&
    grep -q '^curl .*/v1/chat/completions' ${numbers[-1]}.sh"
equal 'tutorial: it has ten commands besides those that install, and a question to the server' \
    "$(cat ./*.sh | grep -cvE '^(apt-get|git|make|python3|export|curl) ')" 10

# run N: runs the command; its output goes to N.out
export PATH=$PWD/build/bin:$PATH M=$demo
run() { bash -o pipefail "$1.sh" >"$1.out" 2>&1; }
for n in "${numbers[@]}"; do
    ! outside "$n" || continue
    [ -e tutorial/sft_config.yaml ] || ! [ -d tutorial ] || cp "$config" tutorial/sft_config.yaml
    check "tutorial: command $n succeeds: $(cut -c1-40 "$n.sh")" run "$n"
    [ -z "$real" ] || tutorial_printed "$n"
done
equal 'tutorial: the file for llama.cpp is one' "$(head -c 4 tutorial/unix.gguf)" GGUF
[ -n "$real" ] || skip 'tutorial: commands print what stands there' \
    'no model; make demo downloads it'
exit $bad
