#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# sft-train and sft-eval on a terminal: the bar, which stays below all lines and names what is going
# on, the summary, the answers to signals, an answer token by token.
source "$(dirname "$0")/../train.sh"
export TERM=xterm
unset NO_COLOR
quiet=''
if ! script -qec true /dev/null >/dev/null 2>&1; then
    skip 'terminal: a run shows its progress' 'no script(1)'
    exit 0
fi
model model hidden_size=64 intermediate_size=64 num_hidden_layers=2
rows 1 24 >train.jsonl
rows 30 35 >val.jsonl
samples train.jsonl >train.samples
sft-pack -q -l 256 -b 8 --epochs 2 -o train.sfts train.samples # 6 steps
sft-pack -q -l 256 -b 8 --epochs 20000 -o endless.sfts train.samples
samples val.jsonl | sft-pack -q -l 256 -b 2 -o val.sfts # 3 steps
config <<'END'
track_with: ""
sequence_length: 256
save_steps: 3
eval_steps: 2
logging_steps: 1
sft_train:
  training_args:
    num_train_epochs: 2
    per_device_train_batch_size: 8
    gradient_accumulation_steps: 1
    learning_rate: 1.0e-3
END
# seen NAME COMMAND...: runs it on a terminal of 80 columns; NAME.raw has all that it wrote there,
# NAME.bars one bar a line, and NAME.lines what stays on the screen
seen() {
    script -qec "stty cols 80; ${*:2}" /dev/null </dev/null >"$1.raw"
    local rc=$?
    tr -d '\r' <"$1.raw" | sed 's/\x1b\[K/\n/g' >"$1.parts"
    grep -aE '^(train|eval): ' "$1.parts" >"$1.bars"
    grep -avE '^(train|eval): |^$' "$1.parts" >"$1.lines"
    return $rc
}
# has NAME FILE PATTERN: a line of the file matches the extended regular expression
has() {
    if grep -Eaq -- "$3" "$2"; then ok "$1"; else not_ok "$1" "$(tail -n 5 "$2" | tr '\n' ' ')"; fi
}
typed="sft-train --config config.yaml output_dir=a logging_dir=a/logs --val val.sfts"

# ---- the bar ----
check 'run: it succeeds on a terminal' seen run "$typed" train.sfts
for what in 'loading the model' 'validating 3/3' 'saving checkpoint-3' 'saving checkpoint-6'; do
    has "bar: it says \"$what\"" run.bars ", $what\$"
done
has 'bar: it has the steps, and the time that is left' run.bars \
    '^train:  50% \[[=> ]{12}\] 3/6 0:[0-9]+ ETA 0:[0-9]+, loss [0-9.]+'
# Every line that the trainer logs ends in a bar, but for those before the first and after the last.
equal 'bar: it is drawn again after every line' \
    "$(tr -d '\r' <run.raw | awk '/sft-train: / { line = 1; next }
        line && !/^train: / { print } { line = 0 }')" ''
equal 'bar: lines are drawn over it' "$(grep -ac 'train: .*sft-train: ' run.parts)" 0
equal 'bar: none is wider than the terminal' "$(awk 'length > 79' run.bars | wc -l)" 0
equal 'bar: none stays on the screen' "$(tail -n 1 run.lines | cut -c 1-8)" '  next  '

# ---- lines ----
equal 'validation: each has a line with its loss when it ends' \
    "$(grep -aoE 'validation after step [0-9]+: val_loss [0-9.]+, [0-9]+ tokens' run.lines |
        cut -d: -f 1 | cut -d' ' -f 4 | paste -sd' ')" '0 2 4 6'

# ---- the summary ----
has 'summary: it has the steps' run.lines '^  steps       6 of 6$'
has 'summary: it has the tokens' run.lines '^  tokens      [0-9]+, [0-9]+ per second$'
has 'summary: it has the time' run.lines '^  time        0:[0-9]+$'
has 'summary: it has the last loss' run.lines \
    "^  loss        $(grep -ao 'step 6 of 6: loss [0-9.]*' run.lines | cut -d' ' -f 6)\$"
has 'summary: it has the validation loss' run.lines \
    '^  val_loss    [0-9.]+, before training [0-9.]+$'
has 'summary: it has the checkpoint' run.lines '^  checkpoint  a/sft_train/checkpoint-6$'
has 'summary: it has a command to go on with' run.lines \
    '^  next        sft-eval -m a/sft_train/checkpoint-6 --prompt TEXT$'
equal 'summary: no JSON is on the terminal' "$(grep -ac '"steps"' run.lines)" 0
run f --val val.sfts train.sfts >f.json 2>f.err
equal 'summary: a file gets JSON, and standard error no bar' \
    "$(jq -c '[.step, .checkpoint]' f.json) $(grep -c '^train: ' f.err)" \
    '[6,"f/sft_train/checkpoint-6"] 0'
equal 'validation: its loss is on the lines of a file too' "$(grep -c 'val_loss [0-9]' f.err)" 4

# ---- a continued run ----
rm -r a/sft_train/checkpoint-6
check 'resume: the run goes on, on a terminal' seen again "$typed" --resume auto train.sfts
has 'resume: the bar says which checkpoint is restored' again.bars ', restoring checkpoint-3$'
has 'resume: the summary tells the steps of this process' again.lines \
    '^  steps       6 of 6, 3 of them now$'

# ---- an adapter ----
lora=sft_train.model_args.lora_target=all-linear
check 'LoRA: a run succeeds on a terminal' seen lora "${typed//=a/=l}" $lora train.sfts
# elements: reads what sft-ckpt show prints, and prints the millions of elements of all tensors
elements() {
    awk -F'\t' '{ gsub(/[][ ]/, "", $3); k = split($3, n, ","); p = 1
        for (i = 1; i <= k; i++) p *= n[i]; all += p } END { printf "%.2f", all / 1e6 }'
}
trained=$(sft-ckpt show l/sft_train/checkpoint-6 | grep lora_ | elements)
has 'LoRA: the start line has the trained parameters, and all' lora.lines \
    "^sft-train: 6 steps, ${trained/./\\.} M trained of [0-9.]+ M parameters in "
has 'LoRA: the command to go on with has base and adapter' lora.lines \
    '^  next        sft-eval -m ./model --adapter l/sft_train/checkpoint-6 --prompt TEXT$'

# ---- sft-eval ----
check 'eval: it succeeds on a terminal' seen loss "sft-eval -m model val.sfts"
has 'eval: the bar says that the model is loaded' loss.bars '^eval: 0:00, loading the model$'
has 'eval: the bar has the steps, and the loss so far' loss.bars \
    '^eval: 100% .* 3/3 .*, loss [0-9.]+$'
equal 'eval: the result stays on the screen, and nothing else' \
    "$(jq -c 'keys' loss.lines)" \
    '["label_tokens","loss","perplexity","samples","seconds","tokens_per_s"]'
equal 'eval: a file gets no bar' "$(sft-eval -m model val.sfts 2>&1 | grep -c '^eval')" 0
for i in 1 2 3 4 5 6 7 8; do echo '{"q":"Say it.","a":"Größe: 漢字 und 語, 🙂."}'; done >say.jsonl
samples say.jsonl | sft-pack -q -l 256 -b 8 --epochs 60 -o say.sfts
quiet=-q run say sft_train.training_args.num_train_epochs=60 save_steps=0 \
    sft_train.training_args.learning_rate=1e-2 say.sfts >/dev/null
answer="sft-eval -m say/sft_train/checkpoint-60 --dtype fp32 --prompt 'Say it.'"
check 'answer: it succeeds on a terminal' seen answer "$answer"
eval "$answer" >whole
equal 'answer: the model has learnt its text, of characters of several tokens' "$(<whole)" \
    'Größe: 漢字 und 語, 🙂.'
same 'answer: its text on a terminal is that in a file' answer.lines whole
if command -v strace >/dev/null; then
    script -qec "strace -f -e trace=write -o calls $answer" /dev/null \
        </dev/null >/dev/null 2>&1
    check 'answer: it is written token by token' \
        [ "$(grep -c 'write(1, ".* = [0-9]$' calls)" -gt 8 ]
else
    skip 'answer: it is written token by token' 'no strace'
fi

# ---- signals: $job is a run that has done a step; err has its lines ----
# endless DIR [ARGUMENT...]
endless() {
    rm -rf "$1" err && mkdir -p "$1/logs/tiny"
    env --default-signal=INT sft-train --config config.yaml output_dir="$1" logging_dir="$1/logs" \
        save_steps=0 eval_steps=0 sft_train.training_args.num_train_epochs=20000 "${@:2}" \
        endless.sfts >out 2>err &
    job=$!
    lines 'step 1 of'
}
# lines PATTERN: waits until err has such a line
lines() { timeout 60 tail -s 0.1 -n +1 -F err 2>/dev/null | grep -m 1 -q -- "$1"; }
for signal in INT TERM; do
    endless s
    kill -$signal $job
    wait $job && rc=0 || rc=$?
    n=$(sed -n 's/^sft-train: stopping after step \([0-9]*\); again to stop now$/\1/p' err)
    equal "signals: $signal is answered with the step after which the run stops" \
        "$rc $(ls s/sft_train)" "75 checkpoint-$n"
done
endless s
kill -USR1 $job
wait $job
has 'signals: USR1 is answered, and promises nothing of a second one' err \
    '^sft-train: stopping after step [0-9]+$'
mkfifo fifo
# waits DIR: a run that waits for its stream
waits() {
    rm -rf "$1"
    env --default-signal=INT sft-train --config config.yaml output_dir="$1" \
        logging_dir="$1/logs" fifo >out 2>err &
    job=$!
    exec 9>fifo # opens when the trainer, which by then catches signals, opens its end
}
for signal in 'INT 130' 'TERM 143'; do
    waits w
    kill -"${signal% *}" $job
    lines 'stopping after the first step; again to stop now'
    [ "${signal% *}" = INT ] || sleep 1.2 # a copy from the launcher is not a second one
    kill -"${signal% *}" $job
    wait $job && rc=0 || rc=$?
    exec 9>&-
    equal "signals: a second ${signal% *} ends the process at once" $rc "${signal#* }"
done
waits w
kill -TERM $job && sleep 0.1 && kill -TERM $job
cat train.sfts >&9
exec 9>&-
wait $job && rc=0 || rc=$?
equal 'signals: a copy of TERM from a launcher does not end the process' \
    "$rc $(ls w/sft_train)" '75 checkpoint-1'
exit $bad
