#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# sft-train on a tiny model with random weights: the same bytes twice, on the far device, after a
# stop; the same loss however a batch is cut; what it refuses.
source "$(dirname "$0")/../cli.sh"
root=$PWD
cd "$T" || exit 70

sft-ckpt init -q "$root/examples/random-model.json" --tokenizer "$root/share/tiny-tokenizer" --seed 42 -o model
topic() { printf '{"q":"Say number %d and then some more words.","a":"The number is %d, %s."}\n' "$1" "$1" "$2"; }
for i in $(seq 1 24); do topic "$i" "$(printf 'word%.0s ' $(seq 1 $((i % 7 + 1))))"; done >train.jsonl
for i in $(seq 30 35); do topic "$i" again; done >val.jsonl
samples() { sft-tokenize -q -m model --prompt-key q --response-key a "$1" | sft-template -q -m model; }
samples train.jsonl >train.samples
samples train.jsonl | sft-pack -q -l 256 -b 8 --epochs 1 -o train.sfts
samples train.jsonl | sft-pack -q -l 256 -b 8 --epochs 1 --mode none -o single.sfts
samples train.jsonl | sft-pack -q -l 128 -b 8 --epochs 1 -o short.sfts
samples val.jsonl | sft-pack -q -l 256 -b 8 -o val.sfts

cat >config.yaml <<'END'
exp_name: tiny
seed: 42
output_dir: ./out
logging_dir: ./out/logs
track_with: tensorboard
pretrain: ./model
sequence_length: 256
prompt_key: q
response_key: a
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
  data_args: {file_name: train.jsonl, template: native}
  strategy_args: {strategy_name: megatron_train}
  use_sequence_packing: true
  device_mapping: list(range(0,1))
END
# train DIR [ARGUMENT...] STREAM
train() {
    local dir=$1
    shift
    sft-train -q --config config.yaml "output_dir=$dir" "logging_dir=$dir/logs" "$@"
}
# Metrics without what measures time or memory.
steady() { sed -E 's/"(time\/[a-z_]+|system\/rss|checkpoint\/MB_per_s|sft_train\/(tokens_per_s|gflops|mfu))":[^,}]*[,}]//g' "$1"; }
loss() { sed -n 's/.*"sft_train\/loss":\([^,]*\),.*/\1/p' "$1"; } # of each step
# close NAME FILE FILE TOLERANCE: numbers line by line, relative
close() {
    if paste "$2" "$3" | awk -v t="$4" 'NF != 2 || ($1 - $2) / $2 > t || ($2 - $1) / $2 > t { bad = 1 } END { exit bad || !NR }'
    then ok "$1"; else not_ok "$1" "$(paste "$2" "$3" | head -n 1)"; fi
}

# ---- a run, and the same again ----
check 'trains' train a --val val.sfts train.sfts
check 'trains again' train b --val val.sfts train.sfts
A=a/sft_train/checkpoint-3/sft_train B=b/sft_train/checkpoint-3/sft_train
same 'the same weights' $A/model.safetensors $B/model.safetensors
same 'the same state' $A/state/optimizer.safetensors $B/state/optimizer.safetensors
same 'the same manifest' $A/manifest.json $B/manifest.json
equal 'the same metrics' "$(steady a/logs/tiny/metrics.jsonl)" "$(steady b/logs/tiny/metrics.jsonl)"
check 'one thread' train one -@ 1 --val val.sfts train.sfts
same 'the number of threads changes nothing' $A/state/optimizer.safetensors one/sft_train/checkpoint-3/sft_train/state/optimizer.safetensors
equal 'checkpoints every save_steps and at the end' "$(ls a/sft_train | tr '\n' ' ')" 'checkpoint-2 checkpoint-3 '
check 'the checkpoint is whole' sft-ckpt verify -q a/sft_train/checkpoint-3
same 'the tokenizer is copied' model/tokenizer.json $A/tokenizer.json
equal 'validation before, every eval_steps and at the end' "$(grep -c val_loss a/logs/tiny/metrics.jsonl)" 3
equal 'steps in metrics.jsonl' "$(grep -o '"system/step":[0-9]*' a/logs/tiny/metrics.jsonl | tr '\n' ' ')" \
    '"system/step":0 "system/step":1 "system/step":2 "system/step":3 '
check 'the configuration is kept' sft-config a/logs/tiny/config.yaml --get seed
if [ -s a/logs/tensorboard/tiny/events.out.tfevents.sft ]; then ok 'event file'; else not_ok 'event file'; fi
first=$(loss a/logs/tiny/metrics.jsonl | head -n 1) last=$(loss a/logs/tiny/metrics.jsonl | tail -n 1)
if awk "BEGIN { exit !($last < $first) }"; then ok 'the loss falls'; else not_ok 'the loss falls' "$first, $last"; fi

# ---- another device, another way to keep activations, a pipe ----
check 'far' train far --device far --val val.sfts train.sfts
same 'far: the same bytes' $A/state/optimizer.safetensors far/sft_train/checkpoint-3/sft_train/state/optimizer.safetensors
for how in none full; do
    check "recompute $how" train "r$how" sft.recompute=$how train.sfts
    same "recompute $how: the same bytes" $A/state/optimizer.safetensors "r$how/sft_train/checkpoint-3/sft_train/state/optimizer.safetensors"
done
piped() { sft-pack -q -l 256 -b 8 --epochs 1 train.samples | train pipe -; }
check 'from a pipe' piped
same 'from a pipe: the same bytes' $A/state/optimizer.safetensors pipe/sft_train/checkpoint-3/sft_train/state/optimizer.safetensors

# ---- the loss does not depend on how a batch is cut (fp32) ----
fp32=sft_train.model_args.dtype=fp32
check 'fp32, small micro-batches' train f1 $fp32 train.sfts
check 'fp32, one micro-batch' train f8 $fp32 sft_train.training_args.per_device_train_batch_size=8 \
    sft_train.training_args.gradient_accumulation_steps=1 train.sfts
check 'fp32, a sample a row' train fn $fp32 sft_train.use_sequence_packing=false single.sfts
for d in f1 f8 fn; do loss $d/logs/tiny/metrics.jsonl | head -n 1 >$d.first; done
close 'one micro-batch or many: the same loss' f1.first f8.first 1e-6
close 'packed or a sample a row: the same loss' f1.first fn.first 1e-6

# ---- stop and resume ----
check 'max_steps' train c max_steps=2 train.sfts
equal 'max_steps ends the run' "$(ls c/sft_train | tr '\n' ' ')" 'checkpoint-2 '
train d --val val.sfts train.sfts >/dev/null 2>&1
rm -rf d/sft_train/checkpoint-3 && sed -i '$d' d/logs/tiny/metrics.jsonl
check 'resume' train d --resume auto --val val.sfts train.sfts
same 'a resumed run equals an uninterrupted one' $A/state/optimizer.safetensors d/sft_train/checkpoint-3/sft_train/state/optimizer.safetensors
equal 'and so do its metrics' "$(steady d/logs/tiny/metrics.jsonl)" "$(steady a/logs/tiny/metrics.jsonl)"
rm -rf d/sft_train/checkpoint-3
printf x | dd of=d/sft_train/checkpoint-2/sft_train/model.safetensors bs=1 seek=5000 conv=notrunc 2>/dev/null
check 'resume: a damaged checkpoint is set aside' train d --resume auto --val val.sfts train.sfts
same 'and the run starts anew' $A/model.safetensors d/sft_train/checkpoint-3/sft_train/model.safetensors
sft-pack -q -l 256 -b 8 --epochs 1 --seed 9 train.samples -o order.sfts
fails 'resume: another stream' 78 'not those that the checkpoint was trained on' train c --resume auto order.sfts
fails 'resume: not a checkpoint' 78 'not a checkpoint-N folder' train x --resume model train.sfts
mkfifo fifo
sft-train -q --config config.yaml output_dir=s logging_dir=s/logs fifo >s.out 2>s.err &
run=$!
exec 9>fifo # opens when the trainer, which by then catches signals, opens its end
kill -USR1 $run
cat train.sfts >&9
exec 9>&-
wait $run && rc=0 || rc=$?
equal 'SIGUSR1: saved, exit 75' "$rc $(grep -c 'resume auto' s.err) $(ls s/sft_train)" '75 1 checkpoint-1'
check 'SIGUSR1: goes on' train s --resume auto train.sfts
same 'SIGUSR1: to the same end' $A/model.safetensors s/sft_train/checkpoint-3/sft_train/model.safetensors

# ---- the plan ----
check '--plan' train p --plan
equal '--plan touches nothing' "$(ls -d p 2>/dev/null)" ''

# ---- refusals ----
fails 'an earlier run' 73 'checkpoint-3: exists already; add resume_from_checkpoint=auto' train a train.sfts
fails 'no stream' 64 'which stream' train x
fails 'no configuration' 64 'which configuration' sft-train train.sfts
fails 'missing stream' 66 'none.sfts' train x none.sfts
fails 'another length' 78 'rows of length 128, the configuration 256' train x short.sfts
fails 'another global batch' 78 'global batch of 8, the configuration 4' train x sft_train.training_args.gradient_accumulation_steps=4 train.sfts
fails 'another mode' 78 'mode none, the configuration batch' train x single.sfts
fails 'other epochs' 78 'epochs 1, the configuration 2' train x sft_train.training_args.num_train_epochs=2 train.sfts
cp -r model other && sed -i 's/"type":"NFC"/"type":"NFKC"/' other/tokenizer.json
fails 'another tokenizer' 65 'another tokenizer' train x pretrain=./other train.sfts
fails 'samples, not packed' 65 'sft-pack' train x train.samples
head -c $(($(stat -c %s train.sfts) - 9)) train.sfts >cut.sfts
fails 'a stream cut short' 65 'cut.sfts' train x cut.sfts
rm -rf x
fails 'cuda' 69 'not built with CUDA' train x --device cuda train.sfts
fails 'no such model' 66 'nowhere' train x pretrain=./nowhere train.sfts
fails 'an unknown key' 78 'save_step' train x save_step=3 train.sfts
fails 'workers' 78 'device_mapping' train x 'sft_train.device_mapping=list(range(0,4))' train.sfts
if [ -e /proc/self ]; then fails 'a folder that cannot be made' 73 '/proc/x' train /proc/x train.sfts; fi
broken() { # broken NAME SED: a model whose config.json is edited
    rm -rf "$1" && cp -r model "$1" && sed -i -E "$2" "$1/config.json"
}
broken shape 's/"intermediate_size": *384/"intermediate_size": 512/'
fails 'a misshapen tensor' 65 'mlp' train x pretrain=./shape train.sfts
rm -rf x
broken deep 's/"num_hidden_layers": *4/"num_hidden_layers": 5/'
fails 'a missing tensor' 65 'layers.4' train x pretrain=./deep train.sfts
rm -rf x
broken flat 's/"num_hidden_layers": *4/"num_hidden_layers": 3/'
fails 'a tensor too many' 65 'layers.3.*does not belong' train x pretrain=./flat train.sfts
rm -rf x
broken moe 's/"model_type": *"llama"/"model_type": "qwen3_moe", "num_experts": 8/'
fails 'a mixture of experts' 65 'MoE' train x pretrain=./moe train.sfts
cp -r model nan && printf '\xff\x7f' | dd of=nan/model.safetensors bs=1 seek=$(($(stat -c %s nan/model.safetensors) - 2)) conv=notrunc 2>/dev/null
fails 'a loss that is not finite' 76 'step 1: loss nan.*samples \(file:row\) are 0:' train x pretrain=./nan train.sfts
rm -rf x
note='no bf16 matrix instructions: computing in fp32'
ONEDNN_MAX_CPU_ISA=AVX2 sft-train --config config.yaml output_dir=x logging_dir=x/logs max_steps=2 train.sfts >x.json 2>x.log
equal 'a CPU without bf16: the run' "$(jq -c .step x.json)" 2
equal 'a CPU without bf16: said once' "$(grep -c "$note" x.log)" 1
exit $bad
