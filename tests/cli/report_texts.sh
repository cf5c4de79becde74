#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The texts and hashes of sft-report: answers to prompts by step, rows with the largest losses, the
# way from the data to the checkpoint. Texts from files are no markup, and control no terminal.
source "$(dirname "$0")/../train.sh"
model model hidden_size=32 intermediate_size=32 num_hidden_layers=1
rows 1 24 >train.jsonl
samples train.jsonl | sft-pack -q -l 256 -b 8 -o train.sfts
config <<'END'
track_with: ""
sequence_length: 256
eval_steps: 1
sft: {device: cpu, threads: 1, sample_tokens: 4}
sft_train:
  model_args: {dtype: fp32}
  training_args: {per_device_train_batch_size: 8, learning_rate: 1.0e-2}
END
echo '{"prompt":"Say number 3.","id":1}' >prompts.jsonl
run out sft.sample_prompts=prompts.jsonl train.sfts >/dev/null
logs=out/logs/tiny
check 'run: a page is written' sft-report $logs --stream train.sfts -o run.html

# ---- answers ----
# Two prompts: one whose answer changes at step 4, and back; one that is hostile.
jq -nc '
    (0, 2, 4, 6) as $k |
    {step: $k, row: 0, prompt: "How?", answer: (if $k == 4 then "b" else "a" end),
        answer_tokens: 1, answer_end: "stop"},
    {step: $k, row: 1, messages: [{role: "system", content: "S"},
            {role: "user", content: "<script>alert(1)</script>"}],
        answer: "</pre><img src=x onerror=alert(2)>\u001b[2J\u009b&\u0000\nnext",
        answer_tokens: 9, answer_end: "length"}' >lines
cp -r $logs odd
cat lines - <<'END' >odd/samples.jsonl
{"step": 8, "row": 0
{"step": 8, "row": 0, "answer": 5}
END
equal 'answers: damaged lines cost these lines' "$(code sft-report odd -o odd.html)" 0
said 'answers: they are told' 'odd/samples.jsonl: 2 lines are no answers of a step'
# steps FILE ANSWER: prints the steps of the rows with that answer
steps() {
    grep -F "<pre dir=auto>$2" "$1" | sed 's/^<tr><td>\([^<]*\)<.*/\1/' | paste -sd,
}
equal 'answers: one that stays is shown once, one that comes back again' \
    "$(steps odd.html 'a</pre>') $(steps odd.html 'b</pre>')" '0 to 2,6 4'
equal 'answers: a prompt that is a conversation has its roles' \
    "$(grep -A 1 '^<pre class=said dir=auto>system: S$' odd.html | tail -n 1)" \
    'user: &lt;script&gt;alert(1)&lt;/script&gt;</pre>'
equal 'answers: a hostile one is text' "$(grep -c '<script\|<img' odd.html) $(
    grep -c '&lt;/pre&gt;&lt;img src=x onerror=alert(2)&gt; \[2J' odd.html)" '0 1'
equal 'answers: no control character is left' \
    "$(tr -d '\n' <odd.html | LC_ALL=C grep -c '[[:cntrl:]]')" 0
sft-report --text odd >odd.txt
equal 'answers: as text, one line each' "$(sed -n '/^Answers/,$p' odd.txt |
    grep -c '^ *[0-9]* |[ab]$')" 3
equal 'answers: as text, none controls the terminal' \
    "$(tr -d '\n' <odd.txt | LC_ALL=C grep -c "[[:cntrl:]]\|$(printf '\xc2\x9b')")" 0
: >odd/samples.jsonl
check 'answers: a run that has none yet has a page' sft-report odd -o none.html
equal 'answers: without any there is no such section' "$(grep -c '<h2>Answers' none.html)" 0
for tag in pre table tr td code; do
    equal "answers: each $tag ends" "$(grep -oE "<$tag[ >]" odd.html | wc -l)" \
        "$(grep -o "</$tag>" odd.html | wc -l)"
done

# ---- rows with the largest losses ----
jq -nc '(range(30) as $i | {source: [($i % 2), ($i / 2 | floor)], tokens: 9, label_tokens: $i,
        loss: (if $i == 7 then null else ($i * 11 % 30) end)}), {loss: 2, samples: 30}
    ' >losses.jsonl
jq -nc 'range(20) | {q: "odd <b> \(.)"}' >b.jsonl
gzip -c train.jsonl >a.jsonl.gz
check 'rows: a page is written' sft-report $logs --rows losses.jsonl --data a.jsonl.gz \
    --data b.jsonl -o rows.html
# worst FILE: prints file:row and loss of each row
worst() {
    sed -n '/<h2>Rows with/,/<h2>/p' "$1" |
        sed -n 's|^<tr><td>\([0-9:]*\)</td><td class=n>\([0-9.]*\)</td>.*|\1 \2|p'
}
same 'rows: they are those with the largest losses, in this order' <(worst rows.html) \
    <(jq -r 'select(.source and .loss) | "\(.loss) \(.source | join(":"))"' losses.jsonl |
        sort -k 1,1nr | head -n 20 | awk '{ print $2, $1 }')
equal 'rows: each has its text' "$(grep -c '<pre dir=auto>q: odd &lt;b&gt; 9</pre>' rows.html) $(
    grep -A 1 '<tr><td>0:13<' rows.html | grep -c 'q: Say number 14 and')" '1 1'
equal 'rows: without data the page says what is missing' \
    "$(sft-report $logs --rows losses.jsonl | grep -c 'not given: --data')" 20
shows 'rows: they are there as text' \
    <(sft-report --text $logs --rows losses.jsonl --data train.jsonl) \
    '^ *0:5  *20 |q: Say number 6 and then'
head -n 2 train.jsonl >two.jsonl
fails 'rows: a data file without the row is told' 65 'two.jsonl: has no row [0-9]*, which losses' \
    sft-report $logs --rows losses.jsonl --data train.jsonl --data two.jsonl
fails 'rows: a file without a sample is refused' 65 'train.jsonl: has no line of a sample' \
    sft-report $logs --rows train.jsonl
fails 'rows: --data alone is refused' 64 'only with --rows' sft-report $logs --data train.jsonl

# ---- from the data to the checkpoint ----
# hash FILE WHAT: prints hash and link of that line
hash() {
    local cell='</code></td><td>'
    sed -n "s|^<tr><td>$2</td><td><code>[^<]*$cell<code>\([^<]*\)$cell\(.*\)</td></tr>|\1 \2|p" "$1"
}
point=$(checkpoint out)/sft_train
equal 'origins: the checkpoint has the hash of its manifest' \
    "$(hash run.html checkpoint | cut -d' ' -f 1)" "$(jq -r .self "$point/manifest.json")"
equal 'origins: its weights have that of the manifest' "$(hash run.html weights | cut -d' ' -f 1)" \
    "$(jq -r '.files[] | select(.path == "model.safetensors") | .xxh128' "$point/manifest.json")"
equal 'origins: the stream has the checksum of the checkpoint, which says so' \
    "$(hash run.html stream | cut -d' ' -f 1) $(
        hash run.html stream | grep -c 'trained on them$')" \
    "$(jq -r .rows_checksum "$point/state/run.json") 1"
equal 'origins: the tokenizer is that of both' "$(hash run.html tokenizer)" \
    "$(jq -r .tokenizer "$point/state/run.json") that of the checkpoint, too"
equal 'origins: the data file is the one that was read' \
    "$(hash run.html 'data file' | cut -d' ' -f 1)" \
    "$(hash run.html 'input of the stream' | cut -d' ' -f 1)"
shows 'origins: they are there as text' <(sft-report --text $logs --stream train.sfts) \
    "^ *checkpoint  $(jq -r .self "$point/manifest.json")  "
mkdir -p out/data && cp train.sfts out/data/
same 'origins: the stream that sft-run makes is found' \
    <(sft-report $logs | grep -v 'train.sfts') <(grep -v 'train.sfts' run.html)
rows 2 30 >train.jsonl
samples train.jsonl | sft-pack -q -l 256 -b 8 -o other.sfts
sft-report $logs --stream other.sfts -o other.html
check 'origins: another stream is told' grep -q 'which was trained on others' other.html
shows 'origins: data that have changed since are told' <(sft-report $logs) \
    'the stream was not made from these bytes'
head -c 200 train.sfts >out/data/train.sfts
equal 'origins: a damaged stream costs this section' "$(code sft-report $logs -o torn.html)" 0
said 'origins: it is told' 'train.sfts: .*; the way from the data to the checkpoint is not complete'
fails 'origins: one that is named is refused' 65 'train.sfts: ' sft-report $logs --stream \
    out/data/train.sfts
rm -r out/sft_train out/data
shows 'origins: a run whose checkpoints are gone has a page' <(sft-report $logs) \
    'has no checkpoint where its config.yaml says'
exit $bad
