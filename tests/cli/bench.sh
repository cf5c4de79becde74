#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `make bench` on a tiny model: each part that needs nothing from PyPI gives its figures. None of
# them is judged.
source "$(dirname "$0")/../train.sh"
# The libraries of MPI keep memory until the process ends, which the leak checker would report.
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
model model hidden_size=32 intermediate_size=64 max_position_embeddings=2048
# figures: runs the benchmark; bench.json goes to a build folder of its own
figures() {
    mkdir own && ln -s "$O/bin" "$O/lib" "$O/test" own/
    O=$PWD/own MODEL=$PWD/model STEPS=2 PARTS='train startup save ranks' TMPDIR=$PWD \
        "$root/tests/bench/run" >table
}
check 'bench: it runs on any model' figures
# part NAME EXPRESSION: the figures of a part are there
part() {
    check "bench: $1 has figures" jq -e ".$1 | $2" own/bench.json
}
part train '.steps == 2 and .tokens_per_s > 0 and .gemm_gflops > 0 and .first_loss > 0'
part startup '.runs == 3 and .until_first_step_s > 0'
part save '.rounds == 3 and .alone_MB_s > 0 and .dd_MB_s > 0'
if have_mpi; then
    part ranks '.ratio > 0 and .steps == 1 and .tokens_a_step > 16000 and
        .not_hidden >= 0 and .communication > .not_hidden and .first_loss_differs < 0.01'
else
    skip 'bench: ranks has figures' 'no MPI here'
fi
check 'bench: the table names the machine' grep -q '^machine ' table
exit $bad
