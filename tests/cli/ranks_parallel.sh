#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A model cut among ranks, by tensors and by layers: each step's loss is that of one rank, the same
# layout gives the same bytes twice, a rank allocates its part alone, and checkpoints change hands.
source "$(dirname "$0")/../ranks.sh"
export MPIEXEC_TIMEOUT=120 # seconds after which mpirun ends a job that hangs

# ---- the trainer without its command line ----
for device in cpu far; do
    ranks 2 "$O/test/parallel_ranks" $device >parts 2>err && rc=0 || rc=$?
    sed -n "s/^\(ok\|not ok\) /&2 ranks, $device: /p" parts
    equal "trainer, 2 ranks, $device: all checks pass" "$rc" 0
done
ranks 4 "$O/test/parallel_ranks" cpu >parts 2>err && rc=0 || rc=$?
sed -n "s/^\(ok\|not ok\) /&4 ranks, cpu: /p" parts
equal 'trainer, 4 ranks, cpu: all checks pass' "$rc" 0

# ---- a job of five steps, each of four micro-batches ----
# Two heads for two ranks, an odd vocabulary, four layers for two stages.
shape=(hidden_size=32 intermediate_size=64 num_hidden_layers=4 num_attention_heads=2
    num_key_value_heads=2 vocab_size=5121)
untied=tie_word_embeddings=false
model tied "${shape[@]}"
model biased "${shape[@]}" $untied attention_bias=true
model normed "${shape[@]}" $untied 'model_type="qwen3"' 'architectures=["Qwen3ForCausalLM"]' \
    head_dim=16
head -n 20 train.jsonl >five.jsonl
samples five.jsonl | sft-pack -q -l 128 -b 4 --mode none -o five.sfts
# Validation has more micro-batches than a pipeline has stages.
head -n 11 five.jsonl >val.jsonl
samples val.jsonl | sft-pack -q -l 128 -b 12 -o val.sfts
last=5
strategy=sft_train.strategy_args.strategy_config
tp=$strategy.tensor_model_parallel_size=2
sp=($tp $strategy.sequence_parallel=true)
pp=$strategy.pipeline_model_parallel_size=2
virtual=$strategy.virtual_pipeline_model_parallel_size
# The rate and epsilon at which another order of sums stays below 1e-6 of the loss.
settings=(sft_train.training_args.learning_rate=5e-3 sft_train.training_args.adam_epsilon=1e-5
    sft_train.use_sequence_packing=false save_steps=4 eval_steps=5 --val val.sfts)
# cut RANKS DIR MODEL ARGUMENT...: a run with the model cut among so many ranks; data parallelism
# takes the ranks that are left, as DP says
cut() {
    local n=$1 trainer=(sft-train)
    [ "$n" -eq 1 ] || trainer=(ranks "$n" sft-train)
    run "$2" "sft_train.device_mapping=list(range(0,$n))" pretrain=./$3 \
        sft_train.training_args.gradient_accumulation_steps=$((4 / ${DP:-1})) \
        "${settings[@]}" "${@:4}" five.sfts
}
# shapes DIR: of a checkpoint's tensors
shapes() { sft-ckpt show --json "$(checkpoint "$1")" | jq -c '.. | .shape? // empty' | sort; }
for kind in tied biased normed; do
    equal "$kind: one rank trains the model" "$(code cut 1 $kind.one $kind)" 0
    for device in cpu far; do
        for how in tp pp; do
            name="$kind, $how 2, $device" dir=$kind.$how.$device
            equal "$name: the ranks train the model" \
                "$(code cut 2 $dir $kind ${!how} --device $device)" 0
            as_one "$name" $dir $kind.one
        done
    done
    for how in tp pp; do
        equal "$kind, $how 2: both devices give the same bytes" "$(bytes $kind.$how.cpu)" \
            "$(bytes $kind.$how.far)"
    done
done
for kind in tied biased normed; do
    equal "$kind, sequence parallel 2: the ranks train the model" \
        "$(code cut 2 $kind.sp $kind "${sp[@]}")" 0
    as_one "$kind, sequence parallel 2" $kind.sp $kind.one
done
for how in none selective full; do
    equal "sequence parallel 2, recompute $how: the ranks train the model" \
        "$(code cut 2 $how.sp normed "${sp[@]}" sft.recompute=$how)" 0
    equal "sequence parallel 2, recompute $how: the bytes are those without it" \
        "$(bytes $how.sp)" "$(bytes normed.sp)"
done
for how in tp pp; do
    equal "tied, $how 2: the ranks train it again" "$(code cut 2 tied.$how.2 tied ${!how})" 0
    equal "tied, $how 2: two runs give the same bytes" \
        "$(bytes tied.$how.2)" "$(bytes tied.$how.cpu)"
done
equal 'untied, pp 2: the losses have the bits of one rank' \
    "$(code cut 1 exact.one biased; losses exact.one)" \
    "$(code cut 2 exact.pp biased $pp; losses exact.pp)"
same 'untied, pp 2: the weights have the bits of one rank' "$(weights exact.one)" \
    "$(weights exact.pp)"
same 'untied, pp 2: the state has the bits of one rank' "$(state exact.one)" "$(state exact.pp)"
equal 'pp 2, two chunks: the losses have the bits of one rank' "$(losses exact.one)" \
    "$(code cut 2 exact.virtual biased $pp $virtual=2 >/dev/null; losses exact.virtual)"
same 'pp 2, two chunks: the weights have the bits of one rank' "$(weights exact.one)" \
    "$(weights exact.virtual)"
same 'pp 2, two chunks: the state has the bits of one rank' "$(state exact.one)" \
    "$(state exact.virtual)"
equal 'tied, pp 2, two chunks: the ranks train the model' \
    "$(code cut 2 tied.virtual tied $pp $virtual=2)" 0
as_one 'tied, pp 2, two chunks' tied.virtual tied.one
equal 'tp 2 x pp 2: the ranks train the model' "$(code cut 4 grid tied $tp $pp)" 0
as_one 'tp 2 x pp 2' grid tied.one
equal 'sequence parallel 2 x pp 2: the ranks train the model' \
    "$(code cut 4 sp_pp tied "${sp[@]}" $pp)" 0
as_one 'sequence parallel 2 x pp 2' sp_pp tied.one
zero1=$strategy.use_distributed_optimizer=true
equal 'sequence parallel 2 x dp 2: they train it with ZeRO-1' \
    "$(DP=2 code cut 4 sp_zero tied "${sp[@]}" $zero1)" 0
as_one 'sequence parallel 2 x dp 2' sp_zero tied.one
equal 'tp 2 x dp 2: the ranks train the model' "$(DP=2 code cut 4 tp_dp tied $tp)" 0
equal 'tp 2 x dp 2: they train it with ZeRO-1' "$(DP=2 code cut 4 tp_zero tied $tp $zero1)" 0
as_one 'tp 2 x dp 2' tp_dp tied.one
equal 'tp 2 x dp 2: ZeRO-0 and ZeRO-1 give the same bytes' "$(bytes tp_dp)" \
    "$(bytes tp_zero)"
equal 'pp 2 x dp 2: they train it with ZeRO-1' "$(DP=2 code cut 4 pp_zero tied $pp $zero1)" 0
as_one 'pp 2 x dp 2' pp_zero tied.one
lora=(sft_train.model_args.lora_target=all-linear sft_train.model_args.lora_rank=4)
equal 'adapters: one rank trains them' "$(code cut 1 lora.one normed "${lora[@]}")" 0
for how in tp pp; do
    equal "adapters, $how 2: the ranks train them" \
        "$(code cut 2 lora.$how normed "${lora[@]}" ${!how})" 0
    as_one "adapters, $how 2" lora.$how lora.one
    equal "adapters, $how 2: a checkpoint has whole tensors" \
        "$(shapes lora.$how)" "$(shapes lora.one)"
done
drop=sft_train.model_args.lora_dropout=0.1
equal 'dropout: one rank trains adapters with it' \
    "$(code cut 1 drop.one tied "${lora[@]}" $drop)" 0
for how in tp sp; do
    many=($tp) && [ $how = tp ] || many=("${sp[@]}")
    equal "dropout, $how 2: the ranks train with it" \
        "$(code cut 2 drop.$how tied "${lora[@]}" $drop "${many[@]}")" 0
    as_one "dropout, $how 2" drop.$how drop.one
done
bf16=sft_train.model_args.dtype=bf16
narrow=($bf16 sft.master_dtype=bf16 sft.moments_dtype=bf16)
for how in tp pp; do
    equal "bf16, $how 2: the ranks train it" "$(code cut 2 bf16.$how tied $bf16 ${!how})" 0
    equal "bf16 alone, $how 2: the ranks train it" \
        "$(code cut 2 narrow.$how tied "${narrow[@]}" ${!how})" 0
done

# ---- checkpoints hold whole tensors, and go on in another layout ----
# on RANKS TO FROM MODEL ARGUMENT...: the last step again, from a copy's checkpoint-4
on() {
    cp -r "$3" "$2" && rm -r "$(checkpoint "$2")" && code cut "$1" "$2" "${@:4}" --resume auto
}
for how in tp pp; do
    equal "$how 2: a checkpoint has whole tensors" "$(shapes tied.$how.cpu)" "$(shapes tied.one)"
    equal "$how 2, then one rank: the run goes on" "$(on 1 one.$how tied.$how.cpu tied)" 0
    as_one "$how 2, then one rank" one.$how tied.one
    equal "one rank, then $how 2: the run goes on" "$(on 2 $how.one tied.one tied ${!how})" 0
    as_one "one rank, then $how 2" $how.one tied.one
    equal "$how 2, resumed: the run goes on" "$(on 2 $how.again tied.$how.cpu tied ${!how})" 0
    equal "$how 2, resumed: the bytes are those of one run" \
        "$(bytes $how.again)" "$(bytes tied.$how.cpu)"
done
equal 'pp 2, then two chunks: the run goes on' \
    "$(on 2 virtual.pp tied.pp.cpu tied $pp $virtual=2)" 0
equal 'pp 2, then two chunks: the losses and norms are those of two chunks' \
    "$(losses virtual.pp; values virtual.pp sft_train/grad_norm)" \
    "$(losses tied.virtual; values tied.virtual sft_train/grad_norm)"
equal 'two chunks, then one rank: the run goes on' "$(on 1 one.virtual tied.virtual tied)" 0
as_one 'two chunks, then one rank' one.virtual tied.one
for how in tp pp; do
    equal "adapters, $how 2, then one rank: the run goes on" \
        "$(on 1 one.l$how lora.$how normed "${lora[@]}")" 0
    as_one "adapters, $how 2, then one rank" one.l$how lora.one
    equal "adapters, one rank, then $how 2: the run goes on" \
        "$(on 2 l$how.one lora.one normed "${lora[@]}" ${!how})" 0
    as_one "adapters, one rank, then $how 2" l$how.one lora.one
done

equal 'sequence parallel 2, then one rank: the run goes on' "$(on 1 one.sp tied.sp tied)" 0
as_one 'sequence parallel 2, then one rank' one.sp tied.one

# ---- a rank reads its part ----
# copied RANKS ARGUMENT...: prints the elements of `tied` (bf16) that rank 0 copies from its files
copied() {
    quiet=-v code cut "$1" copy tied "${@:2}" max_steps=1 save_steps=0 >/dev/null
    rm -rf copy
    awk '/ has copied / { print $6 / 2 " of " $9 / 2 }' "$T/stderr"
}
layer=$((4 * 32 * 32 + 3 * 32 * 64)) vectors=64 matrix=$((5121 * 32))
all=$((4 * (layer + vectors) + matrix + 32))
equal 'loading: one rank copies all' "$(copied 1)" "$all of $all"
equal 'loading, tp 2: a rank copies its part of each matrix' "$(copied 2 $tp)" \
    "$((4 * (layer / 2 + vectors) + 2561 * 32 + 32)) of $all"
equal 'loading, pp 2: a rank copies its layers' "$(copied 2 $pp)" \
    "$((2 * (layer + vectors) + matrix)) of $all"
equal 'loading, ZeRO-3: a rank copies its part' \
    "$(DP=2 copied 2 sft.zero_stage=3 | awk '{ print ($1 > 0.49 * $3 && $1 < 0.51 * $3) }')" 1

# ---- a rank allocates its part ----
planned=(sft-train -q --config config.yaml pretrain=./biased --plan)
plan() { "${planned[@]}" sft_train.device_mapping="[$1]" "${@:2}" --json; }
plan 0 >one.json
plan 0,1 $tp >tp.json
plan 0,1 $pp >pp.json
plan 0,1,2,3 $tp $pp >grid.json
of='def of(c): [.buffers[] | select(.class == c) | .bytes] | add;'
# parts CLASS: each rank has half of it
parts() {
    equal "pp 2: both stages together have the $1 of one rank" \
        "$(jq "$of of(\"$1\") + (.stages[0] | of(\"$1\"))" pp.json)" \
        "$(jq "$of of(\"$1\")" one.json)"
    equal "tp 2: rank 0 and the other have half the $1, and vectors" \
        "$(jq -n "$of (input | of(\"$1\")) as \$one | input | (., .others) |
            of(\"$1\") * 2 / \$one | . >= 1 and . < 1.05" one.json tp.json |
            tr '\n' ' ')" 'true true '
}
parts weights
parts gradients
parts moments
# activations FILE: prints the bytes of the class
activations() { jq "$of of(\"activations\")" "$1"; }
# formula RECOMPUTE TP ROWS: prints the bytes of docs/parallel.md's table for the model `biased` in
# fp32 with this share of matrices and of rows, and micro-batches of 128 tokens
formula() {
    awk -v how="$1" -v tp="$2" -v r=$((128 / $3)) 'BEGIN {
        T = 128; H = 32; L = 4; c = 4; q = 32 / tp; k = 32 / tp; I = 64 / tp; n = 2 / tp
        A = 8 * r * H + c * T * (2 * q + 2 * k + 2 * I) + 4 * n * T
        F = 4 * (r + T) * H + c * (r + 4 * T) * H + c * T * (2 * q + 2 * k + I)
        if (how == "none") print L * (A + c * T * I) + F
        if (how == "selective") print L * A + c * T * I + F
        if (how == "full") print 4 * (L - 1) * r * H + A + c * T * I + F
    }'
}
for how in none selective full; do
    for layout in '0 1 1' '0,1 2 1' '0,1 2 2'; do
        read -r devices cut rows <<<"$layout"
        many=(${strategy}.tensor_model_parallel_size=$cut)
        [ "$rows" = 1 ] || many+=(${strategy}.sequence_parallel=true)
        plan "$devices" "${many[@]}" sft.recompute=$how >acts.json
        check "activations, recompute $how, tp $cut, rows in $rows: as the formula says" \
            awk -v a="$(activations acts.json)" -v b="$(formula $how $cut $rows)" \
            'BEGIN { exit !(b > 0 && a >= b && a <= 1.02 * b) }'
    done
done
layers='([.buffers[] | .layer // empty] | unique)'
equal 'pp 2: each stage has the activations of two layers' \
    "$(jq -c "$layers, (.stages[0] | $layers, .layers)" pp.json | tr '\n' ' ')" '[0,1] [2,3] [2,4] '
# Each pass has the stream behind the last layer.
passes='([.buffers[] | select(.name == "res_final")] | length)'
equal 'pp 2: a stage has as many passes as are in flight' \
    "$(jq -c "$passes, (.stages[0] | $passes)" pp.json | tr '\n' ' ')" '2 1 '
plan 0,1 $pp $virtual=2 >virtual.json
equal 'pp 2, two chunks: the plan has the layers of each chunk' \
    "$(jq -c '.stages[0].layers' virtual.json)" '[1,2,3,4]'
equal 'pp 2, two chunks: a stage has as many passes as are in flight' \
    "$(jq -c "$passes, (.stages[0] | $passes)" virtual.json | tr '\n' ' ')" '5 3 '
plan 0,1 $pp $virtual=2 sft_train.training_args.gradient_accumulation_steps=2 >few.json
equal 'pp 2, two chunks: two micro-batches a step take no more passes than they have' \
    "$(jq -c "$passes, (.stages[0] | $passes)" few.json | tr '\n' ' ')" '4 3 '
equal 'pp 2, two chunks: a pass has the layers of one chunk' \
    "$(jq -c '(., .stages[0]) | [.buffers[] | select(.name == "qkv")] | length' virtual.json |
        tr '\n' ' ')" '5 3 '
equal 'pp 2, two chunks: the norm and the head have one pass' \
    "$(jq -c '.stages[0] | [.buffers[] | select(.name == "norm_final")] | length' virtual.json)" 1
equal 'tp 2 x pp 2: the plan has each kind of rank' \
    "$(jq -c '[.ranks, has("others"), (.stages | length)]' grid.json)" '[4,true,1]'
text() { "${planned[@]}" 'sft_train.device_mapping=[0,1,2,3]' $tp $pp "$@"; }
equal 'tp 2 x pp 2: the plan as text names the stages' \
    "$(text | grep -c '^each rank of stage 2, with layers 2 to 3:$')" 1
equal 'pp 2, two chunks: the plan as text names the layers of each' \
    "$(text $virtual=2 | grep -c '^each rank of stage 2, with layers 1 and 3:$')" 1

# ---- what is refused ----
fails 'refused: heads that do not divide' 78 \
    'tensor_model_parallel_size 2 does not divide .* num_key_value_heads, which is 1' \
    plan 0,1 $tp pretrain=./model
fails 'refused: more stages than layers' 78 \
    'pipeline_model_parallel_size 4 is more than .*num_hidden_layers, which is 2' \
    plan 0,1,2,3 $strategy.pipeline_model_parallel_size=4 pretrain=./model
model smol hidden_size=36 intermediate_size=64 num_hidden_layers=2 num_attention_heads=9 \
    num_key_value_heads=3
fails 'refused: nine heads for two ranks' 78 \
    '2 does not divide .*_attention_heads, which is 9, and num_key_value_heads, which is 3;' \
    plan 0,1 "${sp[@]}" pretrain=./smol
fails 'refused: more chunks than layers' 78 \
    'size 2 times virtual_pipeline_model_parallel_size 3 is 6, more than .* which is 4;' \
    plan 0,1 $pp $virtual=3
fails 'refused: chunks of one stage' 78 \
    'virtual_pipeline_model_parallel_size 2 needs a pipeline_model_parallel_size above 1' \
    plan 0,1 $virtual=2
exit $bad
