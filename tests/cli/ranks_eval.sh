#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# sft-eval on several ranks: what it prints is that of one process, byte for byte, but for the time;
# errors, with one message for all; a rank that dies or stands still.
source "$(dirname "$0")/../ranks.sh"

# Three files, rows with several messages, and enough samples for several windows.
rows 1 200 | jq -c '{messages: [{role: "user", content: .q}, {role: "assistant", content: .a}]}' \
    >short.jsonl
rows 201 280 | jq -c '{messages: [{role: "user", content: .q}, {role: "assistant", content: .a},
    {role: "user", content: "And what comes then?"}, {role: "assistant", content: .a}]}' \
    >turns.jsonl
head -n 3 short.jsonl | jq -c '.messages |= .[:1]' >unanswered.jsonl
sft-tokenize -q -m model short.jsonl turns.jsonl unanswered.jsonl |
    sft-template -q --allow empty -m model -o loose.sfts
sft-pack -q -l 128 -b 4 loose.sfts -o packed.sfts
head -n 2 short.jsonl >two.jsonl
sft-tokenize -q -m model two.jsonl | sft-template -q -m model -o two.sfts
model other initializer_range=0.05
equal 'adapter: one process trains it' \
    "$(code run lora sft_train.model_args.lora_target=all-linear sft_train.model_args.lora_rank=4 \
        sft_train.training_args.learning_rate=1e-2 train.sfts)" 0
adapter=$(checkpoint lora)

computing=(-q --dtype fp32 -l 128 -@ 1)
# eval_on N ARGUMENT...: the results of the model on N ranks, without the time
eval_on() {
    local n=$1 launch=()
    shift
    [ "$n" = 1 ] || launch=(ranks "$n")
    "${launch[@]}" sft-eval "${computing[@]}" -m model "$@" | timeless
}
# alike AREA COUNTS ARGUMENT...: so many ranks print what one process prints, which has a loss
alike() {
    local area=$1 n
    eval_on 1 "${@:3}" >one
    check "$area: one process has a loss" grep -q 'loss":[0-9]' one
    for n in $2; do
        eval_on "$n" "${@:3}" >several
        same "$area: $n ranks print the bytes of one process" several one
    done
}
alike 'packed stream' 5 packed.sfts
alike 'samples and files' '2 3' --per-sample --by file loose.sfts
equal 'samples and files: samples are in the order of the stream' \
    "$(jq -c '.source // empty' several | sort -c -t, -k1.2n -k2n 2>&1 | wc -l)" 0
equal 'samples and files: each has its line' \
    "$(grep -c source several) $(grep -c '"key":"file"' several)" '283 3'
alike 'samples and messages' 3 --per-sample --by messages packed.sfts
alike 'groups by length' 2 --by length loose.sfts
alike 'two models' 3 --compare other loose.sfts
alike 'a model and its adapter' 2 --compare "$adapter" loose.sfts
alike 'adapter' 3 --adapter "$adapter" loose.sfts
differ 'adapter: it changes the loss' one <(eval_on 1 loose.sfts)
alike 'bf16 on the far device' 2 --dtype bf16 --device far packed.sfts
alike 'more ranks than samples' 3 --per-sample two.sfts
for stream in loose packed; do
    eval_on 1 --per-sample $stream.sfts >one
    eval_on 3 --per-sample - <$stream.sfts >several
    same "pipe: 3 ranks print the bytes of one process, $stream" several one
done
computing=(-q --dtype fp32 -l 128)
alike 'CPUs that ranks share' 2 loose.sfts

# ---- the trainer validates the same ----
equal 'trainer: 2 ranks train and validate' "$(code train 2 trained --val val.sfts train.sfts)" 0
close 'trainer: its validation loss is that of sft-eval on 2 ranks' \
    "$(jq .val_loss_before stdout)" \
    "$(ranks 2 sft-eval -q --dtype fp32 -m model val.sfts | jq .loss)" 1e-6

# ---- messages ----
equal 'messages: one line tells the ranks' \
    "$(code ranks 2 sft-eval --dtype fp32 -m model val.sfts) $(grep -c ': 2 ranks: ' stderr)" '0 1'
equal 'messages: 2 ranks print one result' "$(grep -c loss stdout)" 1
# refused AREA CODE PATTERN ARGUMENT...: 2 ranks end with the code, and one line that matches
refused() {
    equal "$1: 2 ranks exit with $2" "$(code ranks 2 sft-eval "${computing[@]}" "${@:4}")" "$2"
    said "$1: the message tells why" "^sft-eval: $3"
    once "$1: one rank tells it"
}
refused 'a missing model' 66 'nowhere' -m nowhere val.sfts
refused 'a missing model to compare' 66 'nowhere' -m model --compare nowhere val.sfts
cp -r model nan && damage nan/model.safetensors -2 '\xff\x7f'
refused 'a loss that is not finite' 76 'loose.sfts: the loss of .* not finite, first at file' \
    -m nan loose.sfts
sft-eval "${computing[@]}" -m nan loose.sfts 2>one.err
same 'a loss that is not finite: 2 ranks say what one process says' stderr one.err
full() { ranks 2 bash -c 'exec "$@" >/dev/full' - sft-eval "${computing[@]}" "$@"; }
code full -m model val.sfts >rc
equal 'a full disk: 2 ranks exit with 74, and one tells it' "$(<rc) $(wc -l <stderr)" '74 1'

# The token of the last row is none of the model's: what is before its step is printed.
model few vocab_size=1601 # as many as the tokenizer's
cp -r few more
jq '.added_tokens += [{id: 1601, content: "<extra>"}] |
    .added_tokens[-1] += {single_word: false, lstrip: false, rstrip: false, normalized: false,
        special: false}' few/tokenizer.json >more/tokenizer.json
sed '$s/And/<extra>/' turns.jsonl >strange.jsonl
sft-tokenize -q -m more short.jsonl strange.jsonl | sft-template -q -m more |
    sft-pack -q -l 128 -b 4 --in-order -o strange.sfts
equal 'a damaged stream: one process exits with 65' \
    "$(code sft-eval "${computing[@]}" -m more --per-sample strange.sfts)" 65
mv stdout one
mv stderr one.err
check 'a damaged stream: samples are before the fault' [ "$(wc -l <one)" -gt 100 ]
refused 'a damaged stream' 65 'strange.sfts: row .*resize_token' -m more --per-sample strange.sfts
same 'a damaged stream: 2 ranks print the samples before it, too' stdout one
same 'a damaged stream: 2 ranks say what one process says' stderr one.err

# ---- ranks that differ ----
# Each rank has a stream of its own.
cat >own <<'END'
#!/bin/bash
exec "$@" stream.$OMPI_COMM_WORLD_RANK
END
chmod +x own
cp packed.sfts stream.0
sft-pack -q -l 128 -b 4 --seed 7 loose.sfts -o stream.1
equal 'streams: 2 ranks with other ones exit with 65' \
    "$(code ranks 2 ./own sft-eval "${computing[@]}" -m model)" 65
said 'streams: the message tells what to do' 'stream.0: not the same stream on all ranks; copy it'
once 'streams: one rank tells it'
cp packed.sfts stream.1
damage stream.1 $(($(stat -c %s stream.1) / 2)) xxxx
equal 'streams: a rank with a damaged one ends all with 65' \
    "$(code ranks 2 ./own sft-eval "${computing[@]}" -m model)" 65
said 'streams: the message names the rank' '^sft-eval: rank 1: stream.1: '

# ---- answers to rows of a file, which the ranks take in turn ----
model lively initializer_range=0.3 # answers of different lengths
for i in {1..7}; do printf '{"id":%d,"prompt":"Say number %d."}\n' $i $i; done >prompts.jsonl
answering=("${computing[@]}" -m lively --max-tokens 12)
# answered AREA COUNTS ARGUMENT...: so many ranks write what one process writes
answered() {
    local area=$1 n
    sft-eval "${answering[@]}" "${@:3}" >one
    check "$area: one process answers" [ "$(grep -c '"answer":' one)" -gt 0 ]
    for n in $2; do
        equal "$area: $n ranks answer" "$(code ranks "$n" sft-eval "${answering[@]}" "${@:3}")" 0
        same "$area: $n ranks write the bytes of one process" stdout one
    done
}
answered 'prompts' '2 3' --prompts prompts.jsonl
answered 'prompts, drawn' 3 --prompts prompts.jsonl --temperature 1.5 --seed 3 --batch 2
head -n 2 prompts.jsonl >two.prompts
answered 'prompts, more ranks than rows' 3 --prompts two.prompts
echo '[]' >none.prompts
equal 'prompts, no row: 2 ranks write nothing' \
    "$(code ranks 2 sft-eval "${answering[@]}" --prompts none.prompts) $(wc -c <stdout)" '0 0'
check 'prompts: 2 ranks write a file' \
    ranks 2 sft-eval "${answering[@]}" --prompts two.prompts -o two.answers
same 'prompts: the file has the bytes of one process' two.answers one
# A rank without rows waits as long as it takes: here longer than the time for which a rank that
# computes may be waited for elsewhere.
model slow initializer_range=0.3 hidden_size=256 intermediate_size=1024 num_hidden_layers=6
head -n 1 prompts.jsonl >one.prompts
[ -n "${SAN:-}" ] || equal 'prompts: there is no limit of time for an answer' "$(code ranks 2 \
    sft-eval "${computing[@]}" -@ 1 -l 4000 --device ref -m slow --max-tokens 220 \
    --comm-timeout 1 --prompts one.prompts)" 0
sed '4s/.*/{"id":4}/;6s/.*/{"id":6}/' prompts.jsonl >bad.prompts
for n in 2 3; do
    equal "prompts, bad rows: $n ranks exit with 65" \
        "$(code ranks $n sft-eval "${answering[@]}" --prompts bad.prompts)" 65
    said "prompts, bad rows: $n ranks tell of the first one" 'bad.prompts:4: a row is an object'
    once "prompts, bad rows: one of $n ranks tells it"
    equal "prompts, bad rows: $n ranks write the rows before it" "$(jq -c .id stdout)" $'1\n2\n3'
done
cp prompts.jsonl stream.0
sed 's/number 5/number 50/' prompts.jsonl >stream.1
equal 'prompts: 2 ranks with other files exit with 65' \
    "$(code ranks 2 ./own sft-eval "${answering[@]}" --prompts)" 65
said 'prompts: the message tells what to do' 'not the same rows on all ranks; copy the file to all'
once 'prompts: one rank tells of other files'

# ---- launchers ----
export OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_RANK=0
several='2 processes were started; only a STREAM and --prompts .* type'
fails 'launch: rows of the standard input of several are refused' 64 \
    '2 processes were started, of which one has the standard input' sft-eval -m model --prompts -
fails 'launch: logits of several are refused' 64 "$several --prompt without" \
    sft-eval -m model --prompt x --logits
fails 'launch: a chat with several is refused' 64 "$several --chat without" sft-eval -m model --chat
OMPI_COMM_WORLD_RANK=1
equal 'launch: one rank tells it' "$(code sft-eval -m model --chat) $(wc -c <stderr)" '64 0'
equal 'launch: one rank tells of a wrong option' \
    "$(code sft-eval -m model --none) $(wc -c <stderr)" '64 0'
unset OMPI_COMM_WORLD_SIZE OMPI_COMM_WORLD_RANK
SLURM_NTASKS=2 SLURM_PROCID=0 fails 'Slurm: tasks that no PMI joins are refused' 78 \
    'start them by srun --mpi=pmix -n 2' sft-eval -m model val.sfts
equal 'Slurm: the other task says nothing' \
    "$(code env SLURM_NTASKS=2 SLURM_PROCID=1 sft-eval -m model val.sfts) $(wc -c <stderr)" '78 0'
mkdir empty
equal 'plugin: one process needs none' \
    "$(code env SFT_PLUGIN_PATH="$PWD/empty" sft-eval -q -m model val.sfts)" 0
equal 'plugin: several ranks without one exit with 69' \
    "$(code env SFT_PLUGIN_PATH="$PWD/empty" mpirun -q -np 2 --oversubscribe sft-eval -q -m model \
        val.sfts)" 69
said 'plugin: the message names the package to install' 'libopenmpi-dev'
once 'plugin: one rank tells it'

# ---- a rank that dies, or stands still ----
alone_script
sft-pack -q -l 128 -b 12 --epochs 4000 -o long.sfts train.samples
# left: prints the processes of ranks that are still there after half a minute
left() {
    local p all
    for _ in $(seq 600); do
        all=''
        for p in $(cat pid.*); do ! kill -0 "$p" 2>/dev/null || all+="$p "; done
        [ -n "$all" ] || return
        sleep 0.05
    done
    echo "$all"
}
# lost SIGNAL RANK PATTERN: that signal to a rank in the middle of a stream ends the job with 69 and
# one line, and no process is left
lost() {
    local area="a rank gets $1" rc
    rm -f pid.* stdout
    ranks 3 ./alone sft-eval "${computing[@]}" -m model --per-sample --comm-timeout 1 long.sfts \
        >stdout 2>stderr </dev/null &
    job=$!
    for _ in $(seq 600); do [ ! -s stdout ] || break; sleep 0.1; done
    kill "-$1" "$(<"pid.$2")"
    for _ in $(seq 600); do kill -0 $job 2>/dev/null || break; sleep 0.1; done
    ! kill -0 $job 2>/dev/null || kill -KILL $job $(cat pid.*)
    wait $job && rc=0 || rc=$?
    equal "$area: the job ends with 69" $rc 69
    equal "$area: one line tells why" \
        "$(grep '^sft-' stderr | sed -E "s/.*rank $2 on .* $3.*/as expected/")" 'as expected'
    equal "$area: no advice is for a run of the trainer" "$(grep -c resume stderr)" 0
    equal "$area: no process is left" "$(left)" ''
}
lost KILL 1 'died in step [0-9]+, (in|after) agreement [0-9]+ of all'
lost STOP 0 'has stood still for [0-9]+ seconds in step [0-9]+, .*; --comm-timeout sets the limit'
exit $bad
