#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Ids and labels of whole data sets, row by row, are those of transformers and of ROLL's rule: the
# golden files in tests/golden/data, which tests/oracle/make_data_golden.py explains and makes.
source "$(dirname "$0")/../cli.sh"
golden=tests/golden/data
shared=../shared/data

# canonical: turns the lines of sft-view into "[[ids],[labels]]"
canonical() { jq -c '[.ids, .labels]'; }
# row_hashes: prints a short hash of each such line
row_hashes() {
    awk '{
        gsub(/[][,]+/, " "); h = 0
        for (i = 1; i <= NF; i++) h = (h * 1000003 + $i + 101) % 2147483647
        printf "%08x\n", h
    }'
}
value() { sed -n "s/^$2 //p" "$1"; }
sum() { sha256sum <"$1" | cut -d' ' -f1; }

# compare GOLDEN MODEL DATA: checks ids and labels of the data against the golden file
compare() {
    local file=$golden/$1.txt model=$2 data=$3 column=0 mask wrong rows
    if [ "$(value "$file" data)" != "$(sum "$data")" ]; then
        not_ok "labels, $1: the golden file is of the data as it is" \
            "$data has changed; make_data_golden.py makes the file again"
        return
    fi
    # shellcheck disable=SC2046
    sft-tokenize -q -m "$model" $(value "$file" options) "$data" -o "$T/turns" ||
        not_ok "labels, $1: sft-tokenize reads the data" 'sft-tokenize failed'
    sed '1,/^roll /d' "$file" >"$T/wanted"
    rows=$(wc -l <"$T/wanted")
    for mask in turn roll; do
        column=$((column + 1))
        sft-template -q -m "$model" --mask $mask "$T/turns" | sft-view | canonical >"$T/got"
        wrong=$(row_hashes <"$T/got" | paste -d' ' - "$T/wanted" |
            awk -v c=$((column + 1)) '$1 != $c { print NR - 1 }')
        if [ -n "$wrong" ]; then
            [ "$(value "$file" tokenizer)" = "$(sum "$model/tokenizer.json")" ] ||
                wrong+=' (tokenizer.json differs too)'
            not_ok "labels, $1: --mask $mask gives the golden ids and labels" \
                "$(wc -l <<<"$wrong") of $rows rows differ: row $(head -n 5 <<<"$wrong" |
                    paste -sd' ')"
        else
            equal "labels, $1: --mask $mask gives the golden ids and labels of $rows rows" \
                "$(sum "$T/got")" "$(value "$file" $mask)"
        fi
    done
}

for set in train validation; do
    compare $set-tiny share/tiny-tokenizer examples/data/$set.json
done

demo=$O/demo model=''
for m in "${SFT_SMOLLM2:-}" "$demo/SmolLM2-135M-Instruct"; do
    [ -z "$model" ] && [ -n "$m" ] && [ -e "$m/tokenizer.json" ] && model=$m
done
gguf=${SFT_SMOLLM2_GGUF:-$demo/SmolLM2-135M-Instruct.Q4_1.gguf}
if [ -z "$model" ] && [ -e "$gguf" ]; then
    model=$T/smollm2
    check 'labels: the model is converted' sft-ckpt convert -q --from gguf "$gguf" -o "$model"
fi
if [ -n "$model" ]; then
    for set in train validation; do compare $set-smollm2 "$model" examples/data/$set.json; done
else
    skip 'labels: SmolLM2 gives the golden ids and labels' 'no model; make demo downloads it'
fi
if [ -d $shared ]; then
    compare code_alpaca_2k-qwen2.5 $shared/tokenizers/qwen2.5 $shared/instruct/code_alpaca_2k.json
else
    skip 'labels: Qwen2.5 gives the golden ids and labels of CodeAlpaca' "$shared is not there"
fi

# ---- the comparison notices: one label, one id, one row ----
sft-tokenize -q -m share/tiny-tokenizer examples/data/validation.json |
    sft-template -q -m share/tiny-tokenizer |
    sft-view | canonical >"$T/rows"
# differing: prints how many of the rows on standard input are not those in $T/rows
differing() { paste <(row_hashes <"$T/rows") <(row_hashes) | awk '$1 != $2' | wc -l; }
equal 'comparison: a changed label is noticed' "$(sed '3s/,\[-100,/,[7,/' "$T/rows" | differing)" 1
equal 'comparison: a changed id is noticed' \
    "$(sed -E '5s/^\[\[([0-9]+)/[[1\1/' "$T/rows" | differing)" 1
equal 'comparison: a missing row is noticed' "$(sed '$d' "$T/rows" | differing)" 1
exit $bad
