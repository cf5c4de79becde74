# SPDX-License-Identifier: Apache-2.0
# Helpers for the command tests in tests/cli/, which source this file. Each test works in $T, a
# folder of its own; results are lines "ok NAME", "not ok NAME: why", "skip NAME: why".
set -u
T=$(mktemp -d "${TEST_TMP:-/tmp}/cli.XXXXXX") || exit 70
trap 'rm -rf "$T"' EXIT
ok() { echo "ok $1"; }
not_ok() { echo "not ok $1: ${2:-failed}"; bad=1; }
skip() { echo "skip $1: $2"; }
bad=0

# check NAME COMMAND...: the command succeeds
check() {
    local name=$1 out
    shift
    if out=$("$@" 2>&1); then ok "$name"; else not_ok "$name" "exit $?: $(tail -n 2 <<<"$out" | tr '\n' ' ')"; fi
}
# same NAME FILE FILE: byte-equal files
same() { if cmp -s "$2" "$3"; then ok "$1"; else not_ok "$1" "$2 and $3 differ"; fi; }
# differ NAME FILE FILE: two files, and not byte-equal
differ() { local rc=0; cmp -s "$2" "$3" || rc=$?; equal "$1" $rc 1; }
# close NAME NUMBERS NUMBERS TOLERANCE: one a line, as many as wanted, each within TOLERANCE of the
# wanted one and relative to it
close() {
    local pairs
    pairs=$(paste <(echo "$2") <(echo "$3"))
    if awk -v t="$4" 'function number(x) { return x ~ /^-?[0-9.]+(e[-+]?[0-9]+)?$/ }
        { d = $1 - $2; most = t * ($2 < 0 ? -$2 : $2) }
        NF != 2 || !number($1) || !number($2) || d > most || -d > most { exit 1 }' <<<"$pairs"
    then ok "$1"; else not_ok "$1" "$(tr '\t\n' ', ' <<<"$pairs")"; fi
}
# equal NAME GOT WANTED
equal() { if [ "$2" == "$3" ]; then ok "$1"; else not_ok "$1" "got '$2', wanted '$3'"; fi; }
# fails NAME CODE PATTERN COMMAND...: exits with CODE; standard error is one line that matches the
# extended regular expression; nothing is written to standard output
fails() {
    local name=$1 code=$2 pattern=$3 rc=0
    shift 3
    "$@" >"$T/.out" 2>"$T/.err" </dev/null || rc=$?
    if [ $rc -ne "$code" ]; then not_ok "$name" "exit $rc, wanted $code: $(head -c 300 "$T/.err")"
    elif ! grep -Eq -- "$pattern" "$T/.err"; then not_ok "$name" "message: $(head -c 300 "$T/.err")"
    elif [ -s "$T/.out" ]; then not_ok "$name" "wrote to standard output"
    else ok "$name"; fi
}
# damage FILE OFFSET BYTES: writes them over what is there; BYTES as printf has them, an offset below 0
# counts from the end
damage() {
    local at=$2
    [ "$at" -ge 0 ] || at=$(($(stat -c %s "$1") + at))
    # shellcheck disable=SC2059
    printf "$3" | dd of="$1" bs=1 seek=$at conv=notrunc status=none
}
# flip FILE OFFSET: the third bit of that byte
flip() { damage "$1" "$2" "\\x$(printf %02x $(($(od -An -tu1 -j "$2" -N 1 "$1") ^ 4)))"; }
# code COMMAND...: prints its exit code; its output is kept in the files $T/stdout and $T/stderr, of
# which the next two tell
code() { "$@" >"$T/stdout" 2>"$T/stderr" </dev/null && echo 0 || echo $?; }
# said NAME PATTERN: standard error had a line that matches
said() { if grep -Eq -- "$2" "$T/stderr"; then ok "$1"; else not_ok "$1" "$(head -c 300 "$T/stderr")"; fi; }
# once NAME: standard error was one line
once() { if [ "$(wc -l <"$T/stderr")" -eq 1 ]; then ok "$1"; else not_ok "$1" "$(head -n 4 "$T/stderr" | tr '\n' ' ')"; fi; }
# stoppable PID: threads that INT, USR1 or TERM may interrupt, once there are any: "main", "other"
stoppable() {
    local t blocked found='' try
    for try in $(seq 100); do
        for t in /proc/"$1"/task/*; do
            blocked=$(awk '$1 == "SigBlk:" { print $2 }' "$t/status")
            [ $((16#$blocked & 0x4202)) -eq $((0x4202)) ] || found+="$([ "${t##*/}" = "$1" ] && echo main || echo other) "
        done
        [ -z "$found" ] || break
        sleep 0.05
    done
    printf '%s' "$found"
}
