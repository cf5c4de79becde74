# SPDX-License-Identifier: Apache-2.0
# sft-pack: steps, order, over-length samples; threads and pipes change no byte.
source "$(dirname "$0")/../cli.sh"
model=share/tiny-tokenizer
awk 'BEGIN {
        for (i = 0; i < 1003; i++) {
            printf "{\"instruction\":\"question %d\",\"output\":\"", i
            for (k = 0; k < i * 7 % 31; k++) printf "word "
            print "end\"}"
        }
    }' >"$T/d.jsonl"
sft-tokenize -q -m $model "$T/d.jsonl" | sft-template -q -m $model -o "$T/s"
# longest FILE: prints the length of the longest sample
longest() { sft-view --stats "$1" | jq .length.max; }
longest=$(longest "$T/s")
length=$((longest * 3))
pack() { sft-pack -q -l $length -b 32 "$@"; }
pack -@ 1 "$T/s" -o "$T/1"
for n in 2 8; do
    pack -@ $n "$T/s" -o "$T/n"
    same "bytes: they are the same with -@ $n" "$T/1" "$T/n"
done
pack <"$T/s" | cat >"$T/n"
same 'bytes: they are the same through a pipe' "$T/1" "$T/n"
TMPDIR=$T pack "$T/s" >"$T/n"
same 'bytes: they are the same with another TMPDIR' "$T/1" "$T/n"
check 'bytes: zstd accepts the plan' zstd -tq "$T/1"

# ---- nothing is lost ----
for mode in batch none dense; do
    pack --mode $mode "$T/s" -o "$T/$mode"
    equal "plan, $mode: the samples are all there" "$(sft-view --checksum "$T/$mode")" \
        "$(sft-view --checksum "$T/s")"
    check "plan, $mode: the stream verifies" sft-view --check "$T/$mode"
done
# header FILE KEY: prints a value of the header
header() { sft-view -H "$1" | jq ".$2"; }
equal 'batch: 1003 samples make 32 steps of 32' "$(header "$T/batch" steps)" 32
equal 'none: each row has one sample' "$(header "$T/none" rows)" 1003
check 'batch: there are fewer rows than samples' [ "$(header "$T/batch" rows)" -lt 600 ]
check 'dense: there are fewer rows than in batch' \
    [ "$(header "$T/dense" rows)" -lt "$(header "$T/batch" rows)" ]
# steps FILE: prints the number of samples of each step
steps() { sft-view "$1" | jq -s 'group_by(.step)[] | map(.source | length) | add' | paste -sd' '; }
equal 'batch: each step has 32 samples, the last one the rest' "$(steps "$T/batch")" \
    "$(printf '32 %.0s' {1..31})11"
equal 'none: each step has as many samples as in batch' "$(steps "$T/none")" "$(steps "$T/batch")"
# contents FILE: prints step and source of each sample, sorted
contents() { sft-view "$1" | jq -c '[.step] + .source[]' | sort; }
same 'none: each step has the samples of batch' <(contents "$T/none") <(contents "$T/batch")

# ---- order and epochs ----
pack --seed 7 "$T/s" -o "$T/n"
equal 'order: another seed gives another one, of all samples' \
    "$(contents "$T/n" | wc -l) $(code cmp <(contents "$T/n") <(contents "$T/batch"))" '1003 1'
pack --in-order --mode none "$T/s" -o "$T/n"
equal "order: --in-order keeps the file's" \
    "$(sft-view "$T/n" | jq -sc 'map(.source[][1]) == [range(1003)]')" true
pack --epochs 2 "$T/s" -o "$T/n"
equal 'epochs: two have twice the steps and samples' \
    "$(header "$T/n" steps) $(header "$T/n" samples)" '64 2006'
pack --epochs 0.5 "$T/s" -o "$T/n"
equal 'epochs: half an epoch has half the steps' "$(header "$T/n" steps) $(header "$T/n" samples)" \
    '16 512'
pack --epochs 1.5 "$T/s" -o "$T/n"
equal 'epochs: an epoch and a half has 48 steps' "$(header "$T/n" steps) $(header "$T/n" samples)" \
    '48 1515'
pack "$T/s" "$T/s" -o "$T/n"
equal 'input: two streams are packed together' "$(header "$T/n" samples)" 2006
equal 'summary: it tells steps, samples, rows and density' \
    "$(sft-pack -l $length -b 32 "$T/s" 2>&1 >/dev/null |
        grep -c -e '^sft-pack: 32 steps of 32 samples: 1003 samples in [0-9]* rows' \
            -e 'density 0\.[0-9]*, 1\.[0-9]* times')" 2

# ---- over length ----
short=$((longest - 1)) place="0:[0-9]+ \\($longest\\)"
first="file:row \\(tokens\\) $place"
fails 'over length: such samples are refused, counted and the first five named' 65 \
    "[0-9]+ of 1003 samples have more than $short tokens: $first(, $place){4}, .*--over-length" \
    sft-pack -q -l $short -b 32 "$T/s"
over=$(sft-pack -q -l $short -b 32 "$T/s" 2>&1 >/dev/null | sed 's/^sft-pack: \([0-9]*\) .*/\1/')
sft-pack -q -l $short -b 32 --over-length drop "$T/s" -o "$T/n"
equal 'over length: drop leaves those samples out' "$(header "$T/n" samples)" $((1003 - over))
equal 'over length: drop names each of them at -v' \
    "$(sft-pack -v -l $short -b 32 --over-length drop "$T/s" 2>&1 >/dev/null |
        grep -c 'tokens, over length')" "$over"
sft-pack -q -l $short -b 32 --over-length cut "$T/s" -o "$T/n"
equal 'over length: cut keeps every sample, none longer' \
    "$(header "$T/n" samples) $(longest "$T/n")" "1003 $short"
equal 'over length: the header has the choice and the number' \
    "$(sft-view -H "$T/n" | jq -c '.stages[-1] | [.over_length, .over_length_samples]')" \
    "[\"cut\",$over]"

# ---- the tokens that a cut takes, of questions and answers of many lengths ----
awk 'function words(n) { while (n-- > 0) printf "word " }
    BEGIN {
        for (i = 0; i < 200; i++) {
            printf "{\"instruction\":\"%d ", i; words(i * 3 % 17)
            printf "\",\"output\":\""; words(i * 7 % 31); print "end\"}"
        }
    }' >"$T/c.jsonl"
sft-tokenize -q -m $model "$T/c.jsonl" | sft-template -q -m $model -o "$T/c"
# lost N: prints each sample that a cut after N tokens takes the answer or the stop of, by the
# places of its trained tokens
lost() {
    sft-view "$T/c" | jq -r --argjson n "$1" '(.source[0] | "\(.[0]):\(.[1])") as $row |
        [.labels | to_entries[] | select(.key > 0 and .value != -100) | .key] as $t |
        if $t[0] >= $n then "\($row) answer" elif $t[-1] >= $n then "\($row) stop" else empty end'
}
# named PATTERN WORD: prints the rows whose line of -v matches, each with the word
named() {
    sed -nE "s/^sft-pack: file ([0-9]+) row ([0-9]+): [0-9]+ tokens, .*$1.*/\1:\2 $2/p" "$T/stderr"
}
shorten() { sft-pack -b 32 --over-length cut -o "$T/n" -l "$@"; }
first=$(sft-view "$T/c" | jq '[.labels[] | . != -100] | index(true)' | sort -n)
length=$(sed -n 100p <<<"$first")
wanted=$(lost "$length")
answers=$(grep -c answer <<<"$wanted") stops=$(grep -c stop <<<"$wanted")
equal 'cut: samples are shortened' "$(code shorten "$length" -v "$T/c")" 0
check 'cut: answers are lost, and so are stops' [ $((answers > 50 && stops > 50)) -eq 1 ]
equal 'cut: lost answers are named at -v' "$(named 'answer is lost' answer)" \
    "$(grep answer <<<"$wanted")"
equal 'cut: lost stops are named at -v' "$(named 'the stop' stop)" "$(grep stop <<<"$wanted")"
said 'cut: lost answers are counted, the first five are named' \
    "^sft-pack: $answers of 200 samples have lost their answer: .* 0:[0-9]+(, 0:[0-9]+){4}, \.\.\.$"
said 'cut: lost stops are counted' \
    "^sft-pack: $stops of 200 samples have lost their stop: .* file:row 0:[0-9]+, "
said 'cut: the summary counts what is lost' \
    "0 without a trained token, $answers that lost their answer, $stops that lost their stop$"
equal 'cut: the trailer counts what is lost' "$(sft-view --stats "$T/n" | jq -c .notes)" \
    "{\"lost_answers\":$answers,\"lost_stops\":$stops}"
equal 'cut: samples without an answer stay in the plan' "$(header "$T/n" samples)" 200
equal 'cut: sft-view counts samples without a trained token' \
    "$(sft-view --stats "$T/n" | jq .untrained_samples)" "$answers"
most=$(longest "$T/c")
equal 'cut: at full length nothing is lost or told' \
    "$(code shorten "$most" "$T/c") $(grep -c lost "$T/stderr")" '0 0'

# ---- nothing to learn ----
none='no trained token is in the plan'
length=$(head -n 1 <<<"$first")
for mode in batch none dense; do
    fails "no label, $mode: a plan without a trained token is refused" 65 \
        "$none.*: 200 of 200 samples have lost their answer" \
        shorten "$length" -q --mode $mode "$T/c"
    check "no label, $mode: the refused plan can be looked at" sft-view --check "$T/n"
done
rc=$(code sft-pack -q -l "$length" -b 32 --over-length cut "$T/c")
equal 'no label: the refused plan is on standard output too' \
    "$rc $(header "$T/stdout" label_tokens)" '65 0'
check 'no label: one token more makes a plan' shorten $((length + 1)) -q "$T/c"
for i in 0 1 2; do echo '{"messages":[{"role":"user","content":"hello"}]}'; done >"$T/u.jsonl"
sft-tokenize -q -m $model "$T/u.jsonl" | sft-template -q --allow empty -m $model -o "$T/u"
echo '{"instruction":"hello","output":"one two three four"}' | sft-tokenize -q -m $model |
    sft-template -q -m $model -o "$T/v"
longest=$(longest "$T/u")
pack() { sft-pack -b 1 --in-order -o "$T/n" -l "$@"; }
fails 'no label: samples without an answer are refused' 65 "$none.*sft-view --show" pack 100 \
    -q "$T/u"
fails 'no label: the only answer may be dropped for its length' 65 "$none" \
    pack "$longest" -q --over-length drop "$T/u" "$T/v"
fails 'no label: the only answer may come after the last epoch' 65 "$none" pack 100 \
    -q --epochs 0.5 "$T/u" "$T/v"
equal 'no label: one sample with an answer is enough' "$(code pack 100 -v "$T/u" "$T/v")" 0
said 'no label: the other samples are counted, the first are named' \
    '^sft-pack: 3 of 4 samples have no trained token: file:row 0:0, 0:1, 0:2$'
equal 'no label: each of the other samples is named at -v' \
    "$(named 'no trained token' . | tr '\n' ' ')" '0:0 . 0:1 . 0:2 . '
equal 'no label: sft-view counts untrained samples and steps of the plan' \
    "$(sft-view --stats "$T/n" |
        jq -c '[.untrained_samples, .untrained_steps, .notes.untrained]')" \
    '[3,3,3]'
pack() { sft-pack -q -l $length -b 32 "$@"; }

# ---- refusals ----
fails 'refusal: a call without -b is a usage error' 64 '-b GLOBAL_BATCH' sft-pack -q -l 10 "$T/s"
fails 'refusal: no epochs are a usage error' 64 'not greater than 0' sft-pack -q -l 100 -b 1 \
    --epochs 0 "$T/s"
fails 'refusal: a length of 0 is a usage error' 64 '-l: 0 is not between' sft-pack -q -l 0 -b 1 \
    "$T/s"
fails 'refusal: a plan in the place of samples names sft-template' 65 \
    'is a stream of packed, not of samples; sft-template makes those' pack "$T/1"
fails 'refusal: a plan without any sample is an error' 65 'no samples to pack' sft-pack -q -l 1 \
    -b 1 --over-length drop "$T/s"
fails 'refusal: a TMPDIR that does not exist is named' 73 'set TMPDIR' env TMPDIR="$T/none/there" \
    sft-pack -q -l $length -b 32 "$T/s"
exit $bad
