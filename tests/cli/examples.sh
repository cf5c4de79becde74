#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The EXAMPLES of each manual page run as they stand there, in a folder with the files that they
# name: a small model, rows, streams, a run of 102 steps and one with an adapter.
source "$(dirname "$0")/../cli.sh"
root=$PWD
man=$O/man
mkdir "$T/files" && cd "$T/files" || exit 70
export CUDA_VISIBLE_DEVICES='' OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1

# ---- the files ----
jq '.hidden_size = 16 | .intermediate_size = 32 | .num_hidden_layers = 1 | .num_attention_heads = 2
    | .num_key_value_heads = 1 | .max_position_embeddings = 4096' \
    "$root/examples/random-model.json" >config.json
cp -r "$root/share/tiny-tokenizer" tok
sft-ckpt init -q config.json --tokenizer tok --seed 1 -o M
cp "$root/examples/data/train.json" data.json
cp "$root/examples/data/validation.json" .
cat >sft_config.yaml <<'END'
exp_name: my-run
pretrain: ./M
query_key: input
system_key: system
sequence_length: 2048
save_steps: 40
eval_steps: 50
track_with: ""
validation:
  data_args: {file_name: validation.json}
sft_train:
  model_args: {dtype: fp32}
  training_args:
    {per_device_train_batch_size: 2, gradient_accumulation_steps: 4, num_train_epochs: 2}
  data_args: {file_name: data.json, template: native}
  strategy_args: {strategy_name: megatron_train}
  use_sequence_packing: true
sft: {device: cpu, threads: 1}
END
# samples FILE: prints the samples of its rows
samples() {
    sft-tokenize -q -m M --query-key input --system-key system "$1" | sft-template -q -m M
}
sft-tokenize -q -m M --query-key input --system-key system data.json >turns.sfts
samples data.json >samples.sfts
sft-pack -q -l 2048 -b 8 --epochs 2 -o train.sfts samples.sfts
sft-pack -q -l 2048 -b 16 --epochs 2 -o pair.sfts samples.sfts
samples validation.json | sft-pack -q -l 2048 -b 8 -o val.sfts
echo '{"messages":[{"role":"user","content":"How do I list open files?"}]}' >questions.jsonl
echo '{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{{ "<|im_end|>" }}{% endfor %}' \
    >mine.jinja
# run DIR OVERRIDE...: trains into DIR
run() {
    sft-train -q --config sft_config.yaml "output_dir=$1" "logging_dir=$1/logs" "${@:2}" \
        train.sfts >/dev/null
}
run output --val val.sfts
mkdir logs
for name in a b; do cp -r output/logs/my-run "logs/$name"; done
run lora sft_train.model_args.lora_target=all-linear max_steps=9
gguf=${SFT_SMOLLM2_GGUF:-$O/demo/SmolLM2-135M-Instruct.Q4_1.gguf}
if [ -e "$gguf" ] && ! sanitized; then ln -s "$(realpath "$gguf")" model.Q4_1.gguf; fi
check 'examples: the files for them are made' \
    ls output/sft_train/checkpoint-80 lora/sft_train/checkpoint-9 val.sfts

# ---- the pages ----
# commands PAGE: prints the lines of its section EXAMPLES that are commands
commands() {
    sed -n '/^\.SH EXAMPLES/,/^\.SH [^E]\|^\.SH EXIT/p' "$1" | sed -n '/^\.nf/,/^\.fi/p' |
        sed '/^\./d; s/\\-/-/g; s/\\(aq/'"'"'/g; s/\\e/\\/g'
}
# runs LINE: the line succeeds, or stops a filter by SIGPIPE, or tells a difference if that is asked
runs() {
    local rc=0
    PATH=$T/work:$PATH bash -o pipefail -c "$1" </dev/null || rc=$?
    case $1 in sft-ckpt\ diff*) [ $rc -ne 1 ] || rc=0 ;; esac
    [ $rc -eq 141 ] || return $rc
}
ran=0
for page in "$man"/*.[157]; do
    name=${page##*/}
    commands "$page" >"$T/commands"
    case $name in
        sft_config.5 | sft_stream.5) continue ;; # documents; other tests read their examples
    esac
    check "examples, $name: the page has some" [ -s "$T/commands" ]
    rm -rf "$T/work"
    cp -r "$T/files" "$T/work"
    cd "$T/work" || exit 70
    [[ $name != sft-train.1 && $name != sft-run.1 && $name != sft.7 ]] || rm -r output
    ln -s "$root/run_sft_pipeline.sh" sft-run
    while IFS= read -r line; do
        case $line in
            mpirun*) have_mpi ||
                { skip "examples, $name: this works: $line" 'no MPI'; continue; } ;;
            *.gguf*) [ -e model.Q4_1.gguf ] ||
                { skip "examples, $name: this works: $line" 'no GGUF file'; continue; } ;;
        esac
        ran=$((ran + 1))
        check "examples, $name: this works: $line" runs "$line"
    done <"$T/commands"
done
check 'examples: the pages have many' [ $ran -ge 40 ]
exit $bad
