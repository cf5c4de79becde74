#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The start of a run, with the model's files in the page cache: the time from the start of the
# process until it tells that its first step is done, against its later steps. Three runs, each
# ended by SIGKILL, so that it saves nothing, after its third step; medians.
. tests/bench/common.sh
note 'starting, three times'
[ -e "$B/train.sfts" ] || training_stream "$B/train.sfts"
cat "$model"/* >/dev/null

# once RUN: prints the seconds until the first step is done, of that step and of a later one
once() {
    local start first='' line pid
    mkfifo "$B/$1-lines"
    start=$EPOCHREALTIME
    (train "$1" 1000000) >/dev/null 2>"$B/$1-lines" &
    pid=$!
    while IFS= read -r line; do
        case $line in
        *": step 1 of "*) first=$EPOCHREALTIME ;;
        *": step 4 of "*) break ;; # by then the metrics of step 3 are written
        esac
    done <"$B/$1-lines"
    kill -KILL $pid 2>/dev/null || true
    wait $pid 2>/dev/null || true
    [ -n "$first" ] || { note 'sft-train did not get to its first step'; return 1; }
    jq -rs --argjson until "$(awk "BEGIN { print $first - $start }")" \
        'map(.["time/step_train"]) | "\($until) \(.[0]) \([.[1], .[2]] | add / 2)"' \
        "$B/$1-log"/*/metrics.jsonl
    rm -rf "$B/$1-out" "$B/$1-lines"
}
for i in 1 2 3; do once "startup$i"; done >"$B/startup"
jq -Rs 'def median: sort | .[length / 2 | floor];
    [split("\n")[] | select(length > 0) | split(" ") | map(tonumber)] |
    {runs: length, until_first_step_s: (map(.[0]) | median), first_step_s: (map(.[1]) | median),
     later_step_s: (map(.[2]) | median), before_first_step_s: (map(.[0] - .[1]) | median),
     over_later_step_s: (map(.[0] - .[2]) | median)}' "$B/startup"
