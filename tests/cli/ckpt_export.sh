#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# sft-ckpt export: the folder, the facts of its model card against the files of the run, texts that
# would be markup, and the sources that are refused.
source "$(dirname "$0")/../train.sh"

last=4
model model torch_dtype='"float32"'
echo '{"eos_token_id": 2}' >model/generation_config.json
rows 1 24 >train.jsonl
rows 30 35 >val.jsonl
samples train.jsonl | sft-pack -q -l 256 -b 6 --epochs 1 -o train.sfts
samples val.jsonl | sft-pack -q -l 256 -b 8 -o val.sfts
config <<'END'
seed: 42
sequence_length: 256
save_steps: 2
logging_steps: 1
sft_train:
  model_args: {dtype: fp32}
  training_args:
    num_train_epochs: 1
    per_device_train_batch_size: 1
    gradient_accumulation_steps: 6
    learning_rate: 1.0e-2
    lr_scheduler_type: constant
  device_mapping: list(range(0,1))
END
M=sft_train.model_args
run full --val val.sfts train.sfts >/dev/null
run lora "$M.lora_target='q_proj,v_proj'" "$M.lora_rank=4" train.sfts >/dev/null
step2=full/sft_train/checkpoint-2 step4=full/sft_train/checkpoint-4
adapter=lora/sft_train/checkpoint-4

# front DIR: prints the model card's YAML, on one line
front() { sed -n '2,/^---$/p' "$1/README.md" | sed '$d' | paste -sd' '; }
# fact DIR KEY: prints the values of the key in the model card
fact() { sed -n "s/^- $2: \`\(.*\)\`\$/\1/p" "$1/README.md"; }

# ---- the folder ----
check 'folder: a checkpoint is exported' sft-ckpt export $step4 -o plain
equal 'folder: it has the files of a model and a model card' "$(ls plain | paste -sd' ')" \
    "README.md config.json generation_config.json model.safetensors $(
        echo tokenizer.json tokenizer_config.json)"
equal "folder: the files are the checkpoint's, byte by byte" \
    "$(diff -rq $step4/sft_train plain | sort)" \
    "$(printf '%s\n' "Only in $step4/sft_train: manifest.json" \
        "Only in $step4/sft_train: state" 'Only in plain: README.md' | sort)"
check 'folder: a model that is no checkpoint is exported' sft-ckpt export model -o bare
equal 'folder: its model card tells nothing of a training' \
    "$(grep -c 'fine-tuning\|^##' bare/README.md)" 0

# ---- the model card ----
check 'card: logs and stream are taken' sft-ckpt export $step2 -o two/ --logs full/logs/tiny \
    --stream train.sfts --base-model Some-Org/Base_1.5
equal "card: it begins with the hub's YAML" "$(head -n 1 two/README.md) $(front two)" \
    "--- base_model: \"Some-Org/Base_1.5\" $(front plain)"
equal 'card: an unknown base is left out of the YAML' "$(front plain)" \
    'library_name: transformers pipeline_tag: text-generation tags: - sft'
equal 'card: the title is the name of the folder' "$(grep '^# ' two/README.md)" '# `two`'
equal 'card: the settings are those of the run' \
    "$(for k in steps 'global batch size' 'learning rate' schedule optimizer seed; do
        fact two "$k"; done | paste -sd' ')" '2 6 0.01 constant adamw_torch 42'
at() { # at KEY STEP: the metric as the model card tells it
    jq -r --arg k "sft_train/$1" --argjson s "$2" \
        'select(."system/step" == $s) | "\(.[$k]) at step \($s)"' full/logs/tiny/metrics.jsonl
}
equal 'card: the first loss is that of the first step' "$(fact two 'first training loss')" \
    "$(at loss 1)"
equal "card: the last loss is that of the checkpoint's step" "$(fact two 'last training loss')" \
    "$(at loss 2)"
check 'card: a later checkpoint is exported' sft-ckpt export $step4 -o four --logs full/logs/tiny
equal 'card: the best validation loss is the lowest' "$(fact four 'best validation loss')" \
    "$(jq -s 'map(."sft_train/val_loss" // empty) | min' full/logs/tiny/metrics.jsonl) at step 4"
equal 'card: the data is told by the name of its file' "$(fact two 'training data')" train.jsonl
equal 'card: samples and tokens are those of the stream' \
    "$(for k in 'samples, each epoch counted' 'their tokens' 'their trained tokens'; do
        fact two "$k"; done | paste -sd' ')" \
    "$(sft-view -H train.sfts | jq -r '"\(.samples) \(.tokens) \(.label_tokens)"')"
mkdir hashed && cp model/config.json model/model.safetensors hashed
cp train.jsonl hashed/merges.txt && "$O/test/ckpt" make made 1 hashed >/dev/null
equal "card: the hash of the data is the file's" "$(fact two 'XXH3-128 of a data file')" \
    "$(jq -r '.files[] | select(.path == "merges.txt").xxh128' \
        made/checkpoint-1/sft_train/manifest.json)"
equal 'card: without logs and stream it has neither data nor losses' \
    "$(grep '^##' plain/README.md)" '## Settings'
equal 'card: nothing of the folders of this machine is in it' \
    "$(grep -c -e "$T" -e 'out/' -e '\./' two/README.md)" 0

# ---- texts that would be markup ----
cp -r full moved
sed -i 's|file_name: .*|file_name: ["/x/a`b``c\\n---\\nbase_model: y\\n# T <b>", "[l](x).json"]|' \
    moved/logs/tiny/config.yaml
check 'markup: names that contain it are taken' sft-ckpt export moved/sft_train/checkpoint-4 \
    --logs moved/logs/tiny -o 'na`me'
equal 'markup: a name stays on one line, in a code span of its own' \
    "$(grep -F 'training data' 'na`me/README.md')" \
    "$(printf '%s\n' '- training data: ``` a`b``c?---?base_model: y?# T <b> ```' \
        '- training data: `[l](x).json`')"
equal 'markup: the YAML is as without them' "$(front 'na`me')" "$(front plain)"
equal 'markup: there is one title' "$(grep '^# ' 'na`me/README.md')" '# `` na`me ``'

# ---- adapters ----
check 'adapter: it is exported' sft-ckpt export $adapter --base-model Org/Base -o lora-out
equal "adapter: the folder has peft's files and the identity of the base's weights" \
    "$(ls lora-out | paste -sd' ')" \
    "README.md adapter_config.json adapter_model.safetensors base_weights.json $(
        echo tokenizer.json tokenizer_config.json)"
same 'adapter: its weights are those of the checkpoint' \
    $adapter/sft_train/adapter_model.safetensors lora-out/adapter_model.safetensors
equal 'adapter: its configuration names the base by its id, and is else unchanged' \
    "$(jq -S . lora-out/adapter_config.json)" \
    "$(jq -S '.base_model_name_or_path = "Org/Base"' $adapter/sft_train/adapter_config.json)"
equal 'adapter: the model card names the library and the base' "$(front lora-out)" \
    'base_model: "Org/Base" library_name: peft pipeline_tag: text-generation tags: - sft - lora'
equal 'adapter: the model card has rank and layers' \
    "$(fact lora-out 'LoRA rank') $(fact lora-out 'adapted layers')" '4 q_proj, v_proj'
check 'adapter: without an id it is exported' sft-ckpt export $adapter -o as-is
same 'adapter: its configuration is then unchanged' $adapter/sft_train/adapter_config.json \
    as-is/adapter_config.json
cp -r $adapter/sft_train hub && rm hub/manifest.json
edit hub/adapter_config.json '.base_model_name_or_path = "Org/Small"'
check 'adapter: one that was trained on a model of the hub is exported' sft-ckpt export hub \
    -o of-hub
equal 'adapter: the model card has that id' "$(front of-hub | cut -d' ' -f1,2)" \
    'base_model: "Org/Small"'
mkdir -p Org/Small
check 'adapter: one that was trained on a folder of such a name is exported' sft-ckpt export hub \
    -o of-folder
equal "adapter: a folder's name is no id" "$(front of-folder | cut -d' ' -f1,2)" \
    'library_name: peft'
check 'adapter: it is exported as a part of its base' sft-ckpt export $adapter \
    --merge model -o whole
check 'adapter: it is merged' sft-ckpt merge model $adapter -o merged
equal 'adapter: that folder is the merged model and a model card' "$(diff -rq merged whole)" \
    'Only in whole: README.md'
equal 'adapter: that model is one of transformers' "$(front whole)" \
    'library_name: transformers pipeline_tag: text-generation tags: - sft - lora'

# ---- refusals ----
fails 'refusal: logs of another run are refused' 65 \
    'lora/logs/tiny: the logs of another run than full' \
    sft-ckpt export $step4 --logs lora/logs/tiny -o x
cp -r $step2 copied
fails 'refusal: logs of another run for a copied checkpoint are refused' 65 \
    'lora/logs/tiny: has not the last loss of copied; give the logs of its run' \
    sft-ckpt export copied --logs lora/logs/tiny -o x
check 'card: a copied checkpoint is known by its loss' sft-ckpt export copied \
    --logs full/logs/tiny -o from-copy
equal 'card: it tells the same of the copy' "$(tail -n +10 from-copy/README.md)" \
    "$(sft-ckpt export -q $step2 --logs full/logs/tiny -o from-run
        tail -n +10 from-run/README.md)"
fails 'refusal: a stream of other data is refused' 65 \
    'val.sfts: its first 4 steps are not those of' \
    sft-ckpt export $step4 --stream val.sfts -o x
samples train.jsonl | sft-pack -q -l 256 -b 6 --epochs 1 --seed 7 -o order.sfts
fails 'refusal: the same samples in another order are refused' 65 \
    'order.sfts: its first 2 steps are not' \
    sft-ckpt export $step2 --stream order.sfts -o x
fails 'refusal: logs for a model that is no checkpoint are refused' 64 'leave out --logs' \
    sft-ckpt export model --logs full/logs/tiny -o x
fails 'refusal: a path as the id of the base is refused' 64 "'./model' is not a hub id" \
    sft-ckpt export $step4 --base-model ./model -o x
fails 'refusal: a base for a model that is no adapter is refused' 64 'leave out --merge' \
    sft-ckpt export $step4 --merge model -o x
fails 'refusal: a folder that exists is refused' 73 'plain: exists already' \
    sft-ckpt export $step4 -o plain
flip $step4/sft_train/model.safetensors 9000
fails 'refusal: a damaged checkpoint is refused' 65 'model.safetensors: damaged' \
    sft-ckpt export $step4 -o x
equal 'refusal: no file is left' "$(ls -A | grep -c -e '^x' -e tmp)" 0
exit $bad
