# SPDX-License-Identifier: Apache-2.0
# run_sft_pipeline.sh: the whole pipe on a tiny random model, kept streams, exit codes, signals.
source "$(dirname "$0")/../cli.sh"

root=$PWD
launch=$root/run_sft_pipeline.sh
fails 'refusal: a call without a configuration is refused' 64 'which configuration' "$launch"
fails 'refusal: an option that is unknown is refused' 64 'unknown option' "$launch" --nope
fails 'refusal: a word that is no option is refused' 64 'neither an option' "$launch" \
    --config_path . --config_name c word
fails 'refusal: an option without its value is refused' 64 'a value is missing' "$launch" \
    --config_path
printf 'node1 slots=2\n -oProxyCommand=true slots=2' >"$T/hosts"
fails 'refusal: an option in the place of a host is refused with its line' 65 \
    'hosts:2: no host has a name that begins with -' "$launch" --config_path . --config_name c \
    --hostfile "$T/hosts"
SLURM_STEP_NUM_TASKS=2 SLURM_PROCID=0 fails 'refusal: two launchers under srun are refused' 78 \
    'use srun -n 1' "$launch" --config_path . --config_name c
fails 'refusal: a configuration that does not exist is refused' 66 'nope.yaml' "$launch" \
    --config_path "$T" --config_name nope
printf 'pretrain: ./none\nsequence_length: 9\n' >"$T/short.yml"
fails 'refusal: a configuration that ends in .yml is named where .yaml is looked for' 66 \
    'short.yaml: there is no such file, but there is .*/short.yml' "$launch" --config_path "$T" \
    --config_name short
fails 'refusal: a name with .yml is that file' 66 './none: there is no such folder' "$launch" \
    --config_path "$T" --config_name short.yml
check 'help: --help exits with 0' "$launch" --help
for d in examples/*/; do
    [ -f "$d/run_sft_pipeline.sh" ] || continue
    fails "refusal: a missing model is refused by the launcher of $d" 66 '/no/such/model' \
        "$d/run_sft_pipeline.sh" pretrain=/no/such/model \
        output_dir="$T/none"
done

if [ ! -d share/tiny-tokenizer ]; then
    skip 'job: the whole pipe runs' 'share/tiny-tokenizer is not there'
    exit $bad
fi

# ---- a job of a few seconds ----
cat >"$T/model.json" <<'END'
{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 2048,
 "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
 "num_key_value_heads": 1, "max_position_embeddings": 512, "rms_norm_eps": 1e-05, "rope_theta":
 10000.0, "hidden_act": "silu", "tie_word_embeddings": true, "attention_bias": false, "mlp_bias":
 false, "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "bfloat16"}
END
check 'job: a model is made' sft-ckpt init "$T/model.json" --tokenizer share/tiny-tokenizer \
    --seed 1 -o "$T/model"
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
  training_args:
    per_device_train_batch_size: 1
    gradient_accumulation_steps: 3
    learning_rate: 1e-3
  data_args: {file_name: ["$T/train data.jsonl"], preprocessing_num_workers: 2}
  strategy_args: {strategy_name: megatron_train}
  use_sequence_packing: true
sft: {device: cpu, threads: 2}
END
job() { "$launch" --config_path "$T/job" --config_name tiny "$@"; }
fails 'job: an output folder that cannot be made is told with the reason' 73 \
    'short.yml/x/sft_train: cannot be created: Not a directory' job output_dir="$T/short.yml/x" \
    logging_dir="$T/logs"

equal 'job: the whole pipe runs' "$(code job)" 0
data=$T/out/data
check 'job: the training stream verifies' sft-view --check "$data/train.sfts"
check 'job: the validation stream verifies' sft-view --check "$data/validation.sfts"
check 'job: the last checkpoint is there' \
    test -f "$T/out/sft_train/checkpoint-4/sft_train/model.safetensors"
check 'job: the metrics are there' test -s "$T/out/logs/tiny/metrics.jsonl"
check 'job: an event file is there' ls "$T"/out/logs/tensorboard/tiny/events.out.tfevents.*
said 'commands: the data commands are shown' \
    '^sft-tokenize .*train\\ data.jsonl \| sft-template .* \| sft-pack .*-o .*/train.sfts$'
said "commands: the trainer's command is shown" \
    '^sft-train --config .*tiny.yaml --val .*/validation.sfts .*/train.sfts$'
grep '^sft-tokenize .*train.sfts$' "$T/stderr" | sed "s|-o .*|-o '$T/copied.sfts'|" >"$T/copied.sh"
check 'commands: a shown one can be typed' bash "$T/copied.sh"
same 'commands: the typed one gives the same stream' "$T/copied.sfts" "$data/train.sfts"
equal 'job: standard output has the summary alone' "$(jq -c .step "$T/stdout")" 4

# ---- streams that are kept ----
equal 'kept: an output folder in use is refused' "$(code job)" 73
equal 'kept: the job is resumed' "$(code job --resume auto)" 0
equal 'kept: both streams are used again' "$(grep -c 'kept, nothing it depends on' "$T/stderr")" 2
# again NAME WANTED OVERRIDE...: exit code and number of kept streams of a resumed job with these
# overrides
again() {
    local name=$1 wanted=$2
    shift 2
    equal "$name" \
        "$(code job --resume auto "$@") $(grep -c 'kept, nothing it depends on' "$T/stderr")" \
        "$wanted"
}
again 'kept: a learning rate makes no stream anew' '0 2' sft_train.training_args.learning_rate=1e-4
again 'kept: another seed makes the training stream anew' '78 1' seed=43
again 'kept: the first seed makes it anew again' '0 1'
mkdir "$T/model/additional_chat_templates"
jq -j .chat_template "$T/model/tokenizer_config.json" >"$T/model/chat_template.jinja"
echo T >"$T/model/additional_chat_templates/tool_use.jinja"
again 'kept: a new named template makes both streams anew' '0 0'
again 'kept: an unchanged one keeps both streams' '0 2'
echo U >"$T/model/additional_chat_templates/tool_use.jinja"
again 'kept: a changed named template makes both streams anew' '0 0'
echo '{"instruction": "Say ten.", "output": "Ten."}' >>"$T/val.jsonl"
again 'kept: changed validation data make that stream anew' '0 1'
cp "$data/validation.sfts" "$T/copy.sfts"
cat "$T/copied.sfts" >"$data/validation.sfts"
again 'kept: another file in the place of a stream is noticed' '0 1'
same 'kept: the other file is replaced by the stream' "$T/copy.sfts" "$data/validation.sfts"

# ---- failures ----
equal 'failure: an unknown key exits with 78' "$(code job save_stepz=1)" 78
equal 'failure: a layout that does not divide the workers exits with 78' \
    "$(code job output_dir="$T/two" 'sft_train.device_mapping=[0,1]' \
    sft_train.strategy_args.strategy_config.context_parallel_size=3)" 78
said 'failure: the message has the numbers' \
    '2 devices cannot be divided by 3 = 1 .tensor. x 1 .pipeline. x 3 .context parallel.'
echo '{"instruction": 5}' >"$T/bad.jsonl"
elsewhere=(output_dir="$T/bad" logging_dir="$T/bad/logs")
equal 'failure: bad data exit with 65' \
    "$(code job "${elsewhere[@]}" sft_train.data_args.file_name="$T/bad.jsonl")" 65
equal "failure: bad data leave no stream and no trainer's command" \
    "$(find "$T/bad" -type f ! -name .lock; grep -c '^sft-train' "$T/stderr")" 0
equal 'columns: the keys of rows reach the commands' \
    "$(code job "${elsewhere[@]}" sft_train.data_args.file_name="$T/bad.jsonl" prompt_key=p \
        sft.history_key=h sft.messages_key=m sft.role_key=r sft.content_key='c d' sft.text_key=t \
        sft.role_tags=a=user,b=tool sft.skip_bad=true)" 65
said 'columns: all of them do' "^sft-tokenize -@ 2 -m [^ ]* --skip-bad --prompt-key p $(
    )--query-key input --response-key output --history-key h --messages-key m --role-key r $(
    )--content-key c\\\\ d --role-tags a=user\\\\,b=tool --text-key t $(
    ).* sft-template .* --skip-bad "
equal 'failure: missing data exit with 66' \
    "$(code job "${elsewhere[@]}" sft_train.data_args.file_name="$T/none.jsonl")" 66
equal 'failure: a configuration without data exits with 78' \
    "$(code job "${elsewhere[@]}" sft_train.data_args.file_name=null)" 78
: >"$T/file"
equal 'failure: a file in the place of the output exits with 73' \
    "$(code job output_dir="$T/file")" 73

# ---- from another folder, through a link ----
ln -s "$launch" "$T/sft"
(cd "$T" && ./sft --config_path job --config_name tiny.yaml output_dir="$T/link" \
    logging_dir="$T/link" \
    max_steps=1 >"$T/stdout" 2>"$T/stderr" </dev/null)
equal 'link: a launcher called through one runs in the current folder' $? 0
check 'link: max_steps ends that run' test -d "$T/link/sft_train/checkpoint-1"

# ---- several ranks ----
if have_mpi; then
    export container=test ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
    two=(logging_dir="$T/two/logs" 'sft_train.device_mapping=[0,1]')
    equal 'ranks: two workers train' "$(code job output_dir="$T/two" "${two[@]}")" 0
    root=
    if [ "$(id -u)" -eq 0 ] && [ -z "${OMPI_ALLOW_RUN_AS_ROOT:-}" ]; then
        root=' --allow-run-as-root'
        said 'ranks: mpirun as root is explained' 'root in a container'
    fi
    said "ranks: mpirun's command is shown" \
        "^mpirun -np 2 --bind-to none -q --oversubscribe$root sft-train --config "
    equal 'ranks: one summary is printed' "$(jq -c .step "$T/stdout")" 2
    endless=("${two[@]}" sft_train.training_args.num_train_epochs=20000 save_steps=0 eval_steps=0)
    # endless DIR: starts a job in a session of its own and waits for its first step; the launcher
    # is process $pid
    endless() {
        setsid env --default-signal=HUP "$launch" --config_path "$T/job" --config_name tiny \
            output_dir="$1" "${endless[@]}" \
            logging_dir="$1/logs" >"$T/stdout" 2>"$T/stderr" </dev/null &
        pid=$!
        mkdir -p "$1/logs/tiny"
        timeout 120 tail -s 0.1 -n +1 -F "$1/logs/tiny/metrics.jsonl" 2>/dev/null |
            grep -m 1 -q '"sft_train/loss"'
    }
    endless "$T/term2"
    kill -TERM $pid
    wait $pid
    equal 'ranks: TERM stops all with 75' $? 75
    endless "$T/hup2"
    kill -HUP $pid
    wait $pid
    equal 'ranks: a terminal that is closed stops all with 75' $? 75
    endless "$T/lost"
    kill -KILL "$(pgrep -f "sft-train .*output_dir=$T/lost " | tail -n 1)"
    wait $pid
    equal 'ranks: a lost rank exits with 69' $? 69
    said 'ranks: the message tells of the lost rank' '^sft-train: rank [01] on .* died in step'
else
    skip 'ranks: two workers train' 'no MPI here'
fi

# ---- Ctrl-C: once, twice, three times ----
# interrupt DIR [KEY=VALUE...]: starts an endless job, the launcher is process $pid, and sends INT
# after its first step
interrupt() {
    rm -f "$T/stderr" # of the job before, which has such a line too
    env --default-signal=INT "$launch" --config_path "$T/job" --config_name tiny \
        output_dir="$1" logging_dir="$1/logs" save_steps=0 eval_steps=0 \
        sft_train.training_args.num_train_epochs=20000 "${@:2}" \
        >"$T/stdout" 2>"$T/stderr" </dev/null &
    pid=$!
    lines '^sft-train: step 1 of '
    trainers=$(pgrep -f "sft-train .*output_dir=$1 ")
    [ -z "${freeze:-}" ] || freeze $trainers
    kill -INT $pid
}
# freeze PID...: stops processes, and waits until all of their threads stand
freeze() {
    local p
    kill -STOP "$@"
    for p in "$@"; do
        for _ in $(seq 200); do
            awk '$1 == "State:" && $2 != "T" { exit 1 }' /proc/"$p"/task/*/status && break
            sleep 0.05
        done
    done
}
# lines PATTERN: waits until standard error has such a line
lines() { timeout 120 tail -s 0.1 -n +1 -F "$T/stderr" 2>/dev/null | grep -m 1 -q -- "$1"; }
# alive: prints the number of trainers that have not ended
alive() { ps -o stat= -p "${trainers//$'\n'/,}" | grep -vc '^Z'; }
interrupt "$T/int"
wait $pid
equal 'Ctrl-C: the first stops the run with 75' $? 75
said 'Ctrl-C: the first is answered' '^sft-train: stopping after step [0-9]+; again to stop now$'
equal 'Ctrl-C: the answer names the step of the checkpoint' "$(ls "$T/int/sft_train")" \
    "checkpoint-$(sed -n 's/^sft-train: stopping after step \([0-9]*\).*/\1/p' "$T/stderr")"
# again: sends INT once more; two at the same time count as one
again() { sleep 0.5 && kill -INT $pid; }
# ended: waits for the launcher and prints its status
ended() {
    timeout 60 tail --pid=$pid -f /dev/null || kill -KILL $pid $trainers
    wait $pid
    echo $?
}
# A trainer that is stopped (SIGSTOP) answers nothing, and only SIGKILL ends it.
freeze=1 interrupt "$T/kill"
sleep 0.5 && kill -TERM $pid && sleep 0.5
equal 'Ctrl-C: the trainer gets the first signal and the second, INT and TERM, as they are' \
    "$(awk '$1 == "ShdPnd:" { print $2 }' "/proc/$trainers/status" | tail -c 5)" 4002
kill -INT $pid
ended >"$T/status"
equal 'Ctrl-C: the third ends everything' "$(<"$T/status") $(alive)" '137 0'
if have_mpi; then
    interrupt "$T/int2" 'sft_train.device_mapping=[0,1]'
    lines 'again to stop now'
    wait $pid
    equal 'Ctrl-C: the first stops all ranks with 75' $? 75
    said 'Ctrl-C: the answer of the ranks has the step' '^sft-train: stopping after step [0-9]+$'
    freeze=1 interrupt "$T/kill2" 'sft_train.device_mapping=[0,1]'
    lines 'again to stop now'
    again
    again
    ended >"$T/status"
    equal 'Ctrl-C: the third ends all ranks' "$(<"$T/status") $(alive)" '130 0'
fi

# ---- signals: the step is finished and saved; Slurm sends USR1 to a batch script ----
for signal in TERM HUP USR1; do
    d=$T/$signal
    env --default-signal=HUP "$launch" --config_path "$T/job" --config_name tiny output_dir="$d" \
        logging_dir="$d/logs" \
        sft_train.training_args.num_train_epochs=20000 save_steps=0 \
        eval_steps=0 >"$T/stdout" 2>"$T/stderr" </dev/null &
    pid=$!
    mkdir -p "$d/logs/tiny"
    timeout 120 tail -s 0.1 -n +1 -F "$d/logs/tiny/metrics.jsonl" 2>/dev/null |
        grep -m 1 -q '"sft_train/loss"'
    kill -$signal $pid
    wait $pid
    equal "signals: $signal stops the run with 75" $? 75
    check "signals: $signal leaves a checkpoint" ls -d "$d"/sft_train/checkpoint-*
done
exit $bad
