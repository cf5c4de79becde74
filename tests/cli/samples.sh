#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Answers to sft.sample_prompts while a model is trained: those that sft-eval gives from the
# checkpoint of the step, training that does not change by them, what a resumed run keeps, refusals.
source "$(dirname "$0")/../train.sh"
model model hidden_size=64 intermediate_size=64 num_hidden_layers=2
rows 1 40 >train.jsonl
samples train.jsonl | sft-pack -q -l 256 -b 8 -o train.sfts
samples <(rows 50 60) | sft-pack -q --mode none --in-order -l 256 -b 4 -o val.sfts
config <<'END'
track_with: tensorboard
sequence_length: 256
save_steps: 2
eval_steps: 2
sft: {device: cpu, threads: 1, sample_tokens: 12}
sft_train:
  model_args: {dtype: fp32}
  training_args:
    per_device_train_batch_size: 4
    gradient_accumulation_steps: 2
    learning_rate: 1.0e-2
END
cat >prompts.jsonl <<'END'
{"prompt":"Say number 3 and then some more words.","id":7,"step":"mine"}
{"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Say number 9\n<b>"}]}
{"prompt":"Say number 4 and then some more words.","answer":"an old one"}
END
last=5
prompts=sft.sample_prompts=prompts.jsonl
log() { echo "$1/logs/tiny/samples.jsonl"; }
# train DIR ARGUMENT...: a run with its summary in DIR.json
train() { run "$1" "${@:2}" --val val.sfts train.sfts >"$1.json"; }
# answers FILE STEP: prints the lines of the step as sft-eval --prompts writes them
answers() { jq -c "select(.step == $2) | del(.step, .row)" "$1"; }
# evaluated FOLDER ARGUMENT...: prints what sft-eval answers
evaluated() {
    jq -c 'del(.step)' prompts.jsonl |
        sft-eval -q -m "$1" --dtype fp32 -@ 1 --max-tokens 12 "${@:2}" --prompts -
}

# ---- the same answers, the same training ----
check 'plain: a run without prompts succeeds' train plain
equal 'plain: it has no samples.jsonl' "$(ls "$(log plain)" 2>/dev/null)" ''
tells 'answers: a run with prompts tells of them' 'answers after step 4: 3 in [0-9.]* s$' with \
    $prompts -v --val val.sfts train.sfts
said 'answers: they are made in the memory of the plan' ' 0 allocations beyond it$'
equal 'answers: each validation has one for each row' \
    "$(jq -r '"\(.step):\(.row)"' "$(log with)" | paste -sd' ')" \
    '0:0 0:1 0:2 2:0 2:1 2:2 4:0 4:1 4:2 5:0 5:1 5:2'
same 'answers: before the first step they are those of the model' <(answers "$(log with)" 0) \
    <(evaluated model)
for step in 2 4 5; do
    same "answers: after step $step they are those of its checkpoint" \
        <(answers "$(log with)" $step) <(evaluated "$(checkpoint with $step)")
done
check 'answers: they change while the model learns' \
    [ "$(jq -r 'select(.row == 0) | .answer' "$(log with)" | sort -u | wc -l)" -gt 2 ]
same 'training: the weights are those of a run without prompts' "$(weights plain)" "$(weights with)"
same 'training: so is the state of the optimizer' "$(state plain)" "$(state with)"
same 'training: so are losses and norms' <(steady plain) <(steady with)

# ---- adapters, a device with memory of its own, no stream for validation ----
lora=sft_train.model_args.lora_target=all-linear
drop=sft_train.model_args.lora_dropout=0.1
check 'adapter: a run without prompts succeeds' train lora0 $lora $drop
check 'adapter: a run with prompts succeeds' train lora $lora $drop $prompts
same 'adapter: it is that of a run without prompts' "$(adapter lora0)" "$(adapter lora)"
same 'adapter: the answers are those with it' <(answers "$(log lora)" 4) \
    <(evaluated model --adapter "$(checkpoint lora 4)/sft_train")
check 'far: a run on it succeeds' train far --device far $prompts
same 'far: the answers are those of the CPU' "$(log far)" "$(log with)"
check 'alone: a run without a stream for validation succeeds' run alone $prompts train.sfts
same 'alone: it answers at the same steps' "$(log alone)" "$(log with)"
jq -c '.prompt // "" | {prompt: .}' prompts.jsonl | jq -c 'select(.prompt != "")' >two.jsonl
for i in $(seq 70); do head -n $((i % 2 + 1)) two.jsonl | tail -n 1; done | head -n 64 >many.jsonl
check 'many: a run with 64 prompts succeeds' run many train.sfts sft.sample_prompts=many.jsonl \
    sft.sample_tokens=100
equal 'many: groups of them have the answers of two' \
    "$(jq -c 'select(.step == 5) | .answer' "$(log many)" | sort -u | wc -l)" "$(
    run pair train.sfts sft.sample_prompts=two.jsonl sft.sample_tokens=100 >/dev/null
    jq -c 'select(.step == 5) | .answer' "$(log pair)" | sort -u | wc -l)"

# ---- a run that goes on, one that begins again ----
cp "$(log with)" whole.jsonl
rm -r with/sft_train/checkpoint-[45]
head -c 200 whole.jsonl >>"$(log with)" # a line that a killed run did not end
check 'resume: a run that goes on succeeds' train with $prompts --resume auto
same 'resume: each step has its answers once' "$(log with)" whole.jsonl
rm -r with/sft_train/checkpoint-[45]
check 'resume: so does one without prompts' train with --resume auto
same 'resume: the answers of steps that it does again are cut' "$(log with)" \
    <(jq -c 'select(.step <= 2)' whole.jsonl)
rm -r alone/sft_train
check 'again: a run that begins again succeeds' run alone $prompts train.sfts
same 'again: the answers before it are kept' alone/logs/tiny/samples-1.jsonl whole.jsonl
same 'again: it has its own' "$(log alone)" whole.jsonl

# ---- the plan ----
strategy=sft_train.strategy_args.strategy_config
cut=$strategy.tensor_model_parallel_size stages=$strategy.pipeline_model_parallel_size
two="sft_train.device_mapping=[0,1]"
plan() { sft-train -q --config config.yaml --plan --json "$@"; }
equal 'plan: it has a cache for each layer' \
    "$(plan $prompts | jq -c '[.buffers[] | select(.name == "cache")] | length')" 2
equal 'plan: without prompts there is none' \
    "$(plan | jq -c '[.buffers[] | select(.name == "cache")] | length')" 0
equal 'plan: a stage of a pipeline has one for each of its layers' \
    "$(plan $prompts "$two" $stages=2 | jq -c '[.buffers[] | select(.name == "cache")] | length')" 1
check 'plan: answers take memory of the steps' jq -ne --argjson a "$(plan)" \
    --argjson b "$(plan $prompts)" '$b.total - $a.total < 2000000 and $b.total >= $a.total'

# ---- refusals, before anything is loaded ----
# refused NAME CODE PATTERN ARGUMENT...
refused() { fails "$1" "$2" "$3" run away "${@:4}" train.sfts; }
refused 'file: one that is not there is refused' 66 'sft.sample_prompts: none.jsonl: ' \
    sft.sample_prompts=none.jsonl
echo '[]' >empty.json
refused 'file: one without a prompt is refused' 65 'prompts: empty.json: has no prompt' \
    sft.sample_prompts=empty.json
printf '{"prompt":"a"}\n{"text":"b"}\n' >bad.jsonl
refused 'file: a row of another form is refused' 65 'prompts: bad.jsonl:2: a row is an object' \
    sft.sample_prompts=bad.jsonl
cat many.jsonl two.jsonl >more.jsonl
refused 'file: more than 64 prompts are refused' 78 'more.jsonl: more than 64 prompts' \
    sft.sample_prompts=more.jsonl
refused 'length: a prompt without room for the answer is refused' 78 \
    'prompts.jsonl:1: the prompt has .* sft.sample_tokens 250 in sequence_length 256' $prompts \
    sft.sample_tokens=250
refused 'tokens: none are refused' 78 'tokens=0.: 0 is below 1' $prompts sft.sample_tokens=0
equal 'refusals: they leave no folder' "$(ls -d away 2>/dev/null)" ''
check 'check: a run that can begin is told so' run check $prompts --check
fails 'check: one that cannot is told so' 66 none.jsonl run check sft.sample_prompts=none.jsonl \
    --check

# ---- ranks ----
if ! have_mpi; then
    skip 'ranks: they train and answer' 'no MPI here'
    exit $bad
fi
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
half=sft_train.training_args.gradient_accumulation_steps
context=sft_train.strategy_args.strategy_config.context_parallel_size
trainer=(mpirun -q -np 2 --bind-to none --oversubscribe sft-train)
# ranked AREA DIR ARGUMENT...: both ranks train, and the answers are those of the checkpoints
ranked() {
    check "$1: two ranks train and answer" train "$2" $prompts "$two" "${@:3}"
    same "$1: the answers are those of the checkpoint" <(answers "$(log "$2")" 4) \
        <(evaluated "$(checkpoint "$2" 4)")
    equal "$1: each step has them once" "$(jq .step "$(log "$2")" | uniq -c | xargs)" \
        '3 0 3 2 3 4 3 5'
}
ranked 'ranks, ZeRO-0' zero0 $half=1
ranked 'ranks, ZeRO-2' zero2 $half=1 sft.zero_stage=2
ranked 'ranks, parts of a row' context $half=2 $context=2

# ---- ranks that have parts of the model ----
# An odd vocabulary, logits that differ, checkpoints that have every bit of the weights.
shape=(hidden_size=32 intermediate_size=64 num_hidden_layers=4 num_attention_heads=2
    num_key_value_heads=2 vocab_size=2049 initializer_range=0.3 'torch_dtype="float32"')
model dense "${shape[@]}"
model mixed "${shape[@]}" 'model_type="qwen3_moe"' num_experts=4 num_experts_per_tok=2 head_dim=16 \
    moe_intermediate_size=24 norm_topk_prob=true mlp_only_layers='[1]' tie_word_embeddings=false
for kind in dense mixed; do evaluated $kind >$kind.jsonl; done
# apart AREA RANKS DIR MODEL ROWS ARGUMENT...: a run of two steps on so many ranks, each with so
# many micro-batches, has the answers of one rank before the first step, and then those of its
# checkpoint
apart() {
    local area=$1 dir=$3 from=$4 trainer=(mpirun -q -np "$2" --bind-to none --oversubscribe)
    trainer+=(sft-train)
    check "$area: the ranks train and answer" run "$dir" pretrain=./"$from" $half="$5" $prompts \
        "sft_train.device_mapping=list(range(0,$2))" sft_train.training_args.max_steps=2 \
        "${@:6}" train.sfts
    same "$area: before the first step the answers are those of one rank" \
        <(answers "$(log "$dir")" 0) $from.jsonl
    from=("$(checkpoint "$dir" 2)")
    [ "$area" != adapters ] || from=(dense --adapter "${from[0]}/sft_train")
    same "$area: then they are those of the checkpoint" <(answers "$(log "$dir")" 2) \
        <(evaluated "${from[@]}")
    differ "$area: they have changed" <(answers "$(log "$dir")" 0) <(answers "$(log "$dir")" 2)
}
apart 'ZeRO-3' 2 zero3 dense 1 sft.zero_stage=3
cp -r dense bad # its last weight is not a number
damage bad/model.safetensors -4 '\x00\x00\xc0\x7f'
for layout in '1 sft.zero_stage=3' "2 $stages=2"; do
    read -r steps how <<<"$layout"
    fails "${how##*.}: logits that are not finite end all ranks" 76 \
        'after [0-9]* tokens .* not finite.*; (tensor|every weight of this rank) ' \
        mpirun -q -np 2 --bind-to none --oversubscribe sft-train -q --config config.yaml \
        output_dir=bad.out logging_dir=bad.out/logs pretrain=./bad "$two" $half=$steps $prompts \
        "$how" train.sfts
done
apart 'ZeRO-3, parts of a row' 2 zero3_context dense 2 sft.zero_stage=3 $context=2
apart 'tp 2' 2 tp dense 2 $cut=2
apart 'sequence parallel 2, far' 2 sp dense 2 $cut=2 $strategy.sequence_parallel=true --device far
apart 'adapters' 2 tp_lora dense 2 $cut=2 sft_train.model_args.lora_target=all-linear
apart 'pp 2, two chunks, far' 2 virtual dense 2 $stages=2 --device far \
    $strategy.virtual_pipeline_model_parallel_size=2
apart 'tp 2 x pp 2' 4 grid dense 2 $cut=2 $stages=2
apart 'ep 2' 2 ep mixed 1 $strategy.expert_model_parallel_size=2
apart 'ep 2, ZeRO-3' 2 ep_zero3 mixed 1 $strategy.expert_model_parallel_size=2 sft.zero_stage=3
exit $bad
