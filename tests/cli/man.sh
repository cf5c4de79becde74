#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The manual pages tell every option that --help tells and the exit codes of their commands, have a
# date, and neither mandoc nor groff finds anything to say about them.
source "$(dirname "$0")/../cli.sh"
man=$O/man
long_options() { grep -oE -- '(^|[ ,[|])--[a-z][a-z_-]*' | grep -oE -- '--[a-z_-]+' | sort -u; }
plain() { sed 's/\\-/-/g; s/\\f[A-Z]/ /g; s/"/ /g' "$1"; }
missing() { comm -23 <(long_options <<<"$1") <(plain "$man/$2.1" | long_options) | paste -sd' '; }

# listed_codes PAGE: prints the codes in its section EXIT STATUS
listed_codes() {
    sed -n '/^\.SH .*EXIT STATUS/,/^\.SH [^E]/s/^\.B \([0-9][0-9]*\)$/\1/p' "$1" | LC_ALL=C sort
}
# Checks such as "fails 'NAME' CODE 'PATTERN' sft-pack ..." as lines "sft-pack CODE".
cat tests/cli/*.sh | sed -e ':a' -e '/\\$/N; s/\\\n */ /; ta' | grep -oE \
    "fails +('[^']*'|\"[^\"]*\") +[0-9]+ +('[^']*'|\"[^\"]*\") +sft-[a-z]+" |
    sed -E "s/^fails +('[^']*'|\"[^\"]*\") +([0-9]+) .* (sft-[a-z]+)$/\3 \2/" | sort -u >"$T/seen"
check 'man: the tests have seen commands end with codes' [ "$(wc -l <"$T/seen")" -ge 20 ]

# ---- all pages ----
for page in "$man"/*.[157]; do
    name=${page##*/}
    if command -v mandoc >/dev/null; then
        # The line that says what a command is, the third, may be long: it must be one.
        equal "man, $name: mandoc has nothing to say" \
            "$(mandoc -Tlint -W style "$page" 2>&1 | grep -v ':3:[0-9]*: STYLE: .*longer than')" ''
    else
        skip "man, $name: mandoc has nothing to say" 'no mandoc'
    fi
    if command -v groff >/dev/null; then
        equal "man, $name: groff warns of nothing" \
            "$(groff -man -Tutf8 -K utf8 -ww -rLL=80n "$page" 2>&1 >/dev/null)" ''
    else
        skip "man, $name: groff warns of nothing" 'no groff'
    fi
    equal "man, $name: nothing is left to be filled in" "$(grep -n '@[A-Z_]*@' "$page")" ''
    grep '^page ' "$O/version" >"$T/dates" || # a copy of the tree outside git has no dates
        { skip "man, $name: it has the date of its source" 'the build has none'; continue; }
    source=$name.in
    [[ $name != *.1 ]] || source=${name%.1}.in
    equal "man, $name: it has the date of its source, and the version" \
        "$(sed -nE '1s/^\.TH [A-Z_-]+ [157] "(.*)" "sft (.*)" .*/\1 \2/p' "$page")" \
        "$(sed -n "s/^page $source //p" "$T/dates") $(sed -n 's/^version //p' "$O/version")"
done
equal 'man: each source in man/ has its page' "$(find "$man" -name '*.[157]' | wc -l)" \
    "$(find man -name '*.in' | wc -l)"

# ---- pages of commands ----
for c in sft-run "${commands[@]}"; do
    page=$man/$c.1
    [ -e "$page" ] || { not_ok "man, $c: the page is built" "$page is not there"; continue; }
    run=$c
    [ "$c" = sft-run ] && run=./run_sft_pipeline.sh
    help=$("$run" --help)
    check "man, $c: --help lists at least two options" \
        [ "$(long_options <<<"$help" | wc -l)" -ge 2 ]
    equal "man, $c: the page has every option of --help" "$(missing "$help" "$c")" ''
    equal "man, $c: the page has its four sections" \
        "$(grep -cE '^\.SH "?(NAME|SYNOPSIS|DESCRIPTION|EXIT STATUS)"?$' "$page")" 4
    listed_codes "$page" >"$T/listed"
    check "man, $c: the page has codes that each command can end with" \
        bash -c "printf '%s\n' 0 64 65 66 70 71 74 | comm -23 - '$T/listed' | cmp -s - /dev/null"
    equal "man, $c: the page has each code with which the tests saw it end" \
        "$(awk -v c="$c" '$1 == c { print $2 }' "$T/seen" | LC_ALL=C sort -u |
            comm -23 - "$T/listed" | paste -sd' ')" ''
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
