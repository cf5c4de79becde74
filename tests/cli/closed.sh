#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Standard descriptors that are closed when a command starts: no file takes their place. Data that
# should go to a closed one is an error (74), messages are lost, and a descriptor without a use is
# not missed.
if [ -w /dev/shm ]; then TEST_TMP=/dev/shm; fi # fsync costs nothing there
source "$(dirname "$0")/../train.sh"
model model hidden_size=64 intermediate_size=64 num_hidden_layers=1
rows 1 12 >train.jsonl
sft-tokenize -q -m model --prompt-key q --response-key a -o turns.sfts train.jsonl
sft-template -q -m model -o samples.sfts turns.sfts
sft-pack -q -l 128 -b 4 -o train.sfts samples.sfts
config <<'END'
sequence_length: 128
sft_train:
  model_args: {dtype: fp32}
  training_args:
    per_device_train_batch_size: 2
    gradient_accumulation_steps: 2
    num_train_epochs: 1
END
train() { sft-train -v -@ 1 --config config.yaml output_dir=out logging_dir=out/logs train.sfts; }
# saved: prints the hash of the weights and the number of lines of the log, which do not depend on
# standard error
saved() { sha256sum <"$(weights out)" && grep -vc '<stdout>' out/logs/tiny/log; }
launch() {
    "$root/run_sft_pipeline.sh" --config_path . --config_name config output_dir=out \
        logging_dir=out/logs
}

# with CLOSED COMMAND...: runs the command without the descriptors of that list; its exit code is in
# $status, its output in the files stdout and stderr
with() {
    local list=$1 rc=0
    shift
    : >stdout
    : >stderr
    (
        case $list in *0*) exec <&- ;; *) exec <stdin ;; esac
        case $list in *1*) exec >&- ;; *) exec >stdout ;; esac
        case $list in *2*) exec 2>&- ;; *) exec 2>stderr ;; esac
        "$@"
    ) || rc=$?
    status=$rc
}
subsets=(0 1 2 01 02 12 012)

# to_stdout PROGRAM COMMAND...: checks a command that writes data to standard output and reads
# nothing from standard input
to_stdout() {
    local name=$1 list wrong=''
    shift
    with '' "$@"
    cp stdout want
    [ "$status" -eq 0 ] && [ -s want ] ||
        not_ok "closed: $name succeeds with all descriptors open" \
        "exit $status: $(head -n 1 stderr)"
    for list in "${subsets[@]}"; do
        with $list "$@"
        case $list in
            *1*) [ $status -eq 74 ] || wrong+=" $list:$status"
                [[ $list == *2* ]] ||
                    grep -q "^$name: <stdout>: write failed: Bad file" stderr ||
                    wrong+=" $list:$(head -c 200 stderr)" ;;
            *) [ $status -eq 0 ] && cmp -s <(timeless stdout) <(timeless want) ||
                wrong+=" $list:$status" ;;
        esac
    done
    equal "closed, data to standard output: $* fails without it and is the same without others" \
        "$wrong" ''
}
# to_file PROGRAM COMMAND...: checks a command that writes data to the file or folder `result`, and
# messages to standard error
to_file() {
    local name=$1 list wrong=''
    shift
    rm -rf result
    with '' "$@"
    rm -rf whole && mv result whole ||
        not_ok "closed: $name makes its output with all descriptors open" \
        "exit $status: $(head -n 1 stderr)"
    for list in "${subsets[@]}"; do
        rm -rf result
        with $list "$@"
        [ $status -eq 0 ] && diff -r result whole >/dev/null || wrong+=" $list:$status"
    done
    equal "closed, data to a file: $* makes the same file without any of them" "$wrong" ''
}
# from_stdin PROGRAM COMMAND...: checks a command that reads standard input
from_stdin() {
    local name=$1 list wrong=''
    shift
    rm -rf result
    for list in 0 02; do
        with $list "$@"
        [ $status -eq 74 ] && [ ! -e result ] || wrong+=" $list:$status"
        [ $list = 02 ] || grep -q "^$name: <stdin>: read failed: Bad file" stderr ||
            wrong+=" $list:$(head -c 200 stderr)"
    done
    equal "closed, data from standard input: $* <&- fails and makes no output" "$wrong" ''
}
: >stdin
mkdir logs && cp config.yaml logs
echo '{"system/step":1,"sft_train/loss":2,"sft_train/tokens_per_s":5}' >logs/metrics.jsonl

to_stdout sft-tokenize sft-tokenize -v -m model --prompt-key q --response-key a train.jsonl
to_stdout sft-tokenize sft-tokenize -v --ids -m model train.jsonl
to_stdout sft-template sft-template -v -m model turns.sfts
to_stdout sft-pack sft-pack -v -l 128 -b 4 samples.sfts
to_stdout sft-pack sft-pack -v -l 46 -b 4 --over-length cut samples.sfts
to_stdout sft-view sft-view -v train.sfts
to_stdout sft-view sft-view --stats turns.sfts samples.sfts
to_stdout sft-config sft-config -v config.yaml
to_stdout sft-report sft-report logs
to_stdout sft-eval sft-eval -v -@ 1 -m model samples.sfts
to_stdout sft-ckpt sft-ckpt show model
to_stdout sft-train sft-train -v --config config.yaml --plan
for c in tokenize template pack view config report eval ckpt train; do to_stdout "sft-$c" "sft-$c" \
    --help; done

to_file sft-tokenize sft-tokenize -v -m model --prompt-key q --response-key a -o result train.jsonl
to_file sft-template sft-template -v -m model -o result turns.sfts
to_file sft-pack sft-pack -v -l 46 -b 4 --over-length cut -o result samples.sfts
to_file sft-view sft-view -v -o result train.sfts
to_file sft-report sft-report -o result logs
to_file sft-ckpt sft-ckpt init -v model.json --tokenizer model -o result
to_file sft-ckpt sft-ckpt merge -v "$root/tests/golden/peft/list/base" \
    "$root/tests/golden/peft/list/adapter" -o result

cp train.jsonl stdin
from_stdin sft-tokenize sft-tokenize -m model --prompt-key q --response-key a -o result
from_stdin sft-template sft-template -m model -o result
from_stdin sft-pack sft-pack -l 128 -b 4 -o result
from_stdin sft-view sft-view -o result
from_stdin sft-train sft-train --config config.yaml output_dir=result -
from_stdin sft-eval sft-eval -m model -

# ---- a run saves the same files; a lost summary is an error ----
for c in train launch; do
    wrong='' last=3
    for list in '' "${subsets[@]}"; do
        rm -rf out
        with "$list" $c
        case $list in
            '') saved >want; want=0
                [ $status -eq 0 ] || wrong+=" exit $status: $(tail -n 1 stderr)" ;;
            *1*) want=74
                [[ $list == *2* ]] || grep -q '^sft-train: <stdout>: write failed' stderr ||
                    wrong+=" $list:$(tail -n 1 stderr)" ;;
            *) want=0 ;;
        esac
        [ $status -eq $want ] && saved 2>&1 | cmp -s - want || wrong+=" $list:$status"
    done
    equal "closed, a run: $c saves the same files whatever is closed" "$wrong" ''
done
equal "closed: the launcher's --help tells that its standard output is closed" \
    "$(with 1 "$root/run_sft_pipeline.sh" --help; echo "$status $(<stderr)")" \
    '74 sft-run: <stdout>: write failed'
exit $bad
