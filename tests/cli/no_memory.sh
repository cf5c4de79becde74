#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Each allocation of a whole command fails, once, or with all that follow it: the command ends with
# 71 and one line that says so, or with 0 and the output of an undisturbed one, and leaves nothing
# else.
# The test prints which allocations fail. SWEEP=1: all of them, everywhere (minutes).
source "$(dirname "$0")/../faults.sh"
fail=$O/test/alloc_fail.so
if sanitized; then
    ok 'no memory: a sanitizer has its own allocator, which cannot be made to fail'
    exit
fi

# ---- the input of the commands ----
model model hidden_size=64 intermediate_size=64 num_hidden_layers=1
rows 1 6 >train.jsonl
# Two rows, each of which jq writes in one line; the first has all members that messages may have.
jq -c . >talk.jsonl <<'END'
{"messages": [
    {"role": "system", "content": "s"},
    {"role": "user", "content": "q \u00e9", "name": "n"},
    {"role": "assistant", "content": null, "reasoning_content": "So.", "weight": 0.5,
        "tool_calls": [
            {"type": "function", "function": {"name": "f", "arguments": "{\"x\":1.5}"}}]},
    {"role": "tool", "content": "12"},
    {"role": "assistant", "content": "Twelve.", "train": false},
    {"role": "user", "content": "q", "weight": 1},
    {"role": "assistant", "content": "a"}],
 "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
 "chat_template_kwargs": {"word": "w"}, "id": 7, "input": "x"}
{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
END
# a model with templates of several names
cp -r model named
mkdir named/additional_chat_templates
cat >named/additional_chat_templates/tool_use.jinja <<'END'
{{ word }}{{ kind }}
{%- for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{{ m.content or '' }}
{%- for c in m.tool_calls or [] %}<call>{{ c.function | tojson }}</call>{% endfor %}
{{- '<|im_end|>' + '\n' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}
END
cp named/additional_chat_templates/tool_use.jinja named/chat_template.jinja
sft-tokenize -q -m model --prompt-key q --response-key a -o turns.sfts train.jsonl
sft-tokenize -q -m named -o talk.sfts talk.jsonl
sft-template -q -m model -o samples.sfts turns.sfts
sft-pack -q -l 128 -b 2 -o train.sfts samples.sfts
sft-pack -q -l 128 -b 2 --mode none --in-order -o val.sfts samples.sfts
config <<'END'
track_with: tensorboard
sequence_length: 128
save_steps: 2
sft_train:
  model_args: {dtype: fp32}
  training_args:
    per_device_train_batch_size: 1
    gradient_accumulation_steps: 2
    num_train_epochs: 1
END
run begun -@ 1 max_steps=2 train.sfts >/dev/null
adapter=(sft_train.model_args.lora_target=all-linear)
run tuned -@ 1 "${adapter[@]}" train.sfts >/dev/null
"$O/test/hf_convert" make m.gguf
"$O/test/hf_convert" make pieces.gguf spm

# ---- sweeps ----
# failing N COMMAND...: runs the command, whose N-th allocation fails; its exit code is in $rc
failing() {
    local n=$1
    shift
    LD_PRELOAD=$fail ALLOC_FAIL_AT=$n ALLOC_FAIL_REPORT=report "$@" >stdout 2>stderr </dev/null
    rc=$?
}
# one_line: the command wrote one line, which says that memory ended
one_line() { local -a l; mapfile -t l <stderr; [ ${#l[@]} -eq 1 ] && [[ ${l[0]} == *emory* ]]; }
# points COUNT: prints which allocations of so many fail: the first $head, then every $every-th, and
# the last $tail
head=15 every=40 tail=70
points() {
    local k
    [ -z "${SWEEP:-}" ] || { seq "$1"; return; }
    for ((k = 1; k <= $1; k++)); do
        if [ $k -le $head ] || [ $((k % every)) -eq 0 ] || [ $k -gt $(($1 - tail)) ]; then echo \
            $k; fi
    done
}
# sweep OUTPUT COMMAND...: checks the command with each failure; OUTPUT is the file or folder that
# it makes, or - for standard output
sweep() {
    local output=$1 wrong='' refused=0 count n all
    shift
    rm -rf result
    failing 0 "$@"
    count=$(<report)
    [ $rc -eq 0 ] && [ "$count" -gt 0 ] || not_ok "no memory: $* succeeds undisturbed" \
        "exit $rc: $(head -n 1 stderr)"
    rm -rf whole
    if [ "$output" = - ]; then cp stdout whole; else mv result whole; fi
    mapfile -t all < <(points "$count")
    for n in "${all[@]}"; do
        failing "$n" "$@"
        left=(.*tmp*)
        case $rc in
            71) refused=$((refused + 1))
                one_line || wrong+=" $n($(word "$(<stderr)"))"
                [ ! -e result ] || wrong+=" $n(made)" ;;
            0)  if [ "$output" = - ]; then cmp -s <(timeless stdout) <(timeless whole); else
                    diff -r result whole >/dev/null; fi || wrong+=" $n(differs)"
                rm -rf result ;;
            *)  wrong+=" $n($rc:$(word "$(<stderr)"))" ;;
        esac
        [ ${#left[@]} -eq 0 ] || wrong+=" $n(left:${left[0]})"
    done
    score "no memory, $how$*: it fails with 71 or gives the same output" ${#all[@]} "$wrong"
    [ $refused -gt $((${#all[@]} / 2)) ] ||
        not_ok "no memory, $how$*: more than half of the failing allocations end it" \
        "$refused of ${#all[@]}"
    echo "# $*: ${#all[@]} of $count allocations$([ ${#all[@]} -eq "$count" ] ||
            echo ", the first $head, every ${every}th, the last $tail")"
}
how=''
tokenize=(sft-tokenize -q -m model --prompt-key q --response-key a -o result)

# Loading a tokenizer is the same in all: here every allocation, elsewhere some.
head=10000 sweep result "${tokenize[@]}" -@ 1 train.jsonl
sweep result sft-tokenize -q -m named -@ 1 -o result talk.jsonl
sweep result sft-tokenize -q -m model -@ 1 --ids -o result train.jsonl
sweep result sft-template -q -m model -@ 1 -o result turns.sfts
sweep result sft-template -q -m model -@ 1 -t chatml --mask roll -o result turns.sfts
sweep result sft-template -q -m named -@ 1 --arguments text --mask content \
    --var 'kind={"a":[1,2]}' -o result talk.sfts
head=10000 sweep result sft-pack -q -@ 1 -l 128 -b 2 -o result samples.sfts
sweep result sft-pack -q -@ 1 -l 46 -b 2 --mode dense --over-length cut -o result samples.sfts
sweep result sft-view -q -o result train.sfts
sweep - sft-view -q --stats talk.sfts
sweep - sft-view -q --show 0 -m model samples.sfts
sweep - sft-config config.yaml
sweep - sft-config --json config.yaml
sweep - sft-config --get model_path --get train_files config.yaml
sweep - sft-config --keys
mkdir logs && cp config.yaml logs
echo '{"system/step":1,"sft_train/loss":2,"sft_train/tokens_per_s":5}' >logs/metrics.jsonl
sweep - sft-report logs
sweep - sft-report --text logs
sweep - sft-pack --help
sweep result sft-ckpt init -q model.json --tokenizer named -o result
sweep result sft-ckpt convert -q m.gguf -o result
sweep result sft-ckpt convert -q pieces.gguf -o result
sweep result sft-ckpt convert -q -@ 1 --to gguf --type q8_0 -o result model
sweep result sft-ckpt merge -q model "$(checkpoint tuned)" -o result
sweep result sft-ckpt average -q model model -o result
sweep result sft-ckpt export -q "$(checkpoint tuned)" --logs tuned/logs/tiny -o result
sweep - sft-ckpt ls begun
sweep - sft-ckpt show model
sweep - sft-ckpt show "$(checkpoint tuned)"
tail=25
sweep - sft-eval -q -@ 1 -m model val.sfts
sweep - sft-eval -q -@ 1 -m model --adapter "$(checkpoint tuned)" --per-sample samples.sfts
sweep - sft-eval -q -@ 1 -m model --by file samples.sfts
sweep - sft-eval -q -@ 1 -m model --max-tokens 3 --prompt Say
jq -c '{prompt: .q}' train.jsonl >prompts.jsonl
sweep - sft-eval -q -@ 1 -m model --max-tokens 3 --batch 4 --prompts prompts.jsonl
sweep - sft-train -q --config config.yaml --plan

# The result of these is the exit code.
verify() { sft-ckpt verify -q "$1" && echo whole; }
compare() {
    local status=0
    sft-ckpt diff model "$1" || status=$?
    [ $status -eq 1 ] || return $status
}
sweep - verify "$(checkpoint begun 2)"
sweep - compare "$(checkpoint begun 2)"

# ---- when memory ends for good; with two workers; in the libraries ----
head=5 every=23 tail=12
how='from there on: '
export ALLOC_FAIL_ON=1
sweep result "${tokenize[@]}" -@ 1 train.jsonl
sweep result sft-pack -q -@ 1 -l 128 -b 2 -o result samples.sfts
sweep result sft-ckpt merge -q model "$(checkpoint tuned)" -o result
sweep - sft-eval -q -@ 1 -m model val.sfts
unset ALLOC_FAIL_ON
how='two workers: '
for _ in 1 2 3 4 5 6 7 8; do cat train.jsonl; done >long.jsonl
"${tokenize[@]}" -o long.sfts long.jsonl
tail=40
sweep result "${tokenize[@]}" -@ 2 long.jsonl
sweep result sft-template -q -m model -@ 2 -o result long.sfts
sweep result sft-pack -q -@ 2 -l 128 -b 2 -o result samples.sfts
export ALLOC_FAIL_IN
head=3 every=50 tail=3
ALLOC_FAIL_IN=libyaml how='in libyaml: '
sweep - sft-config config.yaml
ALLOC_FAIL_IN=libzstd how='in zstd: '
sweep result "${tokenize[@]}" -@ 1 train.jsonl
sweep - sft-view -q train.sfts
ALLOC_FAIL_IN=libc.so how='in libc: '
sweep - sft-ckpt ls begun
sweep - verify "$(checkpoint begun 2)"
unset ALLOC_FAIL_IN

# ---- runs ----
# A run that fails before its first step saves nothing and leaves the folder as it was.
# trained AREA BEFORE ARGUMENT...: checks a run with each failure; it begins with a copy of the
# folder BEFORE, if that is not empty
trained() {
    local name=$1 before=$2 wrong='' refused=0 count n all
    shift 2
    again() { rm -rf k && { [ -z "$before" ] || cp -r "$before" k; }; }
    again
    failing 0 run k -@ 1 "$@" train.sfts
    count=$(<report)
    [ $rc -eq 0 ] || not_ok "no memory, $name: the undisturbed run succeeds" \
        "exit $rc: $(head -n 1 stderr)"
    rm -rf whole && mv k whole
    mapfile -t all < <(points "$count")
    for n in "${all[@]}"; do
        again
        failing "$n" run k -@ 1 "$@" train.sfts
        left=(k/sft_train/.checkpoint* k/logs/tiny/.*tmp* k/sft_train/damaged*)
        case $rc in
            71) refused=$((refused + 1))
                one_line || wrong+=" $n($(word "$(<stderr)"))"
                [ -z "$before" ] || diff -r "$before/sft_train" k/sft_train >/dev/null ||
                    wrong+=" $n(changed)"
                [ -z "$before" ] || [[ $(<k/logs/tiny/metrics.jsonl) == \
                    "$(<"$before/logs/tiny/metrics.jsonl")"* ]] || wrong+=" $n(metrics)"
                [ -n "$before" ] ||
                    for c in k/sft_train/checkpoint-*; do wrong+=" $n(saved)"; done ;;
            0)  diff -r whole/sft_train k/sft_train >/dev/null || wrong+=" $n(differs)" ;;
            *)  wrong+=" $n($rc:$(word "$(<stderr)"))" ;;
        esac
        [ ${#left[@]} -eq 0 ] || wrong+=" $n(left:${left[0]})"
    done
    score "no memory, $name: it fails with 71 and saves nothing, or ends with the same files" \
        ${#all[@]} "$wrong"
    [ $refused -gt $((${#all[@]} / 2)) ] ||
        not_ok "no memory, $name: more than half of the failing allocations end it" \
        "$refused of ${#all[@]}"
    echo "# $name: ${#all[@]} of $count allocations"
}
head=5 every=30 tail=40
trained 'a run' '' --val val.sfts
head=0 every=50
trained 'a run that is continued' begun --resume auto
tail=20
trained 'a run of an adapter' '' "${adapter[@]}"
exit $bad
