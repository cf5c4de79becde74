#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The manual pages tell every option that --help tells, and mandoc finds no error in them.
source "$(dirname "$0")/../cli.sh"
man=${O:-build}/man
commands=(sft-run sft-tokenize sft-template sft-pack sft-view sft-train sft-eval sft-ckpt sft-config)
long_options() { grep -oE -- '(^|[ ,[|])--[a-z][a-z_-]*' | grep -oE -- '--[a-z_-]+' | sort -u; }
plain() { sed 's/\\-/-/g; s/\\f[A-Z]/ /g; s/"/ /g' "$1"; }
missing() { comm -23 <(long_options <<<"$1") <(plain "$man/$2.1" | long_options) | paste -sd' '; }

for c in "${commands[@]}"; do
    page=$man/$c.1
    [ -e "$page" ] || { not_ok "$c: manual page" "$page is not there"; continue; }
    if command -v mandoc >/dev/null; then
        check "$c: mandoc finds no error" mandoc -Tlint -W error "$page"
    else
        skip "$c: mandoc finds no error" 'no mandoc'
    fi
    run=$c
    [ $c = sft-run ] && run=./run_sft_pipeline.sh
    help=$("$run" --help)
    equal "$c: some options" "$(long_options <<<"$help" | wc -l | awk '{ print ($1 >= 2) }')" 1
    equal "$c: every option" "$(missing "$help" $c)" ''
    for s in NAME SYNOPSIS DESCRIPTION 'EXIT STATUS'; do
        grep -Eq "^\.SH \"?$s\"?$" "$page" || not_ok "$c: sections" "no $s"
    done
    equal "$c: its codes" "$(sed -n '/^\.SH .*EXIT STATUS/,/^\.SH SEE/p' "$page" | grep -Ewo '64|65|66|70|74|78' | sort -u | paste -sd' ')" '64 65 66 70 74 78'
done

# What a verb of sft-ckpt takes belongs to the page as well.
for verb in $(sft-ckpt --help | sed -n '1s/^usage: sft-ckpt \([a-z|]*\) .*/\1/p' | tr '|' ' '); do
    equal "sft-ckpt $verb: every option" "$(missing "$(sft-ckpt "$verb" --help)" sft-ckpt)" ''
done
equal 'sft-ckpt: verbs were looked at' "$(sft-ckpt --help | head -n 1 | grep -c 'ls|show|verify')" 1
equal 'the comparison notices' "$(missing '  --neverthere' sft-pack)" --neverthere
exit $bad
