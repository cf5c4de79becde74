#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Samples cut among ranks (context parallelism) from the command line: each step's loss is that of
# one rank, the figures of a step count each row once, a rank allocates its part alone, and
# checkpoints change hands.
source "$(dirname "$0")/../ranks.sh"
export MPIEXEC_TIMEOUT=120 # seconds after which mpirun ends a job that hangs

# ---- the trainer without its command line ----
for n in 3 5; do
    ranks $n "$O/test/context_ranks" far >parts 2>err && rc=0 || rc=$?
    sed -n "s/^\(ok\|not ok\) /&$n ranks: /p" parts
    equal "trainer, $n ranks: all checks pass" "$rc" 0
done

# ---- runs of three steps ----
model plain hidden_size=32 intermediate_size=64 num_hidden_layers=2 num_attention_heads=4 \
    num_key_value_heads=2 vocab_size=5121 tie_word_embeddings=false
model windowed hidden_size=32 intermediate_size=64 num_hidden_layers=2 num_attention_heads=4 \
    num_key_value_heads=2 vocab_size=5121 'model_type="mistral"' \
    'architectures=["MistralForCausalLM"]' sliding_window=20
strategy=sft_train.strategy_args.strategy_config
cp=$strategy.context_parallel_size
tp=$strategy.tensor_model_parallel_size=2
settings=(pretrain=./plain sft_train.training_args.learning_rate=5e-3
    sft_train.training_args.adam_epsilon=1e-5 eval_steps=3 --val val.sfts)
# cut RANKS DIR ARGUMENT...: a run on so many ranks; data parallelism takes those that are left, as
# DP says
cut() {
    local n=$1 trainer=(sft-train)
    [ "$n" -eq 1 ] || trainer=(ranks "$n" sft-train)
    run "$2" "sft_train.device_mapping=list(range(0,$n))" \
        sft_train.training_args.gradient_accumulation_steps=$((12 / ${DP:-1})) \
        "${settings[@]}" "${@:3}" train.sfts
}
for kind in plain windowed; do
    own=pretrain=./$kind
    equal "$kind: one rank trains the model" "$(code cut 1 $kind.one $own)" 0
    for device in cpu far; do
        name="$kind, cp 2, $device" dir=$kind.2.$device
        equal "$name: the ranks train it" "$(code cut 2 $dir $own $cp=2 --device $device)" 0
        as_one "$name" $dir $kind.one 1e-6
    done
    equal "$kind, cp 2: both devices give the same bytes" "$(bytes $kind.2.cpu)" \
        "$(bytes $kind.2.far)"
done
equal 'cp 4: the ranks train the model' "$(code cut 4 four $cp=4)" 0
as_one 'cp 4' four plain.one 1e-6
equal 'cp 2 x tp 2: the ranks train the model' "$(code cut 4 tensors $cp=2 $tp)" 0
as_one 'cp 2 x tp 2' tensors plain.one 1e-6
equal 'cp 2 x dp 2: the ranks train the model' "$(DP=2 code cut 4 data $cp=2 $zero1)" 0
as_one 'cp 2 x dp 2' data plain.one 1e-6
for mode in selective full; do
    equal "cp 2, $mode: the ranks train the model" \
        "$(code cut 2 cut.$mode $cp=2 sft.recompute=$mode)" 0
    equal "cp 2, $mode: it has the bytes of no recomputation" "$(bytes cut.$mode)" \
        "$(bytes plain.2.cpu)"
done
fsdp=(sft_train.strategy_args.strategy_name=fsdp2_train sft_train.model_args.ulysses_size=2
    sft_train.model_args.disable_gradient_checkpointing=true)
equal 'ulysses 2: the ranks train the model' "$(code cut 2 ulysses "${fsdp[@]}")" 0
equal 'ulysses 2: it is context parallelism with ZeRO-1' "$(losses ulysses)" \
    "$(losses plain.2.cpu)"
lora=(sft_train.model_args.lora_target=all-linear sft_train.model_args.lora_rank=4
    sft_train.model_args.lora_dropout=0.2)
equal 'dropped adapters: one rank trains them' "$(code cut 1 lora.one "${lora[@]}")" 0
equal 'dropped adapters, cp 2: the ranks train them' "$(code cut 2 lora.2 "${lora[@]}" $cp=2)" 0
as_one 'dropped adapters, cp 2' lora.2 lora.one 1e-6
equal 'bf16: one rank trains the model' "$(code cut 1 bf16.one $bf16)" 0
equal 'bf16, cp 2: the ranks train the model' "$(code cut 2 bf16.2 $bf16 $cp=2)" 0
close 'bf16, cp 2: each loss is that of one rank' "$(losses bf16.2)" "$(losses bf16.one)" 5e-3

# ---- figures ----
for of in tokens label_tokens rows micro_batches; do
    equal "figures: cp 2 x dp 2 counts $of once" "$(values data sft_train/$of)" \
        "$(values plain.one sft_train/$of)"
done

# ---- checkpoints ----
# on RANKS TO FROM ARGUMENT...: the last step again, from a copy's checkpoint-2
on() {
    cp -r "$3" "$2" && rm -r "$(checkpoint "$2")" && code cut "$1" "$2" "${@:4}" --resume auto
}
equal 'cp 2, then one rank: the run goes on' "$(on 1 then.one plain.2.cpu)" 0
as_one 'cp 2, then one rank' then.one plain.one 1e-6
equal 'one rank, then cp 2 with ZeRO-1: the run goes on' "$(on 2 then.2 plain.one $cp=2 $zero1)" 0
as_one 'one rank, then cp 2 with ZeRO-1' then.2 plain.one 1e-6
equal 'cp 2, resumed: the run goes on' "$(on 2 again plain.2.cpu $cp=2)" 0
equal 'cp 2, resumed: the bytes are those of one run' "$(bytes again)" "$(bytes plain.2.cpu)"

# ---- a rank allocates its part ----
plan() {
    sft-train -q --config config.yaml --plan --json sft_train.device_mapping="[$1]" \
        pretrain=./plain sft_train.training_args.per_device_train_batch_size=8 "${@:2}"
}
# The buffers that docs/parallel.md adds to half of one rank's activations: K of 2 x 2 x 8 elements,
# T of 8 x 128 tokens, 2 layers.
for mode in none selective full; do
    plan 0 sft.recompute=$mode >one.json
    plan 0,1 $cp=2 sft.recompute=$mode >two.json
    check "plan, $mode: the activations are those of the formula" jq -en '
        def of: [.buffers[] | select(.class == "activations") | .bytes] | add;
        (input | of) as $one | (input | of) as $two |
        (32 * 4 * (1024 + 1025 * $layers + 2 * 1025)) as $keys |
        $two / ($one / 2 + $keys) | . > 0.98 and . < 1.02' \
        --argjson layers $([ $mode = none ] && echo 2 || echo 1) one.json two.json
done
# The example of eight workers, with the same axes as ROLL's file, and a model of its shape.
model qwen hidden_size=32 intermediate_size=64 num_hidden_layers=2 num_attention_heads=4 \
    num_key_value_heads=2 'model_type="qwen2"' 'architectures=["Qwen2ForCausalLM"]'
sft-train -q --config "$root/examples/qwen2.5-7B-sft_megatron/sft_config.yaml" --plan --json \
    pretrain=./qwen >eight.json && rc=0 || rc=$?
equal "plan: the example of tensor 2, pipeline 2 and context 2 is planned" "$rc" 0
equal 'plan: it has eight ranks on two stages' \
    "$(jq -c '[.ranks, has("others"), (.stages | length)]' eight.json)" '[8,true,1]'
fails 'refused: contexts that do not divide the workers' 78 \
    '3 devices cannot be divided by 2 = 1 .tensor. x 1 .pipeline. x 2 .context parallel.' \
    plan 0,1,2 $cp=2
exit $bad
