#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# sft-train on a tiny model with random weights: the same bytes twice, on the far device, after a
# stop; the same loss however a batch is cut; what it refuses.
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
check 'trains' run a --val val.sfts train.sfts
check 'trains again' run b --val val.sfts train.sfts
same 'the same weights' "$(weights a)" "$(weights b)"
same 'the same state' "$(state a)" "$(state b)"
same 'the same manifest' "$(checkpoint a)/sft_train/manifest.json" "$(checkpoint b)/sft_train/manifest.json"
equal 'the same metrics' "$(steady a)" "$(steady b)"
check 'one thread' run one -@ 1 --val val.sfts train.sfts
same 'the number of threads changes nothing' "$(state a)" "$(state one)"
equal 'checkpoints every save_steps and at the end' "$(ls a/sft_train | tr '\n' ' ')" 'checkpoint-2 checkpoint-3 '
check 'the checkpoint is whole' sft-ckpt verify -q "$(checkpoint a)"
same 'the tokenizer is copied' model/tokenizer.json "$(checkpoint a)/sft_train/tokenizer.json"
same 'and its named templates' model/additional_chat_templates/tool_use.jinja \
    "$(checkpoint a)/sft_train/additional_chat_templates/tool_use.jinja"
equal 'validation before, every eval_steps and at the end' "$(grep -c val_loss "$(metrics a)")" 3
equal 'steps in metrics.jsonl' "$(grep -o '"system/step":[0-9]*' "$(metrics a)" | tr '\n' ' ')" \
    '"system/step":0 "system/step":1 "system/step":2 "system/step":3 '
check 'the configuration is kept' sft-config a/logs/tiny/config.yaml --get seed
check 'event file' sh -c 'ls a/logs/tensorboard/tiny/events.out.tfevents.*'
falls 'the loss falls' a

# ---- another device, another way to keep activations, a pipe ----
check 'far' run far --device far --val val.sfts train.sfts
same 'far: the same bytes' "$(state a)" "$(state far)"
for how in none full; do
    check "recompute $how" run "r$how" sft.recompute=$how train.sfts
    same "recompute $how: the same bytes" "$(state a)" "$(state "r$how")"
done
piped() { sft-pack -q -l 256 -b 8 --epochs 1 train.samples | run pipe -; }
check 'from a pipe' piped
same 'from a pipe: the same bytes' "$(state a)" "$(state pipe)"

# ---- the loss does not depend on how a batch is cut (fp32) ----
fp32=sft_train.model_args.dtype=fp32
check 'fp32, small micro-batches' run f1 $fp32 train.sfts
check 'fp32, one micro-batch' run f8 $fp32 sft_train.training_args.per_device_train_batch_size=8 \
    sft_train.training_args.gradient_accumulation_steps=1 train.sfts
check 'fp32, a sample a row' run fn $fp32 sft_train.use_sequence_packing=false single.sfts
first() { losses "$1" | head -n 1; }
close 'one micro-batch or many: the same loss' "$(first f1)" "$(first f8)" 1e-6
close 'packed or a sample a row: the same loss' "$(first f1)" "$(first fn)" 1e-6

# ---- stop and resume ----
check 'max_steps' run c max_steps=2 train.sfts
equal 'max_steps ends the run' "$(ls c/sft_train | tr '\n' ' ')" 'checkpoint-2 '
run d --val val.sfts train.sfts >/dev/null 2>&1
rm -rf "$(checkpoint d)" && sed -i '$d' "$(metrics d)"
check 'resume' run d --resume auto --val val.sfts train.sfts
same 'a resumed run equals an uninterrupted one' "$(state a)" "$(state d)"
equal 'and so do its metrics' "$(steady d)" "$(steady a)"
rm -rf "$(checkpoint d)"
damage "$(weights d 2)" 5000 x
check 'resume: a damaged checkpoint is set aside' run d --resume auto --val val.sfts train.sfts
same 'and the run starts anew' "$(weights a)" "$(weights d)"
sft-pack -q -l 256 -b 8 --epochs 1 --seed 9 train.samples -o order.sfts
fails 'resume: another stream' 78 'not those that the checkpoint was trained on' run c --resume auto order.sfts
fails 'resume: not a checkpoint' 78 'not a checkpoint-N folder' run x --resume model train.sfts
mkfifo fifo
sft-train -q --config config.yaml output_dir=s logging_dir=s/logs fifo >s.out 2>s.err &
job=$!
exec 9>fifo # opens when the trainer, which by then catches signals, opens its end
equal 'signals go to a thread that does nothing else' "$(stoppable $job)" 'other '
kill -USR1 $job
cat train.sfts >&9
exec 9>&-
wait $job && rc=0 || rc=$?
equal 'SIGUSR1: saved, exit 75' "$rc $(grep -c 'resume auto' s.err) $(ls s/sft_train)" '75 1 checkpoint-1'
check 'SIGUSR1: goes on' run s --resume auto train.sfts
same 'SIGUSR1: to the same end' "$(weights a)" "$(weights s)"

sft-train -q --config config.yaml output_dir=i logging_dir=i/logs fifo 2>/dev/null &
job=$!
exec 9>fifo
kill -INT $job && sleep 0.2
check 'the first SIGINT waits for the step' kill -INT $job
wait $job && rc=0 || rc=$?
exec 9>&-
equal 'the second ends the process' $rc 130

# ---- the example for Slurm: this srun starts one task, this scontrol only says what it was told ----
mkdir slurm
printf '#!/bin/bash\nshift\nexec "$@" 2>/dev/null </dev/null\n' >slurm/srun
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
equal 'share/slurm: a job that was told to stop is queued anew' "$rc $(tail -n 1 batch.out)" '75 requeue 7'
check 'share/slurm: and then goes on' "${batch[@]}" train.sfts "${to[@]}"
same 'share/slurm: to the same end' "$(weights a)" "$(weights batch)"
fails 'share/slurm: no stream' 64 'usage: sbatch train.sbatch CONFIG STREAM' "${batch[@]}"

# ---- the plan ----
check '--plan' run p --plan
equal '--plan touches nothing' "$(ls -d p 2>/dev/null)" ''

# ---- refusals ----
fails 'an earlier run' 73 'checkpoint-3: exists already; add resume_from_checkpoint=auto' run a train.sfts
fails 'no stream' 64 'which stream' run x
fails 'no configuration' 64 'which configuration' sft-train train.sfts
fails 'missing stream' 66 'none.sfts' run x none.sfts
fails 'another length' 78 'rows of length 128, the configuration 256' run x short.sfts
fails 'another global batch' 78 'global batch of 8, the configuration 4' run x sft_train.training_args.gradient_accumulation_steps=4 train.sfts
fails 'another mode' 78 'mode none, the configuration batch' run x single.sfts
fails 'other epochs' 78 'epochs 1, the configuration 2' run x sft_train.training_args.num_train_epochs=2 train.sfts
cp -r model other && sed -i 's/"type":"NFC"/"type":"NFKC"/' other/tokenizer.json
fails 'another tokenizer' 65 'another tokenizer' run x pretrain=./other train.sfts
fails 'samples, not packed' 65 'sft-pack' run x train.samples
head -c $(($(stat -c %s train.sfts) - 9)) train.sfts >cut.sfts
fails 'a stream cut short' 65 'cut.sfts' run x cut.sfts
rm -rf x
fails 'cuda' 69 '[cC][uU][dD][aA]' run x --device cuda train.sfts
fails 'no such model' 66 'nowhere' run x pretrain=./nowhere train.sfts
fails 'an unknown key' 78 'save_step' run x save_step=3 train.sfts
fails 'workers' 78 'device_mapping' run x 'sft_train.device_mapping=list(range(0,4))' train.sfts
if [ -e /proc/self ]; then fails 'a folder that cannot be made' 73 '/proc/x' run /proc/x train.sfts; fi
broken() { # broken NAME SED: a model whose config.json is edited
    rm -rf "$1" && cp -r model "$1" && sed -i -E "$2" "$1/config.json"
}
broken shape 's/"intermediate_size": *384/"intermediate_size": 512/'
fails 'a misshapen tensor' 65 'mlp' run x pretrain=./shape train.sfts
rm -rf x
broken deep 's/"num_hidden_layers": *4/"num_hidden_layers": 5/'
fails 'a missing tensor' 65 'layers.4' run x pretrain=./deep train.sfts
rm -rf x
broken flat 's/"num_hidden_layers": *4/"num_hidden_layers": 3/'
fails 'a tensor too many' 65 'layers.3.*does not belong' run x pretrain=./flat train.sfts
rm -rf x
broken moe 's/"model_type": *"llama"/"model_type": "qwen3_moe", "num_experts": 8/'
fails 'a mixture of experts' 65 'MoE' run x pretrain=./moe train.sfts
cp -r model nan && damage nan/model.safetensors -2 '\xff\x7f'
fails 'a loss that is not finite' 76 'step 1: loss nan.*samples \(file:row\) are 0:' run x pretrain=./nan train.sfts
rm -rf x
note='no bf16 matrix instructions: computing in fp32'
ONEDNN_MAX_CPU_ISA=AVX2 quiet='' run x max_steps=2 train.sfts >x.json 2>x.log
equal 'a CPU without bf16: the run' "$(jq -c .step x.json)" 2
equal 'a CPU without bf16: said once' "$(grep -c "$note" x.log)" 1
exit $bad
