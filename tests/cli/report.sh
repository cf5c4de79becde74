#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# sft-report: figures, curves, settings and texts of a page are those of the logs; what cannot be
# read is told.
source "$(dirname "$0")/../cli.sh"
root=$PWD
cd "$T" || exit 70

# logs DIR FACTOR OVERRIDE...: the logs of a run of 4 steps with losses of 8, 6, 4, 2 times FACTOR
logs() {
    mkdir -p "$1" || return
    sft-config -q "$root/examples/smollm2-135M-sft/sft_config.yaml" "${@:3}" >"$1/config.yaml" &&
        jq -nc --argjson f "$2" '
            {"system/step": 0, "sft_train/val_loss": 9, "time/val": 0.5},
            (range(1; 5) as $k | {"system/step": $k, "sft_train/loss": ((10 - 2 * $k) * $f),
                "sft_train/lr": (1e-3 / $k), "sft_train/tokens": 1000,
                "sft_train/label_tokens": (100 * $k), "sft_train/tokens_per_s": (500 * $k),
                "sft_train/padding_ratio": 0.25, "time/step_train": 2, "time/forward": 0.5,
                "time/backward": 1}),
            {"system/step": 4, "sft_train/val_loss": 3, "time/val": 0.5}' >"$1/metrics.jsonl"
}
logs a 1
logs b 2 sft_train.training_args.learning_rate=0.0005
# cells FILE TITLE: prints the numbers of that row of the figures
cells() {
    sed -n "s|^<tr><td>$2</td>||p" "$1" | sed 's|</tr>||; s|<td class=n>||g; s|</td>| |g; s| $||'
}
# points FILE CHART: prints the points of each line of that chart
points() {
    sed -n "/<figcaption>$2/,/<.svg>/p" "$1" | sed -n 's/.*<polyline.* points="\([^"]*\) ".*/\1/p'
}

# ---- one run ----
check 'one run: a page is written' sft-report a -o a.html
equal 'one run: the number of steps' "$(cells a.html steps)" 4
equal 'one run: the first and the last loss' \
    "$(cells a.html 'training loss, first') $(cells a.html 'training loss, last')" '8 2'
equal 'one run: the least loss of validations and its step' \
    "$(cells a.html 'validation loss, least') $(cells a.html 'at step')" '3 4'
equal 'one run: the sum of tokens and the median of the throughput' \
    "$(cells a.html tokens) $(cells a.html 'tokens/s, median')" '4000 1500'
equal 'one run: seconds of steps and of validations' \
    "$(cells a.html 'seconds of steps') $(cells a.html 'seconds of validations')" '8 1'
# The frame is 644 x 212 points from (64, 12); losses and steps are 2 to 9 and 0 to 4, and above
# and below is a twentieth of room.
equal 'one run: the curve of the loss has its points' "$(points a.html Loss | head -n 1)" \
    "$(awk 'BEGIN { for (k = 1; k < 5; k++) printf("%s%.1f,%.1f", k > 1 ? " " : "",
        64 + k / 4 * 644, 224 - ((10 - 2 * k) - 1.65) / (9.35 - 1.65) * 212) }')"
equal 'one run: that of validations has its own' "$(points a.html Loss | sed -n 2p | wc -w)" 2
equal 'one run: the share of labels is in percent' \
    "$(sed -n '/<figcaption>Tokens with a label/,/<.svg>/p' a.html | grep -c '>40</text>')" 1
equal 'one run: a quarter of the steps is forward, half is backward' \
    "$(grep -o 'width:[0-9.]*%' a.html | paste -sd' ')" 'width:25.00% width:50.00%'
equal 'one run: all settings are there' "$(grep -c '<code>sequence_length</code>' a.html)" 1
equal 'one run: the page loads nothing' "$(grep -ciE 'https?:|src=|url\(|@import|<script' a.html)" 0
for tag in table tr td div span svg figure details html; do
    equal "one run: each $tag ends" "$(grep -oE "<$tag[ >]" a.html | wc -l)" \
        "$(grep -o "</$tag>" a.html | wc -l)"
done
same 'one run: the file itself may be given' <(sft-report a/metrics.jsonl) a.html
same 'one run: standard output has the same page' <(sft-report a) a.html

# ---- several ----
check 'two runs: a page is written' sft-report a b -o both.html
equal 'two runs: figures stand beside each other' "$(cells both.html 'training loss, last')" '2 4'
equal 'two runs: a chart has the curves of both' "$(points both.html 'Learning rate' | wc -l)" 2
# differing FILE: prints the keys of the settings that differ
differing() {
    sed -n '/<h2>Settings that differ/,/<h2>Settings</p' "$1" |
        sed -n 's/^<tr><td><code>\([^<]*\)<.*/\1/p' | paste -sd' '
}
equal 'two runs: the settings that differ' "$(differing both.html)" \
    sft_train.training_args.learning_rate
equal 'two runs: none may differ' "$(sft-report a a | grep -c '^<p>None')" 1

# ---- texts and damage ----
mv b '<i>&"b'
sft-report '<i>&"b' -o odd.html
equal 'texts: a name is no markup' "$(grep -c '<i>' odd.html)" 0
shows 'texts: it is shown as it is' odd.html '<h1>&lt;i&gt;&amp;&quot;b</h1>'
cp -r a torn
{
    head -n 2 a/metrics.jsonl
    echo '{"system/step": 2, "sft_train/lo'
    echo '{"sft_train/loss": 5}'
    tail -n 3 a/metrics.jsonl
} >torn/metrics.jsonl
equal 'damage: lines that are torn or have no step cost these lines' \
    "$(code sft-report torn -o torn.html)" 0
shows 'damage: it is told' "$T/stderr" 'torn/metrics.jsonl: 2 lines are no JSON objects with a step'
equal 'damage: the others count' "$(cells torn.html steps)" 3
shows 'damage: the page says so' torn.html '2 lines of metrics.jsonl cannot be read'
mkdir huge
printf '{"system/step":%s,"sft_train/loss":%s}\n' 1 3 2 1e308 3 -1e308 -1e308 1 4 2 \
    >huge/metrics.jsonl
sft-report --text huge >text 2>stderr
shows 'damage: numbers whose differences are none are left out' text '^1  huge: 2 steps, loss 2, '
mkdir near
printf '{"system/step":%s,"sft_train/loss":%s}\n' 1 1e16 2 1.0000000000000002e16 \
    >near/metrics.jsonl
check 'damage: values that differ in the last bit have a page' \
    timeout 60 sft-report near -o near.html
shows 'damage: a step without a place is told' stderr 'huge/metrics.jsonl: 1 lines are no JSON'
{
    cat a/metrics.jsonl
    echo '{"step":4,"row":0,"prompt":"Say","answer":"x","answer_tokens":1,"answer_end":"stop"}'
} >huge/samples.jsonl
sed -n '$s/"row":0/"row":4096/p' huge/samples.jsonl >>huge/samples.jsonl
sft-report --text huge >text 2>stderr
equal 'damage: more prompts than a run has are left out' "$(grep -c '^Say$' text)" 1
rm a/config.yaml
equal 'damage: a run without config.yaml has a page' "$(code sft-report a -o bare.html)" 0
equal 'damage: it has no settings' "$(grep -c '<h2>Settings' bare.html)" 0

# ---- long runs ----
mkdir long
jq -nc 'range(1; 20001) as $k | {"system/step": $k,
    "sft_train/loss": (if $k == 7777 then 50 else 1 + ($k % 7) / 100 end)}' >long/metrics.jsonl
sft-report long -o long.html
check 'long runs: a curve has two points for each column at most' \
    [ "$(points long.html Loss | wc -w)" -le 1290 ]
equal 'long runs: a single high loss is shown' \
    "$(points long.html Loss | tr ' ' '\n' | awk -F, '$2 < 23' | wc -l)" 1

# ---- text ----
sft-report --text torn >text
shows 'text: it begins with figures' text \
    '^1  torn: 3 steps, loss 2, val_loss 3, least 3 at step 4, 1500 tokens/s'
equal 'text: losses fall from the upper left to the lower right' \
    "$(sed -n '/^Loss/,/+--/p' text | grep -n 1 | sed -n 's/^\([0-9]*\):.*|\( *\)1.*/\1/p' |
        sort -nc 2>&1 && echo sorted)" sorted
equal 'text: the least loss is in the last column' \
    "$(sed -n '/^Loss/,/+--/p' text | grep '|.*1$' | tail -n 1 | sed 's/.*|//' | wc -c)" 65

# ---- refusals ----
fails 'refusals: a run must be given' 64 'which run' sft-report
fails 'refusals: a folder that is not there' 66 'nowhere/metrics.jsonl' sft-report nowhere
mkdir empty && echo '{"system/step": 1}' >empty/metrics.jsonl
fails 'refusals: logs without a loss' 65 'has no losses yet' sft-report empty
equal 'refusals: a page does not go to a terminal' \
    "$(script -qec "sft-report torn" /dev/null </dev/null | tr -d '\r' | grep -c 'give -o FILE')" 1
fails 'refusals: a failure leaves no file' 65 'has no losses' sft-report a empty -o none.html
equal 'refusals: nothing is left' "$(ls none.html 2>/dev/null)" ''
exit $bad
