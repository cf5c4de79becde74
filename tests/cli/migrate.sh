#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The pages docs/from-*.md: each key, option and verb that they name here exists, with the default
# that stands there; each example's configuration is read, makes a plan, and has the values that the
# other program's configuration beside it has.
source "$(dirname "$0")/../train.sh"
model model max_position_embeddings=4096

# ---- the tables of keys: their columns are key, default, key here, default here, difference ----
sft-config --keys | sed -n '/^## Keys that work/,/^## Keys that sft-train/p' |
    sed -nE 's/^\| `([^`]+)` \| (.*) \| .*/\1\t\2/p' >keys
check 'keys: they are listed' [ "$(wc -l <keys)" -gt 100 ]
# full KEY: prints the key with what the pages leave out before it
full() {
    case $1 in
        model_args.* | training_args.* | data_args.* | strategy_args.* | device_mapping)
            echo "sft_train.$1" ;;
        strategy_config.*) echo "sft_train.strategy_args.$1" ;;
        *) echo "$1" ;;
    esac
}
# rows PAGE: prints the rows of its table of keys: theirs, default, ours, default, difference
rows() { sed -n '/^## Keys/,/^## What means/s/^| *\(.*[^ ]\) *|$/\1/p' "$1" | tail -n +3; }
# field ROW N: prints that column
field() { awk -F' *[|] *' -v n="$2" '{ print $n }' <<<"$1"; }
# named TEXT: prints what stands between backquotes there, one a line
named() { grep -oE '`[^`]+`' <<<"$1" | tr -d '`'; }
# is_key WORD: it is a key that works, or strategy_config itself; WORD may have a value behind it
is_key() {
    local key
    key=$(full "${1%%:*}")
    [ "$key" = strategy_config ] || cut -f 1 keys | grep -qxF "$key"
}

# ---- the examples: the first indented block behind "Theirs", and that behind "Here" ----
# block PAGE WORD: prints the indented lines behind the last paragraph that begins so
block() {
    awk -v word="$2" '/^## An example/ { on = 1 } on && index($0, word) == 1 { found = 1 }
        found && /^    / { print substr($0, 5); seen = 1 }
        found && seen && !/^    / && NF { exit }' "$1"
}
# same_values PAGE: prints each key that both configurations have and the page calls the same, where
# the values differ
same_values() {
    local row theirs ours a b
    while IFS= read -r row; do
        [[ $(field "$row" 5) == same* ]] || continue
        theirs=$(named "$(field "$row" 1)" | head -n 1)
        ours=$(named "$(field "$row" 3)" | head -n 1)
        a=$(sed -n "s/^$theirs: *//p" theirs)
        [ -n "$a" ] || continue
        b=$(sft-config -q sft_config.yaml --get "$(full "$ours")")
        awk -v a="$a" -v b="$b" 'BEGIN { exit !(a == b || (a + 0 == b + 0 && a + 0 != 0)) }' ||
            echo "$theirs: $a, $ours: $b"
        echo "$theirs" >>compared
    done < <(rows "$1")
}

printf '{"instruction":"Say %d.","input":"","output":"It is %d."}\n' 1 1 2 2 3 3 >rows.jsonl
sft-tokenize -q -m model --query-key input rows.jsonl | sft-template -q -m model >samples.sfts
for page in "$root"/docs/from-*.md; do
    name=${page##*/from-}
    name=${name%.md}
    rows "$page" >table
    check "$name: the table has rows" [ "$(wc -l <table)" -ge 15 ]
    equal "$name: each row has five columns" "$(awk -F'|' 'NF != 5' table | head -n 2)" ''
    while IFS= read -r row; do
        for word in $(named "$(field "$row" 3)" | tr ' ' '_'); do
            is_key "$word" || echo "$word"
        done
    done <table >unknown
    equal "$name: each key here exists" "$(paste -sd' ' unknown)" ''
    # Where the column of our default has one word, it is that of the table of keys.
    while IFS= read -r row; do
        ours=$(field "$row" 4) key=$(full "$(named "$(field "$row" 3)" | head -n 1)")
        [[ -n $ours && $ours != *\ * && $ours != *,* ]] || continue
        [ "$(awk -F'\t' -v k="$key" '$1 == k { print $2 }' keys)" = "$ours" ] || echo "$key $ours"
    done <table >unknown
    equal "$name: each default here is the program's" "$(paste -sd' ' unknown)" ''
    # Keys and options in the text: sft.NAME, sft-COMMAND --OPTION, sft-ckpt VERB.
    grep -oE '`sft\.[a-z_]+' "$page" | tr -d '`' | sort -u | while read -r word; do
        is_key "$word" || echo "$word"
    done >unknown
    equal "$name: each sft key in the text exists" "$(paste -sd' ' unknown)" ''
    grep -oE 'sft-(eval|view|tokenize|template|pack|train) --[a-z]+' "$page" | sort -u |
        while read -r command option; do
            "$command" --help | grep -q -- " $option\b" || echo "$command $option"
        done >unknown
    equal "$name: each option in the text exists" "$(paste -sd' ' unknown)" ''
    grep -oE 'sft-ckpt [a-z]+' "$page" | sort -u | while read -r _ verb; do
        sft-ckpt "$verb" --help >/dev/null 2>&1 || echo "$verb"
    done >unknown
    equal "$name: each verb of sft-ckpt exists" "$(paste -sd' ' unknown)" ''

    block "$page" Theirs >theirs
    block "$page" Here >sft_config.yaml
    [ -s sft_config.yaml ] || cp theirs sft_config.yaml # from-roll: the same file
    check "$name: the example has lines" [ "$(wc -l <theirs)" -ge 10 ]
    check "$name: the example is read" sft-config sft_config.yaml pretrain=model
    batch=$(sft-config -q sft_config.yaml pretrain=model --get global_batch_size)
    length=$(sft-config -q sft_config.yaml --get sequence_length)
    mode=$(sft-config -q sft_config.yaml --get pack_mode)
    sft-pack -q -l "$length" -b "$batch" --mode "$mode" samples.sfts -o train.sfts
    check "$name: the example makes a plan" \
        sft-train --config sft_config.yaml pretrain=model --plan train.sfts
    [ "$name" != roll ] || continue
    : >compared
    equal "$name: what both call the same has the same value" \
        "$(same_values "$page" | paste -sd' ')" ''
    check "$name: values were compared" [ "$(wc -l <compared)" -ge 5 ]
done
exit $bad
