# SPDX-License-Identifier: Apache-2.0
# Helpers for the groups of `make check-gpu`, each of which sources this file from the root of the
# tree or of the bundle. tests/gpu/run sets $O, $results, $work, $python, $given and $group.
# Standard error goes to $results/$group.log.
set -u
tiny=
[ "${CHECK_GPU_TINY:-0}" = 0 ] || tiny=1
W=$work/$group
mkdir -p "$W" || exit 73

# ---- rows ----
# put WHAT MEASURED UNIT KIND VALUE RATIO VERDICT NOTE: writes a row of the results
put() {
    local line
    line=$(printf '%s\t' "$group" "$@")
    printf '%s\n' "${line%$'\t'}" | tee -a "$results/results.tsv"
}
# row WHAT MEASURED UNIT [KIND VALUE [NOTE]]: a row of a number. KIND is max or min, a limit that
# decides between ok and FAIL; or "beside", "H100" or "predicted", whose value decides nothing.
row() {
    local kind=${4:--} value=${5:--} ratio verdict
    read -r ratio verdict < <(awk -v m="$2" -v v="$value" -v kind="$kind" '
        function number(x) { return x ~ /^-?[0-9.]+(e[-+]?[0-9]+)?$/ }
        BEGIN {
            ratio = number(m) && number(v) && v != 0 ? sprintf("%.3f", m / v) : "-"
            good = kind == "max" ? m + 0 <= v + 0 : m + 0 >= v + 0
            verdict = kind != "max" && kind != "min" ? "-" : number(m) && good ? "ok" : "FAIL"
            print ratio, verdict
        }')
    put "$1" "$2" "$3" "$kind" "$value" "$ratio" "$verdict" "${6:-}"
}
# verdict WHAT ok|FAIL NOTE: a row of a check that has no number
verdict() { put "$1" - - - - - "$2" "$3"; }
# left_out WHAT WHY: a row that is not measured
left_out() { put "$1" - - - - - 'not measured' "$2"; }
# limit KIND VALUE: prints them, or "- -" where rates mean nothing
limit() { if [ -n "$tiny" ]; then echo - -; else echo "$@"; fi; }

# ---- PyTorch ----
# py ARGUMENT...: Python with the libraries that it has without us
py() { LD_LIBRARY_PATH=$given "$python" "$@"; }
# torch_device: prints what PyTorch computes on here; fails with a reason on standard output
torch_device() {
    [ "${CHECK_GPU_TORCH:-}" != cpu ] || { echo cpu; return; }
    command -v "$python" >/dev/null || { echo "there is no Python: $python"; return 1; }
    py -c '
import sys
try:
    import torch, transformers
except ImportError as e:
    sys.exit(print(f"{e.name} is not installed for this Python") or 1)
if not torch.cuda.is_available():
    sys.exit(print("PyTorch finds no GPU") or 1)
print("cuda")'
}
# torch_group GROUP SECONDS: runs that group of tests/bench/gpu; its lines are in $W/GROUP.txt
torch_group() {
    local options=()
    [ "${CHECK_GPU_TORCH:-}" != cpu ] || options=(--device cpu --tiny)
    LD_LIBRARY_PATH=$given OUT=$W TOTAL=$2 PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1 \
        TRANSFORMERS_OFFLINE=1 TOKENIZERS_PARALLELISM=false PYTORCH_NVML_BASED_CUDA_CHECK=1 \
        PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True \
        "$python" tests/bench/gpu/driver.py "--only=$1" "${options[@]}" >&2
}

# best_rate FILE BACKENDS MODEL SHAPE fwd|bwd: prints "TF BACKEND", the best of these in its lines:
# "sdpa cudnn 7B (28/4 heads, d 128) 8 x 1024   fwd   0.175 ms  343.6 TF   bwd   0.649 ms ..."
# "varlen flash 7B ~350-token documents (22)    fwd ..."
best_rate() {
    awk -v backends=" $2 " -v model="$3" -v shape="$4" -v way="$5" '
        $3 == model && index(backends, " " $1 "-" $2 " ") &&
            (index($0, ") " shape " ") || index($0, model " " shape " (")) {
            for (i = 4; i <= NF; i++)
                if ($i == way && $(i + 3) + 0 > best) {
                    best = $(i + 3) + 0
                    which = $1 " " $2
                }
        }
        END { if (best) print best, which }' "$1"
}

# ---- runs of the trainer ----
# Words that the tokenizer of wide_tokenizer has as one token each.
word='function word(i,   s, k) {
    for (k = 0; k < 4; k++) { s = sprintf("%c", 97 + i % 26) s; i = int(i / 26) }
    return "xq" s
}'
# words COUNT SEED CHOICES: prints that many of the first CHOICES words, as chance has it
words() {
    awk -v n="$1" -v seed="$2" -v all="$3" 'BEGIN {
        srand(seed)
        for (; n > 0; n--) printf(" %s", word(int(rand() * all)))
    }'"$word"
}
# wide_tokenizer DIR COUNT: makes a tokenizer with COUNT words in its vocabulary, after the 2048
# tokens of the tiny one, so that tokens can be spread over all of an embedding
wide_tokenizer() {
    mkdir -p "$1" && cp share/tiny-tokenizer/* "$1" || return
    awk -v count="$2" '{
        sub(/"ignore_merges":false/, "\"ignore_merges\":true")
        at = index($0, "\"vocab\":{") + 8
        printf("%s", substr($0, 1, at))
        for (i = 0; i < count; i++) printf("\"Ġ%s\":%d,", word(i), 2048 + i)
        print substr($0, at + 1)
    }'"$word" share/tiny-tokenizer/tokenizer.json >"$1/tokenizer.json"
}
# samples TOKENIZER COUNT LENGTH CHOICES: prints that many samples of LENGTH tokens each
samples() {
    local i frame
    frame=$(words 1 0 1 | text | stages "$1" | sft-view - |
        sed 's/.*"ids":\[\([^]]*\).*/\1/' | tr ',' '\n' | wc -l)
    for i in $(seq "$2"); do words $(($3 - frame + 1)) "$i" "$4" | text; done | stages "$1"
}
# text: a row of JSON with the words of standard input as the answer
text() { sed 's/.*/{"q":"Go on.","a":"&"}\n/'; }
# stages TOKENIZER: rows to samples
stages() {
    sft-tokenize -q -m "$1" --prompt-key q --response-key a | sft-template -q -m "$1"
}
# config LENGTH ROWS MICRO EPOCHS: writes $W/config.yaml for steps of ROWS rows of LENGTH tokens, of
# which MICRO are computed at a time
config() {
    cat >"$W/config.yaml" <<END
exp_name: gpu
output_dir: $W/out
logging_dir: $W/logs
track_with: ""
sequence_length: $1
max_steps: 1000
save_steps: 0
prompt_key: q
response_key: a
sft_train:
  model_args: {dtype: bf16}
  training_args: {learning_rate: 1.0e-5, lr_scheduler_type: constant, num_train_epochs: $4,
    per_device_train_batch_size: $3, gradient_accumulation_steps: $(($2 / $3))}
  data_args: {file_name: none, template: native}
  strategy_args: {strategy_name: megatron_train}
  use_sequence_packing: true
END
}
# train PROGRAM NAME STEPS OPTION...: runs the trainer until that many steps are done, then ends it,
# so that it saves nothing; its metrics are in $W/NAME.jsonl, and what it takes of a GPU in
# $W/NAME.memory. When it ends before, fails with the trainer's exit code, or with 1.
train() {
    local program=$1 name=$2 steps=$3 pid rc=0 done=0 metrics=$W/$2/logs/gpu/metrics.jsonl
    shift 3
    GPU_MEMORY_REPORT=$W/$name.memory LD_PRELOAD=$O/gpu/memory.so "$program" \
        --config "$W/config.yaml" "output_dir=$W/$name/out" "logging_dir=$W/$name/logs" "$@" \
        "$W/train.sfts" >&2 &
    pid=$!
    while [ "$done" -lt "$steps" ] && kill -0 $pid 2>/dev/null; do
        sleep 0.1
        done=$(grep -c '"system/step"' "$metrics" 2>/dev/null) || done=0
    done
    kill -KILL $pid 2>/dev/null
    wait $pid 2>/dev/null || rc=$?
    head -n "$steps" "$metrics" >"$W/$name.jsonl" 2>/dev/null
    rm -rf "${W:?}/$name"
    [ "$done" -ge "$steps" ] || return $((rc ? rc : 1))
}
# values FILE KEY: prints the key's number in each line of the metrics
values() { sed -n 's|.*"'"$2"'":\([^,}]*\).*|\1|p' "$1"; }
# planned OPTION...: prints the bytes that the plan of a run puts on the device
planned() {
    sft-train --config "$W/config.yaml" "$@" --plan --json "$W/train.sfts" |
        sed -n 's/.*"total":\([0-9]*\),"host":\([0-9]*\).*/\1 \2/p' |
        awk '{ printf("%.0f", $1 - $2) }'
}
mib() { awk -v b="$1" 'BEGIN { printf("%.1f", b / 1048576) }'; }
