#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `make bundle` and its check-gpu on the emulated device, unpacked elsewhere: it needs nothing of
# the build folder and no library that it does not bring, and writes the rows of each group.
source "$(dirname "$0")/../cli.sh"
root=$PWD
archive=$(echo "$O"/sft-*-cuda.tar.gz)
equal 'bundle: it is one archive' "$(echo "$archive" | wc -w)" 1
check 'bundle: it has at most 45 MB' [ "$(stat -c %s "$archive")" -le 45000000 ]
tar -C "$T" -xzf "$archive"
here=$(echo "$T"/sft-*)
emulator=$T/emulator # where CUDA's libraries are on a machine with a GPU
cp -r "$O/emu" "$emulator"
work=$T/elsewhere
mkdir "$work" && cd "$work" || exit 70
# clean COMMAND...: with nothing of this shell's environment
clean() { env -i HOME="$work" PATH=/usr/bin:/bin "$@"; }

# needs PROGRAM: prints the libraries of the program that are neither in the bundle nor glibc's nor
# CUDA's
needs() {
    clean LD_LIBRARY_PATH="$emulator" ldd "$1" | awk -v here="$here" '
        $1 ~ /^(linux-vdso|libc|libm|libmvec|libpthread|libdl|librt)\.so/ || $1 ~ /^\/lib/ { next }
        $1 ~ /^libcu/ || $3 ~ "^" here "/(bin|gpu)/[.][.]/lib/sft/" { next }
        { print $1, $3 }'
}
for program in "$here"/bin/sft-train "$here"/bin/sft-pack "$here"/bin/sft-config "$here"/gpu/ops; do
    equal "bundle: $(basename "$program") finds its libraries in it" "$(needs "$program")" ''
done
equal 'bundle: no program names a folder of the build' \
    "$(grep -rlF "$O" "$here/bin" "$here/gpu" "$here/lib" "$here/conform")" ''
equal 'bundle: a command runs from it' \
    "$(clean "$here/bin/sft-train" --version)" "$("$O/bin/sft-train" --version)"

# rows GROUP VERDICT: prints the number of the group's rows with that verdict
rows() { awk -F'\t' -v g="$1" -v v="$2" '$1 == g && $8 == v' out/results.tsv | wc -l; }
run() {
    clean LD_LIBRARY_PATH="$emulator" EMU_THREADS=2 CHECK_GPU_TINY=1 OUT="$work/out" \
        CHECK_GPU_PYTHON=/nonexistent "$@"
}
check 'check-gpu: no check of the bundle fails on the emulated device' run "$here/check-gpu"
for group in conform ops nccl curve job plan; do
    check "check-gpu: checks of $group hold" [ "$(rows $group ok)" -gt 0 ]
done
for group in probe attention elementwise bench; do
    check "check-gpu: $group measures" [ "$(rows $group -)" -gt 0 ]
done
for group in ops attention torch; do
    equal "check-gpu: what $group needs PyTorch for counts as not measured" \
        "$(awk -F'\t' -v g=$group '$1 == g && $8 == "not measured" && $9 ~ /Python/' \
            out/results.tsv | wc -l)" 1
done
same 'check-gpu: the bytes of a family are kept as the golden file has them' \
    <(grep -v '^#' out/ptx/ldmatrix.txt) <(grep -v '^#' "$here/tests/golden/ptx/ldmatrix.txt")

# ---- PyTorch: its lines of a run on an H100, and its operations where CI has it ----
lines() {
    # shellcheck disable=SC2034
    local group=lines work=$T results=$T python=none given=
    . "$here/tests/gpu/common.sh"
    best_rate "$root/tests/bench/gpu/h100-2026-11-26.txt" "$@"
}
equal "check-gpu: it reads the rate of PyTorch's best backend" \
    "$(lines 'sdpa-cudnn sdpa-flash sdpa-default' 7B '8 x 1024' fwd)" '385.8 sdpa default'
equal "check-gpu: it reads the rate of PyTorch's packed documents" \
    "$(lines varlen-flash 0.5B '~350-token documents' bwd)" '39.1 varlen flash'
name="check-gpu: bf16 errors are at most 1.25 times PyTorch's, on its CPU"
venv=${SFT_ORACLE_VENV:-$O/venv}
if [ -x "$venv/bin/python" ]; then
    check "$name" run CHECK_GPU_TORCH=cpu CHECK_GPU_PYTHON="$venv/bin/python" \
        "$here/check-gpu" ops
    check 'check-gpu: it compares both attention operations with PyTorch' \
        [ "$(grep -c 'attention.*beside PyTorch.*ok' out/results.tsv)" -ge 4 ]
else skip "$name" "there is no $venv, which make test-oracle makes"; fi

# ---- what fails is told, and does not stop what follows ----
echo 'form ldmatrix.x1 exact - b32 1' >"$here/tests/golden/ptx/ldmatrix.txt"
equal 'check-gpu: bytes that differ end it with 1' "$(code run "$here/check-gpu" conform probe)" 1
check 'check-gpu: the row of bytes that differ fails' [ "$(rows conform FAIL)" -gt 0 ]
check 'check-gpu: the group after one that fails runs' [ "$(rows probe -)" -gt 0 ]
equal 'check-gpu: a group that takes too long ends it with 1' \
    "$(code run CHECK_GPU_LIMIT=1 "$here/check-gpu" curve)" 1
check 'check-gpu: it tells that the group was ended' \
    grep -q 'curve.the group ends in time.*FAIL.ended after 1 s' out/results.tsv
equal 'check-gpu: without a GPU it ends with 1' \
    "$(code run EMU_DEVICES=0 "$here/check-gpu" attention)" 1
equal 'check-gpu: a name that is no group is refused' "$(code run "$here/check-gpu" nothing)" 64
exit $bad
