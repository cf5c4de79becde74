#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Several ranks on emulated devices, which exchange their memory by the emulated NCCL: the
# collectives, and sft-train, whose losses are those of one CPU. What NCCL would not do is told.
source "$(dirname "$0")/../ranks.sh"
export EMU_DEVICES=4 MPIEXEC_TIMEOUT=120 # seconds after which mpirun ends a job that hangs
emu() { LD_LIBRARY_PATH=$O/emu "$@"; }

# ---- the collectives ----
for n in 2 4; do
    EMU_SEED=$n emu ranks $n "$O/test/comm_ranks" on cuda >collectives 2>err && rc=0 || rc=$?
    sed -n "s/^\(ok\|not ok\) /&$n ranks: /p" collectives
    equal "collectives, $n ranks: all checks pass" "$rc $(grep -c '^ok' collectives)" "0 34"
done
emu ranks 2 "$O/test/comm_ranks" cuda >timeout 2>err && rc=0 || rc=$?
sed -n 's/^\(ok\|not ok\) /&cuda, /p' timeout
equal 'collectives: a rank that is missing ends the job as lost' \
    "$rc $(grep -c '^ok' timeout)" '69 4'

emu "$O/gpu/nccl" >one 2>err && rc=0 || rc=$?
cat one
equal 'one rank: all calls of NCCL that the trainer makes pass' "$rc" 0

# ---- samples that are cut, some with fewer tokens than there are ranks ----
EMU_SEED=3 emu ranks 4 "$O/test/context_ranks" cuda >context 2>err && rc=0 || rc=$?
sed -n 's/^\(ok\|not ok\) /&4 ranks: /p' context
equal 'context parallel, 4 ranks: all checks pass' "$rc $(grep -c '^ok' context)" '0 6'

# ---- calls that NCCL would not take ----
# told FAULT PATTERN: two ranks with this fault end with 69, and the emulator tells it
told() {
    equal "wrong $1: the job ends as lost" \
        "$(code emu ranks 2 "$O/test/comm_ranks" wrong "$1")" 69
    said "wrong $1: the emulator tells it" "^emulator: nccl: $2"
}
told count 'calls do not match: .*ncclAllGather of 4[04] uint8, and .*ncclAllGather of 4[04] uint8$'
told kind 'calls do not match: .*(ncclAllGather.*ncclBroadcast|ncclBroadcast.*ncclAllGather)'
told root 'calls do not match: .*ncclBroadcast .* from rank [01], and .* from rank [01]$'
told circle 'ranks wait for one another: rank 0 is in ncclSend .*, rank 1 is in ncclSend|1.*0 is in'
told device 'ranks 0 and 1 are both on device 0$'
equal 'wrong alone: a send without its receive ends as lost' \
    "$(code emu ranks 2 "$O/test/comm_ranks" wrong alone)" 69
where='on [^ ]+ \(process [0-9]+\)'
equal 'wrong alone: the sender tells that it waited, and for whom' \
    "$(sed -E "s/$where waited [0-9]+ seconds/waited/; s/; --comm-timeout.*//" stdout)" \
    "rank 0: send_receive of 40 bytes among ranks 0 and 1: rank 0 waited in vain before the first \
step, in send_receive 1 of group; send_receive 1 of group waits for rank 1"
mkdir other && cp "$O/emu/libcublasLt.so.13" other/libnccl.so.2
LD_LIBRARY_PATH=$PWD/other:$O/emu code ranks 2 "$O/test/comm_ranks" wrong count >/dev/null
equal 'no NCCL: all ranks tell what to install' \
    "$(grep -cE 'NCCL 2.18 or later \(libnccl.so.2\): install it' stdout)" 2

# ---- a queue that does not wait for the other shows ----
# unordered QUEUE: a plugin in ./QUEUE in which this queue does not wait for the other's work
unordered() {
    local nvcc objects=()
    nvcc=$(sed -n 's/^NVCC := //p' "$O/config.mk")
    mkdir -p "$1" && ln -s "$O/lib/sft/mpi.so" "$1/mpi.so"
    sed "s/^    keep(c, cudaStreamWaitEvent/    if (q != $1) &/" "$root/lib/ops/cuda_plugin.c" \
        >"$1/cuda_plugin.c"
    for o in "$root"/kernels/*.cu; do objects+=("$O/obj/kernels/$(basename "$o" .cu).o"); done
    ! cmp -s "$root/lib/ops/cuda_plugin.c" "$1/cuda_plugin.c" &&
        "$nvcc" -Xcompiler -fPIC,-fvisibility=hidden -I"$root/lib" -I"$root" \
            -c "$1/cuda_plugin.c" -o "$1/cuda_plugin.o" &&
        "$nvcc" -shared -cudart shared -o "$1/cuda.so" "$1/cuda_plugin.o" "${objects[@]}" \
            "$O"/obj/lib/{ops/cuda_rules,comm/nccl_plugin,base/err}.pic.o -lcublasLt
}
for q in QUEUE_COMM QUEUE_COMPUTE; do
    check "unordered $q: the plugin is built" unordered $q
    SFT_PLUGIN_PATH=$PWD/$q emu ranks 2 "$O/test/comm_ranks" on cuda >unordered 2>err &&
        rc=0 || rc=$?
    check "unordered $q: a collective has wrong results" \
        [ "$rc $(grep -c '^not ok' unordered)" != '0 0' ]
done

# ---- the declarations, beside NCCL's own header where there is one ----
cat >abi.c <<'END'
#include <nccl.h>
#include "comm/nccl_abi.h"
#define SAME(a, b) _Static_assert((int)(a) == (int)(b), #a)
SAME(NCCL_OK, ncclSuccess);
SAME(NCCL_CUDA_ERROR, ncclUnhandledCudaError);
SAME(NCCL_SYSTEM_ERROR, ncclSystemError);
SAME(NCCL_INTERNAL_ERROR, ncclInternalError);
SAME(NCCL_INVALID_ARGUMENT, ncclInvalidArgument);
SAME(NCCL_INVALID_USAGE, ncclInvalidUsage);
SAME(NCCL_REMOTE_ERROR, ncclRemoteError);
SAME(NCCL_IN_PROGRESS, ncclInProgress);
SAME(NCCL_UINT8, ncclUint8);
SAME(sizeof(struct nccl_id), sizeof(ncclUniqueId));
SAME(offsetof(struct nccl_config, magic), offsetof(ncclConfig_t, magic));
SAME(offsetof(struct nccl_config, version), offsetof(ncclConfig_t, version));
SAME(offsetof(struct nccl_config, blocking), offsetof(ncclConfig_t, blocking));
SAME(NCCL_LEAST <= NCCL_VERSION_CODE, 1);
static const ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
int main(void) { return config.magic != NCCL_CONFIG_MAGIC; }
END
nvcc=$(sed -n 's/^NVCC := //p' "$O/config.mk")
read -ra compiler <<<"${CC:-cc} -I$(dirname "$nvcc")/../include"
compiled=("${compiler[@]}" -std=c11 -I"$root/lib" -o abi abi.c)
if echo '#include <nccl.h>' | "${compiler[@]}" -E - >/dev/null 2>&1; then
    check 'NCCL: our declarations are those of nccl.h' "${compiled[@]}"
    check 'NCCL: the configuration has the mark of nccl.h' ./abi
else
    skip 'NCCL: our declarations are those of nccl.h' 'no nccl.h here'
fi

# ---- a job of five steps, each of four rows ----
last=5
model gpu 'torch_dtype="float32"' hidden_size=64 intermediate_size=64 num_hidden_layers=2 \
    head_dim=64 num_attention_heads=2 num_key_value_heads=2
for i in $(seq 20); do printf '{"q":"Say %d.","a":"It is %d."}\n' $i $((i * 7)); done >five.jsonl
samples five.jsonl | sft-pack -q -l 128 -b 4 --mode none -o five.sfts
strategy=sft_train.strategy_args.strategy_config
tp=$strategy.tensor_model_parallel_size=2
pp=$strategy.pipeline_model_parallel_size=2
cp=$strategy.context_parallel_size=2
# The rate and epsilon at which another order of sums stays below 1e-6 of the loss.
settings=(pretrain=./gpu eval_steps=0 save_steps=4 sft_train.use_sequence_packing=false
    sft_train.training_args.learning_rate=5e-3 sft_train.training_args.adam_epsilon=1e-5)
# five RANKS DIR ARGUMENT...: a run of five steps; DP ranks share a step's four rows
five() {
    local trainer=(emu ranks "$1" "${program[@]}")
    run "$2" "sft_train.device_mapping=list(range(0,$1))" "${settings[@]}" \
        sft_train.training_args.gradient_accumulation_steps=$((4 / ${DP:-$1})) "${@:3}" five.sfts
}
gpus() { five "$@" --device cuda; }
# trains NAME COMMAND...: the run succeeds
trains() { equal "$1" "$(code "${@:2}")" 0; }
# same_bits NAME DIR DIR: both runs have the same weights and state
same_bits() {
    same "$1: the weights" "$(weights "$2")" "$(weights "$3")"
    same "$1: the state" "$(state "$2")" "$(state "$3")"
}
trains 'job: one rank trains on the CPU' five 1 cpu --device cpu
for n in 2 4; do
    trains "job: $n devices train with ZeRO-0" gpus $n z0.$n
    EMU_SEED=7 EMU_CHECK=0 trains "job: $n devices train with ZeRO-1" gpus $n z1.$n $zero1 \
        --trace z1.$n
    near "job: $n devices have the losses of one CPU" z0.$n cpu
    same_bits "job: $n devices: ZeRO-0 and ZeRO-1 are the same" z0.$n z1.$n
done
for z in 2 3; do
    EMU_SEED=$z EMU_CHECK=0 trains "job: 2 devices train with ZeRO-$z" gpus 2 z$z.2 \
        sft.zero_stage=$z
    near "job: 2 devices with ZeRO-$z have the losses of one CPU" z$z.2 cpu
done
same_bits 'job: 2 devices: ZeRO-2 and ZeRO-3 are the same' z2.2 z3.2
# sent FILE: prints the bytes that a rank has sent in the calls of ZeRO-1
sent() {
    jq -c '[.[] | select(.name == "reduce_scatter" or .name == "all_gather") | .args.n] | add' "$1"
}
trains 'trace: 2 ranks train with ZeRO-1 on the CPU' five 2 z1.cpu $zero1 --device cpu \
    --trace z1.cpu
equal 'trace: a GPU counts the bytes that a CPU counts' "$(sent z1.2.1)" "$(sent z1.cpu.1)"
export EMU_CHECK=0 # as the runs above have checked the kernels
narrow=($bf16 sft.gradient_dtype=bf16 $zero1)
trains 'bf16: 2 devices train with bf16 gradients' gpus 2 narrow "${narrow[@]}"
EMU_SEED=7 trains 'bf16: they train again in another order' gpus 2 again "${narrow[@]}"
same_bits 'bf16: two runs are the same' narrow again
for how in tp pp cp; do
    DP=1 trains "$how 2: 2 devices train" gpus 2 $how ${!how}
    near "$how 2: the losses are those of one CPU" $how cpu
done
DP=1 trains 'sequence parallel 2: 2 devices train' gpus 2 sp $tp $strategy.sequence_parallel=true
near 'sequence parallel 2: the losses are those of one CPU' sp cpu

DP=1 trains 'bf16, cp 2: 2 devices train' gpus 2 narrow.cp "${narrow[@]}" $cp
close 'bf16, cp 2: the losses are those of 2 data-parallel devices' "$(losses narrow.cp)" \
    "$(losses narrow)" 5e-3

# ---- the gradients of a step: SGD at so high a rate that the new weights are these times it ----
one=(sft_train.training_args.{optim=sgd,learning_rate=1000,lr_scheduler_type=constant}
    max_grad_norm=0 max_steps=1)
first() { echo "$1/sft_train/checkpoint-1/sft_train"; }
trains 'gradients: one CPU makes a step' five 1 g.cpu "${one[@]}" --device cpu
# gradients RANKS DP NAME ARGUMENT...: in this layout each is that of one CPU to 1e-5 of its norm
gradients() {
    DP=$2 trains "gradients, $3: $1 devices make a step" gpus "$1" "g.$3" "${one[@]}" "${@:4}"
    sft-ckpt diff "$(first "g.$3")" "$(first g.cpu)" >diff
    check "gradients, $3: each is that of one CPU" awk '
        $2 != "values" || $4 > 1e-5 { print; bad = 1 } END { exit bad || NR < 9 }' diff
}
gradients 2 2 dp2
gradients 2 2 dp2-zero2 sft.zero_stage=2
gradients 2 2 dp2-zero3 sft.zero_stage=3
gradients 2 1 tp2 $tp
gradients 2 1 sp2 $tp $strategy.sequence_parallel=true
gradients 2 1 pp2 $pp
gradients 2 1 cp2 $cp
gradients 4 2 tp2-dp2 $tp $zero1
gradients 4 1 cp2-pp2 $cp $pp
gradients 4 1 tp2-pp2 $tp $pp

# ---- a rank that is killed, and checkpoints that go on ----
cat >held <<'END'
#!/bin/bash
# A command whose end by a signal mpirun does not see.
"$@" &
echo $! >pid.$OMPI_COMM_WORLD_RANK
wait $! && rc=0 || rc=$?
[ $rc -lt 128 ] || sleep 60
exit $rc
END
chmod +x held
killed() {
    local program=(./held sft-train)
    gpus 2 killed save_steps=2 sft.collective_timeout=3 >stdout 2>stderr </dev/null &
    job=$!
    reached killed 3 && kill -KILL "$(<pid.1)"
    wait $job
}
killed && rc=0 || rc=$?
equal 'killed: the other rank ends with 69' $rc 69
said 'killed: it tells which rank died, and in which collective' \
    "^sft-train: rank 1 $where died in step [0-9]+, (in|after) [a-z_]+ [0-9]+ of (all|dp)"
trains 'killed: the run goes on' gpus 2 killed save_steps=2 --resume auto
same_bits 'killed: its end is that of the run that was not killed' killed z0.2
cp -r z1.2 there && rm -r "$(checkpoint there)"
trains 'devices: one CPU goes on from a checkpoint of 2 devices' five 1 there --resume auto \
    --device cpu
near 'devices: its losses are those of one CPU' there cpu
cp -r cpu back && rm -r "$(checkpoint back)"
trains 'devices: 2 devices go on from a checkpoint of one CPU' gpus 2 back --resume auto
near 'devices: their losses are those of one CPU' back cpu

# ---- the plan ----
# planned DEVICE: prints where the plan has the staging of collectives, behind memory of the host
planned() {
    emu sft-train -q --config config.yaml "${settings[@]}" --plan --json --device "$1" \
        'sft_train.device_mapping=[0,1]' \
        sft_train.training_args.gradient_accumulation_steps=2 |
        jq '[.buffers[] | {(.name): .offset}] | add | .collectives > .["checkpoint staging"]'
}
equal 'plan: the staging of collectives is device memory on a GPU' "$(planned cuda)" false
equal 'plan: on the CPU it is host memory' "$(planned cpu)" true

# ---- ranks that share out the experts, which exchange tokens and choices ----
model experts 'torch_dtype="float32"' 'model_type="qwen3_moe"' hidden_size=64 num_hidden_layers=2 \
    head_dim=64 num_attention_heads=2 num_key_value_heads=2 num_experts=4 num_experts_per_tok=2 \
    moe_intermediate_size=24 norm_topk_prob=true tie_word_embeddings=false
sparse=(pretrain=./experts)
ep=$strategy.expert_model_parallel_size=2
trains 'ep 2: one CPU trains' five 1 sparse "${sparse[@]}" --device cpu
EMU_CHECK=1 trains 'ep 2: 2 devices train' gpus 2 ep "${sparse[@]}" $ep
near 'ep 2: the losses are those of one CPU' ep sparse
EMU_SEED=7 trains 'ep 2: they train again in another order' gpus 2 ep.again "${sparse[@]}" $ep
same_bits 'ep 2: two runs are the same' ep ep.again
trains 'ep 2 x edp 2, ZeRO-3: 4 devices train' gpus 4 edp "${sparse[@]}" $ep sft.zero_stage=3
near 'ep 2 x edp 2, ZeRO-3: the losses are those of one CPU' edp sparse
DP=2 trains 'ep 2 x pp 2: 4 devices train' gpus 4 ep.pp "${sparse[@]}" $ep $pp
near 'ep 2 x pp 2: the losses are those of one CPU' ep.pp sparse
exit $bad
