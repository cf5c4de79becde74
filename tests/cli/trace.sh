#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# --trace: a file of JSON that says what each rank does when; the bytes that ranks send are those of
# the formulas in docs/parallel.md.
source "$(dirname "$0")/../train.sh"
# Chrome's format: an array of events.
events() { jq -c '.[] | select(.ph == "X")' "$1"; }
# count FILE FILTER: prints how many of the file's spans the filter selects
count() { events "$1" | jq -c "select($2)" | wc -l; }
V=5120 H=64 I=128 L=4 # two heads of 32
shape=(vocab_size=$V hidden_size=$H intermediate_size=$I num_hidden_layers=$L
    num_attention_heads=2 num_key_value_heads=2 head_dim=32)
model model "${shape[@]}" tie_word_embeddings=true
model untied "${shape[@]}" tie_word_embeddings=false
rows 1 40 >train.jsonl
samples train.jsonl | sft-pack -q -l 128 -b 8 -o train.sfts
head -n 4 train.jsonl >val.jsonl
samples val.jsonl | sft-pack -q -l 128 -b 8 -o val.sfts
config <<'END'
track_with: ""
sequence_length: 128
save_steps: 2
sft_train:
  model_args: {dtype: fp32}
  training_args: {learning_rate: 1.0e-3, per_device_train_batch_size: 2,
    gradient_accumulation_steps: 4, num_train_epochs: 1}
END
last=5

# ---- one process ----
equal 'one process: a run with a trace succeeds' \
    "$(code run one pretrain=./model --trace one.json --val val.sfts train.sfts)" 0
check 'one process: the file is one array of JSON' jq -e 'type == "array"' one.json
equal 'one process: each step, save and validation has a span' \
    "$(count one.json '.name == "step"') $(count one.json '.name == "save"') $(
        count one.json '.name == "validation"')" '5 3 2'
equal 'one process: the steps are numbered' \
    "$(events one.json | jq -c 'select(.name == "step") | .args.n' | tr '\n' ' ')" '1 2 3 4 5 '
equal 'one process: each backward pass has all layers' \
    "$(count one.json '.name == "backward" and .args.of == "layer"')" \
    "$((L * $(count one.json '.name == "backward" and .args.of == "head"')))"
check 'one process: the layers of a step lie within it' jq -e '
    [.[] | select(.name == "step")] as $steps |
    all(.[] | select(.name == "backward"); . as $b |
        any($steps[]; .ts <= $b.ts and .ts + .dur >= $b.ts + $b.dur))' one.json
run plain pretrain=./model train.sfts >/dev/null
same 'one process: a trace changes no bit' "$(weights one)" "$(weights plain)"
fails 'errors: a trace that cannot be made' 73 'no/such/folder/t.json: ' \
    run bad pretrain=./model --trace no/such/folder/t.json train.sfts
check 'errors: a trace that cannot be written' test ! -e /dev/full -o \
    "$(code run full pretrain=./model --trace /dev/full train.sfts)" = 74

# ---- several ranks ----
if ! have_mpi; then
    skip 'ranks: each has a trace' 'no MPI here'
    exit $bad
fi
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
# many RANKS DIR MODEL ROWS ARGUMENT...: a run on so many ranks, with traces DIR.json.0 and so on
many() {
    mpirun -q -np "$1" --bind-to none --oversubscribe sft-train -q --config config.yaml \
        output_dir="$2" logging_dir="$2/logs" "sft_train.device_mapping=list(range(0,$1))" \
        pretrain="./$3" sft_train.training_args.gradient_accumulation_steps="$4" \
        --trace "$2.json" "${@:5}" train.sfts
}
two() { many 2 "$@"; }
# sent FILE GROUP CALL: prints the bytes that the rank sent in these calls
sent() {
    events "$1" | jq -s "map(select(.args.of == \"$2\" and .name == \"$3\") | .args.n) | add // 0"
}
# within NAME MEASURED FORMULA: at most 2 % between them
within() {
    check "$1" awk -v a="$2" -v b="$3" \
        'BEGIN { exit !(b > 0 && a >= b && a <= 1.02 * b) }'
}
strategy=sft_train.strategy_args.strategy_config
# Elements of a bucket: matrices, then vectors, padded to 64 for each rank.
pad() { echo $((($1 + 127) / 128 * 128)); }
layer=$(pad $((4 * H * H + 3 * H * I + 2 * H)))
embedding=$(pad $((V * H))) norm=$(pad $H)
all=$((embedding + L * layer + norm)) steps=5
untied=$((embedding + L * layer + $(pad $((V * H + H)))))
equal 'ZeRO-0: two ranks train' "$(code two zero0 model 2)" 0
within 'ZeRO-0: the sums send what the formula says' \
    "$(sent zero0.json.0 dp all_reduce)" $((steps * all * 4))
equal 'ZeRO-1: two ranks train' \
    "$(code two zero1 model 2 $strategy.use_distributed_optimizer=true)" 0
for rank in 0 1; do
    equal "ZeRO-1: reduce_scatter of rank $rank" "$(sent zero1.json.$rank dp reduce_scatter)" \
        $((steps * all / 2 * 4))
    equal "ZeRO-1: all_gather of rank $rank" "$(sent zero1.json.$rank dp all_gather)" \
        $((steps * all / 2 * 4))
done
check 'ZeRO-1: sums run beside backward' jq -es '
    [.[][] | select(.name == "backward" and .args.of == "layer")] as $b |
    any(.[][] | select(.name == "reduce_scatter"); . as $c |
        any($b[]; .pid == $c.pid and .ts < $c.ts + $c.dur and $c.ts < .ts + .dur))' \
    zero1.json.0 zero1.json.1

# ---- ZeRO-2 and ZeRO-3 ----
# passes DIR: prints the sum over the steps of the most micro-batches that a rank has in one
passes() {
    jq -s '[.[] | [.[] | select(.name == "step") as $s | $s | [.ts, .ts + .dur]] as $steps |
        [.[] | select(.name == "backward" and .args.of == "head") | .ts] as $heads |
        [$steps[] as $s | [$heads[] | select(. >= $s[0] and . <= $s[1])] | length]] |
        transpose | map(max) | add' "$1".json.*
}
# beside NAME CALL PASS: in the traces of $traces such a collective runs while a layer is computed
beside() {
    check "$1" jq -es "
        [.[][] | select(.name == \"$3\" and .args.of == \"layer\")] as \$b |
        any(.[][] | select(.name == \"$2\"); . as \$c |
            any(\$b[]; .pid == \$c.pid and .ts < \$c.ts + \$c.dur and \$c.ts < .ts + .dur))" \
        "${traces[@]}"
}
for z in 2 3; do
    equal "ZeRO-$z: two ranks train" "$(code two zero$z model 4 sft.zero_stage=$z \
        sft_train.training_args.per_device_train_batch_size=1)" 0
    n=$(passes zero$z) traces=(zero$z.json.0 zero$z.json.1)
    check "ZeRO-$z: a rank has several micro-batches a step" [ "$n" -gt $steps ]
    gathered=$((steps * all))
    [ $z = 2 ] || gathered=$((steps * (embedding + norm) +
        (steps * L + (2 * n - steps) * (L - 2)) * layer))
    for rank in 0 1; do
        equal "ZeRO-$z: reduce_scatter of rank $rank" \
            "$(sent zero$z.json.$rank dp reduce_scatter)" $((n * all / 2 * 4))
        equal "ZeRO-$z: all_gather of rank $rank" "$(sent zero$z.json.$rank dp all_gather)" \
            $((gathered / 2 * 4))
    done
done
# A layer that takes longer than the turn of a thread, where ranks and their threads share a CPU.
model wide "${shape[@]}" hidden_size=512 intermediate_size=1024 tie_word_embeddings=true
equal 'ZeRO-3, wide: two ranks train' "$(code two wide wide 2 sft.zero_stage=3 \
    sft_train.training_args.per_device_train_batch_size=2 max_steps=3)" 0
traces=(wide.json.0 wide.json.1)
beside 'ZeRO-3: sums run beside backward' reduce_scatter backward
beside 'ZeRO-3: weights are gathered beside forward' all_gather forward
beside 'ZeRO-3: weights are gathered beside backward' all_gather backward
equal 'ZeRO-3, untied: two ranks train' "$(code two zero3u untied 4 sft.zero_stage=3 \
    sft_train.training_args.per_device_train_batch_size=1)" 0
n=$(passes zero3u)
equal 'ZeRO-3, untied: all_gather of the ends in each pass' \
    "$(sent zero3u.json.1 dp all_gather)" $((((steps * L + (2 * n - steps) * (L - 2)) * layer +
        n * (embedding + $(pad $((V * H + H))))) / 2 * 4))

total() { values zero0 "$1" | awk '{ s += $1 } END { print s }'; }
tokens=$(total sft_train/tokens) labels=$(total sft_train/label_tokens)
equal 'tensor parallel: two ranks train' \
    "$(code two tp untied 4 $strategy.tensor_model_parallel_size=2)" 0
within 'tensor parallel: the sums send what the formula says' "$(sent tp.json.0 tp all_reduce)" \
    $((tokens * 4 * H * (1 + 4 * L) + labels * 4 * H))
equal 'tensor parallel: all_gather of the softmax parts' "$(sent tp.json.1 tp all_gather)" \
    $((labels * 3 * 4))
K=128 # elements of k and v of a token
for mode in none selective full; do
    equal "context parallel, $mode: two ranks train" "$(code two cp.$mode untied 4 \
        $strategy.context_parallel_size=2 sft.recompute=$mode)" 0
    times=$([ $mode = none ] && echo 1 || echo 2)
    within "context parallel, $mode: the gathers of keys send what the formula says" \
        "$(sent cp.$mode.json.0 cp all_gather)" $((times * L * tokens / 2 * K * 4))
    within "context parallel, $mode: the sums of their gradients do" \
        "$(sent cp.$mode.json.1 cp reduce_scatter)" $((L * tokens / 2 * K * 4))
done
within 'context parallel: gradients are summed over dp_cp' \
    "$(sent cp.none.json.0 dp_cp all_reduce)" $((steps * untied * 4))
check 'context parallel: sums run beside gathers of keys' jq -es '
    [.[][] | select(.name == "all_gather" and .args.of == "cp")] as $b |
    any(.[][] | select(.name == "all_reduce" and .args.of == "dp_cp"); . as $c |
        any($b[]; .pid == $c.pid and .ts < $c.ts + $c.dur and $c.ts < .ts + .dur))' \
    cp.full.json.0 cp.full.json.1
equal 'sequence parallel: two ranks train' "$(code two sp untied 4 \
    $strategy.tensor_model_parallel_size=2 $strategy.sequence_parallel=true)" 0
within 'sequence parallel: reduce_scatter sends what the formula says' \
    "$(sent sp.json.0 tp reduce_scatter)" $((tokens * H * (2 * 4 + L * (8 + 2 * 4)) / 2))
within 'sequence parallel: all_gather sends what the formula says' \
    "$(sent sp.json.1 tp all_gather)" $((tokens * H * 4 * (2 + 6 * L) / 2 + labels * 3 * 4))
within 'sequence parallel: the sums of the norms send what the formula says' \
    "$(sent sp.json.0 tp all_reduce)" $((steps * (4 * H * (2 * L + 1) + 8 * (L + 2))))
equal 'sequence parallel, recompute full: two ranks train' "$(code two sp_full untied 4 \
    $strategy.tensor_model_parallel_size=2 $strategy.sequence_parallel=true \
    sft.recompute=full)" 0
within 'sequence parallel, recompute full: reduce_scatter has the o product, too' \
    "$(sent sp_full.json.0 tp reduce_scatter)" $((tokens * H * (2 * 4 + L * (12 + 2 * 4)) / 2))
within 'sequence parallel, recompute full: all_gather has both norms, too' \
    "$(sent sp_full.json.1 tp all_gather)" \
    $((tokens * H * 4 * (2 + 8 * L) / 2 + labels * 3 * 4))
equal 'pipeline parallel: two ranks train' \
    "$(code two pp untied 4 $strategy.pipeline_model_parallel_size=2)" 0
equal 'pipeline parallel: the first stage sends the stream' \
    "$(sent pp.json.0 pp send_receive)" $((tokens * H * 4))
equal 'pipeline parallel: the last stage sends its gradient' \
    "$(sent pp.json.1 pp send_receive)" $((tokens * H * 4))
equal 'sequence and pipeline parallel: four ranks train' "$(code many 4 sp_pp untied 4 \
    $strategy.tensor_model_parallel_size=2 $strategy.sequence_parallel=true \
    $strategy.pipeline_model_parallel_size=2)" 0
within 'sequence and pipeline parallel: the first stage sends its rows of the stream' \
    "$(sent sp_pp.json.1 pp send_receive)" $((tokens * H * 4 / 2))
within 'sequence and pipeline parallel: the last stage sends its rows of the gradient' \
    "$(sent sp_pp.json.2 pp send_receive)" $((tokens * H * 4 / 2))
# Two chunks of a stage: the stream comes back from the last stage to the first, and its gradient
# goes from there.
equal 'interleaved: two ranks train' \
    "$(code two virtual untied 4 $strategy.pipeline_model_parallel_size=2 \
        $strategy.virtual_pipeline_model_parallel_size=2)" 0
equal 'interleaved: the first stage sends two streams and a gradient' \
    "$(sent virtual.json.0 pp send_receive)" $((tokens * H * (2 * 4 + 4)))
equal 'interleaved: the last stage sends a stream and two gradients' \
    "$(sent virtual.json.1 pp send_receive)" $((tokens * H * (4 + 2 * 4)))
equal 'interleaved: the losses are those of a pipeline' "$(losses virtual)" "$(losses pp)"
exit $bad
