#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Fine-tunes as a configuration says: makes the data streams, then trains. Installed as sft-run.
usage='usage: sft-run --config_path DIR --config_name NAME [--resume auto|CHECKPOINT] [--hostfile FILE]
               [key=value ...]
       sft-run --help | --version

Reads DIR/NAME.yaml, or DIR/NAME where NAME has an ending (.yaml, .yml), makes OUTPUT_DIR/data/train.sfts and
validation.sfts unless nothing they depend on has changed, and runs sft-train. Each command is
printed before it runs. More than one device in sft_train.device_mapping: the trainer runs as that
many ranks under mpirun, on this host or on those in FILE (a line each: NAME slots=RANKS). The exit status is that of the first stage that failed; 69 when a rank was
lost. INT, TERM, HUP and USR1 let the trainer finish its step, save and exit with 75. A second INT or
TERM ends it at once, and a third ends all that is left.'
set -u

# A standard descriptor that is closed would be given to the next file that is opened. To use the one in
# its place fails, as that of a closed one does.
{ : <&0; } 2>/dev/null || exec 0>/dev/null
{ : >&1; } 2>/dev/null || exec 1</dev/null
{ : >&2; } 2>/dev/null || exec 2</dev/null

say() { printf '%s\n' "sft-run: $*" >&2; }
die() { say "${@:2}"; exit "$1"; }

# ---- the commands: beside this script, else in the build folder beside it, else on PATH ----
here=$(dirname "$(readlink -f "$0")")
case ${O:-build} in /*) build=${O}/bin ;; *) build=$here/${O:-build}/bin ;; esac
typed_path=$PATH # where the user's shell finds commands
for d in "$here" "$build"; do
    [ -x "$d/sft-config" ] && { PATH=$d:$PATH; break; }
done
found() { command -v sft-config >/dev/null || die 69 'sft-config is not there; run make'; }

# ---- arguments ----
version() {
    local text
    found
    text=$(sft-config --version) && printf '%s\n' "sft-run${text#sft-config}" 2>/dev/null ||
        die 74 '<stdout>: write failed'
}
typed=("$0" "$@")
dir='' name='' hostfile='' overrides=() resume=()
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) printf '%s\n' "$usage" 2>/dev/null || die 74 '<stdout>: write failed'; exit 0 ;;
        -V | --version) version; exit 0 ;;
        --config_path=* | --config_name=* | --resume=* | --hostfile=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
        --config_path | --config_name | --resume | --hostfile)
            [ $# -ge 2 ] || die 64 "$1: a value is missing"
            case $1 in
                --config_path) dir=$2 ;;
                --config_name) name=$2 ;;
                --resume) resume=(--resume "$2") ;;
                --hostfile) hostfile=$2 ;;
            esac
            shift 2 ;;
        -*) die 64 "$1: unknown option; see --help" ;;
        *=*) overrides+=("$1"); shift ;;
        *) die 64 "'$1': neither an option nor key=value; see --help" ;;
    esac
done
if [ -z "$dir" ] || [ -z "$name" ]; then
    die 64 'which configuration? --config_path DIR --config_name NAME'
fi
case $dir in '~' | '~/'*)
    [ -n "${HOME:-}" ] || die 78 "$dir: HOME is not set, so ~ stands for no folder"
    dir=$HOME${dir#\~} ;;
esac
case $name in *.yaml | *.yml) ;; *) name+=.yaml ;; esac
config=${dir%/}/$name
[ -z "$hostfile" ] || [ -r "$hostfile" ] || die 66 "$hostfile: cannot read it; a line of it is: NAME slots=RANKS"
option=$([ -z "$hostfile" ] || grep -nsm1 '^[[:space:]]*-' -- "$hostfile" || true) # ssh would take it for one
[ -z "$option" ] || die 65 "$hostfile:${option%%:*}: no host has a name that begins with -; a line is: NAME slots=RANKS"
if [ "${SLURM_STEP_NUM_TASKS:-1}" -gt 1 ]; then
    [ "${SLURM_PROCID:-0}" -eq 0 ] || exit 78
    die 78 "srun started $SLURM_STEP_NUM_TASKS of this, which starts the ranks by itself; use srun -n 1, or sbatch"
fi

found

# ---- the values that the data commands need ----
# values ARRAY OPTION...: what sft-config prints, each value as it is, line breaks too. The status comes
# last: bash does not reliably wait for a process substitution.
values() {
    local -n into=$1
    local rc
    mapfile -d '' -t into < <(sft-config -q --null "${@:2}" -- "$config" "${overrides[@]}"; printf '%s\0' $?)
    rc=${into[-1]}
    unset 'into[-1]'
    return "$rc"
}
columns=(prompt_key query_key response_key system_key sft.history_key sft.messages_key sft.role_key
    sft.content_key sft.role_tags sft.text_key)
keys=(sft_train.data_args.preprocessing_num_workers sft.allow model_path template
    sft.mask sequence_length global_batch_size pack_mode sft_train.training_args.num_train_epochs sft.shuffle
    sft.over_length sft_train.infer_batch_size output_dir seed world_size sft.device
    sft.template_vars sft.arguments sft.skip_bad sft.collective_timeout
    sft_train.training_args.load_best_model_at_end max_steps sft_train.training_args.max_steps "${columns[@]}")
values v "${keys[@]/#/--get=}" || exit
threads=${v[0]:-0} allow=${v[1]} model=${v[2]} template=${v[3]} mask=${v[4]} length=${v[5]}
batch=${v[6]} mode=${v[7]} epochs=${v[8]%.0} shuffle=${v[9]} over=${v[10]} val_batch=${v[11]}
output=${v[12]} seed=${v[13]} workers=${v[14]} device=${v[15]} vars=${v[16]} arguments=${v[17]}
patience=${v[19]} # seconds that a rank waits for another
load_best=${v[20]} max_steps=${v[21]} own_max_steps=${v[22]}
skip=()
[ "${v[18]}" != true ] || skip=(--skip-bad)
tokenize=(sft-tokenize -@ "$threads" -m "$model" "${skip[@]}")
for i in "${!columns[@]}"; do
    option=${columns[i]#sft.}
    [ -z "${v[i + 23]}" ] || tokenize+=("--${option/_/-}" "${v[i + 23]}")
done
render=(sft-template -@ "$threads" -m "$model" -t "$template" --mask "$mask" "${skip[@]}"
    --arguments "$arguments" ${allow:+--allow "$allow"} ${vars:+--vars "$vars"})
order=(--seed "$seed")
[ "$shuffle" = true ] || order=(--in-order)
values train_files --get train_files || exit
[ ${#train_files[@]} -gt 0 ] || die 78 "$config: sft_train.data_args.file_name: is not set"
values val_files --get validation_files || exit
# A name that begins with - must not be read as an option, nor one with = as an override.
train_files=("${train_files[@]/#-/./-}") val_files=("${val_files[@]/#-/./-}")
case $output in /* | ./* | ../*) ;; *) output=./$output ;; esac
data=$output/data root=$output/sft_train

# ---- the ranks ----
container() {
    [ -e /.dockerenv ] || [ -e /run/.containerenv ] || [ -n "${container:-}" ] || [ -n "${KUBERNETES_SERVICE_HOST:-}" ]
}
# host_options: what ranks of other hosts need. They get no environment but what -x names, so the variables
# of the configuration and of the libraries go along. mpirun cannot end ranks on a host that it does not
# reach, and would wait for their end for a quarter of an hour; so it must notice a dead connection before
# the ranks give up, which Open MPI's own values (8 minutes) do not.
host_options() {
    local name alive=$((patience < 120 ? patience / 2 : 60)) # seconds
    for name in $(compgen -e); do
        case $name in
            SFT_LOCK | SFT_LOST | SFT_TYPED | GOMP_SPINCOUNT) ;;
            SFT_* | HF_* | MODELSCOPE_* | NCCL_* | OMP_* | LD_LIBRARY_PATH) lend+=(-x "$name") ;;
            *) ! grep -q "oc\.env: *$name\b" "$config" || lend+=(-x "$name") ;;
        esac
    done
    lend+=(-x SFT_TYPED)
    export OMPI_MCA_oob_tcp_keepalive_time=${OMPI_MCA_oob_tcp_keepalive_time:-$((alive / 3 + 1))}
    export OMPI_MCA_oob_tcp_keepalive_intvl=${OMPI_MCA_oob_tcp_keepalive_intvl:-$((alive / 6 + 1))}
    export OMPI_MCA_oob_tcp_keepalive_probes=${OMPI_MCA_oob_tcp_keepalive_probes:-2}
}
# silent_hosts: prints the other hosts of the file that cannot be entered
silent_hosts() {
    local host _ agent
    read -ra agent <<<"${OMPI_MCA_plm_rsh_agent:-ssh}"
    while read -r host _ || [ -n "$host" ]; do # the last line may have no end
        case $host in '' | '#'* | localhost | "$HOSTNAME" | "${HOSTNAME%%.*}") continue ;; esac
        timeout 10 "${agent[@]}" "$host" true </dev/null >/dev/null 2>&1 || printf ' %s' "$host"
    done <"$hostfile"
}
# mpirun with what it needs here; $ranks stays empty for one worker. Ranks are not bound to cores: each
# computes with several threads, and shares the CPUs with the others of its node by itself.
ranks=() lend=()
mpirun_options() {
    command -v mpirun >/dev/null ||
        die 69 "$workers workers need mpirun: install an MPI (Debian: apt-get install libopenmpi-dev openmpi-bin) and run make again"
    ranks=(mpirun -np "$workers" --bind-to none ${hostfile:+--hostfile "$hostfile"})
    case $(mpirun --version 2>/dev/null) in *'Open MPI'* | *OpenRTE* | *PRTE*) ;; *) return ;; esac
    ranks+=(-q) lend=(-x SFT_LOCK -x SFT_LOST)
    [ -z "${GOMP_SPINCOUNT:-}" ] || lend+=(-x GOMP_SPINCOUNT)
    [ "$device" = cuda ] || ranks+=(--oversubscribe)
    [ -z "$hostfile" ] || host_options
    if [ "$(id -u)" -ne 0 ] || [ -n "${OMPI_ALLOW_RUN_AS_ROOT:-}" ]; then return; fi
    container || die 69 'mpirun does not run as root outside a container: use another account, or set
OMPI_ALLOW_RUN_AS_ROOT=1 and OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1'
    say 'root in a container: mpirun gets --allow-run-as-root'
    ranks+=(--allow-run-as-root)
}
if [ "$workers" -gt 1 ]; then mpirun_options
elif [ -n "$hostfile" ]; then
    die 78 "$hostfile: one worker needs no hosts; give sft_train.device_mapping as many devices as all hosts have"
fi

# ---- the run's folder: locked before anything is made in it ----
# The lock belongs to the open file, which every process started from here inherits: it lasts until
# the last of them ends, with no gap between the streams and the trainer. The check takes it, and
# refuses what would stop the trainer, before any data is made; its warnings are told here, too. The ranks of mpirun inherit no open
# file: rank 0 compares the line in SFT_LOCK with that in the file.
why=$(mkdir -p -- "$root" 2>&1) || die 73 "$root: cannot be created: ${why##*: }"
{ exec {lock}<>"$root/.lock"; } 2>/dev/null || die 73 "$root/.lock: cannot be created"
train=(sft-train --config "$config" "${overrides[@]}" "${resume[@]}")
[ ${#val_files[@]} -eq 0 ] || train+=(--val "$data/validation.sfts")
SFT_LOCK=$lock "${train[@]}" --check || exit
held="$lock $(<"$root/.lock")"
trap ': >"$root/.lock"' EXIT # which names nobody then
"${render[@]}" -q --check || exit
"${tokenize[@]}" -q --check "${train_files[@]}" "${val_files[@]}" || exit

# ---- running things ----
# descendants PID: prints the process and all that it started; mpirun gives its ranks groups of their own
descendants() {
    local pid
    echo "$1"
    for pid in $(grep -l "^PPid:[[:space:]]*$1\$" /proc/[0-9]*/status 2>/dev/null | cut -d/ -f3); do
        descendants "$pid"
    done
}
# stop SIGNAL: passes it on to the job. The first INT or TERM asks it to stop, the second stops it at
# once, the third ends whatever is left of it. mpirun ends its ranks soon after INT and TERM, so USR1
# asks them; the data commands have nothing to finish.
asked=0 last=''
stop() {
    local signal=USR1 all
    case $1 in INT | TERM) asked=$((asked + 1)) last=$1 signal=$1 ;; esac
    case $asked:$kind:$signal in
        [012]:data:* | 2:ranks:[IT]*) send TERM "-$job" ;;
        1:ranks:[IT]*) send USR1 "$job" && say 'again to stop now' ;;
        [012]:*) send "$signal" "$job" ;;
        *) mapfile -t all < <(descendants "$job"); send KILL "-$job" "${all[@]}" ;;
    esac
}
send() { kill "-$1" -- "${@:2}" 2>/dev/null; }
# run KIND COMMAND...: in a process group of its own, so that Ctrl-C reaches this script alone. KIND:
# data, train, or ranks, which are under mpirun. After the trainer nothing is left to be stopped: a
# signal that comes late must not change the status.
job='' kind=''
run() {
    local rc=127 status interrupted signal
    kind=$1
    shift
    set -m
    "$@" </dev/null &
    job=$!
    set +m
    # shellcheck disable=SC2064
    for signal in INT TERM HUP USR1; do trap "interrupted=1; stop $signal" $signal; done
    while :; do
        interrupted=''
        wait "$job"
        status=$?
        [ $status -eq 127 ] || rc=$status # 127: the status was taken before the signal came
        # Only the end of the job counts, and not that somebody has stopped it for a while.
        [ -n "$interrupted" ] || { kill -0 "$job" 2>/dev/null && sleep 0.1; } || break
    done
    if [ $kind = data ]; then trap - INT TERM HUP USR1; else trap '' INT TERM HUP USR1; fi
    return $rc
}
quote() { local s; printf -v s ' %q' "$@"; printf '%s' "${s:1}"; }

# The first stage that failed counts; one that died of SIGPIPE had a reader that failed.
first_failure() {
    local rc piped=0
    for rc in "$@"; do
        case $rc in 0) ;; 141) piped=141 ;; *) return "$rc" ;; esac
    done
    return $piped
}
pipeline() {
    "${tokenize[@]}" "${files[@]}" | "${render[@]}" | "${pack[@]}"
    first_failure "${PIPESTATUS[@]}"
}

# A stream depends on: the commands as typed, and the contents of their programs, of the data
# and of the tokenizer's files; and the stream itself, so that another file in its place is noticed.
stamp() {
    printf '%s\n' "$shown"
    sha256sum -- "$(type -P sft-tokenize)" "$(type -P sft-template)" "$(type -P sft-pack)" "${files[@]}"
    for d in "$model" "$model/sft_train"; do # the second: of a checkpoint
        for f in tokenizer.json tokenizer_config.json special_tokens_map.json chat_template.jinja \
            vocab.json merges.txt added_tokens.json config.json; do
            [ ! -e "$d/$f" ] || sha256sum -- "$d/$f"
        done
        [ ! -d "$d/additional_chat_templates" ] ||
            find -L "$d/additional_chat_templates" -maxdepth 1 -name '*.jinja' -exec sha256sum -- {} + | sort
    done
    [ ! -f "$template" ] || sha256sum -- "$template"
    stat -c '%n %s %Y' -- "$1"
} 2>/dev/null

# ---- the streams ----
# stream NAME PACK-OPTION... -- FILE...: with doing=look, adds up what a stream that is not there, or
# not up to date, takes on the disk; with doing=make, makes $data/NAME.sfts, or keeps it.
declare -A kept=()
spool=0 streams=0 # bytes
stream() {
    local name=$1 out=$data/$1.sfts pack=(sft-pack -@ "$threads" -l "$length" --over-length "$over") shown
    shift
    while [ "$1" != -- ]; do pack+=("$1"); shift; done
    local files=("${@:2}")
    pack+=(-o "$out")
    shown="$(quote "${tokenize[@]}" "${files[@]}") | $(quote "${render[@]}") | $(quote "${pack[@]}")"
    if [ "$doing" = look ]; then
        if [ -e "$out" ] && [ "$(stamp "$out")" = "$(cat "$out.stamp" 2>/dev/null)" ]; then
            kept[$name]=1
        else
            weigh "${files[@]}"
        fi
        return
    fi
    if [ -n "${kept[$name]:-}" ]; then
        say "$out: kept, nothing it depends on has changed"
        return
    fi
    printf '%s\n' "$shown" >&2
    rm -f -- "$out.stamp"
    run data pipeline || return
    stamp "$out" >"$out.stamp" || die 73 "$out.stamp: cannot be written"
}
# weigh FILE...: sft-pack stores 4 bytes a token in $TMPDIR, about as many as the text has; the
# compressed stream has about a quarter of that.
weigh() {
    local f n sum=0
    for f; do
        n=$(stat -L -c %s -- "$f" 2>/dev/null) && sum=$((sum + n))
    done
    [ "$sum" -le "$spool" ] || spool=$sum
    streams=$((streams + sum / 4))
}
# room FOLDER BYTES HELP: refuses a folder that cannot take as many bytes; a file system that tells no
# size is left alone.
room() {
    local blocks='' free size
    [ "$2" -gt 0 ] || return 0
    { [ -d "$1" ] && [ -w "$1" ]; } || die 73 "$1: is no folder that can be written; $3"
    read -r blocks free size <<<"$(stat -f -c '%b %a %S' -- "$1" 2>/dev/null)"
    [ "${blocks:-0}" -gt 0 ] && [ "$2" -gt $((free * size)) ] || return 0
    die 74 "$1: the streams take about $(($2 >> 20)) MiB, and $((free * size >> 20)) MiB are free; $3"
}
streams() {
    stream train --mode "$mode" -b "$batch" --epochs "$epochs" "${order[@]}" -- "${train_files[@]}" || return
    [ ${#val_files[@]} -eq 0 ] ||
        stream validation --mode none -b "$val_batch" --epochs 1 --in-order -- "${val_files[@]}"
}

# ---- what to do with the model ----
# as_typed NAME: the command by its name where the user's shell has this one, else by its path
as_typed() { [ "$(PATH=$typed_path type -P "$1")" = "$(type -P "$1")" ] && echo "$1" || type -P "$1"; }
# has_template FOLDER: the folder of a tokenizer has a chat template
has_template() { [ -e "$1/chat_template.jinja" ] || grep -qs '"chat_template"' "$1/tokenizer_config.json"; }
# tell_next: prints commands for the last checkpoint, or with load_best_model_at_end the best model
tell_next() {
    local n folder files eval more
    n=$(for d in "$root"/checkpoint-*/sft_train; do
        d=${d%/sft_train}
        case ${d##*/checkpoint-} in *[!0-9]*) ;; *) echo "${d##*/checkpoint-}" ;; esac
    done | sort -n | tail -n 1)
    [ -n "$n" ] || return 0
    folder=$root/checkpoint-$n files=$root/checkpoint-$n/sft_train
    if [ "$load_best" = true ] && [ -d "$root/best" ]; then folder=$root/best files=$folder; fi
    eval=("$(as_typed sft-eval)" -m "$folder")
    more=("${typed[@]}" --resume auto)
    [ "${max_steps:-0}" -le 0 ] || more+=("max_steps=$((n * 2))")
    [ "${own_max_steps:-0}" -le 0 ] || more+=("sft_train.training_args.max_steps=$((n * 2))")
    [ "${more[-1]}" != auto ] ||
        more+=("sft_train.training_args.num_train_epochs=$(awk "BEGIN { print $epochs + 1 }")")
    if [ -e "$files/adapter_config.json" ]; then
        eval=("$(as_typed sft-eval)" -m "$model" --adapter "$folder")
        more=("$(as_typed sft-ckpt)" merge "$model" "$folder" -o "$output/merged")
    fi
    # Without a template of its own, the model has no conversations to be tried in.
    if [ "$template" = native ] && has_template "$files"; then eval+=(--chat)
    else eval+=("$data/train.sfts"); fi
    say 'done; to try the model, to list its tensors, and to go on:'
    printf '%s\n' "$(quote "${eval[@]}")" "$(quote "$(as_typed sft-ckpt)" show "$folder")" \
        "$(quote "${more[@]}")" >&2
}

doing=look
streams
room "${TMPDIR:-/tmp}" "$spool" 'set TMPDIR to another folder'
room "$root" "$streams" 'give another output_dir'
why=$(mkdir -p -- "$data" 2>&1) || die 73 "$data: cannot be created: ${why##*: }"
doing=make
streams || exit
train+=("$data/train.sfts")
[ -z "$hostfile" ] || train[0]=$(type -P sft-train) # other hosts may have another PATH
printf '%s\n' "$(quote "${ranks[@]}" "${train[@]}")" >&2
how=train
[ ${#ranks[@]} -eq 0 ] || how=ranks
export SFT_LOST=$root/.lock # where a rank notes that it has told why the job ends
SFT_LOCK=$held SFT_TYPED=$(quote "${typed[@]}") run $how "${ranks[@]}" "${lend[@]}" "${train[@]}"
rc=$?
[ $rc -ne 0 ] || tell_next
[ $how = ranks ] || exit $rc
[ $asked -lt 2 ] || exit $((128 + $(kill -l "$last")))
case $rc in
    0 | 6[4569] | 7[0134568]) exit $rc ;; # the trainer's own
esac
silent=''
[ -z "$hostfile" ] || silent=$(silent_hosts)
# A rank has told of the one for which mpirun ended them all.
[ -n "$silent" ] || ! grep -qx lost "$root/.lock" || exit 69
die 69 "a rank was lost: mpirun ended with $rc${silent:+; no answer from the host$silent}"
