# SPDX-License-Identifier: Apache-2.0
# Several ranks under mpirun: the collectives; ZeRO-0 and ZeRO-1 give the same bytes, and one rank
# nearly the same; checkpoints change hands; signals, lost ranks, and what is refused.
source "$(dirname "$0")/../cli.sh"

if ! command -v mpirun >/dev/null || [ ! -e "$O/lib/sft/mpi.so" ]; then
    skip 'several ranks' 'no MPI here'
    exit $bad
fi
# MPI's own libraries keep memory until the end, which the leak checker would report.
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
root=$PWD
cd "$T" || exit 70
ranks() { # ranks N COMMAND...
    mpirun -q -np "$1" --bind-to none --oversubscribe "${@:2}"
}

# ---- the collectives ----
ranks 3 "$O/test/comm_ranks" >collectives 2>err && rc=0 || rc=$?
sed 's/^\(ok\|not ok\) /&3 ranks: /' collectives
equal '3 ranks: all pass' "$rc" 0

# ---- a job of three steps ----
cat >model.json <<'END'
{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 2048, "hidden_size": 32,
 "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
 "max_position_embeddings": 512, "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "hidden_act": "silu",
 "tie_word_embeddings": true, "attention_bias": false, "mlp_bias": false, "bos_token_id": 1,
 "eos_token_id": 2, "torch_dtype": "bfloat16"}
END
sft-ckpt init -q model.json --tokenizer "$root/share/tiny-tokenizer" --seed 42 -o model
for i in $(seq 1 36); do
    printf '{"q":"Say number %d and then some more words.","a":"The number is %d%s."}\n' "$i" "$i" \
        "$(printf ', word%.0s' $(seq 1 $((i % 7 + 1))))"
done >train.jsonl
samples() { sft-tokenize -q -m model --prompt-key q --response-key a "$1" | sft-template -q -m model; }
samples train.jsonl >train.samples
sft-pack -q -l 128 -b 12 -o train.sfts train.samples
sft-pack -q -l 128 -b 12 --mode none -o single.sfts train.samples
head -n 5 train.jsonl >val.jsonl
samples val.jsonl | sft-pack -q -l 128 -b 12 -o val.sfts
cat >config.yaml <<'END'
exp_name: tiny
seed: 42
output_dir: ./out
logging_dir: ./out/logs
track_with: ""
pretrain: ./model
sequence_length: 128
prompt_key: q
response_key: a
save_steps: 2
eval_steps: 2
sft_train:
  model_args: {dtype: fp32}
  training_args: {learning_rate: 1.0e-3, per_device_train_batch_size: 1, gradient_accumulation_steps: 12}
  data_args: {file_name: train.jsonl, template: native}
  strategy_args: {strategy_name: megatron_train}
  use_sequence_packing: true
END
bf16=sft_train.model_args.dtype=bf16
zero1=sft_train.strategy_args.strategy_config.use_distributed_optimizer=true
# train N DIR ARGUMENT...: on N ranks, the global batch kept
train() {
    local n=$1 dir=$2
    shift 2
    ranks "$n" sft-train -q --config config.yaml "output_dir=$dir" "logging_dir=$dir/logs" \
        "sft_train.device_mapping=list(range(0,$n))" \
        sft_train.training_args.gradient_accumulation_steps=$((12 / n)) "$@"
}
code() { "$@" >out 2>err </dev/null && echo 0 || echo $?; }
said() { grep -Eq -- "$2" err && ok "$1" || not_ok "$1" "$(head -c 300 err)"; }
lines() { if [ "$(wc -l <err)" -eq 1 ]; then ok "$1"; else not_ok "$1" "$(head -n 4 err | tr '\n' ' ')"; fi; }
weights() { echo "$1/sft_train/checkpoint-3/sft_train/model.safetensors"; }
state() { echo "$1/sft_train/checkpoint-3/sft_train/state/optimizer.safetensors"; }
losses() { sed -n 's/.*"sft_train\/loss":\([^,]*\),.*/\1/p' "$1/logs/tiny/metrics.jsonl"; }
# near NAME DIR DIR: losses that agree within 1e-6, relatively
near() {
    if paste <(losses "$2") <(losses "$3") |
        awk 'NF != 2 || ($1 - $2) / $2 > 1e-6 || ($2 - $1) / $2 > 1e-6 { bad = 1 } END { exit bad || NR < 3 }'
    then ok "$1"; else not_ok "$1" "$(paste <(losses "$2") <(losses "$3") | tr '\n' ' ')"; fi
}

equal 'one process' "$(code sft-train -q --config config.yaml output_dir=one logging_dir=one/logs --val val.sfts train.sfts)" 0
equal '2 ranks, ZeRO-0' "$(code train 2 two0 --val val.sfts train.sfts)" 0
equal 'one summary' "$(wc -l <out) $(jq -c .step out)" '1 3'
equal '2 ranks, ZeRO-1' "$(code train 2 two1 $zero1 --val val.sfts train.sfts)" 0
same 'ZeRO-0 and ZeRO-1: the same weights' "$(weights two0)" "$(weights two1)"
same 'ZeRO-0 and ZeRO-1: the same state' "$(state two0)" "$(state two1)"
equal 'and the same norm and validation' \
    "$(grep -oE '"sft_train/(grad_norm|val_loss)":[^,]*' two0/logs/tiny/metrics.jsonl)" \
    "$(grep -oE '"sft_train/(grad_norm|val_loss)":[^,]*' two1/logs/tiny/metrics.jsonl)"
near 'fp32: the losses of one process' one two0
equal 'bf16, ZeRO-0' "$(code train 2 b0 $bf16 --val val.sfts train.sfts)" 0
equal 'bf16, ZeRO-1, a device that cannot be read' "$(code train 2 b1 $bf16 $zero1 --device far train.sfts)" 0
same 'bf16: the same weights' "$(weights b0)" "$(weights b1)"
same 'bf16: the same state' "$(state b0)" "$(state b1)"
small="$bf16 sft.master_dtype=bf16 sft.moments_dtype=bf16"
equal 'bf16 alone, rounded at random, ZeRO-0' "$(code train 2 s0 $small train.sfts)" 0
equal 'bf16 alone, ZeRO-1' "$(code train 2 s1 $small $zero1 train.sfts)" 0
same 'bf16 alone: the same weights' "$(weights s0)" "$(weights s1)"
same 'bf16 alone: the same state' "$(state s0)" "$(state s1)"
equal '3 ranks, more than some steps have rows' "$(code train 3 three $zero1 train.sfts)" 0
near '3 ranks: the losses of one process' one three
equal '3 ranks, a sample a row' "$(code train 3 single $zero1 sft_train.use_sequence_packing=false single.sfts)" 0
near 'a sample a row: the losses of one process' one single
piped() { sft-pack -q -l 128 -b 12 train.samples | train 2 pipe $zero1 -; }
piped >out 2>err && rc=0 || rc=$?
equal 'from a pipe' "$rc" 0
same 'from a pipe: the same state' "$(state two0)" "$(state pipe)"

# ---- a checkpoint goes on, on as many ranks as there are ----
# again NAME FROM N ARGUMENT...: copies FROM without its last step, and resumes it
again() {
    local to=$1 from=$2 n=$3
    shift 3
    cp -r "$from" "$to" && rm -rf "$to/sft_train/checkpoint-3" && code train "$n" "$to" --resume auto "$@" train.sfts
}
equal 'ZeRO-1 resumes ZeRO-0' "$(again r01 two0 2 $zero1)" 0
same 'to the same state' "$(state two0)" "$(state r01)"
equal 'ZeRO-0 resumes ZeRO-1' "$(again r10 two1 2)" 0
same 'to the same state' "$(state two0)" "$(state r10)"
equal '2 ranks, then 1' "$(again r21 two1 1)" 0
near 'the losses of one process' one r21
equal '1 rank, then 2' "$(again r12 one 2 $zero1)" 0
near 'the losses of one process' one r12
cp -r two1 broken && rm -rf broken/sft_train/checkpoint-3
printf x | dd of=broken/sft_train/checkpoint-2/sft_train/model.safetensors bs=1 seek=9000 conv=notrunc 2>/dev/null
equal 'a damaged checkpoint is set aside' "$(code train 2 broken --resume auto train.sfts)" 0
same 'and the run starts anew' "$(weights two0)" "$(weights broken)"

# ---- asked to stop; a rank that is lost ----
sft-pack -q -l 128 -b 12 --epochs 4000 -o long.sfts train.samples
# long DIR: starts a run without end, waits for its first step; its process in $job
long() {
    train 2 "$1" $zero1 save_steps=0 eval_steps=0 sft_train.training_args.num_train_epochs=4000 long.sfts >out 2>err </dev/null &
    job=$!
    for _ in $(seq 600); do
        grep -q loss "$1/logs/tiny/metrics.jsonl" 2>/dev/null && return
        kill -0 $job 2>/dev/null || return
        sleep 0.05
    done
}
mpirun_of() { pgrep -P "$1" mpirun || echo "$1"; }
trainers() { pgrep -P "$(mpirun_of "$job")" sft-train; }
long usr1
kill -USR1 "$(mpirun_of $job)"
wait $job && rc=0 || rc=$?
equal 'USR1 to mpirun: saved, exit 75' "$rc $(ls usr1/sft_train | wc -l)" '75 1'
long one_rank
kill -USR1 "$(trainers | tail -n 1)"
wait $job && rc=0 || rc=$?
equal 'USR1 to one rank stops all after the same step' "$rc $(ls one_rank/sft_train | wc -l)" '75 1'
lines 'which one of them says'
long lost
kill -KILL "$(trainers | tail -n 1)"
wait $job && rc=0 || rc=$?
if [ $rc -ne 0 ] && [ -z "$(trainers)" ]; then ok 'a lost rank ends the others'; else not_ok 'a lost rank ends the others' "exit $rc"; fi

# ---- one error for all ----
equal 'a folder in use' "$(code train 2 two0 train.sfts)" 73
lines 'is told once'
equal 'a damaged stream' "$(head -c 900 train.sfts >cut.sfts; code train 2 x cut.sfts)" 65
lines 'is told once'
equal 'no such model' "$(code train 2 x pretrain=./nowhere train.sfts)" 66
cp -r model nan && printf '\xff\x7f' | dd of=nan/model.safetensors bs=1 seek=$(($(stat -c %s nan/model.safetensors) - 2)) conv=notrunc 2>/dev/null
equal 'a loss that is not finite' "$(code train 2 n $zero1 pretrain=./nan train.sfts)" 76
lines 'is told once'

# ---- what is refused ----
two='sft_train.device_mapping=[0,1]'
half=sft_train.training_args.gradient_accumulation_steps=6
fails 'two workers, one process' 78 "2 workers, but 1 process was started; type: mpirun -np 2 --bind-to none sft-train -q --config config.yaml 'sft_train.device_mapping=\[0,1\]' .*; or, .*add: sft_train.device_mapping='\[0\]'" \
    sft-train -q --config config.yaml $two $half train.sfts
equal 'two workers, three processes' "$(code ranks 3 sft-train -q --config config.yaml $two $half train.sfts)" 78
said 'and how to start it' '2 workers, but 3 processes were started; type: mpirun -np 2 '
lines 'is told once'
equal 'one worker, two processes' "$(code ranks 2 sft-train -q --config config.yaml train.sfts)" 78
said 'and how to start it' 'one worker, but 2 processes were started; type: sft-train -q '
SLURM_NTASKS=2 SLURM_PROCID=0 fails 'Slurm without a PMI' 78 'type: srun --mpi=pmix -n 2 sft-train -q --config config.yaml train.sfts' \
    sft-train -q --config config.yaml train.sfts
SLURM_NTASKS=2 SLURM_PROCID=1 sft-train -q --config config.yaml train.sfts >out 2>err && rc=0 || rc=$?
equal 'which the other task leaves to the first' "$rc $(wc -c <err)" '78 0'
equal 'a plan needs no launcher' "$(code sft-train --config config.yaml $two --plan)" 0
mkdir empty
export SFT_PLUGIN_PATH=$PWD/empty
equal 'without the plugin' "$(code train 2 x train.sfts)" 69
said 'what to install' 'libopenmpi-dev'
lines 'is told once'
exit $bad
