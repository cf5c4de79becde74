# SPDX-License-Identifier: Apache-2.0
# Helpers for the command tests in tests/cli/, which source this file. Each test works in $T, a
# folder of its own; results are lines "ok NAME", "not ok NAME: why", "skip NAME: why".
set -u
O=${O:-build} # the build folder
[[ $O == /* ]] || O=$PWD/$O
commands=(cmd/*/) # their names
commands=("${commands[@]#cmd/}")
commands=("${commands[@]%/}")
T=$(mktemp -d "${TEST_TMP:-/tmp}/cli.XXXXXX") || exit 70
trap 'rm -rf "$T"' EXIT
bad=0 # 1: a check failed

# A name says "area: what holds" in a sentence that a reader of the failing line alone understands;
# tests/cli/rules.sh holds names to that form. The comment of a function tells what it takes first:
# NAME, a whole name, or AREA, to which it adds what holds.
# ok NAME: the check passed
ok() { echo "ok $1"; }
# not_ok NAME WHY: the check failed
not_ok() { echo "not ok $1: ${2:-failed}"; bad=1; }
# skip NAME WHY: the check cannot be made here
skip() { echo "skip $1: $2"; }

# check NAME COMMAND...: the command succeeds
check() {
    local name=$1 out
    shift
    if out=$("$@" 2>&1); then ok "$name"
    else not_ok "$name" "exit $?: $(tail -n 2 <<<"$out" | tr '\n' ' ')"; fi
}
# same NAME FILE FILE: the files are equal, byte by byte
same() { if cmp -s "$2" "$3"; then ok "$1"; else not_ok "$1" "$2 and $3 differ"; fi; }
# differ NAME FILE FILE: both files exist and are not equal
differ() { local rc=0; cmp -s "$2" "$3" || rc=$?; equal "$1" $rc 1; }
# close NAME NUMBERS WANTED TOLERANCE: both lists have as many lines of one number each, and each
# number differs from the wanted one by at most TOLERANCE times that one
close() {
    local pairs
    pairs=$(paste <(echo "$2") <(echo "$3"))
    if awk -v t="$4" 'function number(x) { return x ~ /^-?[0-9.]+(e[-+]?[0-9]+)?$/ }
        { d = $1 - $2; most = t * ($2 < 0 ? -$2 : $2) }
        NF != 2 || !number($1) || !number($2) || d > most || -d > most { exit 1 }' <<<"$pairs"
    then ok "$1"; else not_ok "$1" "$(tr '\t\n' ', ' <<<"$pairs")"; fi
}
# equal NAME GOT WANTED: two equal texts
equal() { if [ "$2" == "$3" ]; then ok "$1"; else not_ok "$1" "got '$2', wanted '$3'"; fi; }
# fails NAME CODE PATTERN COMMAND...: the command exits with CODE, writes nothing to standard output
# and one line to standard error, which matches the extended regular expression
fails() {
    local name=$1 code=$2 pattern=$3 rc=0
    shift 3
    "$@" >"$T/.out" 2>"$T/.err" </dev/null || rc=$?
    if [ $rc -ne "$code" ]; then not_ok "$name" "exit $rc, wanted $code: $(head -c 300 "$T/.err")"
    elif ! grep -Eq -- "$pattern" "$T/.err"; then not_ok "$name" "message: $(head -c 300 "$T/.err")"
    elif [ "$(wc -l <"$T/.err")" -ne 1 ]
    then not_ok "$name" "more than one line: $(head -c 300 "$T/.err")"
    elif [ -s "$T/.out" ]; then not_ok "$name" "wrote to standard output"
    else ok "$name"; fi
}
# damage FILE OFFSET BYTES: overwrites bytes of the file; BYTES are in the notation of printf, and
# an offset below 0 counts from the end
damage() {
    local at=$2
    [ "$at" -ge 0 ] || at=$(($(stat -c %s "$1") + at))
    # shellcheck disable=SC2059
    printf "$3" | dd of="$1" bs=1 seek=$at conv=notrunc status=none
}
# timeless [FILE...]: prints results of sft-eval without the time that they took
timeless() { sed -E 's/,"seconds":[^,}]+,"tokens_per_s":[^,}]+//' "$@"; }
# flip FILE OFFSET: inverts the third bit of that byte
flip() { damage "$1" "$2" "\\x$(printf %02x $(($(od -An -tu1 -j "$2" -N 1 "$1") ^ 4)))"; }
# edit FILE FILTER: changes a JSON file by a filter of jq
edit() { jq "$2" "$1" >"$T/.edited" && mv "$T/.edited" "$1"; }
# other_tokenizer DIR: makes the tokenizer in DIR another one: a special token becomes a plain one
other_tokenizer() { edit "$1/tokenizer.json" '.added_tokens[0].special = false'; }
# members KEY=VALUE...: prints them as members of a JSON object, each after a comma
members() {
    local pair
    for pair; do printf ',"%s":%s' "${pair%%=*}" "${pair#*=}"; done
}
# tensor_at FILE TENSOR: prints the offset of the tensor's data in a safetensors file
tensor_at() {
    local n
    n=$(od -An -tu8 -N8 "$1" | tr -d ' ')
    echo $((8 + n + $(head -c $((8 + n)) "$1" | tail -c "$n" | jq ".[\"$2\"].data_offsets[0]")))
}
# fill FILE TENSOR FIRST COUNT BYTES: overwrites COUNT elements of a bf16 tensor, from FIRST on,
# with two bytes in the notation of printf
fill() {
    local at
    at=$(($(tensor_at "$1" "$2") + 2 * $3))
    # shellcheck disable=SC2059
    for _ in $(seq "$4"); do printf "$5"; done |
        dd of="$1" bs=1 seek=$at conv=notrunc status=none
}
# code COMMAND...: prints the exit code; the output is in the files $T/stdout and $T/stderr, which
# the next two look at
code() { "$@" >"$T/stdout" 2>"$T/stderr" </dev/null && echo 0 || echo $?; }
# said NAME PATTERN: standard error has a line that matches the extended regular expression
said() {
    if grep -Eq -- "$2" "$T/stderr"; then ok "$1"
    else not_ok "$1" "$(head -c 300 "$T/stderr")"; fi
}
# shows NAME FILE PATTERN: the file has a line that matches the extended regular expression
shows() {
    local text
    text=$(<"$2")
    if grep -Eq -- "$3" <<<"$text"; then ok "$1"; else not_ok "$1" "${text:0:300}"; fi
}
# once NAME: standard error has one line
once() {
    if [ "$(wc -l <"$T/stderr")" -eq 1 ]; then ok "$1"
    else not_ok "$1" "$(head -n 4 "$T/stderr" | tr '\n' ' ')"; fi
}
# sanitized: the commands are built with AddressSanitizer
sanitized() { grep -q __asan_init "$(type -P sft-train)"; }
# demo_folder ROOT: makes the current folder what the project's is after make demo. $demo is the
# model: the real one, $real, if it is there, else one with random weights
demo_folder() {
    local m
    mkdir -p build/demo
    ln -s "$1"/{examples,share} .
    ln -s "$O/bin" "$O/lib" build/
    demo=build/demo/SmolLM2-135M-Instruct real=
    for m in "${SFT_SMOLLM2:-}" "$O/demo/SmolLM2-135M-Instruct"; do
        [ -n "$real" ] || [ ! -e "${m:-/}/model.safetensors" ] || real=$m
    done
    ! sanitized || real= # takes minutes
    if [ -n "$real" ]; then ln -s "$real" $demo
    else
        sft-ckpt init -q examples/random-model.json --tokenizer share/tiny-tokenizer --seed 42 \
            -o $demo
    fi
}
# have_mpi: mpirun and the plugin are there
have_mpi() { command -v mpirun >/dev/null && [ -e "$O/lib/sft/mpi.so" ]; }
# stoppable PID: waits until a thread does not block INT, USR1 and TERM; prints "main" or "other"
# for each such thread
stoppable() {
    local t blocked found='' try
    for try in $(seq 100); do
        for t in /proc/"$1"/task/*; do
            blocked=$(awk '$1 == "SigBlk:" { print $2 }' "$t/status")
            [ $((16#$blocked & 0x4202)) -eq $((0x4202)) ] ||
                found+="$([ "${t##*/}" = "$1" ] && echo main || echo other) "
        done
        [ -z "$found" ] || break
        sleep 0.05
    done
    printf '%s' "$found"
}
