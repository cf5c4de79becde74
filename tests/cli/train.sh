#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# sft-train on a tiny model with random weights: the same bytes twice, on the far device, after a
# stop; the same loss however a batch is cut; refusals.
source "$(dirname "$0")/../train.sh"

model model
mkdir model/additional_chat_templates && echo T >model/additional_chat_templates/tool_use.jinja
jq -j .chat_template model/tokenizer_config.json >model/chat_template.jinja
rows 1 24 >train.jsonl
rows 30 35 >val.jsonl
samples train.jsonl >train.samples
sft-pack -q -l 256 -b 8 --epochs 1 -o train.sfts train.samples
sft-pack -q -l 256 -b 8 --epochs 1 --mode none -o single.sfts train.samples
sft-pack -q -l 128 -b 8 --epochs 1 -o short.sfts train.samples
samples val.jsonl | sft-pack -q -l 256 -b 8 -o val.sfts

config <<'END'
seed: 42
track_with: tensorboard
sequence_length: 256
save_steps: 2
eval_steps: 2
logging_steps: 1
sft_train:
  model_args: {dtype: bf16}
  training_args:
    num_train_epochs: 1
    per_device_train_batch_size: 1
    gradient_accumulation_steps: 8
    learning_rate: 1.0e-3
    lr_scheduler_type: cosine
    warmup_steps: 1
  device_mapping: list(range(0,1))
END

# ---- a run, and the same again ----
check 'repeat: a run succeeds' run a --val val.sfts train.sfts
check 'repeat: a second run succeeds' run b --val val.sfts train.sfts
same 'repeat: the weights are the same' "$(weights a)" "$(weights b)"
same 'repeat: the state is the same' "$(state a)" "$(state b)"
same 'repeat: the manifest is the same' "$(checkpoint a)/sft_train/manifest.json" \
    "$(checkpoint b)/sft_train/manifest.json"
equal 'repeat: the metrics are the same' "$(steady a)" "$(steady b)"
equal 'repeat: those of all steps are compared, without times and memory' \
    "$(steady a | wc -l) $(steady a | grep -c 'time/\|rss\|per_s')" '4 0'
check 'threads: a run with one succeeds' run one -@ 1 --val val.sfts train.sfts
same 'threads: their number does not change the state' "$(state a)" "$(state one)"
equal 'checkpoints: there is one every save_steps and one at the end' \
    "$(ls a/sft_train | tr '\n' ' ')" 'checkpoint-2 checkpoint-3 '
check 'checkpoints: the last one verifies' sft-ckpt verify -q "$(checkpoint a)"
same 'checkpoints: the tokenizer is copied' model/tokenizer.json \
    "$(checkpoint a)/sft_train/tokenizer.json"
same 'checkpoints: the named templates are copied' model/additional_chat_templates/tool_use.jinja \
    "$(checkpoint a)/sft_train/additional_chat_templates/tool_use.jinja"
equal 'validation: it runs before, every eval_steps and at the end' \
    "$(jq -c 'select(has("sft_train/val_loss")) | .["system/step"]' "$(metrics a)" |
        paste -sd' ')" \
    '0 2 3'
equal 'metrics: each step has a line' "$(values a system/step | paste -sd' ')" '0 1 2 3'
check "configuration: the run's is kept and can be read" sft-config a/logs/tiny/config.yaml \
    --get seed
check 'event files: the run has one' ls a/logs/tensorboard/tiny/events.out.tfevents.*
falls 'training: the loss falls' a

# ---- another device, another way to keep activations, a pipe ----
check 'device: a run on far succeeds' run far --device far --val val.sfts train.sfts
same 'device: far gives the same bytes' "$(state a)" "$(state far)"
for how in none full; do
    check "recompute: a run with $how succeeds" run "r$how" sft.recompute=$how train.sfts
    same "recompute: $how gives the same bytes" "$(state a)" "$(state "r$how")"
done
piped() { sft-pack -q -l 256 -b 8 --epochs 1 train.samples | run pipe -; }
check 'pipe: a run from a pipe succeeds' piped
same 'pipe: a pipe gives the same bytes' "$(state a)" "$(state pipe)"

# ---- the loss does not depend on how a batch is cut (fp32) ----
fp32=sft_train.model_args.dtype=fp32
check 'batch: a run of small micro-batches succeeds in fp32' run f1 $fp32 train.sfts
check 'batch: a run of one micro-batch succeeds in fp32' run f8 $fp32 \
    sft_train.training_args.per_device_train_batch_size=8 \
    sft_train.training_args.gradient_accumulation_steps=1 train.sfts
check 'batch: a run of a sample a row succeeds in fp32' run fn $fp32 \
    sft_train.use_sequence_packing=false single.sfts
first() { losses "$1" | head -n 1; }
close 'batch: one micro-batch or many have the same loss' "$(first f1)" "$(first f8)" 1e-6
close 'batch: packed or not, the rows have the same loss' "$(first f1)" "$(first fn)" 1e-6

# ---- stop and resume ----
check 'max_steps: a run of two steps succeeds' run c max_steps=2 train.sfts
equal 'max_steps: the run ends after it' "$(ls c/sft_train | tr '\n' ' ')" 'checkpoint-2 '
run d --val val.sfts train.sfts >/dev/null 2>&1
rm -rf "$(checkpoint d)" && sed -i '$d' "$(metrics d)"
check 'resume: a run without its last step goes on' run d --resume auto --val val.sfts train.sfts
same "resume: the state equals the uninterrupted run's" "$(state a)" "$(state d)"
equal "resume: the metrics equal the uninterrupted run's" "$(steady d)" "$(steady a)"
rm -rf "$(checkpoint d)"
damage "$(weights d 2)" 5000 x
check 'resume: a damaged checkpoint is set aside' run d --resume auto --val val.sfts train.sfts
same 'resume: without a whole checkpoint the run begins anew' "$(weights a)" "$(weights d)"
sft-pack -q -l 256 -b 8 --epochs 1 --seed 9 train.samples -o order.sfts
fails 'resume: another stream is refused' 78 'not those that the checkpoint was trained on' run c \
    --resume auto order.sfts
fails 'resume: a folder that is no checkpoint is refused' 78 'not a checkpoint-N folder' run x \
    --resume model train.sfts
mkfifo fifo
sft-train -q --config config.yaml output_dir=s logging_dir=s/logs fifo >s.out 2>s.err &
job=$!
exec 9>fifo # opens when the trainer, which by then catches signals, opens its end
equal 'signals: they go to a thread that does nothing else' "$(stoppable $job)" 'other '
kill -USR1 $job
cat train.sfts >&9
exec 9>&-
wait $job && rc=0 || rc=$?
equal 'signals: USR1 saves and exits with 75' \
    "$rc $(grep -c 'resume auto' s.err) $(ls s/sft_train)" '75 1 checkpoint-1'
check 'signals: the stopped run goes on' run s --resume auto train.sfts
same 'signals: the stopped run has the same end' "$(weights a)" "$(weights s)"

sft-train -q --config config.yaml output_dir=i logging_dir=i/logs fifo 2>/dev/null &
job=$!
exec 9>fifo
kill -INT $job && sleep 0.2
equal 'signals: the first INT waits for the step' \
    "$(awk '$1 == "State:" { print ($2 ~ /[ZX]/) }' "/proc/$job/status")" 0
kill -INT $job
wait $job && rc=0 || rc=$?
exec 9>&-
equal 'signals: a second INT ends the process' $rc 130

# ---- the example for Slurm: this srun starts one task, this scontrol prints its arguments ----
mkdir slurm
printf '#!/bin/bash\nwhile [[ $1 = -* ]]; do shift; done\nexec "$@" 2>/dev/null </dev/null\n' \
    >slurm/srun
printf '#!/bin/bash\necho "$*"\n' >slurm/scontrol
chmod +x slurm/*
batch=(env "PATH=$PWD/slurm:$PATH" SLURM_JOB_ID=7 "$root/share/slurm/train.sbatch" config.yaml)
to=(output_dir=batch logging_dir=batch/logs)
"${batch[@]}" fifo "${to[@]}" >batch.out &
job=$!
exec 9>fifo
kill -USR1 "$(pgrep -P $job sft-train)"
cat train.sfts >&9
exec 9>&-
wait $job && rc=0 || rc=$?
equal 'Slurm: a job that is told to stop is queued anew' "$rc $(tail -n 1 batch.out)" '75 requeue 7'
check 'Slurm: the queued job goes on' "${batch[@]}" train.sfts "${to[@]}"
same 'Slurm: the queued job has the same end' "$(weights a)" "$(weights batch)"
fails 'Slurm: a call without a stream is refused' 64 'usage: sbatch train.sbatch CONFIG STREAM' \
    "${batch[@]}"

# ---- the plan ----
check '--plan: it exits with 0' run p --plan
equal '--plan: it writes no file' "$(ls -d p 2>/dev/null)" ''

# ---- refusals ----
fails 'refusal: a folder with an earlier run is refused' 73 \
    'checkpoint-3: exists already; add resume_from_checkpoint=auto' run a train.sfts
fails 'refusal: a call without a stream is refused' 64 'which stream' run x
fails 'refusal: a call without a configuration is refused' 64 'which configuration' sft-train \
    train.sfts
fails 'refusal: a stream that does not exist is refused' 66 'none.sfts' run x none.sfts
fails 'refusal: a stream of another length is refused' 78 \
    'rows of length 128, the configuration 256' run x short.sfts
fails 'refusal: a stream of another global batch is refused' 78 \
    'global batch of 8, the configuration 4' run x \
    sft_train.training_args.gradient_accumulation_steps=4 train.sfts
fails 'refusal: a stream of another mode is refused' 78 'mode none, the configuration batch' run x \
    single.sfts
fails 'refusal: a stream of other epochs is refused' 78 'epochs 1, the configuration 2' run x \
    sft_train.training_args.num_train_epochs=2 train.sfts
cp -r model other && other_tokenizer other
fails 'refusal: a stream of another tokenizer is refused' 65 'another tokenizer' run x \
    pretrain=./other train.sfts
fails 'refusal: samples that are not packed are refused' 65 'sft-pack' run x train.samples
head -c $(($(stat -c %s train.sfts) - 9)) train.sfts >cut.sfts
fails 'refusal: a stream cut short is refused' 65 'cut.sfts' run x cut.sfts
rm -rf x
fails 'refusal: a GPU is refused where there is none' 69 '[cC][uU][dD][aA]' run x --device cuda \
    train.sfts
fails 'refusal: a model that does not exist is refused' 66 'nowhere' run x pretrain=./nowhere \
    train.sfts
fails 'refusal: a key that is unknown is refused' 78 'save_step' run x save_step=3 train.sfts
fails 'refusal: more workers than processes are refused' 78 'device_mapping' run x \
    'sft_train.device_mapping=list(range(0,4))' train.sfts
fails 'refusal: a folder that cannot be made is refused' 73 '/dev/null: cannot create the folder' \
    run /dev/null/x train.sfts
# broken DIR FILTER: makes a copy of the model and edits its config.json by a filter of jq
broken() {
    rm -rf "$1" && cp -r model "$1" && edit "$1/config.json" "$2"
}
broken shape '.intermediate_size = 512'
fails 'refusal: a tensor of another shape is refused' 65 'mlp' run x pretrain=./shape train.sfts
rm -rf x
broken deep '.num_hidden_layers = 5'
fails 'refusal: a model without one tensor is refused' 65 'layers.4' run x pretrain=./deep \
    train.sfts
rm -rf x
broken flat '.num_hidden_layers = 3'
fails 'refusal: a model with a tensor too many is refused' 65 'layers.3.*does not belong' run x \
    pretrain=./flat train.sfts
rm -rf x
broken moe '.model_type = "deepseek_v3" | .n_routed_experts = 8'
fails 'refusal: a mixture of experts is refused' 65 'MoE' run x pretrain=./moe train.sfts
cp -r model nan && damage nan/model.safetensors -2 '\xff\x7f'
fails 'refusal: a loss that is not finite is refused, with its rows' 76 \
    'step 1: loss nan.*samples \(file:row\) are 0:' run x pretrain=./nan train.sfts
rm -rf x
note='no bf16 matrix instructions: computing in fp32'
ONEDNN_MAX_CPU_ISA=AVX2 quiet='' run x max_steps=2 train.sfts >x.json 2>x.log
equal 'no bf16: a CPU without its instructions trains in fp32' "$(jq -c .step x.json)" 2
equal 'no bf16: it is told once' "$(grep -c "$note" x.log)" 1
exit $bad
