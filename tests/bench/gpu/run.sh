#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Base figures of the card, cuBLASLt and PyTorch.
# usage: OUT=folder bash tests/bench/gpu/run.sh [--device cpu --tiny]
here=$(cd "$(dirname "$0")" && pwd)
export OUT=${OUT:-/tmp/base_out} TOTAL=${TOTAL:-410}
mkdir -p "$OUT"
export PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 TOKENIZERS_PARALLELISM=false
export PYTORCH_NVML_BASED_CUDA_CHECK=1
export PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True
{
    date +%T; uname -r; nproc; free -g | sed -n 2p
    nvidia-smi
    card=name,driver_version,power.limit,clocks.max.sm,clocks.max.mem,vbios_version,ecc.mode.current
    nvidia-smi --query-gpu=$card --format=csv
    nvcc --version | tail -2; gcc --version | head -1
} 2>&1 | tee "$OUT/info.txt"
fields=timestamp,clocks.sm,clocks.mem,power.draw,temperature.gpu,memory.used
more=$fields,clocks_event_reasons.active
nvidia-smi --query-gpu=$more --format=csv >/dev/null 2>&1 && fields=$more
nvidia-smi --query-gpu=$fields --format=csv -lms 500 >"$OUT/smi.csv" 2>>"$OUT/info.txt" &
smi=$!
timeout -k 5 $((TOTAL + 15)) "${PYTHON:-python3}" "$here/driver.py" "$@"
echo "run.sh: driver ended with $?"
kill $smi 2>/dev/null
exit 0
