#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The commands of docs/tutorial.md run as they are written. With the real model they print what
# stands there: data commands exactly, others but for numbers.
source "$(dirname "$0")/../cli.sh"
root=$(cd "$(dirname "$0")/../.." && pwd)
page=$root/docs/tutorial.md
cd "$T" || exit 70

demo_folder "$root"

# ---- the page: a file N.sh with each command, and N.wanted with what stands behind it ----
sed -n 's/^    //p' "$page" | awk '
    /^\$ / { n++; print substr($0, 3) >(n ".sh"); printf "" >(n ".wanted"); next }
    /^exp_name:/ { n++ } # the configuration, which follows the text of its section
    n { print >(n ".wanted") }'
config=$(grep -l '^exp_name: ' ./*.wanted)
check 'tutorial: the first command makes the model and sets the path' \
    grep -qxF "make demo && export PATH=\$PWD/build/bin:\$PATH M=$demo" 1.sh
check 'tutorial: the last ones serve it' grep -q '^llama-server -m tutorial/unix.gguf ' 12.sh
all=$(ls ./*.sh | wc -l)
equal 'tutorial: ten commands behind make demo, and one without llama-server' "$all" 12

# run N: runs the command; its output goes to N.out
export PATH=$PWD/build/bin:$PATH M=$demo
run() { bash -o pipefail "$1.sh" >"$1.out" 2>&1; }
# numbers FILE: the file with N in place of every number
numbers() { sed -E 's/[0-9]+([.e+-]+[0-9]+)*/N/g' "$1"; }
# printed N FILTER: each line that stands behind the command was printed
printed() {
    grep -vx '\.\.\.' "$1.wanted" >lines
    equal "tutorial: command $1 prints what stands there" \
        "$(comm -23 <("$2" lines | sort -u) <("$2" "$1.out" | sort -u) | head -n 2)" ''
}
for n in $(seq 2 13); do
    [ -e "$n.sh" ] || continue
    ! grep -qE '^(llama-server|cyllama)' "$n.sh" || continue
    [ -e tutorial/sft_config.yaml ] || ! [ -d tutorial ] || cp "$config" tutorial/sft_config.yaml
    check "tutorial: command $n succeeds: $(cut -c1-40 "$n.sh")" run "$n"
    [ -n "$real" ] || continue
    case $(cat "$n.sh") in
        sft-train* | *--compare*) printed "$n" numbers ;;
        *) printed "$n" cat ;;
    esac
done
equal 'tutorial: the file for llama.cpp is one' "$(head -c 4 tutorial/unix.gguf)" GGUF
[ -n "$real" ] || skip 'tutorial: commands print what stands there' \
    'no model; make demo downloads it'
exit $bad
