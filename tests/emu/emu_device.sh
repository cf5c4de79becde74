#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Which device is taken, with and without an emulated GPU; the plan for a GPU, and what a run
# allocates; the record of the GPU in a checkpoint; the algorithm of a product.
source "$(dirname "$0")/../train.sh"
shape=(hidden_size=64 intermediate_size=128 num_hidden_layers=2 head_dim=64 num_attention_heads=2
    num_key_value_heads=1)
model model "${shape[@]}"
rows 1 24 >train.jsonl
samples train.jsonl | sft-pack -q -l 128 -b 8 -o train.sfts
head -n 4 train.jsonl >val.jsonl
samples val.jsonl | sft-pack -q -l 128 -b 8 -o val.sfts
config <<'END'
track_with: ""
sequence_length: 128
save_steps: 1
eval_steps: 1
sft_train:
  model_args: {dtype: fp32}
  training_args: {learning_rate: 1.0e-3, per_device_train_batch_size: 2,
    gradient_accumulation_steps: 4, num_train_epochs: 1}
END
unset CUDA_VISIBLE_DEVICES
plain() { run "$@" max_steps=1 train.sfts; }
emulated() { LD_LIBRARY_PATH=$O/emu plain "$@"; }
evaluate() { sft-eval -m model "$@" val.sfts; }
loud() { quiet='' "$@"; }

# ---- auto ----
equal 'auto: a run where there is a GPU succeeds' "$(code loud emulated gpu)" 0
said 'auto: its first line names the GPU' 'fp32 on cuda:0 \(emulated device, sm_90\)'
equal 'auto: a run where the driver has no GPU succeeds' \
    "$(EMU_DEVICES=0 CUDA_VISIBLE_DEVICES= code loud emulated none)" 0
said 'auto: its first line names the CPU' 'fp32 on cpu, [0-9]+ threads?,'
said 'auto: a line tells why there is no GPU' \
    'computing on the CPU: cuda: no GPU: .*; CUDA_VISIBLE_DEVICES='
equal 'auto: a run without a driver succeeds' "$(code loud plain without)" 0
if [ ! -e /dev/nvidiactl ]; then
    equal 'auto: without a driver nothing is told of GPUs' "$(grep -ciE 'cuda|gpu' stderr)" 0
fi
equal 'auto: with a driver and no plugin the CPU is taken' \
    "$(SFT_PLUGIN_PATH=$T code loud emulated missing)" 0
said 'auto: a warning tells that the plugin is missing' 'computing on the CPU: .*cuda.so: missing'
equal 'auto: it is one line' "$(grep -c cuda stderr)" 1
LD_LIBRARY_PATH=$O/emu check 'eval: it takes the GPU' evaluate --dtype fp32
equal 'eval: it names the GPU' "$(LD_LIBRARY_PATH=$O/emu code evaluate --dtype fp32)" 0
said 'eval: a line has the GPU and the type' 'computing in fp32 on cuda:0 \(emulated'
equal 'eval: without a driver it takes the CPU' "$(code evaluate -v --dtype fp32)" 0
said 'eval: with -v a line has the CPU' 'computing in fp32 on cpu, '

# ---- a GPU that fails ----
export LD_LIBRARY_PATH=$O/emu
for step in driver open alloc; do
    EMU_FAIL=$step fails "failing GPU: auto ends with 69 where $step fails" 69 'cuda' plain fail
    EMU_FAIL=$step fails "failing GPU: sft-eval ends with 69 where $step fails" 69 'cuda' \
        evaluate -q
done
EMU_DRIVER=12040 fails 'failing GPU: an old driver is an error with both versions' 69 \
    'CUDA 12\.4, older than the runtime.s 13\.' plain fail
EMU_SM=75 fails 'failing GPU: one that is too old is an error' 69 'capability 7\.5.* need 8\.0' \
    plain fail
EMU_DEVICES=0 fails 'missing GPU: cuda is not the CPU' 69 'no GPU' plain fail --device cuda
EMU_DEVICES=2 CUDA_VISIBLE_DEVICES=4,5 fails 'missing GPU: both numbers are told' 78 \
    'cuda:2: asks for 3 GPUs, and there are 2; CUDA_VISIBLE_DEVICES=4,5$' plain fail --device cuda:2
fails 'missing GPU: sft-eval tells it too' 78 'cuda:1: asks for 2 GPUs, and there is 1$' \
    evaluate -q --device cuda:1
equal 'two GPUs: the second can be asked for' \
    "$(EMU_DEVICES=2 code loud plain second --device cuda:1)" 0
said 'two GPUs: the second is taken' 'on cuda:1 '

# ---- the plan ----
plan() { sft-train -q --config config.yaml --plan --json "$@"; }
# without LD_LIBRARY_PATH and the plugin, as on a machine without CUDA
bare() { LD_LIBRARY_PATH='' SFT_PLUGIN_PATH=$T plan "$@"; }
neutral='del(.device.name, .device.memory)'
m=sft_train.model_args differing=''
for how in '' $m.dtype=bf16 "$m.dtype=bf16 sft.logits_dtype=bf16" \
    "$m.dtype=bf16 sft.recompute=full" $m.lora_target=all-linear \
    'sft_train.training_args.optim=sgd' 'sequence_length=96 sft.staging=8' \
    'sft_train.device_mapping=[0,1,2,3]'; do
    # shellcheck disable=SC2086
    cmp -s <(plan --device cuda $how | jq -S "$neutral") \
        <(bare --device cuda:h100 $how | jq -S "$neutral") || differing+="'$how' "
done
equal 'plan: a kind of GPU has the plan of the GPU, without one' "$differing" ''
equal 'plan: it tells the kind, its memory and what is taken beside the plan' \
    "$(bare --device cuda:h100 | jq -c '[.device | .name, .memory > 79e9, .context, .peers]')" \
    '["H100 80 GB",true,603979776,0]'
equal 'plan: with several ranks it tells what NCCL takes' \
    "$(bare --device cuda:b200 'sft_train.device_mapping=[0,1]' | jq .device.peers)" 268435456
rows=sft_train.training_args.per_device_train_batch_size
fails 'plan: a run that does not fit names the GPU, and settings with which it fits' 71 \
    'needs [0-9.]+ GiB of the GPU, and [0-9.]+ of 32\.00 GiB .*; it fits with:.* '$rows= \
    sft-train -q --config config.yaml $rows=524288 train.sfts
named=$(sed 's/.*it fits with: //' .err)
# shellcheck disable=SC2086
equal 'plan: the named settings fit' \
    "$(plan $rows=524288 $named | jq '.total - .host <= 32 * pow(2; 30)')" true
EMU_MEMORY=1 fails 'plan: a GPU that is too small is told so' 71 \
    'of 0\.00 GiB are available \(emulated device\); neither' plain large
fails 'plan: a run takes no kind of GPU' 78 '--plan; a run takes cuda or cuda:N' \
    plain kind --device cuda:h100
fails 'plan: sft-eval takes no kind of GPU' 78 'only sft-train --plan' \
    evaluate -q --device cuda:h100
fails 'plan: an unknown kind names those that there are' 78 'cuda:h101: .*a100-40, .*b200' \
    plan --device cuda:h101

EMU_MEMORY=594 fails 'plan: the room of the context is not available' 71 \
    ' of the GPU, and 0\.02 of 0\.58 GiB are available' plain large

# ---- allocations ----
EMU_ALLOC=1 quiet='' run taken --val val.sfts train.sfts >out 2>stderr
planned=$(plan --val val.sfts)
equal 'allocations: the device gives what the plan says, at once' \
    "$(grep -c 'bytes, device' stderr) $(sed -n 's/.*of \([0-9]*\) bytes, device/\1/p' stderr)" \
    "1 $(jq '.total - .host' <<<"$planned")"
equal 'allocations: the host pins what the plan says' \
    "$(sed -n 's/.*of \([0-9]*\) bytes, host/\1/p' stderr)" "$(jq .host <<<"$planned")"
equal 'allocations: the run has three steps, validations and checkpoints' \
    "$(grep -c 'step [123] of 3:' stderr) $(values taken sft_train/val_loss | wc -l) $(
        find taken/sft_train -name 'checkpoint-*' | wc -l)" '3 4 3'
equal 'allocations: after the first step there is none' \
    "$(sed -n '/ step 1 of 3:/,$p' stderr | grep -c 'emulator: allocation')" 0

# ---- the record of the GPU ----
recorded() { jq -c .gpu "$(checkpoint "$1" "${2:-3}")/sft_train/state/run.json"; }
equal 'record: a checkpoint has the GPU and the versions' "$(recorded taken)" \
    '{"name":"emulated device","capability":90,"runtime":13000,"driver":13000,"cublaslt":130000}'
cp -r taken goes && rm -r "$(checkpoint goes 3)"
# resumed NAME PATTERN: a run from step 2 goes on, and tells that in one line
resumed() {
    rm -rf again && cp -r goes again
    equal "record: $1: the run goes on" \
        "$(code loud run again --resume auto "${@:3}" train.sfts)" 0
    equal "record: $1 is told in one line" "$(sed -n '/last bits/s/^sft-train: //p' stderr)" \
        "${2:+$2; results may differ in the last bits}"
}
resumed 'the same GPU' ''
EMU_NAME='other device' resumed 'another GPU' 'the GPU was emulated device, is other device'
EMU_BLAS=130102 EMU_DRIVER=13010 resumed 'another driver and library' \
    "the driver's CUDA was 13000, is 13010; cuBLASLt was 130000, is 130102"
EMU_SM=80 resumed 'another architecture' 'its compute capability was 90, is 80'
resumed 'the CPU after a GPU' 'the run was on a GPU, is on the CPU' --device cpu
equal 'record: a checkpoint of the CPU has no GPU' "$(recorded again)" null
rm -r "$(checkpoint again 3)" "$(checkpoint again 2)" goes && mv again goes
run goes --resume auto --device cpu max_steps=2 train.sfts >/dev/null
resumed 'a GPU after the CPU' 'the run was on the CPU, is on emulated device'

# ---- which of cuBLASLt's algorithms runs ----
# tiles SM MULTIPROCESSORS PRODUCT: prints the tile that computes the product of gpu/rates
tiles() {
    CHECK_GPU_TINY=1 EMU_SM=$1 EMU_SMS=$2 EMU_TRACE=1 LD_LIBRARY_PATH=$O/emu "$O/gpu/rates" 2>&1 |
        sed -n "s/^emulator: product $3, tile \(.*\), parts 1$/\1/p" | sort -u
}
equal 'product: a named tile that fills the device several times is taken' \
    "$(tiles 90 1 '512 x 32')" '176 x 128'
equal 'product: the next named tile is taken where the first gives too few' \
    "$(tiles 90 1 '288 x 32')" '128 x 128'
equal 'product: a small one has the first algorithm' "$(tiles 90 4 '512 x 32')" '192 x 192'
EMU_SM=90 EMU_SMS=1 EMU_TRACE=1 LD_LIBRARY_PATH=$O/emu \
    "$O/gpu/ops" --bf16 --once matmul >products 2>&1
equal 'product: one with a long k has the first algorithm' \
    "$(sed -n 's/^emulator: product 512 x 2, tile \(.*\), parts 1$/\1/p' products)" '192 x 192'
equal 'product: another architecture has the first algorithm' "$(tiles 80 1 '512 x 32')" \
    '192 x 192'

# ---- several ranks ----
if have_mpi; then
    two=('sft_train.device_mapping=[0,1]' sft_train.training_args.gradient_accumulation_steps=2)
    ranks() {
        local binding=$1
        shift
        mpirun --allow-run-as-root --oversubscribe --bind-to none -np 2 bash -c "$binding
            exec \"\$@\"" bash sft-train -q --config config.yaml output_dir=ranks \
            logging_dir=ranks/logs max_steps=1 "${two[@]}" "$@" train.sfts >stdout 2>stderr
    }
    # refused NAME CODE PATTERN BINDING ARGUMENT...: the ranks end with that code and message
    refused() {
        local rc=0
        ranks "${@:4}" || rc=$?
        equal "ranks: $1 ends with $2" "$rc" "$2"
        said "ranks: $1 is told once" "$3"
    }
    export CUDA_VISIBLE_DEVICES=7
    refused 'one GPU for two ranks' 78 \
        'rank 0: computes on the GPU of rank 1: this node has 2 ranks, and there is 1 GPU for' ':'
    said 'ranks: the visible GPUs are told' 'CUDA_VISIBLE_DEVICES=7;'
    unset CUDA_VISIBLE_DEVICES
    EMU_DEVICES=2 refused 'one GPU asked for by two ranks' 78 \
        'rank 0: computes on the GPU of rank 1' ':' --device cuda:1
    refused 'a rank without a GPU' 69 'rank 1: finds no GPU, and rank 0 has one' \
        'export EMU_DEVICES=$((1 - OMPI_COMM_WORLD_RANK))'
    refused 'a rank whose GPU fails' 69 'rank 1: cuda' \
        'export EMU_DEVICES=2; [ $OMPI_COMM_WORLD_RANK = 0 ] || export EMU_FAIL=open'
    EMU_DEVICES=2 check 'ranks: two GPUs for two ranks will do' ranks ':'
else
    skip 'ranks: each has a GPU of its own' 'no MPI'
fi
exit $bad
