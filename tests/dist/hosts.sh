#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Two hosts, which are namespaces of network, names and shared memory, joined by a pair of veth:
# ranks on both under mpirun and under the launcher have the losses of one host; a host that is cut
# off ends the run and is named, and leaves no process.
if [ -z "${HOSTS_ARE_PRIVATE:-}" ]; then
    # All of it runs in namespaces of its own, of processes too, so nothing outlives this script.
    private=(unshare --net --mount --pid --fork --kill-child --mount-proc)
    [ "$(id -u)" -eq 0 ] || private+=(--user --map-root-user)
    probe='unshare --net --uts --ipc --mount sh -c "mount -t tmpfs none /dev/shm &&
        ip link set lo up && ip link add veth0 type veth peer name veth1"'
    if why=$("${private[@]}" sh -c "$probe" 2>&1); then
        HOSTS_ARE_PRIVATE=1 exec "${private[@]}" bash "$0"
    fi
    echo "skip hosts: ranks of two of them train: no namespaces here: $(tail -n 1 <<<"$why")"
    exit 0
fi
source "$(dirname "$0")/../ranks.sh"
export MPIEXEC_TIMEOUT=120 # seconds after which mpirun ends a job that hangs

# ---- the hosts ----
declare -A host=() # of a name: a process in its namespaces
printf '10.77.0.1 node1\n10.77.0.2 node2\n127.0.0.1 localhost\n' >names
# boot NAME: makes a host, whose shared memory and names are its own
boot() {
    mkfifo "up.$1"
    unshare --net --uts --ipc --mount bash -c "hostname $1 && ip link set lo up &&
        mount -t tmpfs none /dev/shm && mount --bind names /etc/hosts && echo up >up.$1 &&
        exec sleep infinity" &
    host[$1]=$!
    read -r _ <"up.$1"
}
# on NAME COMMAND...: runs the command on that host; with become=exec it becomes the command
become=
on() { $become nsenter -t "${host[$1]}" -n -u -i -m --wd="$PWD" env HOSTNAME="$1" "${@:2}"; }
boot node1
boot node2
ip link add veth0 netns "${host[node1]}" type veth peer name veth0 netns "${host[node2]}"
for i in 1 2; do
    on node$i ip addr add 10.77.0.$i/24 dev veth0
    on node$i ip link set veth0 up
done
# The agent stands for ssh: it enters a host that answers at its address.
cat >agent <<END
#!/bin/bash
case \$1 in
    node1) at=10.77.0.1 process=${host[node1]} ;;
    node2) at=10.77.0.2 process=${host[node2]} ;;
    *) exit 255 ;;
esac
timeout 5 bash -c "exec 3<>/dev/tcp/\$at/22" 2>&1 | grep -q refused || exit 255
set -- "\${*:2}" OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
exec nsenter -t \$process -n -u -i -m --wd=/ env -i PATH=/usr/bin:/bin HOME=/ $(
    )ASAN_OPTIONS=$ASAN_OPTIONS "\${@:2}" sh -c "\$1"
END
chmod +x agent
export OMPI_MCA_plm_rsh_agent=$PWD/agent OMPI_MCA_orte_tmpdir_base=$PWD
printf 'node1 slots=1\nnode2 slots=1\n' >two
printf 'node1 slots=2\nnode2 slots=2\n' >four
program=("$(type -P sft-train)" -@ 1)
# ranks N COMMAND...: on both hosts, half of them on each
ranks() {
    local file=two
    [ "$1" -eq 2 ] || file=four
    on node1 mpirun -q -np "$1" --hostfile $file --bind-to none "${@:2}"
}
# crossed HOST: prints the bytes that have arrived on its link
crossed() { on "$1" awk '$1 == "veth0:" { print $2 }' /proc/net/dev; }

equal 'hosts: ranks are on both of them' "$(ranks 4 hostname | sort | tr '\n' ' ')" \
    'node1 node1 node2 node2 '

# ---- losses ----
equal 'losses: one process trains' "$(code run one --val val.sfts train.sfts)" 0
before=$(crossed node2)
equal 'losses: one rank on each host trains' \
    "$(code train 2 two0 --trace t.json --val val.sfts train.sfts)" 0
near 'losses: they are those of one process' one two0
sent=$(jq '[.[] | select(.cat == "comm") | .args.n] | add' t.json.0)
check 'losses: what rank 0 sent has crossed the link' \
    test "$sent" -gt 100000 -a $(($(crossed node2) - before)) -gt "$sent"
equal 'losses: two ranks on each host train with ZeRO-1' \
    "$(code train 4 four1 $zero1 --val val.sfts train.sfts)" 0
near 'losses: those of four ranks are those of one process' one four1
strategy=sft_train.strategy_args.strategy_config
model wide hidden_size=32 intermediate_size=64 num_hidden_layers=2 num_attention_heads=2 \
    num_key_value_heads=2
equal 'losses: a wide model trains on one process' "$(code run w1 pretrain=./wide train.sfts)" 0
equal 'losses: it trains with tensors cut within a host and layers between hosts' \
    "$(code train 4 w4 pretrain=./wide sft_train.training_args.gradient_accumulation_steps=12 \
        $strategy.tensor_model_parallel_size=2 $strategy.pipeline_model_parallel_size=2 \
        train.sfts)" 0
near 'losses: those of the cut model are those of one process' w1 w4

# ---- the launcher ----
launch=("$root/run_sft_pipeline.sh" --config_path . --config_name config)
steps=(sft_train.training_args.gradient_accumulation_steps=3 sft.threads=1 sft.device=cpu
    save_steps=0 eval_steps=0)
# launched DIR RANKS ARGUMENT...: a run of the launcher on node1
launched() {
    on node1 "${launch[@]}" output_dir="$1" logging_dir="$1/logs" "${steps[@]}" \
        "sft_train.device_mapping=list(range(0,$2))" "${@:3}"
}
equal 'launcher: four ranks train on one host' "$(code launched l1 4)" 0
equal 'launcher: four ranks train on two hosts' "$(code launched l2 4 --hostfile four)" 0
said "launcher: mpirun's command has the hosts and the path of the trainer" \
    "^mpirun -np 4 --bind-to none --hostfile four .* $(type -P sft-train) --config "
near 'launcher: losses on two hosts are those on one' l1 l2
same 'launcher: weights on two hosts are those on one' "$(weights l1)" "$(weights l2)"
cp config.yaml named.yaml
echo "exp_name: \${oc.env:RUN_NAME}" >>named.yaml
sed -i '/^exp_name: tiny/d' named.yaml
named() { launch[4]=named RUN_NAME=tiny launched l3 4 --hostfile=four; }
equal 'launcher: the other host has the variables of the configuration' "$(code named)" 0
fails 'launcher: a file of hosts that is not there is refused' 66 'none: cannot read it' \
    launched l5 4 --hostfile none
fails 'launcher: hosts for one worker are refused' 78 'one worker needs no hosts' \
    launched l5 1 --hostfile two

# ---- asked to stop, and a host that is cut off ----
endless=(sft_train.training_args.num_train_epochs=1000 --hostfile two)
# begins DIR ARGUMENT...: starts an endless run on both hosts and waits for its third step
begins() {
    become=exec launched "$1" 2 "${endless[@]}" "${@:2}" >stdout 2>stderr </dev/null &
    job=$!
    reached "$1" 3
}
# ends: waits for the job, a minute at most; its status is in $rc
ends() {
    timeout 60 tail --pid=$job -f /dev/null || kill -KILL $job
    wait $job && rc=0 || rc=$?
}
# left: prints the processes of runs
left() { ps -eo pid=,stat=,comm= | awk '$2 !~ /^Z/ && $3 ~ /^(sft-train|orted|mpirun)$/'; }
# running COMMAND HOST: prints its processes there
running() {
    local p net
    net=$(readlink "/proc/${host[$2]}/ns/net")
    for p in $(pgrep -x "$1"); do
        [ "$(readlink "/proc/$p/ns/net")" != "$net" ] || echo "$p"
    done
}
# trainers HOST: prints the processes of its ranks
trainers() { running sft-train "$1"; }
begins stopped
kill -TERM $job
ends
equal 'stop: TERM to the launcher ends both hosts with a checkpoint' \
    "$rc $(ls stopped/sft_train | wc -l) $(left)" '75 1 '
begins killed
kill -KILL $(trainers node2)
ends
equal "lost rank: its host's ranks and the other's end" "$rc $(left)" '69 '
# told: prints what ranks have said of the end of the job
told() { grep -E '^sft-train: (rank|host) |^sft-train: .*(lost|vain)' stderr; }
# silent: prints it without what differs from run to run
silent() { told | sed -E 's/for [0-9]+ seconds: (rank 1) (in|before) .*/\1/'; }
# On a busy machine mpirun kills the other rank before that tells; then the launcher's line is all.
lost='sft-train: host node2 has been silent rank 1'
! grep -q '^sft-run: a rank was lost' stderr || lost=
equal 'lost rank: one line names it and its host' "$(silent)" "$lost"
# The other host stands still, and goes on when the job has ended.
begins frozen sft.collective_timeout=4
frozen=$(trainers node2)
daemon=$(running orted node2)
kill -STOP $frozen $daemon
for _ in $(seq 200); do ! grep -q '^sft-train: host' stderr || break; sleep 0.1; done
kill -CONT $frozen
sleep 1.5
kill -CONT $daemon
ends
equal 'frozen host: the run ends with 69 and leaves no process' "$rc $(left)" '69 '
equal 'frozen host: one line names it, and its ranks' "$(silent)" \
    'sft-train: host node2 has been silent rank 1'
begins cut save_steps=2 sft.collective_timeout=12
on node2 ip link set veth0 down
ends
equal 'cut host: the run ends with 69 and leaves no process' "$rc $(left)" '69 '
said 'cut host: the message of the launcher names it' 'no answer from the host node2$'
# mpirun may have found out first, and have ended the ranks before one tells.
equal 'cut host: no other line of a rank tells why' \
    "$(silent | grep -vx 'sft-train: host node2 has been silent rank 1')" ''
check 'cut host: the newest checkpoint is whole' \
    sft-ckpt verify "cut/sft_train/$(ls -v cut/sft_train | tail -n 1)"
equal 'cut host: no run begins without it' "$(code launched cold 2 --hostfile two)" 69
said 'cut host: the message of such a run names it' '^sft-run: .* host node2$'
on node2 ip link set veth0 up
equal 'cut host: the run goes on when the host is back' \
    "$(code launched cut 2 "${endless[@]}" --resume auto max_steps=1)" 0
exit $bad
