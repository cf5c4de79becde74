#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The calls of NCCL that the trainer makes, in a communicator of one rank: NCCL takes one rank for
# each GPU.
. tests/gpu/common.sh
"$O/gpu/nccl" >"$W/lines"
rc=$?
cat "$W/lines" >&2
if grep -q 'libnccl.so.2): install it' "$W/lines"; then
    left_out 'calls of NCCL' 'there is no libnccl.so.2'
    exit
fi
seen=0
while IFS= read -r line; do
    case $line in
    'ok '*) verdict "${line#ok }" ok '' ;;
    'not ok '*) verdict "${line#not ok }" FAIL "$(grep -m 1 '^# ' "$W/lines")" ;;
    *) continue ;;
    esac
    ((seen++))
done <"$W/lines"
[ "$rc" -eq 0 ] && [ $seen -gt 0 ] || verdict 'the calls of NCCL end' FAIL "exit $rc"
