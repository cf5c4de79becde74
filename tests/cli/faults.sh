#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Each command that writes a file or a folder meets a fault at each system call by which it does so:
# a full disk, an I/O error, an interruption, a short write, SIGKILL. It succeeds with the same
# bytes, or ends with 74 and one line, and leaves nothing half-written and no temporary file. The
# next run after SIGKILL removes the temporary. SWEEP=1: every fault at every call (minutes).
source "$(dirname "$0")/../faults.sh"
if ! traceable; then
    skip 'faults: each system call fails once' 'a process cannot be traced here'
    exit
fi

# ---- the tracer sees every call ----
model model hidden_size=16 intermediate_size=16 num_hidden_layers=1
rows 1 6 >train.jsonl
tokenize=(sft-tokenize -q -m model -@ 1 --prompt-key q --response-key a)
mkdir out
if command -v strace >/dev/null; then
    names=open,openat,creat,write,pwrite64,fsync,fdatasync,close,ftruncate,rename,renameat2,link
    names+=,unlink,unlinkat,mkdir,rmdir
    # traced COMMAND...: prints the calls below the folder `out` that strace sees, and their
    # numbers; a close counts where the file was not opened to read
    traced() {
        strace -f -y -e trace=$names -o seen "$@" >/dev/null
        grep -E "\"out/|<$PWD/out[/>]" seen | awk '
            { sub(/^[0-9]+ +/, ""); name = $0; sub(/\(.*/, "", name); fd = $0 }
            { sub(/^[a-z0-9_]*\(/, "", fd); sub(/[^0-9].*/, "", fd) }
            name == "openat" {
                opened = $0; sub(/.*= /, "", opened); sub(/<.*/, "", opened)
                reads[opened] = !/O_WRONLY|O_RDWR|O_CREAT/
                if (reads[opened]) next
            }
            name == "close" && reads[fd] { delete reads[fd]; next }
            { print name }' | sort | uniq -c
    }
    for c in "${tokenize[*]} -o out/t train.jsonl" \
        'sft-ckpt init -q model --tokenizer model -o out/m'; do
        # shellcheck disable=SC2086
        { traced $c >want && rm -rf out/* && calls out $c; }
        equal "tracer: it counts as many calls as strace in ${c%% -*}" \
            "$(awk '{ print $2 }' list | sort | uniq -c)" "$(<want)"
        rm -rf out/*
    done
else
    skip 'tracer: it counts as many calls as strace' 'no strace'
fi

# ---- the input of the commands ----
"${tokenize[@]}" -o turns.sfts train.jsonl
sft-template -q -m model -o samples.sfts turns.sfts
sft-pack -q -l 128 -b 2 -o train.sfts samples.sfts
config <<'END'
track_with: tensorboard
sequence_length: 128
sft_train:
  model_args: {dtype: fp32, lora_target: all-linear}
  training_args: {per_device_train_batch_size: 1, gradient_accumulation_steps: 2}
END
run tuned -@ 1 max_steps=1 train.sfts >/dev/null
last=1 tuned=$(checkpoint tuned)
"$O/test/hf_convert" make m.gguf
mkdir logs && cp config.yaml logs
echo '{"system/step":1,"sft_train/loss":2,"sft_train/tokens_per_s":5}' >logs/metrics.jsonl

# ---- commands that write a file or a folder ----
# left: prints what is in the folder `out` beside the output
left() { find out -mindepth 1 -maxdepth 1 ! -name result | sed 's/\.[a-z0-9]*\.sft-tmp/.TMP/g'; }
# whole: the output is there and is that of an undisturbed command
whole() { diff -r out/result want >/dev/null 2>&1; }
# again COMMAND...: after SIGKILL the command succeeds, or finds its whole output, and nothing else
# is left
again() {
    rc=0
    "$@" >stdout 2>stderr </dev/null || rc=$?
    [ $rc -eq 0 ] || { [ $rc -eq 73 ] && [ -d out/result ]; } && whole && [ -z "$(left)" ]
}
# verdict KIND COMMAND...: prints what is wrong after the command met the fault, as a word
verdict() {
    local kind=$1
    shift
    case $kind:$rc in
        kill:137) [ ! -e out/result ] || whole || echo 'part of the output'
            again "$@" || echo "next: $rc $(left) $(<stderr)" ;;
        *:0) [ "$kind" != kill ] && [ ! -s stderr ] && whole && [ -z "$(left)" ] ||
            echo "0: $(left) $(head -n 1 stderr)" ;;
        *EIO:74 | *ENOSPC:74) told "$kind" || echo "message: $(head -n 2 stderr)"
            [ ! -e out/result ] || whole || echo 'part of the output'
            [ -z "$(left)" ] || echo "left $(left)" ;;
        *) echo "$rc: $(head -n 1 stderr)" ;;
    esac
}
# writes AREA COMMAND...: checks a command that writes `out/result`
writes() {
    local name=$1 wrong='' n kind why all
    shift
    rm -rf out/* want
    calls out "$@"
    [ $rc -eq 0 ] && cp -r out/result want ||
        { not_ok "faults, $name: it succeeds without one" "$rc: $(head -n 1 stderr)"; return; }
    mapfile -t all < <(each_fault "$count" EIO ENOSPC +ENOSPC EINTR short kill)
    for f in "${all[@]}"; do
        read -r n kind <<<"$f"
        rm -rf out/* out/.[!.]*
        faulty "$n" "$kind" out "$@"
        why=$(verdict "$kind" "$@")
        [ -z "$why" ] || wrong+=" $kind@$n:$(word "$why")"
    done
    score "faults, $name: it ends with 74 and nothing, or with the same bytes" ${#all[@]} "$wrong"
    rm -rf out/* out/.[!.]*
    reads "$name" "$@"
}
# reads AREA COMMAND...: checks a command whose input fails, with `out/result` in `want`; it opens,
# reads, maps and lists files below the current folder
reads() {
    local name=$1 wrong='' n kind all names injected=0
    shift
    calls . -r "$@"
    mapfile -t names < <(awk '{ print $2 }' list)
    mapfile -t all < <(each_fault "$count" r:EIO r:EINTR r:short)
    for f in "${all[@]}"; do
        read -r n kind <<<"$f"
        # Linux interrupts neither of these two: they fail.
        [[ ! $kind:${names[n - 1]} =~ EINTR:(mmap|getdents64) ]] || kind=r:EIO
        injected=$((injected + 1))
        rm -rf out/*
        faulty "$n" "$kind" . "$@"
        case $kind:$rc in
            *:0) [ ! -s stderr ] && whole && [ -z "$(left)" ] ||
                wrong+=" $kind@$n:0:$(word "$(left)$(<stderr)")" ;;
            r:EIO:74) told "$kind" && { [ -z "$(ls -A out)" ] || whole; } ||
                wrong+=" $kind@$n:$(word "$(ls -A out) $(<stderr)")" ;;
            *) wrong+=" $kind@$n:$rc:$(word "$(<stderr)")" ;;
        esac
    done
    score "faults, input of $name: it ends with 74 and nothing, or with the same bytes" \
        $injected "$wrong"
}
writes sft-tokenize "${tokenize[@]}" -o out/result train.jsonl
writes sft-template sft-template -q -m model -@ 1 -o out/result turns.sfts
writes sft-pack env TMPDIR=out sft-pack -q -@ 1 -l 128 -b 2 -o out/result samples.sfts
sparse=13
writes sft-view sft-view -q -o out/result train.sfts
writes sft-report sft-report -o out/result logs
jq -c '{prompt: .q}' train.jsonl >prompts.jsonl
writes sft-eval sft-eval -q -@ 1 -m model --max-tokens 3 --prompts prompts.jsonl -o out/result
writes 'sft-ckpt init' sft-ckpt init -q model.json --tokenizer model -o out/result
writes 'sft-ckpt convert' sft-ckpt convert -q m.gguf -o out/result
writes 'sft-ckpt merge' sft-ckpt merge -q model "$tuned" -o out/result
writes 'sft-ckpt average' sft-ckpt average -q model model -o out/result
writes 'sft-ckpt export' sft-ckpt export -q "$tuned" --logs tuned/logs/tiny -o out/result

# A process that is killed leaves no file that never had a name.
rm -rf out/*
calls out env TMPDIR=out sft-pack -q -@ 1 -l 128 -b 2 -o out/result samples.sfts
check 'spool: sft-pack writes a temporary file' grep -q 'write .*(deleted)' list
equal 'spool: the temporary file of sft-pack never has a name' "$rc $(grep -c 'out/sft' list)" '0 0'
rm -rf out/*

# ---- the same commands into a pipe ----
# into_pipe AREA COMMAND...: checks a command that writes standard output
into_pipe() {
    local name=$1 wrong='' n kind all stdout=1
    shift
    calls out "$@"
    rm -rf want && cp stdout want
    mapfile -t all < <(each_fault "$count" EIO ENOSPC EINTR short EPIPE kill)
    for f in "${all[@]}"; do
        read -r n kind <<<"$f"
        faulty "$n" "$kind" out "$@"
        case $kind:$rc in
            EIO:74 | ENOSPC:74) told "$kind" || wrong+=" $kind@$n:$(word "$(<stderr)")" ;;
            EPIPE:141 | kill:137) [ ! -s stderr ] || wrong+=" $kind@$n:$(word "$(<stderr)")" ;;
            EINTR:0 | short:0) cmp -s stdout want || wrong+=" $kind@$n:differs" ;;
            *) wrong+=" $kind@$n:$rc:$(word "$(<stderr)")" ;;
        esac
    done
    score "faults, $name to a pipe: it ends with 74 or the signal, or gives the same bytes" \
        ${#all[@]} "$wrong"
}
sparse=3
into_pipe sft-tokenize "${tokenize[@]}" train.jsonl
into_pipe sft-template sft-template -q -m model -@ 1 turns.sfts
into_pipe sft-pack sft-pack -q -@ 1 -l 128 -b 2 samples.sfts
into_pipe sft-view sft-view -q train.sfts
into_pipe sft-report sft-report logs
exit $bad
