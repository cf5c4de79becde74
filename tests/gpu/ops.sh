#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every case of the operations against the reference in double, twice with equal bytes; and the
# error of bf16 beside PyTorch's, at most 1.25 times that one.
. tests/gpu/common.sh
what=(--more)
[ -z "$tiny" ] || what=(add rmsnorm activation xent bias_grad)
"$O/gpu/ops" "${what[@]}" >"$W/ops"
rc=$?
cat "$W/ops" >&2
# "ok fp32 add   4 cases, 0 wrong, 0 not the same twice, worst error 0.0e+00 in NAME [0]"
while read -r good type op cases _ wrong _ twice _ _ _ _ _ _ error _ where; do
    put "$type $op: worst error" "$error" '' - - - "$good" \
        "$cases cases, $wrong wrong, $twice not the same twice${where:+; $where}"
done < <(sed 's/^not ok/FAIL/' "$W/ops" | grep -E '^(ok|FAIL) (fp32|bf16) ')
if [ "$rc" -ne 0 ]; then verdict 'all cases run' FAIL "exit $rc: $(grep -m 1 -vE '^ok' "$W/ops")"
else verdict 'all cases run' ok ''; fi

# Random shapes: fp32 within 1e-5 of double, bf16 at most 1.5 times the error of the CPU.
# "ok fp32 add   8 cases, 0 wrong, ..."
what=(1)
[ -z "$tiny" ] || what=(1 rmsnorm)
"$O/gpu/random" "${what[@]}" >"$W/random"
rc=$?
cat "$W/random" >&2
row 'operations with a wrong random shape' "$(grep -c '^not ok' "$W/random")" \
    "of $(grep -cE '^(not )?ok' "$W/random")" max 0 "$(grep -m 1 '^not ok' "$W/random")"
if [ $rc -gt 1 ] || ! grep -q '^ok' "$W/random"; then
    verdict 'random shapes run' FAIL "exit $rc"
fi

"$O/gpu/beside" "$W" >&2 || { verdict 'operations run beside PyTorch' FAIL "exit $?"; exit; }
if ! device=$(torch_device); then
    left_out 'bf16 errors beside PyTorch' "$device"
    exit
fi
py tests/gpu/beside.py "$W" "$device" >"$W/beside" ||
    verdict 'PyTorch runs the operations' FAIL "exit $?"
# The worst ratio of each result; where ours is exact, it is 1.
compared=0
while IFS=$'\t' read -r op name ours theirs ratio; do
    row "bf16 $op, $name: error beside PyTorch" "$ratio" x max 1.25 "$ours, PyTorch $theirs"
    ((compared++))
done < <(awk -F'\t' -v OFS='\t' '{
        key = $1 OFS $2
        ratio = $3 + 0 <= 1e-7 ? 1 : $4 + 0 > 0 ? $3 / $4 : 1e9
        if (!(key in worst)) order[++n] = key
        if (!(key in worst) || ratio > worst[key]) {
            worst[key] = ratio
            ours[key] = $3
            theirs[key] = $4
        }
    }
    END {
        for (i = 1; i <= n; i++) {
            k = order[i]
            printf("%s\t%.2e\t%.2e\t%.3f\n", k, ours[k], theirs[k], worst[k])
        }
    }' "$W/beside")
[ $compared -gt 0 ] || verdict 'PyTorch runs the operations' FAIL 'no operation was compared'
left_out 'bf16 embed, gather, scatter, cast, zero, copy_rows, argmax: beside PyTorch' \
    'copies and indices: exact, as the cases above show'
left_out 'bf16 dropout, adamw, sgd, sum, xent_part: beside PyTorch' \
    'PyTorch has none with our random bits, sums in double, or parts of a vocabulary'
