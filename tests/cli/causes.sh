#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Inputs that are wrong as a whole, as people bring them: each refusal names the cause, and the
# command, name or file that helps.
source "$(dirname "$0")/../cli.sh"
cd "$T" || exit 70
root=$OLDPWD
tiny=$root/share/tiny-tokenizer
sft-ckpt init -q "$root/examples/random-model.json" --tokenizer "$tiny" --seed 1 -o model
echo '{"instruction":"Say one.","output":"One."}' >rows.jsonl
sft-tokenize -q -m model rows.jsonl -o turns.sfts

# ---- files that a clone without git-lfs has ----
# pointer FILE: makes the file a pointer of git-lfs
pointer() {
    printf 'version https://git-lfs.github.com/spec/v1\noid sha256:%064d\nsize 538090408\n' 7 >"$1"
}
# lfs AREA FILE COMMAND...: with a pointer in the place of this file in the folder m, a copy of the
# model, the command names the file, the cause and the remedy
lfs() {
    rm -rf m
    cp -r model m
    pointer "m/$2"
    fails "$1: a git-lfs pointer in the place of $2 is named" 65 \
        "m/$2: is a git-lfs pointer, .* git lfs pull" "${@:3}"
}
lfs 'sft-ckpt show' model.safetensors sft-ckpt show m
lfs 'sft-ckpt diff' model.safetensors sft-ckpt diff model m
lfs 'sft-ckpt init' tokenizer.json sft-ckpt init -q "$root/examples/random-model.json" \
    --tokenizer m -o x
lfs 'sft-eval' model.safetensors sft-eval -q -m m --prompt x
lfs 'sft-eval' config.json sft-eval -q -m m --prompt x
lfs 'sft-tokenize' tokenizer.json sft-tokenize -q -m m rows.jsonl -o x
lfs 'sft-template' tokenizer.json sft-template -q -m m turns.sfts -o x
lfs 'sft-view' tokenizer.json sft-view --show 0 -m m turns.sfts
pointer data.json
fails 'git-lfs: rows are named as a pointer' 65 'data.json: is a git-lfs pointer' \
    sft-tokenize -q -m model data.json -o x
pointer model.gguf
fails 'git-lfs: a GGUF file is named as a pointer' 65 'model.gguf: is a git-lfs pointer' \
    sft-ckpt convert --from gguf model.gguf -o x
rm m/model.safetensors
mkdir index
cp model/config.json index
echo '{"weight_map":{"model.norm.weight":"model-00001.safetensors"}}' \
    >index/model.safetensors.index.json
pointer index/model-00001.safetensors
fails 'git-lfs: a shard is named as a pointer' 65 'model-00001.safetensors: is a git-lfs pointer' \
    sft-ckpt show index

# ---- families and tokenizers that are not supported ----
mkdir other
echo '{"model_type":"gpt2","n_embd":64,"n_layer":2,"n_head":4,"vocab_size":2048}' >other/config.json
supported='model_type gpt2 is not supported; supported are .*model_type llama, mistral, qwen2'
fails 'family: GPT-2 is refused by its name, with those that are supported' 65 "$supported" \
    sft-eval -q -m other --prompt x
fails 'family: sft-ckpt init refuses it in the same way' 65 "$supported" \
    sft-ckpt init other/config.json -o x
echo '{"model_type":"falcon","vocab_size":9,"hidden_size":"64","ffn_hidden_size":8}' \
    >other/config.json
fails 'family: keys of another family are not read before it is refused' 65 \
    'model_type falcon is not supported' sft-eval -q -m other --prompt x
jq '.model.type = "WordPiece"' "$tiny/tokenizer.json" >other/tokenizer.json
fails 'tokenizer: another kind of model is refused by its name' 65 \
    'other/tokenizer.json: model "WordPiece" is not supported; only BPE is' \
    sft-tokenize -q --ids -m other rows.jsonl
echo '{"model":{"unk_token":"a","max_input_chars_per_word":100,"vocab":{"a":0}}}' \
    >other/tokenizer.json
fails 'tokenizer: a kind that the file does not name is told by its members' 65 \
    'model "WordPiece" is not supported' sft-tokenize -q --ids -m other rows.jsonl

mkdir adapter
echo '{"auto_mapping":null,"feedforward_modules":["down_proj"],"peft_type":"IA3"}' \
    >adapter/adapter_config.json
fails 'adapter: another kind is refused by its name, not by its keys' 65 \
    'peft_type: only adapters of type LORA are supported' \
    sft-eval -q -m model --adapter adapter --prompt x

# ---- templates that are unknown ----
# unknown NAME PATTERN TEMPLATE [MODEL]: the template is refused before any input is read
unknown() { fails "$1" 64 "$2" sft-template --check -m "${4:-model}" -t "$3"; }
unknown 'template: an unknown one is refused with those there are' \
    "no template \"other\"; there are native, qwen2_5, qwen3, .*, the model's own default; " other
unknown 'template: a name that is near is suggested' 'did you mean qwen2_5\? There are ' qwen25
unknown "template: a name of the model's own is suggested" 'did you mean default\? ' defualt
code sft-template --check -m model -t bas >/dev/null
equal 'template: a name that is refused is neither suggested nor listed' \
    "$(grep -cE 'base|empty' stderr)" 0
mkdir plain
jq 'del(.chat_template)' model/tokenizer_config.json >plain/tokenizer_config.json
cp model/tokenizer.json plain
unknown 'template: a model without one has none of the names that need it' \
    'no template "natve"; there are chatml; or give a file' natve plain
cp model/config.json mine.txt
unknown 'template: a file that does not end in .jinja is told as one' \
    'mine.txt: a file with a template has to end in .jinja' mine.txt
exit $bad
