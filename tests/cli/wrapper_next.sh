#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The three commands that run_sft_pipeline.sh prints after a run that succeeded: each runs as it is
# printed, from the shell of the user, and does what it is for.
source "$(dirname "$0")/../train.sh"

model model hidden_size=32 intermediate_size=64 num_hidden_layers=2 num_attention_heads=2 \
    num_key_value_heads=1
rows 1 12 >train.jsonl
rows 13 16 >val.jsonl
config <<'END'
track_with: ""
sequence_length: 128
save_steps: 1
eval_steps: 1
sft: {device: cpu, threads: 1}
sft_train:
  training_args:
    per_device_train_batch_size: 4
    learning_rate: 1.0e-2
END
outside=${PATH#"$O/bin:"} # of the user's shell: it does not have the programs
launch() {
    PATH=$outside "$root/run_sft_pipeline.sh" --config_path . --config_name config \
        sft_train.data_args.file_name=train.jsonl "output_dir=$1" "logging_dir=$1/logs" "${@:2}"
}
# runs AREA DIR ARGUMENT...: such a run succeeds; its commands are in try, show and more
runs() {
    equal "$1: a run by the launcher succeeds" "$(code launch "${@:2}")" 0
    equal "$1: a line comes before the commands, which are the last" \
        "$(tail -n 4 stderr | grep -n '^sft-run: done' | cut -d: -f1)" 1
    tail -n 3 stderr | split -l 1 - line.
    mv line.aa try
    mv line.ab show
    mv line.ac more
}
# typed FILE: runs the command of the file in the shell of the user and prints the exit code
typed() { PATH=$outside code bash -c "echo 'Say number 3.' | $(<"$1")"; }
steps() { jq -c '[.step, .steps]' stdout; }

runs full 'a folder'
checkpoint='a folder/sft_train/checkpoint-3'
equal 'full: the first command chats with the last checkpoint' "$(typed try) $(<try)" \
    "0 $O/bin/sft-eval -m ./a\\ folder/sft_train/checkpoint-3 --chat"
check 'full: an answer comes' test -s stdout
equal 'full: the second lists its tensors' "$(typed show) $(tail -n 1 stdout)" \
    "0 $(sft-ckpt show "$checkpoint" | tail -n 1)"
equal 'full: the third does one more epoch' "$(typed more) $(steps)" '0 [6,3]'
equal 'full: the run that goes on prints its own' "$(tail -n 2 stderr | head -n 1)" \
    "$O/bin/sft-ckpt show ./a\\ folder/sft_train/checkpoint-6"
runs max_steps few max_steps=2
equal 'max_steps: the third command does twice the steps' "$(typed more) $(steps)" '0 [3,1]'
runs lora l sft_train.model_args.lora_target=all-linear
equal 'lora: the first command chats with the adapter' "$(typed try) $(<try)" \
    "0 $O/bin/sft-eval -m ./model --adapter ./l/sft_train/checkpoint-3 --chat"
equal 'lora: the second lists its tensors' "$(typed show) $(grep -c lora_A stdout)" '0 14'
equal 'lora: the third merges the adapter' "$(typed more) $(sft-ckpt show l/merged | tail -n 1)" \
    "0 $(sft-ckpt show model | tail -n 1)"
runs best b validation.data_args.file_name=val.jsonl \
    sft_train.training_args.load_best_model_at_end=true
equal 'best: the commands take the folder of the best model' "$(cut -d' ' -f2- try show |
    tr '\n' ' ')" '-m ./b/sft_train/best --chat show ./b/sft_train/best '
equal 'best: the first chats with it, the second lists its tensors' "$(typed try) $(typed show)" \
    '0 0'

# ---- a model that has no template of its own ----
cp -r model bare
jq 'del(.chat_template)' model/tokenizer_config.json >bare/tokenizer_config.json
runs bare e pretrain=./bare global_template=chatml
equal 'bare: the first command tells the loss on the training stream' \
    "$(typed try) $(jq 'has("loss")' stdout)" '0 true'

# ---- a shell that finds the commands by their names, and other ends ----
outside=$PATH
runs named n
equal 'named: commands that the shell finds stand there by their names' \
    "$(cut -d' ' -f1 try show | paste -sd' ')" 'sft-eval sft-ckpt'
equal 'named: both commands run' "$(typed try) $(typed show)" '0 0'
equal 'failed: a run that failed prints none' \
    "$(code launch n) $(grep -c 'done; to try' stderr)" '73 0'
if have_mpi; then
    export container=test ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
    runs ranks r 'sft_train.device_mapping=[0,1]'
    equal 'ranks: the commands run' "$(typed try) $(typed show)" '0 0'
else
    skip 'ranks: the commands run' 'no MPI here'
fi
exit $bad
