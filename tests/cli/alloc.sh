#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Before the first step sft-train has all its memory: its own code allocates nothing until the end,
# also while it validates, saves and judges which checkpoint is the best. The allocations of its
# libraries are listed.
source "$(dirname "$0")/../train.sh"
watch=$O/test/alloc_watch.so

model model
examples train | sft-pack -q -l 512 -b 16 -o train.sfts
examples train | sft-pack -q -l 512 -b 4 --mode dense -o dense.sfts
examples validation | sft-pack -q -l 512 -b 64 -o val.sfts
config <<'END'
track_with: tensorboard
sequence_length: 512
save_steps: 2
eval_steps: 2
max_ckpt_to_keep: 1
max_steps: 7
sft_train:
  training_args:
    per_device_train_batch_size: 1
    gradient_accumulation_steps: 16
    learning_rate: 1.0e-4
    num_train_epochs: 1
    load_best_model_at_end: true
    early_stopping_patience: 9
END
# From the validation before step 1 to the end of step 7: three saves and four validations
cat >watch <<END
#!/bin/sh
ALLOC_WATCH_REPORT=report.\${OMPI_COMM_WORLD_RANK:-\${PMI_RANK:-0}} \\
    ALLOC_WATCH_SWITCH=switch LD_PRELOAD=$watch \\
    ALLOC_WATCH_AFTER='"system/step":0,' ALLOC_WATCH_UNTIL='"system/step":7,' exec sft-train "\$@"
END
chmod +x watch
# looked AREA RANK: checks the report of that rank
looked() {
    local calls
    check "$1: the watch sees the steps and oneDNN's allocations" grep -q '^libdnnl' "report.$2"
    calls=$(awk '$1 == "program" || $1 ~ /^libcjson/ { n += $2 } END { print n + 0 }' "report.$2")
    equal "$1: neither sft-train's own code nor cJSON allocates anything" "$calls" 0
    awk '$1 != "at" && $1 != "program" {
            printf "# %s: %s calls, %.1f MB in 7 steps\n", $1, $2, $3 / 1e6
        }' "report.$2"
}
# watched AREA RANKS STREAM SETTING...: checks a run of seven steps under the watch
watched() {
    local name=$1 ranks=$2 stream=$3 mpirun=()
    shift 3
    rm -rf out report.* switch
    [ "$ranks" -eq 1 ] || mpirun=(mpirun -q -np "$ranks" --bind-to none --oversubscribe)
    "${mpirun[@]}" ./watch -v --config config.yaml --val val.sfts "$@" "$stream" >/dev/null 2>err ||
        not_ok "$name: the run succeeds" "exit $?: $(tail -n 1 err)"
    equal "$name: checkpoints are written during the watch" \
        "$(cd out/sft_train && echo checkpoint-*)" checkpoint-7
    equal "$name: validation reads its stream again and again" \
        "$(values out sft_train/val_loss | wc -l)" 5
    check "$name: the reserve holds every allocation" \
        grep -q 'reserve: .* 0 allocations beyond it' err
    for ((rank = 0; rank < ranks; rank++)); do looked "$name${mpirun:+, rank $rank}" "$rank"; done
}
if sanitized; then
    ok 'alloc: a sanitizer has its own allocator, which cannot be watched'
else
    watched 'alloc of packed rows in bf16' 1 train.sfts
    watched 'alloc of dense rows in fp32, recomputed' 1 dense.sfts sft.pack_mode=dense \
        sft.recompute=full sft_train.model_args.dtype=fp32 \
        sft_train.training_args.gradient_accumulation_steps=4
    watched 'alloc of an adapter' 1 train.sfts sft_train.model_args.lora_target=all-linear \
        sft_train.model_args.lora_dropout=0.1
    if have_mpi; then
        export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
        watched 'alloc of two ranks with ZeRO-1' 2 train.sfts \
            sft_train.training_args.gradient_accumulation_steps=8 \
            'sft_train.device_mapping=list(range(0,2))' \
            sft_train.strategy_args.strategy_config.use_distributed_optimizer=true
    fi
fi
exit $bad
