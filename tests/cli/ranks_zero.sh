# SPDX-License-Identifier: Apache-2.0
# The stages of ZeRO under mpirun: the same steps in each of them, frozen tensors and adapters,
# checkpoints that go on in another stage on other ranks, a rank's memory.
source "$(dirname "$0")/../ranks.sh"
deepspeed=sft_train.strategy_args.strategy_name=deepspeed_train
stage() { echo "$deepspeed sft_train.strategy_args.strategy_config.zero_optimization.stage=$1"; }
fsdp=sft_train.strategy_args.strategy_name=fsdp2_train
strategy=sft_train.strategy_args.strategy_config
settings=(sft_train.training_args.adam_epsilon=1e-6 --val val.sfts)
# zero STAGE RANKS DIR ARGUMENT...: a run in this stage; its exit code
zero() { code train "$2" "$3" $(stage "$1") "${settings[@]}" "${@:4}" train.sfts; }
# same_run AREA DIR DIR: weights and state are the same bytes
same_run() {
    same "$1: the weights are the same" "$(weights "$2")" "$(weights "$3")"
    same "$1: the state is the same" "$(state "$2")" "$(state "$3")"
}

# ---- each stage on 2 and 4 ranks, some micro-batches each ----
equal 'stages: one rank trains the rows' "$(code run one $(stage 0) "${settings[@]}" train.sfts)" 0
for n in 2 4; do
    for z in 0 1 2 3; do
        equal "$n ranks: they train with ZeRO-$z" "$(zero $z $n z$z.$n)" 0
        near "$n ranks: ZeRO-$z has the losses of one rank" one z$z.$n
        close "$n ranks: ZeRO-$z has the validation losses of one rank" \
            "$(values one sft_train/val_loss)" "$(values z$z.$n sft_train/val_loss)" 1e-6
    done
    same_run "$n ranks, ZeRO-0 and ZeRO-1" z0.$n z1.$n
    same_run "$n ranks, ZeRO-2 and ZeRO-3" z2.$n z3.$n
done
equal '3 ranks: steps of fewer rows are trained with ZeRO-3' "$(zero 3 3 z3.3)" 0
near '3 ranks: ZeRO-3 has the losses of one rank' one z3.3
equal 'fsdp2: without a key it has ZeRO-3' \
    "$(quiet='' code train 2 fsdp $fsdp "${settings[@]}" train.sfts) $(
        grep -c '2 data-parallel ranks, ZeRO-3$' stderr)" '0 1'
same_run 'fsdp2 and ZeRO-3' z3.2 fsdp
equal 'fsdp2: two ranks train with reshard_after_forward=false' \
    "$(code train 2 kept $fsdp "${settings[@]}" \
    $strategy.reshard_after_forward=false train.sfts)" 0
same_run 'fsdp2 with reshard_after_forward=false' fsdp kept
# Groups of two ranks share the weights, and four ranks the rows.
over2="$fsdp $strategy.fsdp_size=2"
equal 'hybrid: 4 ranks in groups of 2 train' \
    "$(quiet='' code train 4 hybrid $over2 "${settings[@]}" --trace hybrid.json train.sfts) $(
        grep -c '4 data-parallel ranks, ZeRO-3 over 2 of them$' stderr)" '0 1'
near 'hybrid: 4 ranks in groups of 2 have the losses of one rank' one hybrid
equal 'hybrid: they train again, with whole weights' "$(code train 4 hybrid2 $over2 \
    $strategy.reshard_after_forward=false "${settings[@]}" train.sfts)" 0
same_run 'hybrid, ZeRO-2 and ZeRO-3' hybrid2 hybrid
equal 'hybrid: the groups that exchange have their names' \
    "$(jq -r '.[] | select(.cat == "comm") | "\(.args.of) \(.name)"' hybrid.json.3 | sort -u |
        tr '\n' ' ')" 'dp all_reduce replicate all_reduce shard all_gather shard reduce_scatter '
cp -r hybrid hybrid1 && rm -r "$(checkpoint hybrid1)"
equal 'hybrid: 2 ranks with ZeRO-1 go on' \
    "$(code train 2 hybrid1 $(stage 1) --resume auto "${settings[@]}" train.sfts)" 0
near 'hybrid: 2 ranks with ZeRO-1 after it have the losses of one rank' one hybrid1
fails 'hybrid: groups that do not divide the ranks are refused' 78 \
    'fsdp_size: 3 does not divide the 4 workers' sft-train -q --config config.yaml --plan $fsdp \
    $strategy.fsdp_size=3 'sft_train.device_mapping=list(range(0,4))'
equal 'run.json: a checkpoint has the stage' \
    "$(jq -r '.settings.zero_stage' "$(checkpoint z3.2)"/sft_train/state/run.json)" 3

# ---- sums over the ranks in each micro-batch: all stages are the same ----
first=sft.gradient_sum=micro_batch
# single STAGE RANKS DIR ARGUMENT...: as zero, in micro-batches of one sample, several a rank
single() {
    code train "$2" "$3" $(stage "$1") sft_train.use_sequence_packing=false "${@:4}" single.sfts
}
for n in 2 3; do
    equal "$n ranks, one sample each: they train with ZeRO-3" "$(single 3 $n s3.$n)" 0
    for z in 0 1; do
        equal "$n ranks, micro_batch: they train with ZeRO-$z" "$(single $z $n f$z.$n $first)" 0
        same_run "$n ranks, micro_batch, ZeRO-$z and ZeRO-3" f$z.$n s3.$n
    done
done
equal '2 ranks, one sample each: they train with ZeRO-0' "$(single 0 2 s0)" 0
differ '2 ranks, ZeRO-0: micro_batch gives other weights' "$(weights f0.2)" "$(weights s0)"
equal '2 ranks, micro_batch, far: they train with ZeRO-0' "$(single 0 2 far0 $first --device far)" 0
same_run '2 ranks, micro_batch, far, ZeRO-0 and ZeRO-3' far0 s3.2
narrow=($bf16 sft.gradient_dtype=bf16 sft.master_dtype=bf16 sft.moments_dtype=bf16)
equal 'bf16 alone: 2 ranks train with ZeRO-3' "$(single 3 2 n3 "${narrow[@]}")" 0
equal 'bf16 alone, micro_batch: 2 ranks train with ZeRO-0' \
    "$(single 0 2 n0 "${narrow[@]}" $first)" 0
same_run 'bf16 alone, micro_batch, ZeRO-0 and ZeRO-3' n0 n3
cp -r s3.2 cut && rm -r "$(checkpoint cut)"
equal 'micro_batch: a run goes on with ZeRO-0 after ZeRO-3' \
    "$(quiet='' single 0 2 cut $first --resume auto)" 0
said 'micro_batch: a run that goes on tells it' 'sft.gradient_sum is micro_batch, but was not set'
same_run 'micro_batch, ZeRO-0 after ZeRO-3 and the uninterrupted run' cut s3.2
fails 'step: it is refused in stage 3' 78 'gradient_sum.*: is step, but stages 2 and 3 of ZeRO' \
    sft-train -q --config config.yaml --plan $fsdp sft.gradient_sum=step

# ---- one micro-batch a rank: all stages are the same; bf16, on the device with queues too ----
one=(sft_train.training_args.per_device_train_batch_size=6 $bf16
    sft_train.training_args.gradient_accumulation_steps=1)
for z in 0 1 2 3; do
    equal "one micro-batch: ZeRO-$z trains in bf16" "$(zero $z 2 o$z "${one[@]}")" 0
done
for z in 1 2 3; do same_run "one micro-batch, ZeRO-0 and ZeRO-$z" o0 o$z; done
equal 'far: two ranks train with ZeRO-3' "$(zero 3 2 far "${one[@]}" --device far)" 0
same_run 'far, ZeRO-0 and ZeRO-3' o0 far

# ---- most ranks never have a row ----
head -n 6 train.jsonl >few.jsonl
samples few.jsonl | sft-pack -q -l 512 -b 5 -o few.sfts
few=(sequence_length=512 save_steps=0 --val few.sfts few.sfts)
equal 'few rows: one rank trains' \
    "$(code run alone sft_train.training_args.gradient_accumulation_steps=5 "${few[@]}")" 0
equal 'few rows: 5 ranks train steps of one row with ZeRO-3' "$(code train 5 few $(stage 3) \
    sft_train.training_args.gradient_accumulation_steps=1 "${few[@]}")" 0
near 'few rows: 5 ranks have the losses of one rank' few alone

# ---- frozen tensors and adapters ----
lora=(sft_train.model_args.lora_target=all-linear sft_train.model_args.lora_rank=4
    sft_train.training_args.learning_rate=1e-2)
frozen=(sft_train.model_args.freeze_module_prefix=model.embed_tokens,model.layers.0.self_attn)
for how in lora frozen; do
    declare -n arguments=$how
    equal "$how: one rank trains" \
        "$(code run $how.one $(stage 0) "${settings[@]}" "${arguments[@]}" train.sfts)" 0
    for z in 2 3; do
        equal "$how: 3 ranks train with ZeRO-$z" "$(zero $z 3 $how.$z "${arguments[@]}")" 0
        near "$how: ZeRO-$z has the losses of one rank" $how.one $how.$z
    done
    for file in model.safetensors adapter_model.safetensors; do
        [ ! -e "$(checkpoint $how.2)/sft_train/$file" ] ||
            same "$how: ZeRO-3 and ZeRO-2 give the same $file" \
                "$(checkpoint $how.2)/sft_train/$file" "$(checkpoint $how.3)/sft_train/$file"
    done
    same "$how: ZeRO-3 and ZeRO-2 give the same state" "$(state $how.2)" "$(state $how.3)"
done

# ---- a checkpoint goes on in another stage, on other ranks ----
# on AREA TO FROM RANKS STAGE ARGUMENT...: the run FROM goes on
on() {
    equal "$1: the run goes on" "$(again "$2" "$3" "$4" $(stage "$5") "${settings[@]}" "${@:6}")" 0
}
on 'resume, 3 ranks with ZeRO-0 after 4 with ZeRO-3' r430 z3.4 3 0
near 'resume: 3 ranks with ZeRO-0 after 4 with ZeRO-3 have the losses of one' one r430
on 'resume, 4 ranks with ZeRO-3 after 2 with ZeRO-1' r243 z1.2 4 3
near 'resume: 4 ranks with ZeRO-3 after 2 with ZeRO-1 have the losses of one' one r243
on 'resume, 1 rank after 2 with ZeRO-3' r21 z3.2 1 3
near 'resume: 1 rank after 2 with ZeRO-3 has the losses of one' one r21
on 'resume, 2 ranks with ZeRO-3 after 1' r12 one 2 3
near 'resume: 2 ranks with ZeRO-3 after 1 have the losses of one' one r12
on 'resume, 2 ranks with ZeRO-3 after themselves' r23 z3.2 2 3
same_run 'resume, ZeRO-3 after ZeRO-3 and the uninterrupted run' z3.2 r23
on 'resume, 2 ranks with ZeRO-2 after ZeRO-3' r32 z3.2 2 2
same_run 'resume, ZeRO-2 after ZeRO-3 and the uninterrupted run' z3.2 r32
on 'resume, adapters on 2 ranks after 3' l23 lora.2 2 3 "${lora[@]}"
near 'resume: adapters have the losses of one rank' lora.one l23

# ---- a rank's memory is that of the formulas in docs/parallel.md ----
V=5120 H=64 I=128 L=4 # two heads of 32
planned=(vocab_size=$V hidden_size=$H intermediate_size=$I num_hidden_layers=$L
    num_attention_heads=2 num_key_value_heads=2 head_dim=32)
model tied "${planned[@]}" tie_word_embeddings=true
model untied "${planned[@]}" tie_word_embeddings=false
# within AREA MEASURED FORMULA: they differ by 2 % at most
within() {
    check "$1: it is the formula's" awk -v a="$2" -v b="$3" \
        'BEGIN { exit !(b > 0 && a >= 0.98 * b && a <= 1.02 * b) }'
}
layer=$((4 * H * H + 3 * H * I + 2 * H))
for kind in tied untied; do
    head=$((V * H + H)) ends=$((V * H + H)) all=$((L * layer + V * H + H))
    [ $kind = tied ] || all=$((all + V * H)) ends=$head
    for n in 2 4; do for z in 0 1 2 3; do
        plan=(sft-train -q --config config.yaml --plan --json pretrain=./$kind $bf16
            sft.zero_stage=$z "sft_train.device_mapping=list(range(0,$n))"
            sft_train.training_args.gradient_accumulation_steps=$((12 / n)))
        "${plan[@]}" >plan.json
        at="$kind, $n ranks, ZeRO-$z"
        bytes() { jq ".classes.$1.bytes" plan.json; }
        parts=$((z >= 1 ? n : 1)) buffers=$((2 * layer + ends))
        within "weights, $at" "$(bytes weights)" \
            $((2 * (z == 3 ? all / n + buffers : all)))
        within "gradients, $at" "$(bytes gradients)" \
            $((4 * (z >= 2 ? all / n + buffers : all)))
        within "moments, $at" "$(bytes moments)" $((8 * all / parts))
        within "master, $at" "$(bytes master)" $((4 * all / parts))
        equal "plan, $at: it has the stage" "$(jq .zero_stage plan.json)" $z
        [ $z -lt 2 ] || continue
        "${plan[@]}" $first >plan.json
        within "gradients, $at, micro_batch" "$(bytes gradients)" $((4 * (all / parts + buffers)))
    done; done
done

# ---- beside tensor and pipeline parallelism ----
model both hidden_size=32 intermediate_size=64 num_hidden_layers=4 num_attention_heads=2 \
    num_key_value_heads=2 'model_type="qwen3"' 'architectures=["Qwen3ForCausalLM"]' head_dim=16 \
    vocab_size=5121 tie_word_embeddings=true
tp=$strategy.tensor_model_parallel_size=2
pp=$strategy.pipeline_model_parallel_size=2
# beside DP DIR ARGUMENT...: a run of this model with so many data-parallel ranks
beside() {
    code train $(($1 * 2)) "$2" pretrain=./both "${settings[@]}" \
        sft_train.training_args.gradient_accumulation_steps=$((12 / $1)) "${@:3}" train.sfts
}
equal 'beside: one rank trains' "$(code run both pretrain=./both "${settings[@]}" train.sfts)" 0
for how in tp pp; do
    for z in 0 2 3; do
        equal "beside: $how 2 x dp 2 trains with ZeRO-$z" \
            "$(beside 2 $how$z ${!how} sft.zero_stage=$z)" 0
        near "beside: $how 2 x dp 2 with ZeRO-$z has the losses of one rank" both $how$z
        close "beside: $how 2 x dp 2 with ZeRO-$z has the norms of one rank" \
            "$(values both sft_train/grad_norm)" "$(values $how$z sft_train/grad_norm)" 1e-5
    done
    same_run "beside, $how 2 x dp 2, ZeRO-2 and ZeRO-3" ${how}2 ${how}3
done
cp -r pp3 mixed && rm -r "$(checkpoint mixed)"
equal 'beside: one rank goes on after pp 2 x dp 2 with ZeRO-3' "$(code run mixed --resume auto \
    pretrain=./both "${settings[@]}" train.sfts)" 0
near 'beside: one rank after pp 2 x dp 2 with ZeRO-3 has the losses of one' both mixed
exit $bad
