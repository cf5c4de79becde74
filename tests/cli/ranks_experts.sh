#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Ranks that share out the experts of a mixture: each step's loss is that of one rank, a rank loads,
# plans and saves its experts alone, and checkpoints change hands with other layouts.
source "$(dirname "$0")/../ranks.sh"
export MPIEXEC_TIMEOUT=120 # seconds after which mpirun ends a job that hangs

shape=(hidden_size=32 intermediate_size=48 num_hidden_layers=3 num_attention_heads=2
    num_key_value_heads=2 head_dim=16 vocab_size=5121 tie_word_embeddings=false
    'torch_dtype="float32"' 'model_type="qwen3_moe"' num_experts=4 num_experts_per_tok=2
    moe_intermediate_size=24 norm_topk_prob=true mlp_only_layers='[1]')
model sparse "${shape[@]}"
jq '.output_router_logits = true | .router_aux_loss_coef = 0.5' sparse/config.json >balanced.json
cp -r sparse balanced && cp balanced.json balanced/config.json
# The last step has two rows: with four data-parallel ranks two have no micro-batch of their own.
head -n 18 train.jsonl >five.jsonl
samples five.jsonl | sft-pack -q -l 128 -b 4 --mode none -o five.sfts
last=5
strategy=sft_train.strategy_args.strategy_config
ep=$strategy.expert_model_parallel_size
tp=$strategy.tensor_model_parallel_size=2
sp=($tp $strategy.sequence_parallel=true)
pp=$strategy.pipeline_model_parallel_size=2
settings=(pretrain=./sparse sft_train.training_args.learning_rate=5e-3
    sft_train.training_args.adam_epsilon=1e-5 sft_train.use_sequence_packing=false save_steps=2
    eval_steps=5 --val val.sfts)
# share RANKS DIR ARGUMENT...: a run on so many ranks; DP of them are data parallel, by default all
share() {
    local n=$1 trainer=("${program[@]}")
    [ "$n" -eq 1 ] || trainer=(ranks "$n" "${program[@]}")
    run "$2" "sft_train.device_mapping=list(range(0,$n))" \
        sft_train.training_args.gradient_accumulation_steps=$((4 / ${DP:-n})) \
        "${settings[@]}" "${@:3}" five.sfts
}
# names DIR: the names and shapes of a checkpoint's tensors
names() {
    sft-ckpt show --json "$(checkpoint "$1")" |
        jq -c '.. | objects | select(has("shape")) | [.name, .shape]' | sort
}
equal 'one rank: it trains the model' "$(code share 1 one)" 0
for device in cpu far; do
    equal "ep 2, $device: the ranks train the model" \
        "$(code share 2 two.$device $ep=2 --device $device)" 0
    as_one "ep 2, $device" two.$device one
done
equal 'ep 2: both devices give the same bytes' "$(bytes two.far)" "$(bytes two.cpu)"
equal 'ep 2: a checkpoint has the tensors of the model' "$(names two.cpu)" "$(names one)"
for how in selective full; do
    equal "ep 2, recompute $how: the ranks train the model" \
        "$(code share 2 $how $ep=2 sft.recompute=$how)" 0
    equal "ep 2, recompute $how: the bytes are those without it" "$(bytes $how)" "$(bytes two.cpu)"
done
equal 'ep 2 with an auxiliary loss: the ranks train the model' \
    "$(code share 2 balanced $ep=2 pretrain=./balanced)" 0
equal 'dp 2 with an auxiliary loss: the ranks train the model' \
    "$(code share 2 balanced.dp pretrain=./balanced)" 0
as_one 'ep 2 with an auxiliary loss, beside dp 2' balanced balanced.dp
equal 'one rank with an auxiliary loss: it trains the model' \
    "$(code share 1 balanced.one pretrain=./balanced)" 0
for device in cpu far; do
    equal "pp 2 with an auxiliary loss, $device: the ranks train the model" \
        "$(DP=1 code share 2 balanced.$device $pp pretrain=./balanced --device $device)" 0
    equal "pp 2 with an auxiliary loss, $device: the bytes are those of one rank" \
        "$(bytes balanced.$device)" "$(bytes balanced.one)"
done
model deep "${shape[@]}" num_hidden_layers=4
deep=(pretrain=./deep sft_train.model_args.moe_aux_loss_coef=0.5)
equal 'one rank, four layers with an auxiliary loss: it trains the model' \
    "$(code share 1 deep.one "${deep[@]}")" 0
equal 'pp 2 of two chunks each with an auxiliary loss: the ranks train the model' \
    "$(DP=1 code share 2 deep.two $pp $strategy.virtual_pipeline_model_parallel_size=2 \
        "${deep[@]}" --device far)" 0
equal 'pp 2 of two chunks each with an auxiliary loss: the bytes are those of one rank' \
    "$(bytes deep.two)" "$(bytes deep.one)"
equal 'pp 2, ep 2 with an auxiliary loss: the ranks train the model' \
    "$(DP=2 code share 4 balanced.four $pp $ep=2 pretrain=./balanced)" 0
as_one 'pp 2, ep 2 with an auxiliary loss, beside ep 2' balanced.four balanced
equal 'ep 4: a rank without a micro-batch computes for others' "$(code share 4 four $ep=4)" 0
as_one 'ep 4' four one
for stage in 0 1 2 3; do
    equal "ep 2 x edp 2, ZeRO-$stage: the ranks train the model" \
        "$(code share 4 zero$stage $ep=2 sft.zero_stage=$stage)" 0
    as_one "ep 2 x edp 2, ZeRO-$stage" zero$stage one
done
equal 'ep 2 x edp 2: ZeRO-0 and ZeRO-1 give the same bytes' "$(bytes zero1)" "$(bytes zero0)"
equal 'ep 2 x edp 2: ZeRO-2 and ZeRO-3 give the same bytes' "$(bytes zero3)" "$(bytes zero2)"
equal 'ep 2 x tp 2: the ranks train the model' "$(DP=2 code share 4 tp $ep=2 $tp)" 0
as_one 'ep 2 x tp 2' tp one
equal 'ep 2 x tp 2, rows too: the ranks train the model' \
    "$(DP=2 code share 4 sp $ep=2 "${sp[@]}")" 0
as_one 'ep 2 x tp 2, rows too' sp one
equal 'ep 2 x pp 2: the ranks train the model' "$(DP=2 code share 4 pp $ep=2 $pp)" 0
as_one 'ep 2 x pp 2' pp one
equal 'ep 2 x cp 2: the ranks train the model' \
    "$(DP=2 code share 4 cp $ep=2 $strategy.context_parallel_size=2)" 0
as_one 'ep 2 x cp 2' cp one

# ---- fsdp2_train: over dp x cp ----
fsdp2=(sft_train.strategy_args.strategy_name=fsdp2_train)
ulysses=sft_train.model_args.ulysses_size
over=$strategy.ep_size
same=$strategy.efsdp_size
# shared AREA RANKS DIR DP ARGUMENT...: a run under fsdp2_train, with the losses of one rank
shared() {
    equal "$1: the ranks train the model" "$(DP=$4 code share "$2" "$3" "${fsdp2[@]}" "${@:5}")" 0
    as_one "$1" "$3" one
}
shared 'fsdp2, ep 2 of dp 2' 2 fsdp2.dp 2 $over=2 $same=1
shared 'fsdp2, ep 2 of cp 2' 2 fsdp2.cp 1 $over=2 $ulysses=2
shared 'fsdp2, ep 2 of dp 2 x cp 2' 4 fsdp2.two 2 $over=2 $same=2 $ulysses=2
shared 'fsdp2, ep 4 of dp 2 x cp 2' 4 fsdp2.four 2 $over=4 $same=1 $ulysses=2
shared 'fsdp2, ep 4 of dp 2 x cp 2, whole weights' 4 fsdp2.whole 2 $over=4 $ulysses=2 \
    $strategy.reshard_after_forward=false
equal 'fsdp2, ep 4 of dp 2 x cp 2: weights in parts give the same bytes' "$(bytes fsdp2.whole)" \
    "$(bytes fsdp2.four)"
equal 'fsdp2, ep 4 of dp 2 x cp 2: a checkpoint has the tensors of the model' \
    "$(names fsdp2.four)" "$(names one)"

# ---- hybrid: each copy is on two of four ranks, which share out its experts ----
copies=($over=2 $strategy.fsdp_size=2)
shared 'copies on 2 of dp 4' 4 copies 4 "${copies[@]}" $same=1
shared 'copies on 2 of dp 4, whole weights' 4 copies.whole 4 "${copies[@]}" \
    $strategy.reshard_after_forward=false
equal 'copies on 2 of dp 4: weights in parts give the same bytes' "$(bytes copies.whole)" \
    "$(bytes copies)"
shared 'copies on 2 of dp 2 x cp 2' 4 copies.cp 2 "${copies[@]}" $ulysses=2
equal 'copies on 2 of dp 4: a checkpoint has the tensors of the model' "$(names copies)" \
    "$(names one)"
balanced=("${fsdp2[@]}" pretrain=./balanced $ulysses=2)
equal 'fsdp2, cp 2 with an auxiliary loss: the ranks train the model' \
    "$(DP=1 code share 2 balanced.cp "${balanced[@]}")" 0
equal 'fsdp2, ep 2 of cp 2 with an auxiliary loss: the ranks train the model' \
    "$(DP=1 code share 2 balanced.ep "${balanced[@]}" $over=2)" 0
as_one 'fsdp2, ep 2 of cp 2 with an auxiliary loss, beside cp 2' balanced.ep balanced.cp

# ---- adapters ----
lora=(sft_train.model_args.lora_target=all-linear sft_train.model_args.lora_rank=4)
equal 'adapters: one rank trains them' "$(code share 1 lora.one "${lora[@]}")" 0
equal 'adapters, ep 2: the ranks train them' "$(code share 2 lora $ep=2 "${lora[@]}")" 0
as_one 'adapters, ep 2' lora lora.one
equal 'adapters, ep 2: a checkpoint has those of one rank' "$(names lora)" "$(names lora.one)"

# ---- checkpoints go on in another layout ----
# on RANKS TO FROM ARGUMENT...: the last step again, from a copy's checkpoint-4
on() {
    cp -r "$3" "$2" && rm -r "$(checkpoint "$2")" && code share "$1" "$2" "${@:4}" --resume auto
}
# goes AREA RANKS TO FROM ARGUMENT...: it goes on, with the losses of one rank
goes() {
    equal "$1: the run goes on" "$(on "${@:2}")" 0
    as_one "$1" "$3" one
}
equal 'ep 2, resumed: the run goes on' "$(on 2 two.again two.cpu $ep=2)" 0
equal 'ep 2, resumed: the bytes are those of one run' "$(bytes two.again)" "$(bytes two.cpu)"
goes 'ep 2, then one rank' 1 one.two two.cpu
goes 'one rank, then ep 2' 2 two.one one $ep=2
goes 'ep 2 x edp 2 with ZeRO-3, then ep 4' 4 four.zero3 zero3 $ep=4 sft.zero_stage=1
DP=2 goes 'ep 4, then ep 2 x tp 2' 4 tp.four four $ep=2 $tp
goes 'ep 2 x pp 2, then dp 2 without ep' 2 dp.pp pp
goes 'fsdp2, ep 4 of dp 2 x cp 2, then one rank' 1 one.fsdp2 fsdp2.four
DP=1 goes 'one rank, then fsdp2, ep 2 of cp 2' 2 fsdp2.one one "${fsdp2[@]}" $over=2 $ulysses=2
DP=2 goes 'fsdp2, ep 4 of dp 2 x cp 2, then ep 2 of them' 4 fsdp2.less fsdp2.four \
    "${fsdp2[@]}" $over=2 $ulysses=2
equal 'copies, resumed: the run goes on' \
    "$(on 4 copies.again copies "${fsdp2[@]}" "${copies[@]}")" 0
equal 'copies, resumed: the bytes are those of one run' "$(bytes copies.again)" "$(bytes copies)"
goes 'copies, then one rank' 1 one.copies copies
goes 'one rank, then copies' 4 copies.one one "${fsdp2[@]}" "${copies[@]}"
goes 'copies, then ep 4 with ZeRO-1' 4 four.copies copies $ep=4 sft.zero_stage=1
equal 'ep 2, a model of its checkpoint: one rank begins with it' \
    "$(code share 1 next "pretrain=$(checkpoint two.cpu)" max_steps=1)" 0

# ---- a rank that is killed ----
cat >second <<'END_OF_SCRIPT'
#!/bin/bash
echo $$ >pid.$OMPI_COMM_WORLD_RANK
exec "$@"
END_OF_SCRIPT
chmod +x second
program=(./second sft-train)
share 2 killed $ep=2 eval_steps=0 sft.async_save=false >stdout 2>stderr </dev/null &
job=$!
reached killed 2
kill -KILL "$(<pid.1)"
wait $job && rc=0 || rc=$?
program=(sft-train)
equal 'killed: a rank that is killed ends the job' "$((rc != 0))" 1
equal 'killed: the run goes on with another ep' "$(code share 4 killed $ep=4 --resume auto)" 0
close 'killed: the losses are those of one rank' "$(losses killed)" "$(losses one)" 1e-6

# ---- a rank has its part ----
planned=(sft-train -q --config config.yaml pretrain=./sparse --plan)
plan() { "${planned[@]}" sft_train.device_mapping="[$1]" "${@:2}" --json; }
plan 0 >one.json
plan 0,1 $ep=2 >two.json
of='def of(c): [.buffers[] | select(.class == c) | .bytes] | add;'
# Three matrices of 24 x 32 of two of four experts in two layers, fp32; a bucket of a rank has no
# more than 1 KiB of alignment.
less=$((2 * 2 * 3 * 24 * 32 * 4))
for class in weights gradients; do
    equal "plan, ep 2: a rank has half of the experts' $class" \
        "$(jq -n "$of (input | of(\"$class\")) as \$one | \$one - (input | of(\"$class\")) - $less |
            . > -4096 and . < 4096" one.json two.json)" true
done
equal 'plan, ep 2: the text says which part' "$("${planned[@]}" \
    'sft_train.device_mapping=[0,1]' $ep=2 | grep -c '1/2 of the experts; rank 0')" 1
rows='[.buffers[] | select(.name == "expert rows") | .bytes] | max'
equal 'plan, ep 2: there is room for all choices that fall on its experts' \
    "$(jq "$rows" two.json)" "$((2 * $(jq "$rows" one.json)))"
equal 'plan, ep 4: no token has more rows than a rank has experts' \
    "$(plan 0,1,2,3 $ep=4 | jq "$rows")" "$((2 * $(jq "$rows" one.json)))"
plan 0,1,2,3 "${fsdp2[@]}" sft.zero_stage=1 $ulysses=4 >cp.json
plan 0,1,2,3 "${fsdp2[@]}" sft.zero_stage=1 $ulysses=4 $over=4 >shared.json
equal 'plan, fsdp2, ep 4 of cp 4: a rank has a quarter of the experts' \
    "$(jq -n "$of (input | of(\"weights\")) as \$all | \$all - (input | of(\"weights\")) -
        $((less * 3 / 2)) | . > -4096 and . < 4096" cp.json shared.json)" true

# A rank of two copies on two ranks each has what a rank of one such copy has.
plan 0,1 "${fsdp2[@]}" $over=2 >half.json
plan 0,1,2,3 "${fsdp2[@]}" "${copies[@]}" >copies.json
for class in weights gradients moments; do
    equal "plan, copies on 2 of 4: $class are those of one copy" \
        "$(jq -n "$of (input | of(\"$class\")) as \$one | \$one - (input | of(\"$class\")) |
            . > -16384 and . < 16384" half.json copies.json)" true
done
equal 'plan, copies on 2 of 4: it has their ranks' "$(jq .shard_size copies.json)" 2

# ---- what is refused ----
fails 'refused: experts that do not divide' 78 \
    "expert_model_parallel_size 3 does not divide the model's num_experts, which is 4" \
    plan 0,1,2 $ep=3
fails 'refused: ranks that do not divide those of dp x cp' 78 \
    'expert_model_parallel_size: 4 does not divide the 2 data-parallel x context-parallel workers' \
    plan 0,1 $ep=4
fails 'refused: a model without experts' 78 \
    'expert_model_parallel_size 2 needs a model with experts' plan 0,1 $ep=2 pretrain=./model
fails 'refused: ep_size beside a model without experts' 78 'ep_size 2 needs a model with experts' \
    plan 0,1 "${fsdp2[@]}" $over=2 pretrain=./model
fails 'refused: an ep_size that does not divide the experts' 78 \
    "ep_size 3 does not divide the model's num_experts, which is 4" plan 0,1,2 "${fsdp2[@]}" $over=3
fails 'refused: a copy without all experts' 78 \
    'fsdp_size: 2 is not a multiple of ep_size 4: the workers' \
    plan 0,1,2,3,4,5,6,7 "${fsdp2[@]}" $over=4 $strategy.fsdp_size=2
fails 'refused: experts in other copies than the rest' 78 \
    'efsdp_size: 2 is not the 1 workers that share one copy of the same experts, 2 / ep_size 2' \
    plan 0,1,2,3 "${fsdp2[@]}" "${copies[@]}" $same=2
fails 'refused: experts split otherwise than their layer' 78 \
    'expert_tensor_parallel_size: 2 is not tensor_model_parallel_size, which is 1' \
    plan 0,1 $strategy.expert_tensor_parallel_size=2
exit $bad
