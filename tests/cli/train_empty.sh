#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Streams without a trained token are refused before anything is written; a step without one is told
# and changes no weight. Streams with ids that the model does not have and a validation loss that is
# not finite are refused too.
source "$(dirname "$0")/../train.sh"

model model hidden_size=32 intermediate_size=64 num_hidden_layers=2 vocab_size=1601
rows 1 6 >train.jsonl
# The questions of rows 2 and 5 are longer than a row, which cuts their answers off.
long=$(printf 'word %.0s' $(seq 80))
sed -E "3s/Say/$long/; 6s/Say/$long/" train.jsonl >holes.jsonl
sed '3d; 6d' train.jsonl >without.jsonl
pack() { sft-pack -q -l 64 -b 1 --in-order --over-length cut "$@"; }
for s in train holes without; do samples $s.jsonl | pack -o $s.sfts; done
sed "s/Say/$long/" train.jsonl >empty.jsonl
samples empty.jsonl | pack -o empty.sfts 2>pack.err
samples <(sed -n 3p holes.jsonl; sed -n 1p holes.jsonl) | pack -o late.sfts
config <<'END'
track_with: ""
sequence_length: 64
save_steps: 1
eval_steps: 2
logging_steps: 1
sft: {shuffle: false}
sft_train:
  model_args: {dtype: fp32}
  training_args:
    per_device_train_batch_size: 1
    learning_rate: 1.0e-3
    lr_scheduler_type: constant
    weight_decay: 0.1
END
last=6
stream=holes.sfts
train() { quiet='' run "$@" $stream; } # train DIR [ARGUMENT...]
# nothing AREA: the run into the folder x wrote nothing
nothing() { equal "$1: no file is written" "$(ls -d x 2>/dev/null)" ''; }

# ---- a step without a trained token ----
equal 'step without labels: the run goes on' "$(code train holes)" 0
said 'step without labels: it is told with its rows' \
    '^sft-train: step 3: no trained token, nothing to learn; .*file:row\) are 0:2; no update made$'
said 'step without labels: its line of progress tells it' \
    '^sft-train: step 3 of 6: no trained token, lr 0.001, '
equal 'step without labels: each is told' "$(grep -c 'no trained token, nothing' stderr)" 2
said 'step without labels: their number is told in the end' \
    '2 of 6 steps were left out; suspect_rows in .*metrics.jsonl names'
equal 'step without labels: its loss is null in the metrics' \
    "$(metric holes sft_train/loss | sed 's/[0-9.e-]\+/N/g')" 'N N null N N null '
equal 'step without labels: its norm is null in the metrics' \
    "$(metric holes sft_train/grad_norm | sed 's/[0-9.e-]\+/N/g')" 'N N null N N null '
equal 'step without labels: metrics and summary count them' \
    "$(metric holes sft_train/skipped_steps)$(jq .skipped_steps stdout)" \
    '0 0 1 1 1 2 2'
equal 'step without labels: the metrics name the rows' "$(metric holes sft_train/suspect_rows)" \
    'null null [[0,2]] null null [[0,5]] '
close 'step without labels: the summary has the last loss that there is' "$(jq .loss stdout)" \
    "$(losses holes | sed -n 5p)" 1e-6
for step in 3 6; do
    same "step without labels: step $step leaves the weights" "$(weights holes $step)" \
        "$(weights holes $((step - 1)))"
    same "step without labels: step $step leaves the moments" "$(state holes $step)" \
        "$(state holes $((step - 1)))"
done
stream=without.sfts
equal 'stream without such steps: the run succeeds' "$(code train without)" 0
same 'stream without such steps: the weights in the end are the same' "$(weights holes)" \
    "$(weights without 4)"
same 'stream without such steps: the state in the end is the same' "$(state holes)" \
    "$(state without 4)"
equal 'stream without such steps: the losses are the same' "$(losses holes | grep -v null)" \
    "$(losses without)"
stream=holes.sfts
for how in '--device far' sft_train.training_args.optim=sgd; do
    # shellcheck disable=SC2086
    equal "step without labels, $how: the run succeeds" "$(code train how max_steps=3 $how)" 0
    same "step without labels, $how: the weights stay" "$(weights how 3)" "$(weights how 2)"
    rm -rf how
done
equal 'step without labels, LoRA: the run succeeds' \
    "$(code train how max_steps=3 sft_train.model_args.lora_target=all-linear)" 0
same 'step without labels, LoRA: the adapter stays' "$(adapter how 3)" "$(adapter how 2)"
equal 'resume: a run that stops after such a step succeeds' "$(code train again max_steps=3)" 0
equal 'resume: the run goes on' "$(code train again --resume auto)" 0
same "resume: the weights equal the uninterrupted run's" "$(weights again)" "$(weights holes)"
same "resume: the state equals the uninterrupted run's" "$(state again)" "$(state holes)"
equal "resume: the metrics equal the uninterrupted run's" "$(steady again)" "$(steady holes)"
stream=late.sfts last=2
equal 'first step without labels: the run succeeds' "$(code train late)" 0
equal 'first step without labels: no checkpoint is made of it' "$(ls late/sft_train)" checkpoint-2
said 'first step without labels: the missing checkpoint is told' \
    '^sft-train: checkpoint-1: not written, nothing was learnt yet$'
mkfifo fifo
sft-train --config config.yaml output_dir=stop logging_dir=stop/logs fifo >stdout 2>stderr &
job=$!
exec 9>fifo
kill -USR1 $job
cat late.sfts >&9
exec 9>&-
wait $job && rc=0 || rc=$?
equal 'first step without labels: a run stopped after it leaves no checkpoint' \
    "$rc $(ls stop/sft_train)" '75 '
said 'first step without labels: no checkpoint is promised' \
    'after step 1; nothing was learnt yet, so there is no checkpoint'

# ---- a stream, a validation stream, steps without any ----
none='no trained token in the whole plan'
piped() { # piped DIR STREAM [ARGUMENT...]
    sh -c 'cat "$0" | sft-train -q --config config.yaml "$@" -' "$2" \
        "output_dir=$1" "logging_dir=$1/logs" "${@:3}"
}
fails 'stream without labels: it is refused' 65 "empty.sfts: $none" run x empty.sfts
nothing 'stream without labels'
fails 'pipe without labels: it is refused' 65 "<stdin>: $none" piped x empty.sfts
nothing 'pipe without labels'
fails 'validation without labels: it is refused' 65 "validation: empty.sfts: $none" \
    run x --val empty.sfts train.sfts
nothing 'validation without labels'
fails 'max_steps without labels: the stream is refused' 65 \
    'late.sfts: no trained token in .* up to max_steps \(1 of 2\)' \
    run x max_steps=1 late.sfts
nothing 'max_steps without labels'
fails 'max_steps without labels: a pipe is refused' 65 \
    '<stdin>: no trained token in the 1 steps of the run' \
    piped x late.sfts max_steps=1
equal 'max_steps without labels: a pipe leaves no checkpoint' "$(ls x/sft_train)" ''
equal 'max_steps without labels: a pipe leaves null in the metrics' "$(metric x sft_train/loss)" \
    'null '
rm -rf x

# ---- ids that the model does not have ----
mv model few && cp -r few model
jq '.added_tokens += [{id: 1601, content: "<second>", single_word: false, lstrip: false,
    rstrip: false, normalized: false, special: false}]' few/tokenizer.json >model/tokenizer.json
sed '6s/Say/<second>/' train.jsonl >strange.jsonl
samples strange.jsonl | pack -o strange.sfts
samples train.jsonl | pack -o known.sfts
id='file 0 row 5\)?: token 1601 \("<second>"\) is not in the model.s vocabulary of 1601 tokens'
fails 'unknown id: one in the last step is refused before the first' 65 "strange.sfts: $id" run x \
    strange.sfts
nothing 'unknown id'
fails 'unknown id in validation: it is refused' 65 "validation: strange.sfts: $id" \
    run x --val strange.sfts known.sfts
nothing 'unknown id in validation'
check 'unknown id: a run that ends before it succeeds' run y max_steps=5 strange.sfts
for ahead in 0 3; do
    fails "unknown id in a pipe, $ahead steps ahead: it is refused with its row" 65 \
        "<stdin>: row 5 \($id" \
        piped z strange.sfts sft_train.training_args.dataloader_num_workers=$ahead
    equal "unknown id in a pipe, $ahead steps ahead: the steps before it are saved" \
        "$(ls z/sft_train | tail -n 1)" checkpoint-5
    rm -rf z
done
rm -rf model && mv few model

# ---- a loss of validation that is not finite: a token's embedding, which no trained row has ----
jq '.tie_word_embeddings = false' model/config.json >untied.json
sft-ckpt init -q untied.json --tokenizer "$root/share/tiny-tokenizer" --seed 42 -o untied
token=$(echo '~' | sft-tokenize -q --ids -m model)
fill untied/model.safetensors model.embed_tokens.weight $((token * 32)) 1 '\xc0\x7f'
sed '2s/number/~/' train.jsonl >bad.jsonl
samples bad.jsonl | pack -o bad.sfts
why="tensor model.embed_tokens.weight is not finite: nan at .$token,0., 1 of its"
loss='the validation loss is -?nan, not finite'
fails 'validation not finite: the run ends with 76 and names the weight' 76 \
    "bad.sfts: after step 0 $loss; $why" \
    run v pretrain=./untied --val bad.sfts train.sfts
equal 'validation not finite: the metrics have null' "$(metric v sft_train/val_loss)" 'null '
equal 'validation not finite: no checkpoint is made' "$(ls v/sft_train)" ''
rm -rf v
stream=train.sfts last=6
equal 'validation not finite: sft.skip_nonfinite goes on' \
    "$(code train v pretrain=./untied sft.skip_nonfinite=true --val bad.sfts)" 0
equal 'validation not finite: each one is told' "$(grep -cE "$loss$" stderr)" 4
equal 'validation not finite: the summary has null' \
    "$(jq -c '[.val_loss_before, .val_loss_after]' stdout)" '[null,null]'
check 'validation not finite: every line of the metrics is JSON' jq -e . "$(metrics v)"
fails 'step not finite: the run ends with 76 and names the weight' 76 \
    "step 2: loss -?nan.*leaves such steps out; $why" \
    run w pretrain=./untied bad.sfts
samples <(sed -n 2p bad.jsonl) | pack -o worse.sfts
fails 'step not finite: a run that leaves out every step ends with 76' 76 \
    'worse.sfts: each of the 1 steps of the run was left out' \
    run u pretrain=./untied sft.skip_nonfinite=true worse.sfts
equal 'step not finite: that run makes no checkpoint' "$(ls u/sft_train)" ''
exit $bad
