#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Model folders and data of strangers cost time and memory in proportion to their bytes. Each input
# here once took minutes or gigabytes; a command that does not end within a minute has failed.
source "$(dirname "$0")/../cli.sh"
root=$PWD
cd "$T" || exit 70
tiny=$root/share/tiny-tokenizer
# bounded COMMAND...: within a minute and 1.5 GB of addresses; the sanitizers reserve more
bounded() {
    (
        sanitized || ulimit -v 1500000
        exec timeout 60 "$@"
    )
}
# tokenizer FILTER [FILTER]: the folder m has the tiny tokenizer with these changes to
# tokenizer.json and tokenizer_config.json
tokenizer() {
    mkdir -p m
    jq -c "$1" "$tiny/tokenizer.json" >m/tokenizer.json
    jq -c "${2:-.}" "$tiny/tokenizer_config.json" >m/tokenizer_config.json
}
ids() { bounded sft-tokenize --ids -q -m m "$@"; }
# many N TEXT: prints the text N times
many() { yes "$2" | head -n "$1" | tr -d '\n'; }

# ---- added tokens ----
flags='single_word: false, lstrip: false, rstrip: false, normalized: false, special: true'
token='{id: 9000, content: ("y" * 30000 + "z"), '$flags'}'
tokenizer ".added_tokens += [$token]"
{ many 500000 y; echo; many 30000 y; echo z; } >text
ids text >out
check 'added tokens: a long one that fails at each byte is searched once' [ "$(wc -l <out)" -eq 2 ]
equal 'added tokens: the long one is found at its place' "$(tail -n 1 out | wc -w)" 1
tokenizer ".added_tokens += [{id: 9000, content: (\"y\" * 30000 + \"z\"), $flags},
    {id: 9001, content: \"yy\", $flags}]"
ids text >out
equal 'added tokens: the leftmost, longest one wins' "$(sed 's/ .*//' out | paste -sd' ')" \
    "$(($(tail -n 1 out) + 1)) $(tail -n 1 out)"
equal 'added tokens: a short one within a long one is found everywhere' "$(head -n 1 out | wc -w)" \
    250000
list='[range(40000) | {key: "\(. + 3000)", value: {content: "<u\(.)>", special: true}}]'
tokenizer . ".added_tokens_decoder = ($list | from_entries)"
equal 'added tokens: 40 000 of them load in the order of their ids' \
    "$(echo '<u0><u39999>' | ids | awk '{ print $2 - $1 }')" 39999
list='[range(40000) | {id: (. + 3000), content: "<u\(.)>", '$flags'}]'
tokenizer ".added_tokens += $list"
equal 'added tokens: so do 40 000 in tokenizer.json' \
    "$(echo '<u0><u39999>' | ids | awk '{ print $2 - $1 }')" 39999
tokenizer . '. += ([range(1500) | {key: "n\(.)_token", value: "<n\(.)>"}] | from_entries)'
fails 'added tokens: names of tokens without an end are refused' 65 \
    'tokenizer_config.json: more than 1000 named tokens' ids text
wide=${flags/lstrip: false/lstrip: true}
wide=${wide/rstrip: false/rstrip: true}
tokenizer ".added_tokens += [{id: 9000, content: \" \", $wide},
    {id: 9001, content: \"\\t\", $flags}]"
{ many 200000 ' '; many 100000 $' \t'; echo; } >spaces
equal 'added tokens: white space around one that is white space is walked once' \
    "$(ids spaces | wc -w)" 200000

# ---- normalizers, pre-tokenizers, decoders ----
replace='{type: "Replace", pattern: {String: "y"}, content: "yy"}'
tokenizer ".normalizer = {type: \"Sequence\", normalizers: [range(36) | $replace]}"
fails 'normalizer: one that doubles the text 36 times is refused' 65 \
    'tokenizer.json: its normalizer .*more than 1[0-9]+ bytes' bash -c "echo y >y; $(declare -f \
        ids bounded sanitized); ids y"
empty='{type: "Replace", pattern: {Regex: ""}, content: ("y" * 100000)}'
tokenizer ".normalizer = $empty"
fails 'normalizer: a long text for each empty match is refused' 65 'its normalizer' ids text
tokenizer ".normalizer = {type: \"Sequence\", normalizers: [range(4) | $replace]}"
equal 'normalizer: sixteen bytes of one are allowed' "$(ids text | wc -l)" 2
tokenizer '.pre_tokenizer = {type: "Sequence", pretokenizers: [range(40) |
    {type: "ByteLevel", add_prefix_space: false, use_regex: false}]}'
echo 'zwölf Fässer' >word
fails 'pre-tokenizer: one that doubles each letter 40 times is refused' 65 \
    'pre_tokenizer make more' ids word
for kind in normalizer pre_tokenizer decoder; do
    list=${kind/_/}s
    tokenizer ".$kind = {type: \"Sequence\", $list: [range(101) |
        {type: \"ByteLevel\", add_prefix_space: false, use_regex: false}]}"
    fails "$kind: more than 100 steps are refused" 65 "more than 100 ${kind}s in a row" ids word
done
tokenizer '.normalizer += ([range(60000) | {key: "k\(.)", value: .}] | from_entries)'
equal 'normalizer: one with 60 000 unknown members is loaded' "$(ids word | wc -l)" 1
jq -c '.instruction = "Say a word." | .output = "zwölf"' <<<'{}' >row.jsonl
tokenizer .
sft-tokenize -q -m m row.jsonl | sft-template -q -m m -o samples
tokenizer '.decoder = {type: "Sequence", decoders: ([.decoder] + [range(36) |
    {type: "Replace", pattern: {String: "a"}, content: "aa"}])}'
sft-tokenize -q -m m row.jsonl | sft-template -q -m m -o samples 2>/dev/null
fails 'decoder: one that doubles a letter 36 times is refused' 65 'tokenizer.json: its decoder' \
    bounded sft-view -q --show 0 -m m samples

# ---- patterns ----
# split REGEX: a tokenizer that splits at the pattern
split() {
    tokenizer ".pre_tokenizer.pretokenizers[0].pattern.Regex = $(jq -R . <<<"$1")"
}
split '(?:(?:(?:){100000}){100000}){100000}x'
equal 'pattern: nothing repeated 10^15 times is nothing' "$(ids word | wc -l)" 1
split '(?:a|a)*\b!|.'
edit m/tokenizer.json '.pre_tokenizer.pretokenizers |= [{type: "WhitespaceSplit"}] + .'
many 3000 'aaaaaaaaaaaaaaaa ' >steps
fails 'pattern: its steps are bounded for a text, not for each word' 65 'too many steps' ids steps

# ---- vocabularies ----
tokenizer '.model.vocab["rare"] = 16000000'
fails 'vocabulary: an id far beyond the number of tokens is refused' 65 \
    'vocab: "rare": the id must be a number from 0 to [0-9]+' ids word
tokenizer '.model += {unk_token: ("u" * 300000), fuse_unk: false} | .pre_tokenizer = null |
    .normalizer = null | .model.vocab["u" * 300000] = 2999'
many 100000 'ж' >unknown
echo >>unknown
equal 'vocabulary: a long unknown token is found once, not for each letter' \
    "$(ids unknown | tr ' ' '\n' | sort -u)" 2999
tokenizer '.model.continuing_subword_prefix = "p" * 300'
fails 'vocabulary: a prefix that is copied to each letter is short' 65 'at most 256 bytes' ids word
exit $bad
