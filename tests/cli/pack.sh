# SPDX-License-Identifier: Apache-2.0
# sft-pack: steps, order, over-length samples; threads and pipes change no byte.
source "$(dirname "$0")/../cli.sh"
model=share/tiny-tokenizer
awk 'BEGIN { for (i = 0; i < 1003; i++) { printf "{\"instruction\":\"question %d\",\"output\":\"", i; for (k = 0; k < i * 7 % 31; k++) printf "word "; print "end\"}" } }' >"$T/d.jsonl"
sft-tokenize -q -m $model "$T/d.jsonl" | sft-template -q -m $model -o "$T/s"
longest=$(sft-view --stats "$T/s" | sed 's/.*"max":\([0-9]*\).*/\1/')
length=$((longest * 3))
pack() { sft-pack -q -l $length -b 32 "$@"; }
pack -@ 1 "$T/s" -o "$T/1"
for n in 2 8; do
    pack -@ $n "$T/s" -o "$T/n"
    same "-@ $n" "$T/1" "$T/n"
done
pack <"$T/s" | cat >"$T/n"
same 'a pipe' "$T/1" "$T/n"
TMPDIR=$T pack "$T/s" >"$T/n"
same 'another TMPDIR' "$T/1" "$T/n"
check 'zstd accepts it' zstd -tq "$T/1"

# ---- nothing is lost ----
for mode in batch none dense; do
    pack --mode $mode "$T/s" -o "$T/$mode"
    equal "$mode: the checksum of the samples" "$(sft-view --checksum "$T/$mode")" "$(sft-view --checksum "$T/s")"
    check "$mode: verified" sft-view --check "$T/$mode"
done
header() { sft-view -H "$1" | grep -o "\"$2\":[^,}]*" | head -n 1 | cut -d: -f2; }
equal 'batch: steps' "$(header "$T/batch" steps)" 32
equal 'none: a sample a row' "$(header "$T/none" rows)" 1003
check 'batch: fewer rows' [ "$(header "$T/batch" rows)" -lt 600 ]
check 'dense: fewer still' [ "$(header "$T/dense" rows)" -lt "$(header "$T/batch" rows)" ]
steps() { sft-view "$1" | sed 's/.*"source":\[\(.*\)\],"starts.*"step":\([0-9]*\)}/\2 \1/' | sed 's/\],\[/] [/g' | awk '{ n[$1] += NF - 1; if ($1 + 0 > last) last = $1 + 0 } END { for (i = 0; i <= last; i++) printf "%d ", n[i] }'; }
equal 'batch: 32 samples a step, then the rest' "$(steps "$T/batch")" "$(printf '32 %.0s' {1..31})11 "
equal 'none: the same' "$(steps "$T/none")" "$(steps "$T/batch")"
contents() { sft-view "$1" | sed 's/.*"source":\[\(.*\)\],"starts.*"step":\([0-9]*\)}/\2 \1/' | awk '{ gsub(/\],\[/, "]\n" $1 " ["); print }' | sort; }
same 'none and batch train the same steps' <(contents "$T/none") <(contents "$T/batch")

# ---- order and epochs ----
pack --seed 7 "$T/s" -o "$T/n"
check 'another seed, another order' [ "$(contents "$T/n" | md5sum)" != "$(contents "$T/batch" | md5sum)" ]
pack --in-order --mode none "$T/s" -o "$T/n"
equal 'in order' "$(sft-view "$T/n" | sed 's/.*"source":\[\[0,\([0-9]*\).*/\1/' | awk '$1 != NR - 1' | wc -l)" 0
pack --epochs 2 "$T/s" -o "$T/n"
equal 'two epochs' "$(header "$T/n" steps) $(header "$T/n" samples)" '64 2006'
pack --epochs 0.5 "$T/s" -o "$T/n"
equal 'half an epoch' "$(header "$T/n" steps) $(header "$T/n" samples)" '16 512'
pack --epochs 1.5 "$T/s" -o "$T/n"
equal 'an epoch and a half' "$(header "$T/n" steps) $(header "$T/n" samples)" '48 1515'
pack "$T/s" "$T/s" -o "$T/n"
equal 'two streams' "$(header "$T/n" samples)" 2006
equal 'summary' "$(sft-pack -l $length -b 32 "$T/s" 2>&1 >/dev/null | grep -c '^sft-pack: 32 steps of 32 samples: 1003 samples in [0-9]* rows\|density 0\.[0-9]*, 1\.[0-9]* times')" 2

# ---- over length ----
short=$((longest - 1))
fails 'over length' 65 "[0-9]+ of 1003 samples have more than $short tokens: file:row \(tokens\) 0:[0-9]+ \($longest\)(, 0:[0-9]+ \($longest\)){4}, \.\.\.; .*--over-length" \
    sft-pack -q -l $short -b 32 "$T/s"
over=$(sft-pack -q -l $short -b 32 "$T/s" 2>&1 >/dev/null | sed 's/^sft-pack: \([0-9]*\) .*/\1/')
sft-pack -q -l $short -b 32 --over-length drop "$T/s" -o "$T/n"
equal 'dropped' "$(header "$T/n" samples)" $((1003 - over))
equal 'and counted' "$(sft-pack -v -l $short -b 32 --over-length drop "$T/s" 2>&1 >/dev/null | grep -c 'tokens, over length')" "$over"
sft-pack -q -l $short -b 32 --over-length cut "$T/s" -o "$T/n"
equal 'cut' "$(header "$T/n" samples) $(sft-view --stats "$T/n" | grep -o '"max":[0-9]*')" "1003 \"max\":$short"
equal 'the header says so' "$(sft-view -H "$T/n" | grep -c "\"over_length\":\"cut\",\"over_length_samples\":$over")" 1

# ---- what a cut takes, of questions and answers of many lengths ----
awk 'function words(n) { while (n-- > 0) printf "word " }
    BEGIN {
        for (i = 0; i < 200; i++) {
            printf "{\"instruction\":\"%d ", i; words(i * 3 % 17)
            printf "\",\"output\":\""; words(i * 7 % 31); print "end\"}"
        }
    }' >"$T/c.jsonl"
sft-tokenize -q -m $model "$T/c.jsonl" | sft-template -q -m $model -o "$T/c"
# lost N: what a cut after N tokens takes of each sample, by the places of its trained tokens
lost() {
    sft-view "$T/c" | jq -r --argjson n "$1" '(.source[0] | "\(.[0]):\(.[1])") as $row |
        [.labels | to_entries[] | select(.key > 0 and .value != -100) | .key] as $t |
        if $t[0] >= $n then "\($row) answer" elif $t[-1] >= $n then "\($row) stop" else empty end'
}
# named PATTERN WORD: the rows that -v says this of, each with the word
named() {
    sed -nE "s/^sft-pack: file ([0-9]+) row ([0-9]+): [0-9]+ tokens, .*$1.*/\1:\2 $2/p" "$T/stderr"
}
shorten() { sft-pack -b 32 --over-length cut -o "$T/n" -l "$@"; }
first=$(sft-view "$T/c" | jq '[.labels[] | . != -100] | index(true)' | sort -n)
length=$(sed -n 100p <<<"$first")
wanted=$(lost "$length")
answers=$(grep -c answer <<<"$wanted") stops=$(grep -c stop <<<"$wanted")
equal 'cut: told' "$(code shorten "$length" -v "$T/c")" 0
check 'cut: there are both sorts' [ $((answers > 50 && stops > 50)) -eq 1 ]
equal 'cut: lost answers are named at -v' "$(named 'answer is lost' answer)" \
    "$(grep answer <<<"$wanted")"
equal 'cut: lost stops are named at -v' "$(named 'the stop' stop)" "$(grep stop <<<"$wanted")"
said 'cut: lost answers are counted, the first are named' \
    "^sft-pack: $answers of 200 samples have lost their answer: .* 0:[0-9]+(, 0:[0-9]+){4}, \.\.\.$"
said 'cut: and lost stops' \
    "^sft-pack: $stops of 200 samples have lost their stop: .* file:row 0:[0-9]+, "
said 'cut: in the summary' \
    "0 without a trained token, $answers that lost their answer, $stops that lost their stop$"
equal 'cut: in the trailer' "$(sft-view --stats "$T/n" | grep -o '"notes":.*')" \
    "\"notes\":{\"lost_answers\":$answers,\"lost_stops\":$stops}}"
equal 'cut: such samples stay in the plan' "$(header "$T/n" samples)" 200
equal 'cut: sft-view counts those without a trained token' \
    "$(sft-view --stats "$T/n" | grep -o '"untrained_samples":[0-9]*')" \
    "\"untrained_samples\":$answers"
most=$(sft-view --stats "$T/c" | sed 's/.*"max":\([0-9]*\).*/\1/')
equal 'cut: at full length nothing is lost or told' \
    "$(code shorten "$most" "$T/c") $(grep -c lost "$T/stderr")" '0 0'

# ---- nothing to learn ----
none='no trained token is in the plan'
length=$(head -n 1 <<<"$first")
for mode in batch none dense; do
    fails "nothing to learn, $mode" 65 "$none.*: 200 of 200 samples have lost their answer" \
        shorten "$length" -q --mode $mode "$T/c"
    check "nothing to learn, $mode: the plan can be looked at" sft-view --check "$T/n"
done
rc=$(code sft-pack -q -l "$length" -b 32 --over-length cut "$T/c")
equal 'nothing to learn: on standard output' "$rc $(header "$T/stdout" label_tokens)" '65 0'
check 'a token more, and there is something' shorten $((length + 1)) -q "$T/c"
for i in 0 1 2; do echo '{"messages":[{"role":"user","content":"hello"}]}'; done >"$T/u.jsonl"
sft-tokenize -q -m $model "$T/u.jsonl" | sft-template -q --allow empty -m $model -o "$T/u"
echo '{"instruction":"hello","output":"one two three four"}' | sft-tokenize -q -m $model |
    sft-template -q -m $model -o "$T/v"
longest=$(sft-view --stats "$T/u" | sed 's/.*"max":\([0-9]*\).*/\1/')
pack() { sft-pack -b 1 --in-order -o "$T/n" -l "$@"; }
fails 'nothing to learn: nobody answers' 65 "$none.*sft-view --show" pack 100 -q "$T/u"
fails 'nothing to learn: who does is left out' 65 "$none" \
    pack "$longest" -q --over-length drop "$T/u" "$T/v"
fails 'nothing to learn: before who does' 65 "$none" pack 100 -q --epochs 0.5 "$T/u" "$T/v"
equal 'one sample to learn from is enough' "$(code pack 100 -v "$T/u" "$T/v")" 0
said 'the others are counted, and the first named' \
    '^sft-pack: 3 of 4 samples have no trained token: file:row 0:0, 0:1, 0:2$'
equal 'named at -v' "$(named 'no trained token' . | tr '\n' ' ')" '0:0 . 0:1 . 0:2 . '
equal 'and seen in the plan, as are steps' \
    "$(sft-view --stats "$T/n" | grep -oE '"untrained[a-z_]*":[0-9]*' | tr '\n' ' ')" \
    '"untrained_samples":3 "untrained_steps":3 "untrained":3 '
pack() { sft-pack -q -l $length -b 32 "$@"; }

# ---- refusals ----
fails 'a batch is needed' 64 '-b GLOBAL_BATCH' sft-pack -q -l 10 "$T/s"
fails 'no epochs' 64 'not greater than 0' sft-pack -q -l 100 -b 1 --epochs 0 "$T/s"
fails 'a length of nothing' 64 '-l: 0 is not between' sft-pack -q -l 0 -b 1 "$T/s"
fails 'a plan is no input' 65 'is a stream of packed, not of samples; sft-template makes those' pack "$T/1"
fails 'nothing is left' 65 'no samples to pack' sft-pack -q -l 1 -b 1 --over-length drop "$T/s"
fails 'TMPDIR that is not there' 73 'set TMPDIR' env TMPDIR="$T/none/there" sft-pack -q -l $length -b 32 "$T/s"
exit $bad
