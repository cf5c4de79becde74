#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Multimodal models through the commands: their text model is trained as it would be alone, and
# their other tensors, files and keys come out as they went in.
source "$(dirname "$0")/../train.sh"

# ---- a model, and the same one inside of a multimodal one ----
# header FILE: prints the header of a safetensors file
header() {
    local n
    n=$(od -An -tu8 -N8 "$1" | tr -d ' ')
    tail -c +9 "$1" | head -c "$n"
}
# data FILE: prints the bytes of its tensors
data() {
    local n
    n=$(od -An -tu8 -N8 "$1" | tr -d ' ')
    tail -c +$((9 + n)) "$1"
}
# put FILE HEADER DATA...: writes a safetensors file with that header and the bytes of those files
put() {
    local n=${#2} i
    for ((i = 0; i < 64; i += 8)); do printf '%b' "\\x$(printf %02x $((n >> i & 255)))"; done >"$1"
    printf %s "$2" >>"$1"
    cat "${@:3}" >>"$1"
}
# tensor FILE NAME: prints the bytes of a tensor
tensor() {
    local at
    read -ra at < <(header "$1" | jq -r --arg n "$2" '.[$n].data_offsets | "\(.[0]) \(.[1])"')
    data "$1" | tail -c +$((at[0] + 1)) | head -c $((at[1] - at[0]))
}
# outer, inner: filters of jq that rename the tensors of a text model as two kinds of files do
outer='with_entries(if .key != "__metadata__" then .key |= "language_model." + . else . end)'
inner='with_entries(.key |= sub("^model\\."; "model.language_model."))'
# Tensors that a text does not reach, of several types and shapes.
others='{
    "vision_tower.patch.weight": {dtype: "BF16", shape: [3,2,1,2], data_offsets: [0,24]},
    "vision_tower.seen": {dtype: "I64", shape: [], data_offsets: [24,32]},
    "multi_modal_projector.codes": {dtype: "U8", shape: [5], data_offsets: [32,37]}}'
head -c 37 <(seq 100) >others.bin
# shell DIR FILTER [FILTER]: makes DIR of the model in text/: the first filter renames its tensors,
# the second one edits its config.json
shell() {
    local all begin
    mkdir "$1" && cp text/tokenizer* "$1"
    begin=$(data text/model.safetensors | wc -c)
    all=$(header text/model.safetensors |
        jq -c "($2) + ($others | map_values(.data_offsets[] += $begin))")
    put "$1/model.safetensors" "$all" <(data text/model.safetensors) others.bin
    jq "{architectures: [\"Mistral3ForConditionalGeneration\"], model_type: \"mistral3\",
        image_token_index: 10, vision_config: {model_type: \"pixtral\"},
        text_config: del(.architectures, .torch_dtype), torch_dtype} | ${3:-.}" text/config.json \
        >"$1/config.json"
    echo '{"image_processor_type": "PixtralImageProcessor"}' >"$1/preprocessor_config.json"
}
model text model_type='"mistral"' num_hidden_layers=2 sliding_window=24 torch_dtype='"float32"'
ln -s text model
shell outer "$outer"
shell inner "$inner"
rows 1 12 >train.jsonl
samples train.jsonl >samples.sfts
sft-pack -q -l 256 -b 6 --epochs 1 samples.sfts -o train.sfts
config <<'END'
sequence_length: 256
save_steps: 100
sft_train:
  model_args: {dtype: fp32}
  training_args:
    num_train_epochs: 1
    per_device_train_batch_size: 1
    gradient_accumulation_steps: 6
    learning_rate: 1.0e-2
    lr_scheduler_type: constant
END
last=$(sft-view --header train.sfts | jq .steps)

# kept AREA FOLDER FROM: the tensors beside the text model, config.json and the processor's file are
# those of FROM
kept() {
    local name
    for name in vision_tower.patch.weight vision_tower.seen multi_modal_projector.codes; do
        same "$1: $name has its bytes" <(tensor "$2/model.safetensors" "$name") \
            <(tensor "$3/model.safetensors" "$name")
        equal "$1: $name has its type and shape" \
            "$(header "$2/model.safetensors" | jq -c --arg n "$name" '.[$n] | .dtype, .shape')" \
            "$(header "$3/model.safetensors" | jq -c --arg n "$name" '.[$n] | .dtype, .shape')"
    done
    same "$1: config.json is the model's" "$2/config.json" "$3/config.json"
    same "$1: the processor's file comes along" "$2/preprocessor_config.json" \
        "$3/preprocessor_config.json"
}
# names FILE: prints the sorted names of its tensors
names() { header "$1" | jq -r 'keys[] | select(. != "__metadata__")' | LC_ALL=C sort; }
# text FILE FILTER: prints names and bytes of the text model's tensors after the filter, hashed
text() {
    local old new
    while read -r old new; do
        echo "$new $(tensor "$1" "$old" | cksum)"
    done < <(header "$1" |
        jq -r 'keys[] | select(test("vision_tower|projector|__metadata__") | not) |
        "\(.) \(sub("^language_model\\."; "") | sub("^model\\.language_model\\."; "model."))"') |
        LC_ALL=C sort
}

# ---- training ----
check 'text model: it is trained alone' run alone pretrain=./text train.sfts
for form in outer inner; do
    tells "$form: it is trained, and a line counts what is kept" \
        '3 tensors beside the text model, .* such as .*; checkpoints keep them' $form.out \
        pretrain=./$form train.sfts
    equal "$form: the losses are those of the text model alone" "$(losses $form.out)" \
        "$(losses alone)"
    equal "$form: the tensors have the names of the model's file" \
        "$(names "$(weights $form.out)")" "$(names $form/model.safetensors)"
    equal "$form: the trained tensors are those of the text model alone" \
        "$(text "$(weights $form.out)")" "$(text "$(weights alone)")"
    kept "$form" "$(checkpoint $form.out)/sft_train" $form
    equal "$form: the saved model's loss is that of the text model alone" \
        "$(sft-eval -q -m "$(checkpoint $form.out)" --dtype fp32 samples.sfts | jq -c .loss)" \
        "$(sft-eval -q -m "$(checkpoint alone)" --dtype fp32 samples.sfts | jq -c .loss)"
done
plan=$(run plan pretrain=./outer --plan --json train.sfts | jq .checkpoint.model)
equal 'plan: a checkpoint counts what it keeps' "$plan" \
    $(($(run plan pretrain=./text --plan --json train.sfts | jq .checkpoint.model) + 37))

# ---- a run that continues ----
check 'resume: a first step is saved' run half pretrain=./outer max_steps=1 train.sfts
check 'resume: it goes on' run half pretrain=./outer --resume auto train.sfts
same 'resume: the model is that of a run that was not stopped' "$(weights half)" \
    "$(weights outer.out)"

# ---- adapters ----
lora=(sft_train.model_args.lora_target=all-linear sft_train.model_args.lora_rank=4)
check 'adapter: it is trained' run outer.lora pretrain=./outer "${lora[@]}" train.sfts
equal 'adapter: the first loss is that of the text model alone' "$(losses outer.lora | head -n 1)" \
    "$(losses alone | head -n 1)"
falls 'adapter: the loss falls' outer.lora
equal 'adapter: its tensors have the names of the modules in transformers' \
    "$(names "$(adapter outer.lora)" | grep -vc '^base_model.model.model.language_model.layers.')" 0
equal 'adapter: target_modules lists layers of the text model alone' \
    "$(jq -r '.target_modules[]' "$(checkpoint outer.lora)/sft_train/adapter_config.json" |
        grep -vc '^model.language_model.layers.')" 0
check 'merge: the adapter is merged' sft-ckpt merge -q outer "$(checkpoint outer.lora)" -o merged
# loss ARGUMENT...: prints the loss of the samples in fp32
loss() { sft-eval -q --dtype fp32 "$@" samples.sfts | jq .loss; }
close 'merge: the loss is that of the base with the adapter' "$(loss -m merged)" \
    "$(loss -m outer --adapter "$(checkpoint outer.lora)")" 1e-5
kept merge merged outer

# ---- any model: what is kept and what is refused ----
plain=$(header text/model.safetensors)
begin=$(data text/model.safetensors | wc -c)
# more DIR NAME: makes DIR of the text model with one tensor more, of five bytes
more() {
    cp -r text "$1"
    put "$1/model.safetensors" "$(jq -c --arg n "$2" --argjson at "$begin" \
        '.[$n] = {dtype: "U8", shape: [5], data_offsets: [$at, $at + 5]}' <<<"$plain")" \
        <(data text/model.safetensors) <(head -c 5 others.bin)
}
more scored score.weight
check 'any model: one with a tensor of another head is trained' run scored.out pretrain=./scored \
    train.sfts
same 'any model: that tensor is kept' <(tensor "$(weights scored.out)" score.weight) \
    <(head -c 5 others.bin)
more sinks model.layers.0.self_attn.sinks
fails 'any model: an unknown tensor of a layer is refused' 65 \
    'tensor model.layers.0.self_attn.sinks does not belong to the model' run x pretrain=./sinks \
    train.sfts
rm -rf x
shell odd "$outer" '.text_config.intermediate_size = 96'
fails 'refusal: a tensor of another shape is refused' 65 'language_model.model.layers.0.mlp' run x \
    pretrain=./odd train.sfts
rm -rf x
shell unknown "$outer" '.text_config.model_type = "none"'
fails 'refusal: a text model of no known family is refused' 65 \
    'model_type none in the text_config of mistral3 is not supported' run x pretrain=./unknown \
    train.sfts
rm -rf x
fails 'init: the other parts of a multimodal model cannot be made' 65 'text_config' \
    sft-ckpt init outer/config.json -o x
jq .text_config outer/config.json >config.json
check 'init: its text model can be made' sft-ckpt init -q config.json -o fresh
exit $bad
