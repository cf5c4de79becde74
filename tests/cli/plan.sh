#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The memory plan: a run takes the memory that --plan prints; a run that does not fit names settings
# that would.
source "$(dirname "$0")/../train.sh"

model model
config <<'END'
track_with: ""
sequence_length: 512
save_steps: 100
eval_steps: 100
max_steps: 2
sft_train:
  training_args:
    per_device_train_batch_size: 1
    gradient_accumulation_steps: 8
    learning_rate: 1.0e-4
END
plan() { sft-train -q --config config.yaml --plan "$@"; }

# ---- the printed plan ----
plan >table
for class in weights master moments gradients activations workspace communication data \
    checkpoint_staging reserve; do
    check "table: it has the class $class" grep -q "^$class " table
done
plan --json >plan.json
check 'JSON: its classes add up to its buffers' \
    jq -e '([.classes[].bytes] | add) == ([.buffers[].bytes] | add)' plan.json
check "JSON: the host's buffers lie behind the device's" jq -e '(.total - .host) as $device |
    def behind(c): [.buffers[] | select(.class == c) | .offset >= $device] | length > 0 and all;
    behind("checkpoint_staging") and behind("reserve") and
        ([.buffers[] | select(.class == "weights") | .offset < $device] | length > 0 and all)
    ' plan.json
check 'JSON: no two buffers that live together overlap' jq -e '
    def life: if .begin then [.begin, .end] else [-1, 1e9] end;
    .total as $total | .buffers as $b | all(range($b | length); . as $i | $b[$i] as $x |
        $x.offset + $x.bytes <= $total and all(range($i); $b[.] as $y |
            ($x | life) as $p | ($y | life) as $q | $p[1] < $q[0] or $q[1] < $p[0] or
            $x.offset + $x.bytes <= $y.offset or $y.offset + $y.bytes <= $x.offset))' plan.json
check "table: it foretells the checkpoint's size on the disk" \
    grep -q 'a checkpoint takes [0-9.]* MiB on the disk' table
cp -r model named && mkdir named/additional_chat_templates
head -c 3000 /dev/zero >named/additional_chat_templates/tool_use.jinja
files() { plan --json pretrain="$1" | jq .checkpoint.files; }
equal "JSON: the checkpoint's size counts the named templates" "$(files ./named)" \
    $(($(files ./model) + 3000))
equal 'plan: --plan writes no file' "$(ls -d out 2>/dev/null)" ''
equal 'table: it has the numbers of the JSON' \
    "$(jq -r '(.classes | to_entries[] | [.key, .value.buffers, .value.bytes, .value.peak]),
            ["allocation", (.buffers | length), .total] | @tsv' plan.json |
        awk '{
                printf "%s %d", $1, $2
                for (i = 3; i <= NF; i++) printf " %.1f", $i / 1048576
                print ""
            }')" \
    "$(awk '/^(memory|the process|a checkpoint)|micro-batches/ { next } { $1 = $1; print }' table)"
mkdir bare && cp model/config.json bare/
check 'plan: a folder with config.json alone is enough' plan pretrain=./bare
eight='sft_train.device_mapping=list(range(0,8))'
zero1=sft_train.strategy_args.strategy_config.use_distributed_optimizer=true
SLURM_NTASKS=2 check 'plan: several workers need no launcher' plan $eight
plan --json $eight >plan8.json
equal 'ranks: rank 0 alone has the staging memory of checkpoints' \
    "$(jq -c '[.ranks, .classes.checkpoint_staging.bytes > 0,
            .others.classes.checkpoint_staging.bytes > 0, .others.total < .total,
            .others.classes.weights == .classes.weights,
            .others.classes.moments == .classes.moments]' plan8.json)" \
    '[8,true,false,true,true,true]'
equal 'ranks: with ZeRO-1 each has staging memory of one piece' \
    "$(plan --json $eight $zero1 |
        jq '.others.classes | .checkpoint_staging.bytes as $b | $b > 0 and $b <= 4194304')" true
equal 'ranks: the table has rank 0 and the others' \
    "$(plan $eight |
        grep -c '^\(rank 0 of 8\|each of the other ranks, up to rank 7\|allocation\)')" 4

# ---- a kind of GPU, which is not there ----
bare() { SFT_PLUGIN_PATH=$T plan --device "$@"; }
check 'GPU: a plan for a kind of it needs no plugin' bare cuda:h100
bare cuda:a100-80 --json >gpu.json
equal 'GPU: the workspace holds that of cuBLASLt' \
    "$(jq '.buffers[] | select(.name == "scratch") | .bytes' gpu.json)" 33554432
equal 'GPU: a part of the plan is in host memory' \
    "$(jq -c '[.host > 0, .host < .total]' gpu.json)" '[true,true]'
equal 'GPU: a plan that does not fit ends with 71' "$(code bare cuda:a100-40 \
    sft_train.training_args.per_device_train_batch_size=65536)" 71
said 'GPU: the GPU and settings that fit it are named' \
    'needs [0-9.]+ GiB of the GPU, .*\(A100 40 GB\); it fits with:'
jq '.hidden_size = 3584 | .intermediate_size = 18944 | .num_hidden_layers = 28 |
    .num_attention_heads = 28 | .num_key_value_heads = 4 | .vocab_size = 152064' \
    model/config.json >config.json
cp -r model seven && mv config.json seven/config.json
equal 'GPU: 7B does not fit eight of 40 GB with ZeRO-1' \
    "$(code bare cuda:a100-40 $eight $zero1 pretrain=./seven)" 71
said 'GPU: it fits in parts of the weights, before a less exact optimizer' \
    'it fits with: sft.zero_stage=3( sft.recompute=(selective|full))?$'
equal 'GPU: nor with sums of gradients once a step' \
    "$(code bare cuda:a100-40 $eight $zero1 sft.gradient_sum=step pretrain=./seven)" 71
said 'GPU: parts of the weights need sums in each micro-batch' \
    'it fits with: sft.zero_stage=3 sft.gradient_sum=micro_batch'
equal 'GPU: with these settings the run fits' "$(code bare cuda:a100-40 $eight pretrain=./seven \
    sft.recompute=full sft.zero_stage=3 sft.gradient_sum=micro_batch)" 0
fails 'GPU: an unknown kind names those that there are' 78 'cuda:h101: .*a100-40' bare cuda:h101
fails 'GPU: a run takes no kind of it' 78 'a run takes cuda or cuda:N' \
    sft-train -q --config config.yaml --device cuda:h100 nothing.sfts

# ---- the classes that each kind of run has and does not have ----
kinds='' odd=''
t=sft_train.training_args m=sft_train.model_args
rows=sft_train.use_sequence_packing=false four='sft_train.device_mapping=list(range(0,4))'
for keep in none full; do for dtype in fp32 bf16; do
    for how in '' "$m.lora_target=all-linear" "$m.freeze_module_prefix=model.embed_tokens" \
        "$t.optim=sgd" "$t.optim=sgd $t.optim_args=momentum=0.9" sft.moments_dtype=bf16 \
        "$m.dtype=bf16 sft.moments_dtype=bf16 sft.master_dtype=bf16" \
        'sft.pack_mode=dense sft.staging=8' \
        "$rows $t.dataloader_num_workers=3 $t.per_device_train_batch_size=3" "$four" \
        "$four $zero1"; do
        kinds+=.
        # shellcheck disable=SC2086
        got=$(plan --json sft.recompute=$keep $m.dtype=$dtype $how 2>err |
            jq -r '.classes | [to_entries[] | select(.value.bytes > 0) | .key[:3]] | join(" ")') \
            || got="exit: $(<err)"
        want='wei mas mom gra act wor com dat che res'
        case $how in *distributed* | *list*) ;; *) want=${want/ com/} ;; esac
        case $how in
            *master_dtype*) want=${want/ mas/} ;;
            *) [ $dtype = bf16 ] || want=${want/ mas/} ;;
        esac
        case $how in *momentum*) ;; *sgd*) want=${want/ mom/} ;; esac
        [ "$got" = "$want" ] || odd+="$keep $dtype $how: $got; "
    done
done; done
equal "kinds: each of ${#kinds} kinds of run has its classes and no others" "$odd" ''

# ---- runs that do not fit ----
fails 'too large: the settings that fit the machine are named' 71 \
    "needs [0-9.]+ GiB, and [0-9.]+ GiB are available; it fits with:$(
        echo '( sft.recompute=(selective|full))?') $t.per_device_train_batch_size=" \
    sft-train -q --config config.yaml sft_train.training_args.per_device_train_batch_size=65536 \
    nothing.sfts
settings=$(sed 's/.*it fits with: //' .err)
have=$(sed 's/.* and \([0-9.]*\) GiB are available.*/\1/' .err)
# The memory is that of the first call, since other processes come and go.
# shellcheck disable=SC2086
equal 'too large: the named settings do fit' \
    "$(plan --json sft_train.training_args.per_device_train_batch_size=65536 $settings 2>.err |
    jq "(.total + .process) / pow(2; 30) <= $have + 0.01")" true
fails 'too large: rows that cannot be halved evenly get a number that fits' 71 \
    'it fits with:.* sft_train.training_args.per_device_train_batch_size=[0-9]*[13579] ' \
    sft-train -q --config config.yaml sft_train.training_args.per_device_train_batch_size=59049 \
    nothing.sfts
jq '.hidden_size = 65536 | .intermediate_size = 262144 | .num_hidden_layers = 200 |
    .num_attention_heads = 512 | .num_key_value_heads = 512' model/config.json >config.json
cp -r model large && mv config.json large/config.json
fails 'too large: a model that fits in no way is told so' 71 \
    'neither sft.recompute=full nor micro-batches of one row nor the optimizer in bf16' \
    sft-train -q --config config.yaml pretrain=./large nothing.sfts

# ---- the memory that a run takes; a sanitizer takes far more ----
if ! sanitized; then
    # The run can make smaller: buffers, then the optimizer's state: moments in bf16, then no
    # master.
    jq '.vocab_size = 110000 | .hidden_size = 512' model/config.json >config.json
    cp -r model state && mv config.json state/config.json
    most=(pretrain=./state sft.recompute=full sequence_length=2048
        sft_train.training_args.dataloader_num_workers=60)
    # within MIB SETTING...: a run whose memory is limited to so much beyond the plan with the
    # settings
    within() {
        local limit=$(($(plan --json "${most[@]}" "${@:2}" | jq .total) / 1024 + $1 * 1024))
        bash -c "ulimit -d $limit; exec sft-train -q --config config.yaml ${most[*]} nothing.sfts"
    }
    fails 'limit: smaller buffers are named when they are enough' 71 \
        'it fits with: sft.staging=8 sft_train.training_args.dataloader_num_workers=0$' \
        within 110 sft.staging=8 sft_train.training_args.dataloader_num_workers=0
    most=(pretrain=./state sft.recompute=full sft.staging=8)
    fails 'limit: moments in bf16 are named when they are enough' 71 \
        'it fits with: sft.moments_dtype=bf16$' within 110 sft.moments_dtype=bf16
    fails 'limit: no master is named when that is enough' 71 \
        'it fits with: sft.moments_dtype=bf16 sft.master_dtype=bf16$' \
        within 110 sft.moments_dtype=bf16 sft.master_dtype=bf16
    examples train >samples
    # stream LENGTH: packs the samples into LENGTH.sfts
    stream() { sft-pack -q -l "$1" -b 8 -o "$1.sfts" samples; }
    stream 512
    stream 2048
    # peak FILE SETTING...: prints the most KiB that a run takes
    peak() {
        local stream=$1
        shift
        rm -rf out
        sft-train -q --config config.yaml "$@" "$stream" >/dev/null || echo 0
        tail -qn 1 "$(metrics out)" | jq '.["system/rss"] / 1024 | round'
    }
    total() { plan --json "$@" | jq '.total / 1024 | round'; }
    peak 512.sfts >/dev/null
    # sized NAME PLAN: the files of the last checkpoint have the foretold size, without their
    # headers
    sized() {
        local files foretold
        files=$(find out/sft_train -type f -printf '%s\n' | jq -s add) \
            foretold=$(jq '.checkpoint | add' <<<"$2")
        equal "$1" "$((files >= foretold && files < foretold + 32768))" 1
    }
    sized 'size: the checkpoint has the foretold size' "$(<plan.json)"
    lora=sft_train.model_args.lora_target=all-linear
    peak 512.sfts $lora >/dev/null
    sized "size: an adapter's checkpoint has the foretold size" "$(plan --json $lora)"
    # set_aside NAME KIB: the process took no more than the memory that is set aside for it
    set_aside() { equal "$1" "$(($2 > 0 && $2 < 48 * 1024 ? 0 : $2))" 0; }
    # agrees AREA STREAM MODEL SETTING...: the peak is the sum of the plan and the process itself,
    # within 2 % of the plan; the process is measured with the same settings and a tiny model
    agrees() {
        local name=$1 stream=$2 model=$3 took planned beside
        shift 3
        beside=$(($(peak "$stream" "$@") - $(total "$@")))
        took=$(peak "$stream" "pretrain=./$model" "$@") planned=$(total "pretrain=./$model" "$@")
        echo "# $name: plan $planned KiB, took $took, of which $beside for the process"
        set_aside "$name: the process takes no more than is set aside" $beside
        close "$name: the peak is the plan's within 2 %" $((took - beside)) "$planned" 0.02
    }
    model wide hidden_size=512 intermediate_size=1536 num_hidden_layers=4 num_attention_heads=8 \
        num_key_value_heads=2 head_dim=64
    model deep hidden_size=256 intermediate_size=1024 num_hidden_layers=14 num_attention_heads=4 \
        num_key_value_heads=4 head_dim=64 \
        tie_word_embeddings=false
    agrees 'peak of a wide model in bf16, all kept' 2048.sfts wide sequence_length=2048 \
        sft.recompute=none
    agrees 'peak of a deep model in fp32, recomputed' 2048.sfts deep sequence_length=2048 \
        sft.recompute=full \
        sft_train.model_args.dtype=fp32
    agrees 'peak of four short rows, selective' 512.sfts wide sft.recompute=selective \
        $t.per_device_train_batch_size=4 $t.gradient_accumulation_steps=2

    # Each length of a micro-batch has matrix products of its own; the number of kept ones is
    # bounded.
    sft-pack -q -l 512 -b 4 --epochs 2 -o many.sfts samples
    many=(sft_train.training_args.gradient_accumulation_steps=4
        sft_train.training_args.num_train_epochs=2 max_steps=0)
    beside=$(($(peak many.sfts "${many[@]}") - $(total "${many[@]}")))
    check 'lengths: the run has more than two hundred steps' \
        test "$(wc -l <"$(metrics out)")" -gt 200
    set_aside 'lengths: with ever new ones the process takes no more than is set aside' $beside
fi
exit $bad
