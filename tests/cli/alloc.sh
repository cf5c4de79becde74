#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# After the first step sft-train's own code allocates nothing; what its libraries allocate is listed.
source "$(dirname "$0")/../cli.sh"
root=$PWD watch=${O:-build}/test/alloc_watch.so
[[ $watch == /* ]] || watch=$root/$watch
cd "$T" || exit 70

sft-ckpt init -q "$root/examples/random-model.json" --tokenizer "$root/share/tiny-tokenizer" --seed 1 -o model
samples() {
    sft-tokenize -q -m model --prompt-key instruction --query-key input --response-key output "$root/examples/data/$1.json" |
        sft-template -q -m model
}
samples train | sft-pack -q -l 512 -b 16 -o train.sfts
samples train | sft-pack -q -l 512 -b 4 --mode dense -o dense.sfts
cat >config.yaml <<END
exp_name: alloc
output_dir: ./out
logging_dir: ./out/logs
track_with: tensorboard
pretrain: ./model
sequence_length: 512
prompt_key: instruction
query_key: input
response_key: output
save_steps: 1000
eval_steps: 1000
max_steps: 7
sft_train:
  training_args: {per_device_train_batch_size: 1, gradient_accumulation_steps: 16, learning_rate: 1.0e-4, num_train_epochs: 1}
  data_args: {file_name: train.json}
  strategy_args: {strategy_name: megatron_train}
  use_sequence_packing: true
END
# watched NAME STREAM SETTING...: from the end of step 1 to the end of step 6
watched() {
    local name=$1 stream=$2 calls
    shift 2
    rm -rf out
    ALLOC_WATCH_AFTER='"system/step":1,' ALLOC_WATCH_UNTIL='"system/step":6,' ALLOC_WATCH_REPORT=report \
        LD_PRELOAD=$watch sft-train -q --config config.yaml "$@" "$stream" >/dev/null || not_ok "$name" "exit $?"
    check "$name: the watch saw the steps" grep -q '^libdnnl' report
    calls=$(awk '$1 == "program" { print $2 }' report)
    equal "$name: allocations of our own" "${calls:-0}" 0
    awk '$1 != "at" && $1 != "program" { printf "# %s: %s calls, %.1f MB in 5 steps\n", $1, $2, $3 / 1e6 }' report
}
if grep -q __asan_init "$(type -P sft-train)"; then
    ok 'a sanitizer has an allocator of its own, which cannot be watched'
else
    watched 'packed rows, bf16' train.sfts
    watched 'dense rows, fp32, recomputed' dense.sfts sft.pack_mode=dense sft.recompute=full sft_train.model_args.dtype=fp32 \
        sft_train.training_args.gradient_accumulation_steps=4
fi
exit $bad
