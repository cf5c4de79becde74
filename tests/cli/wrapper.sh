# SPDX-License-Identifier: Apache-2.0
# run_sft_pipeline.sh: the whole pipe on a tiny random model, what is kept, exit codes, signals.
source "$(dirname "$0")/../cli.sh"

root=$PWD
launch=$root/run_sft_pipeline.sh
fails 'no configuration' 64 'which configuration' "$launch"
fails 'unknown option' 64 'unknown option' "$launch" --nope
fails 'a word too many' 64 'neither an option' "$launch" --config_path . --config_name c word
fails 'an option without its value' 64 'a value is missing' "$launch" --config_path
SLURM_STEP_NUM_TASKS=2 SLURM_PROCID=0 fails 'two of it under srun' 78 'use srun -n 1' "$launch" --config_path . --config_name c
fails 'missing file' 66 'nope.yaml' "$launch" --config_path "$T" --config_name nope
check 'help' "$launch" --help
for d in examples/*/; do
    [ -f "$d/run_sft_pipeline.sh" ] || continue
    fails "$d names its own folder" 66 '/no/such/model' "$d/run_sft_pipeline.sh" pretrain=/no/such/model \
        output_dir="$T/none"
done

if [ ! -d share/tiny-tokenizer ]; then
    skip 'the whole pipe' 'share/tiny-tokenizer is not there'
    exit $bad
fi

# ---- a job of a few seconds ----
cat >"$T/model.json" <<'END'
{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 2048, "hidden_size": 32,
 "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
 "max_position_embeddings": 512, "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "hidden_act": "silu",
 "tie_word_embeddings": true, "attention_bias": false, "mlp_bias": false, "bos_token_id": 1,
 "eos_token_id": 2, "torch_dtype": "bfloat16"}
END
check 'a model' sft-ckpt init "$T/model.json" --tokenizer share/tiny-tokenizer --seed 1 -o "$T/model"
mkdir "$T/job"
for i in 0 1 2 3 4 5 6 7 8 9 10 11; do
    echo "{\"instruction\": \"Say the number $i.\", \"input\": \"\", \"output\": \"It is $i.\"}"
done >"$T/train data.jsonl"
head -n 3 "$T/train data.jsonl" >"$T/val.jsonl"
cat >"$T/job/tiny.yaml" <<END
exp_name: tiny
pretrain: $T/model
output_dir: $T/out
logging_dir: $T/out/logs
sequence_length: 256
query_key: input
save_steps: 2
eval_steps: 2
validation: {data_args: {file_name: $T/val.jsonl}}
sft_train:
  training_args: {per_device_train_batch_size: 1, gradient_accumulation_steps: 3, learning_rate: 1e-3}
  data_args: {file_name: ["$T/train data.jsonl"], preprocessing_num_workers: 2}
  strategy_args: {strategy_name: megatron_train}
  use_sequence_packing: true
sft: {device: cpu, threads: 2}
END
job() { "$launch" --config_path "$T/job" --config_name tiny "$@"; }

equal 'the pipe runs' "$(code job)" 0
data=$T/out/data
check 'training stream' sft-view --check "$data/train.sfts"
check 'validation stream' sft-view --check "$data/validation.sfts"
check 'last checkpoint' test -f "$T/out/sft_train/checkpoint-4/sft_train/model.safetensors"
check 'metrics' test -s "$T/out/logs/tiny/metrics.jsonl"
check 'event file' sh -c "ls '$T'/out/logs/tensorboard/tiny/events.out.tfevents.*"
said 'the data commands are shown' '^sft-tokenize .*train\\ data.jsonl \| sft-template .* \| sft-pack .*-o .*/train.sfts$'
said 'the trainer is shown' '^sft-train --config .*tiny.yaml --val .*/validation.sfts .*/train.sfts$'
grep '^sft-tokenize .*train.sfts$' "$T/stderr" | sed "s|-o .*|-o '$T/copied.sfts'|" >"$T/copied.sh"
check 'and can be typed' bash "$T/copied.sh"
same 'with the same result' "$T/copied.sfts" "$data/train.sfts"
equal 'on standard output only the summary' "$(jq -c .step "$T/stdout")" 4

# ---- what is kept ----
equal 'an output folder in use' "$(code job)" 73
equal 'resumed' "$(code job --resume auto)" 0
equal 'both streams were kept' "$(grep -c 'kept, nothing it depends on' "$T/stderr")" 2
again() { # again NAME KEPT OVERRIDE...: how many streams are kept with these overrides
    local name=$1 kept=$2
    shift 2
    code job --resume auto "$@" >/dev/null
    equal "$name" "$(grep -c 'kept, nothing it depends on' "$T/stderr")" "$kept"
}
again 'a learning rate changes no stream' 2 sft_train.training_args.learning_rate=1e-4
again 'a seed changes one' 1 seed=43
again 'and back' 1
mkdir "$T/model/additional_chat_templates"
jq -j .chat_template "$T/model/tokenizer_config.json" >"$T/model/chat_template.jinja"
echo T >"$T/model/additional_chat_templates/tool_use.jinja"
again 'a named template makes both anew' 0
again 'and keeps both' 2
echo U >"$T/model/additional_chat_templates/tool_use.jinja"
again 'one that changed' 0
echo '{"instruction": "Say ten.", "output": "Ten."}' >>"$T/val.jsonl"
again 'data that changed' 1
cp "$data/validation.sfts" "$T/copy.sfts"
cat "$T/copied.sfts" >"$data/validation.sfts"
again 'another file in the place of a stream' 1
same 'is replaced' "$T/copy.sfts" "$data/validation.sfts"

# ---- failures ----
equal 'unknown key' "$(code job save_stepz=1)" 78
equal 'a layout that is not supported' "$(code job output_dir="$T/two" 'sft_train.device_mapping=[0,1]' \
    sft_train.strategy_args.strategy_config.tensor_model_parallel_size=2)" 78
said 'names the override' "add: sft_train.device_mapping='\[0\]' sft_train.strategy_args.*tensor_model_parallel_size=1"
echo '{"instruction": 5}' >"$T/bad.jsonl"
elsewhere=(output_dir="$T/bad" logging_dir="$T/bad/logs")
equal 'bad data' "$(code job "${elsewhere[@]}" sft_train.data_args.file_name="$T/bad.jsonl")" 65
equal 'leaves no stream and trains nothing' \
    "$(find "$T/bad" -type f ! -name .lock; grep -c '^sft-train' "$T/stderr")" 0
equal 'missing data' "$(code job "${elsewhere[@]}" sft_train.data_args.file_name="$T/none.jsonl")" 66
equal 'no data' "$(code job "${elsewhere[@]}" sft_train.data_args.file_name=null)" 78
: >"$T/file"
equal 'a file where the output goes' "$(code job output_dir="$T/file")" 73

# ---- from another folder, through a link ----
ln -s "$launch" "$T/sft"
(cd "$T" && ./sft --config_path job --config_name tiny.yaml output_dir="$T/link" logging_dir="$T/link" \
    max_steps=1 >"$T/stdout" 2>"$T/stderr" </dev/null)
equal 'through a link, relative to the current folder' $? 0
check 'max_steps ends it' test -d "$T/link/sft_train/checkpoint-1"

# ---- several ranks ----
if command -v mpirun >/dev/null && [ -e "$O/lib/sft/mpi.so" ]; then
    export container=test ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
    two=(logging_dir="$T/two/logs" 'sft_train.device_mapping=[0,1]')
    equal 'two workers' "$(code job output_dir="$T/two" "${two[@]}")" 0
    root=
    if [ "$(id -u)" -eq 0 ] && [ -z "${OMPI_ALLOW_RUN_AS_ROOT:-}" ]; then
        root=' --allow-run-as-root'
        said 'says why mpirun runs as root' 'root in a container'
    fi
    said 'mpirun is shown' "^mpirun -np 2 --bind-to none -q --oversubscribe$root sft-train --config "
    equal 'one summary' "$(jq -c .step "$T/stdout")" 2
    endless=("${two[@]}" sft_train.training_args.num_train_epochs=20000 save_steps=0 eval_steps=0)
    # endless DIR: starts it in a session of its own, waits for its first step; the script in $pid
    endless() {
        setsid env --default-signal=HUP "$launch" --config_path "$T/job" --config_name tiny output_dir="$1" "${endless[@]}" \
            logging_dir="$1/logs" >"$T/stdout" 2>"$T/stderr" </dev/null &
        pid=$!
        mkdir -p "$1/logs/tiny"
        timeout 120 tail -s 0.1 -n +1 -F "$1/logs/tiny/metrics.jsonl" 2>/dev/null | grep -m 1 -q '"sft_train/loss"'
    }
    endless "$T/term2"
    kill -TERM $pid
    wait $pid
    equal 'TERM stops all ranks, resumable' $? 75
    endless "$T/hup2"
    kill -HUP $pid
    wait $pid
    equal 'so does a terminal that is closed' $? 75
    endless "$T/lost"
    kill -KILL "$(pgrep -f "sft-train .*output_dir=$T/lost " | tail -n 1)"
    wait $pid
    equal 'a lost rank' $? 69
    said 'is said' 'a rank was lost: mpirun ended with 137'
else
    skip 'several ranks' 'no MPI here'
fi

# ---- signals: the step is finished and saved; USR1 is what Slurm sends a batch script ----
for signal in TERM HUP USR1; do
    d=$T/$signal
    env --default-signal=HUP "$launch" --config_path "$T/job" --config_name tiny output_dir="$d" logging_dir="$d/logs" \
        sft_train.training_args.num_train_epochs=20000 save_steps=0 eval_steps=0 >"$T/stdout" 2>"$T/stderr" </dev/null &
    pid=$!
    mkdir -p "$d/logs/tiny"
    timeout 120 tail -s 0.1 -n +1 -F "$d/logs/tiny/metrics.jsonl" 2>/dev/null | grep -m 1 -q '"sft_train/loss"'
    kill -$signal $pid
    wait $pid
    equal "$signal stops it, resumable" $? 75
    check "$signal: with a checkpoint" sh -c "ls -d '$d'/sft_train/checkpoint-*"
done
exit $bad
