#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A run of sft-train meets a fault at each system call by which it makes its folders, saves its
# checkpoints, removes old ones and writes its metrics: it goes on, or ends with 74 and one line.
# Every checkpoint that is there is whole, and the run that is continued ends with the same bytes.
# SWEEP=1: every fault at every call (minutes).
source "$(dirname "$0")/../faults.sh"
if ! traceable; then
    skip 'faults: each system call of a run fails once' 'a process cannot be traced here'
    exit
fi
tiny_run
mkdir p
train=(sft-train -q -@ 1 --config config.yaml output_dir=p/k logging_dir=p/k/logs)
train+=(max_ckpt_to_keep=1)
# result: prints the hashes of the manifests of the last checkpoint and of the best model, and the
# metrics and the answers without time and memory
result() {
    sha256sum <"$(checkpoint p/k)/sft_train/manifest.json" && steady p/k || return
    [[ "${settings[*]}" == *best* ]] || return 0
    sha256sum <p/k/sft_train/best/manifest.json && timeless p/k/logs/tiny/samples.jsonl
}
# whole: each checkpoint that is there verifies; a run that did step 3 has one
whole() {
    local c
    for c in p/k/sft_train/checkpoint-*; do sft-ckpt verify -q "$c" || return 1; done
    ! grep -q '"system/step":3' "$(metrics p/k)" 2>/dev/null || [ -n "${c:-}" ]
}
# left: prints temporary files
left() { hidden p/k 2>/dev/null; }
# goes_on: the run that is continued ends with the same bytes and no temporary file
goes_on() {
    "${train[@]}" "${settings[@]}" --resume auto train.sfts >stdout 2>stderr </dev/null &&
        [ "$(result 2>&1)" == "$(<want)" ] && [ -z "$(left)" ]
}
# verdict KIND: prints what is wrong after the run met the fault
verdict() {
    whole || echo "a checkpoint is damaged or missing"
    case $1:$rc in
        kill:137) ;;
        *:0) [ "$1" != kill ] && [ ! -s stderr ] && [ "$(result 2>&1)" == "$(<want)" ] &&
            [ -z "$(left)" ] || echo "0: $(left) $(head -n 1 stderr)"
            return ;;
        *EIO:74 | *ENOSPC:74) told "$1" || echo "message: $(head -n 2 stderr)"
            # The calls that remove fail, too, after a +; the line may be of another one.
            [[ $1 == +* ]] || [ -z "$(left)" ] || grep -q 'cannot remove' stderr ||
                echo "left $(left)" ;;
        *) echo "$rc: $(head -n 1 stderr)" ;;
    esac
    goes_on || echo "continued: $(left) $(head -n 1 stderr)"
}
# trained AREA SETTING...: checks a run with these settings
trained() {
    local name=$1 wrong='' n kind why all settings=("${@:2}")
    rm -rf p/k
    calls p "${train[@]}" "${settings[@]}" train.sfts
    result >want && [ $rc -eq 0 ] ||
        { not_ok "faults, $name: it succeeds without one" "$rc: $(head -n 1 stderr)"; return; }
    mapfile -t all < <(each_fault "$count" EIO ENOSPC +ENOSPC EINTR short kill)
    for f in "${all[@]}"; do
        read -r n kind <<<"$f"
        rm -rf p/k
        faulty "$n" "$kind" p "${train[@]}" "${settings[@]}" train.sfts
        why=$(verdict "$kind")
        [ -z "$why" ] || wrong+=" $kind@$n:$(word "$why")"
    done
    score "faults, $name: it goes on or ends with 74, and is continued to the same bytes" \
        ${#all[@]} "$wrong"
}
"${train[@]}" train.sfts >/dev/null
mkdir -p p/k/sft_train/.checkpoint-2.tmp/sft_train
settings=()
result >want
check 'continued: a finished run removes what a killed one left' goes_on
sparse=149
trained 'a run'
sparse=311
trained 'a run of an adapter' sft_train.model_args.lora_target=all-linear
echo '{"prompt": "Say"}' >prompts.jsonl
trained 'a run that keeps the best' sft_train.training_args.load_best_model_at_end=true \
    eval_steps=1 sft.sample_prompts=prompts.jsonl sft.sample_tokens=3 --val train.sfts
exit $bad
