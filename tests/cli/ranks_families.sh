# SPDX-License-Identifier: Apache-2.0
# A model of every family on two ranks, cut by its tensors and by its layers, trains as on one.
source "$(dirname "$0")/../cli.sh"
if ! have_mpi; then
    skip 'families: two ranks train each' 'no MPI here'
    exit $bad
fi
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
export MPIEXEC_TIMEOUT=300 # seconds after which mpirun ends a job that hangs
mpirun -q -np 2 --bind-to none --oversubscribe "$O/test/family_ranks" cpu >"$T/out" 2>"$T/err" &&
    rc=0 || rc=$?
sed -nE 's/^(ok|not ok) /&2 ranks: /p' "$T/out"
equal 'families: two ranks train each of them' "$rc" 0
[ $bad -eq 0 ] || { grep '^#' "$T/out"; cat "$T/err"; } >&2
exit $bad
