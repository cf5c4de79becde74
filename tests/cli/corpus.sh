#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Malformed files and options for every parser, as readable text in tests/corpus/*.txt. A case is
#
#     == what is wrong
#     | a line of the file           bytes: a text with \x escapes in the place of the file
#     edit: a filter of jq for it    shell: a command that makes it
#     run: the command, where it is not that at the head of the list
#     exit: its exit code
#     says: a part of its message
#     lines: how many it has, where it is not one
#
# The head of a list names the file and the command. The command must end with that code, say one
# line with that part, and write nothing. FILL=1: prints the lists with codes and messages as they
# are now, for a new case; read them before they are kept.
source "$(dirname "$0")/../faults.sh"

# ---- what the commands find in the current folder ----
kinds 6
cp -r tuned/sft_train/checkpoint-1 .
rm -r adapter/manifest.json
mkdir out
: >unused
cd .. && mv "$T" "$T.clean" && mkdir "$T" && cd "$T" || exit 70
trap 'rm -rf "$T" "$T.clean"' EXIT

# ---- helpers of the lists ----
# st HEADER BYTES: prints a safetensors file
st() {
    local n=${#1} i
    for i in 0 8 16 24 32 40 48 56; do printf "\\x$(printf %02x $((n >> i & 255)))"; done
    printf '%s' "$1" && head -c "$2" /dev/zero
}
# at OFFSET BYTES: overwrites bytes of the file of the list
at() { damage "$file" "$@"; }

# ---- cases ----
# begin TEXT: begins the case of that name
begin() { name=$1 lines='' how='' command=$all code='' says='' most=1; }
# build: makes the file of the case
build() {
    local part=${how#*: }
    rm -rf "$T" && cp -r "$T.clean" "$T" && cd "$T" || exit 70
    case $how in
        bytes:*) printf '%b' "${how#bytes:}" | sed '1s/^ //' >"$file" ;;
        edit:*) edit "$file" "$part" || echo "the filter fails" ;;
        shell:*) eval "$part" ;;
        *) printf '%s' "$lines" >"$file" ;;
    esac
}
# verdict: builds and runs the case; prints what is wrong
verdict() {
    local rc=0
    build
    eval "timeout 60 $command" >"$T/stdout" 2>"$T/stderr" </dev/null || rc=$?
    message=$(<"$T/stderr")
    got=$rc
    [ "$rc" = "$code" ] || echo "exit $rc: $message"
    [ -n "$says" ] && [[ $message == *"$says"* ]] || echo "message: $message"
    [ "$(wc -l <"$T/stderr")" -eq "$most" ] || echo "lines: $message"
    [ ! -s "$T/stdout" ] || echo "data: $(head -c 80 "$T/stdout")"
    [ -z "$(ls -A "$T/out")" ] || echo "output: $(ls -A "$T/out")"
}
# end: checks the case
end() {
    local why
    [ -n "$name" ] || return 0
    count=$((count + 1))
    if [ -n "${FILL:-}" ]; then
        verdict >"$T.clean/why"
        printf '%s\nexit: %s\nsays: %s\n' "$text" "$got" "${message##*$'\n'}"
        return
    fi
    why=$(verdict)
    [ -z "$why" ] || wrong+=" $(word "$name:_$why")"
}
# list FILE: checks the cases of a list
list() {
    local line
    file='' all='' name='' wrong='' count=0 text=''
    while IFS= read -r line; do
        case $line in
            '== '*) end; begin "${line#== }"; text=$line; continue ;;
            'file: '*) file=${line#*: } ;;
            'run: '*) command=${line#*: }; [ -n "$name" ] || all=$command ;;
            '|'*) how=${line#|}; lines+=${how# }$'\n'; how='' ;;
            bytes:* | edit:* | shell:*) how=$line ;;
            'exit: '*) code=${line#*: }; [ -z "${FILL:-}" ] || continue ;;
            'lines: '*) most=${line#*: } ;;
            'says: '*) says=${line#*: }; [ -z "${FILL:-}" ] || continue ;;
        esac
        if [ -n "${FILL:-}" ] && [ -z "$name" ]; then echo "$line"; else text+=$'\n'$line; fi
    done <"$1"
    end
    [ -n "${FILL:-}" ] ||
        score "corpus, $(basename "$1" .txt): each malformed case is refused" $count "$wrong"
}
for l in "$root"/tests/corpus/${ONLY:-*}.txt; do list "$l"; done
exit $bad
