#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Nothing to learn: streams without a trained token are refused before anything is written, a step
# without one is told and changes no weight; and what else a run refuses of its streams: ids that
# the model does not have, a validation loss that is not finite.
source "$(dirname "$0")/../train.sh"

model model hidden_size=32 intermediate_size=64 num_hidden_layers=2 vocab_size=1601
rows 1 6 >train.jsonl
# The questions of rows 2 and 5 are longer than a row: nothing is left of their answers.
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
metric() { jq -c ".[\"$2\"]" "$(metrics "$1")" | tr '\n' ' '; }
nothing() { equal "$1: nothing is written" "$(ls -d x 2>/dev/null)" ''; }

# ---- a step without a trained token ----
equal 'a run with such steps' "$(code train holes)" 0
said 'it is told in a line' \
    '^sft-train: step 3: no trained token, nothing to learn; .*file:row\) are 0:2; no update made$'
said 'and in the line of the progress' '^sft-train: step 3 of 6: no trained token, lr 0.001, '
equal 'each is' "$(grep -c 'no trained token, nothing' stderr)" 2
said 'and their number' '2 of 6 steps were left out; suspect_rows in .*metrics.jsonl names'
equal 'the loss is null and not 0' "$(metric holes sft_train/loss | sed 's/[0-9.e-]\+/N/g')" \
    'N N null N N null '
equal 'so is the norm' "$(metric holes sft_train/grad_norm | sed 's/[0-9.e-]\+/N/g')" \
    'N N null N N null '
equal 'they are counted' "$(metric holes sft_train/skipped_steps)$(jq .skipped_steps stdout)" \
    '0 0 1 1 1 2 2'
equal 'and named' "$(metric holes sft_train/suspect_rows)" 'null null [[0,2]] null null [[0,5]] '
close 'the summary has the last loss' "$(jq .loss stdout)" "$(losses holes | sed -n 5p)" 1e-6
for step in 3 6; do
    same "step $step leaves the weights" "$(weights holes $step)" "$(weights holes $((step - 1)))"
    same "step $step leaves the moments" "$(state holes $step)" "$(state holes $((step - 1)))"
done
stream=without.sfts
equal 'a stream without those steps' "$(code train without)" 0
same 'has the same end' "$(weights holes)" "$(weights without 4)"
same 'and the same state' "$(state holes)" "$(state without 4)"
equal 'and the same losses' "$(losses holes | grep -v null)" "$(losses without)"
stream=holes.sfts
for how in '--device far' sft_train.training_args.optim=sgd; do
    # shellcheck disable=SC2086
    equal "$how" "$(code train how max_steps=3 $how)" 0
    same "$how: the weights stay" "$(weights how 3)" "$(weights how 2)"
    rm -rf how
done
equal 'LoRA' "$(code train how max_steps=3 sft_train.model_args.lora_target=all-linear)" 0
same 'LoRA: the adapter stays' "$(adapter how 3)" "$(adapter how 2)"
equal 'stopped after such a step' "$(code train again max_steps=3)" 0
equal 'and continued' "$(code train again --resume auto)" 0
same 'the end is the same' "$(weights again)" "$(weights holes)"
same 'and the state' "$(state again)" "$(state holes)"
equal 'and the metrics' "$(steady again)" "$(steady holes)"
stream=late.sfts last=2
equal 'one at the begin' "$(code train late)" 0
equal 'no checkpoint before there is something to save' "$(ls late/sft_train)" checkpoint-2
said 'which is told' '^sft-train: checkpoint-1: not written, nothing was learnt yet$'
mkfifo fifo
sft-train --config config.yaml output_dir=stop logging_dir=stop/logs fifo >stdout 2>stderr &
job=$!
exec 9>fifo
kill -USR1 $job
cat late.sfts >&9
exec 9>&-
wait $job && rc=0 || rc=$?
equal 'asked to stop there' "$rc $(ls stop/sft_train)" '75 '
said 'no checkpoint is promised' 'after step 1; nothing was learnt yet, so there is no checkpoint'

# ---- a stream, a validation stream, steps without any ----
none='no trained token in the whole plan'
piped() { # piped DIR STREAM [ARGUMENT...]
    sh -c 'cat "$0" | sft-train -q --config config.yaml "$@" -' "$2" \
        "output_dir=$1" "logging_dir=$1/logs" "${@:3}"
}
fails 'a stream without a trained token' 65 "empty.sfts: $none" run x empty.sfts
nothing 'a stream'
fails 'a pipe without a trained token' 65 "<stdin>: $none" piped x empty.sfts
nothing 'a pipe'
fails 'validation without a trained token' 65 "validation: empty.sfts: $none" \
    run x --val empty.sfts train.sfts
nothing 'validation'
fails 'none up to max_steps' 65 'late.sfts: no trained token in .* up to max_steps \(1 of 2\)' \
    run x max_steps=1 late.sfts
nothing 'none up to max_steps'
fails 'none up to max_steps, of a pipe' 65 '<stdin>: no trained token in the 1 steps of the run' \
    piped x late.sfts max_steps=1
equal 'none up to max_steps, of a pipe: no checkpoint' "$(ls x/sft_train)" ''
equal 'none up to max_steps, of a pipe: null in the metrics' "$(metric x sft_train/loss)" 'null '
rm -rf x

# ---- ids that the model does not have ----
mv model few && cp -r few model
jq '.added_tokens += [{id: 1601, content: "<second>", single_word: false, lstrip: false,
    rstrip: false, normalized: false, special: false}]' few/tokenizer.json >model/tokenizer.json
sed '6s/Say/<second>/' train.jsonl >strange.jsonl
samples strange.jsonl | pack -o strange.sfts
samples train.jsonl | pack -o known.sfts
id='file 0 row 5\)?: token 1601 \("<second>"\) is not in the model.s vocabulary of 1601 tokens'
fails 'a strange id, which comes last' 65 "strange.sfts: $id" run x strange.sfts
nothing 'a strange id'
fails 'a strange id in validation' 65 "validation: strange.sfts: $id" \
    run x --val strange.sfts known.sfts
nothing 'a strange id in validation'
check 'not so far' run y max_steps=5 strange.sfts
for ahead in 0 3; do
    fails "a strange id in a pipe, $ahead steps ahead" 65 "<stdin>: row 5 \($id" \
        piped z strange.sfts sft_train.training_args.dataloader_num_workers=$ahead
    equal "$ahead steps ahead: after the step before" "$(ls z/sft_train | tail -n 1)" checkpoint-5
    rm -rf z
done
rm -rf model && mv few model

# ---- a loss of validation that is not finite: a token's embedding, which no trained row has ----
jq '.tie_word_embeddings = false' model/config.json >untied.json
sft-ckpt init -q untied.json --tokenizer "$root/share/tiny-tokenizer" --seed 42 -o untied
token=$(echo '~' | sft-tokenize -q --ids -m model)
n=$(od -An -tu8 -N8 untied/model.safetensors | tr -d ' ')
at=$(head -c $((8 + n)) untied/model.safetensors | tail -c "$n" |
    jq '.["model.embed_tokens.weight"].data_offsets[0]')
damage untied/model.safetensors $((8 + n + at + 2 * token * 32)) '\xc0\x7f'
sed '2s/number/~/' train.jsonl >bad.jsonl
samples bad.jsonl | pack -o bad.sfts
why="tensor model.embed_tokens.weight is not finite: nan at .$token,0., 1 of its"
loss='the validation loss is -?nan, not finite'
fails 'validation that is not finite' 76 "bad.sfts: after step 0 $loss; $why" \
    run v pretrain=./untied --val bad.sfts train.sfts
equal 'validation: null in the metrics' "$(metric v sft_train/val_loss)" 'null '
equal 'validation: no checkpoint' "$(ls v/sft_train)" ''
rm -rf v
stream=train.sfts last=6
equal 'validation: skip_nonfinite goes on' \
    "$(code train v pretrain=./untied sft.skip_nonfinite=true --val bad.sfts)" 0
equal 'validation: and tells each' "$(grep -cE "$loss$" stderr)" 4
equal 'validation: null in the summary' "$(jq -c '[.val_loss_before, .val_loss_after]' stdout)" \
    '[null,null]'
check 'validation: every line is JSON' jq -e . "$(metrics v)"
fails 'a step that is not finite' 76 "step 2: loss -?nan.*leaves such steps out; $why" \
    run w pretrain=./untied bad.sfts
samples <(sed -n 2p bad.jsonl) | pack -o worse.sfts
fails 'every step left out' 76 'worse.sfts: each of the 1 steps of the run was left out' \
    run u pretrain=./untied sft.skip_nonfinite=true worse.sfts
equal 'every step left out: no checkpoint' "$(ls u/sft_train)" ''
exit $bad
