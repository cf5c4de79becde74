#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The manual pages tell every option that --help tells, and mandoc finds no error in them.
source "$(dirname "$0")/../cli.sh"
man=$O/man
long_options() { grep -oE -- '(^|[ ,[|])--[a-z][a-z_-]*' | grep -oE -- '--[a-z_-]+' | sort -u; }
plain() { sed 's/\\-/-/g; s/\\f[A-Z]/ /g; s/"/ /g' "$1"; }
missing() { comm -23 <(long_options <<<"$1") <(plain "$man/$2.1" | long_options) | paste -sd' '; }

for c in sft-run "${commands[@]}"; do
    page=$man/$c.1
    [ -e "$page" ] || { not_ok "man, $c: the page is built" "$page is not there"; continue; }
    if command -v mandoc >/dev/null; then
        check "man, $c: mandoc finds no error" mandoc -Tlint -W error "$page"
    else
        skip "man, $c: mandoc finds no error" 'no mandoc'
    fi
    run=$c
    [ "$c" = sft-run ] && run=./run_sft_pipeline.sh
    help=$("$run" --help)
    check "man, $c: --help lists at least two options" \
        [ "$(long_options <<<"$help" | wc -l)" -ge 2 ]
    equal "man, $c: the page has every option of --help" "$(missing "$help" "$c")" ''
    equal "man, $c: the page has its four sections" \
        "$(grep -cE '^\.SH "?(NAME|SYNOPSIS|DESCRIPTION|EXIT STATUS)"?$' "$page")" 4
    equal "man, $c: the page has its exit codes" \
        "$(sed -n '/^\.SH .*EXIT STATUS/,/^\.SH SEE/p' "$page" | grep -Ewo '64|65|66|70|74|78' |
            sort -u | paste -sd' ')" '64 65 66 70 74 78'
done

# The options of the verbs of sft-ckpt stand on its page as well.
for verb in $(sft-ckpt --help | sed -n '1s/^usage: sft-ckpt \([a-z|]*\) .*/\1/p' | tr '|' ' '); do
    help=$(sft-ckpt "$verb" --help)
    check "man, sft-ckpt $verb: --help lists at least two options" \
        [ "$(long_options <<<"$help" | wc -l)" -ge 2 ]
    equal "man, sft-ckpt $verb: the page has every option of its --help" \
        "$(missing "$help" sft-ckpt)" ''
done
equal 'man: all verbs of sft-ckpt are compared' \
    "$(sft-ckpt --help | head -n 1 | grep -c 'ls|show|verify')" 1
equal 'man: an option that no page has is noticed' "$(missing '  --neverthere' sft-pack)" \
    --neverthere
exit $bad
