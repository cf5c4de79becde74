# SPDX-License-Identifier: Apache-2.0
# Several ranks under mpirun: the collectives.
source "$(dirname "$0")/../cli.sh"

if ! command -v mpirun >/dev/null || [ ! -e "$O/lib/sft/mpi.so" ]; then
    skip 'several ranks' 'no MPI here'
    exit $bad
fi
# MPI's own libraries keep memory until the end, which the leak checker would report.
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
ranks() { # ranks N COMMAND...
    mpirun -q -np "$1" --bind-to none --oversubscribe "${@:2}"
}

# ---- the collectives ----
ranks 3 "$O/test/comm_ranks" >"$T/collectives" 2>"$T/err" && rc=0 || rc=$?
sed 's/^\(ok\|not ok\) /&3 ranks: /' "$T/collectives"
equal '3 ranks: all pass' "$rc" 0
exit $bad
