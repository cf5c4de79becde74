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
