# SPDX-License-Identifier: Apache-2.0
# sft-config: ROLL's own files, the examples, values, messages and exit codes.
source "$(dirname "$0")/../cli.sh"

printf 'pretrain: org/name\nsequence_length: 64\nseed: 1\n' >"$T/c.yaml"
c=$T/c.yaml
got() { sft-config -q "$@" 2>&1; }

# ---- ROLL's files and the examples load, and the printed configuration loads to the same ----
roll=../shared/data/roll
if [ -d $roll ]; then
    n=0
    for f in $roll/*.yaml; do
        name=$(basename "$f")
        check "ROLL: $name is read" sft-config -q "$f"
        sft-config -q "$f" >"$T/once.yaml" && sft-config -q "$T/once.yaml" >"$T/twice.yaml"
        same "ROLL: $name is printed so that it reads back the same" "$T/once.yaml" "$T/twice.yaml"
        n=$((n + 1))
    done
    equal 'ROLL: all five files are there' $n 5
    f=$roll/qwen2.5-7B-sft_megatron.yaml
    equal 'ROLL: the values derived from qwen2.5-7B are right' \
        "$(got $f -g global_batch_size -g world_size -g data_parallel_size \
        -g pack_mode -g template -g train_files | tr '\n' ' ')" \
        '32 8 1 batch qwen2_5 data/code_alpaca_20k.json '
    sft-config $f 2>"$T/idle" >/dev/null
    equal 'ROLL: the keys without an effect here are listed with their lines' \
        "$(sed 's/^[^:]*: [^:]*\(:[0-9]*: [^:]*\): no effect.*/\1/' "$T/idle")" \
        ':1: hydra
:10: system_envs
:26: num_gpus_per_node
:46: validation.data_args.template'
else
    skip 'ROLL: its five files are read' "$roll is not there"
fi
for f in examples/*/sft_config*.yaml; do check "examples: $f is read" sft-config -q "$f"; done
equal 'examples: the 7B example has its layout' \
    "$(got examples/qwen2.5-7B-sft_megatron/sft_config.yaml -g tensor_parallel_size \
    -g pipeline_parallel_size -g context_parallel_size -g global_batch_size | tr '\n' ' ')" \
    '2 2 2 32 '
equal 'examples: the demo has its batch, key and type' \
    "$(got examples/smollm2-135M-sft/sft_config.yaml -g global_batch_size -g world_size \
    -g query_key -g dtype | tr '\n' ' ')" '16 1 input bf16 '

# ---- values ----
equal "values: an override replaces the file's value" "$(got "$c" seed=7 -g seed)" 7
equal 'values: a key that is not set is an empty line' "$(got "$c" -g query_key -g seed)" $'\n1'
equal 'values: --json prints typed values' \
    "$(got "$c" sft.shuffle=no --json |
        jq -c '[.seed, .sft.shuffle, .sft_train.training_args.learning_rate]')" '[1,false,5e-05]'
equal 'values: a variable of the environment is put in' \
    "$(SFT_X=9 got "$c" 'seed=${oc.env:SFT_X}' -g seed)" 9
equal 'values: ~ is the home folder' "$(HOME=/h got "$c" 'output_dir=~/x' -g output_dir)" /h/x
equal 'values: -z ends each value with NUL' \
    "$(got "$c" 'exp_name="a b"' -z -g exp_name -g query_key -g seed | tr '\0' '|')" 'a b||1|'
model_args=sft_train.model_args
lora() { sft-config "$c" "$@" 2>&1 >/dev/null | grep -c 'no effect without lora_target'; }
for key in lora_rank lora_alpha lora_dropout; do
    equal "LoRA: $key without lora_target is told" "$(lora $model_args.$key=0.5)$(
        lora $model_args.$key=1)" "$([ $key = lora_rank ] && echo 01 || echo "$(
        [ $key = lora_alpha ] && echo 11 || echo 10)")"
done
equal 'LoRA: no word is said without them' "$(lora)" 0
equal 'LoRA: lora_target=null is a decision' \
    "$(lora $model_args.lora_rank=8 $model_args.lora_target=null)" 0
equal 'LoRA: a target needs no word' \
    "$(lora $model_args.lora_rank=8 $model_args.lora_target=q_proj)" 0
sft-config -q "$c" >"$T/whole.yaml"
equal 'LoRA: the printed configuration of a full training needs no word' \
    "$(sft-config "$T/whole.yaml" 2>&1 >/dev/null | grep -c lora)" 0
equal 'LoRA: no target is an empty line' \
    "$(got "$c" -g $model_args.lora_target -g $model_args.lora_rank)" $'\n8'
# ---- other files: the list `defaults` ----
mkdir -p "$T/a" "$T/config"
cat >"$T/config/zero2.yaml" <<'END'
zero2:
  zero_optimization: {stage: 2, overlap_comm: true, offload_optimizer: {device: cpu}}
  gradient_clipping: auto
seed: 7
save_steps: 9
END
printf 'zero2: {zero_optimization: {stage: 3}}\n' >"$T/config/more.yaml"
cat >"$T/a/run.yaml" <<'END'
defaults:
  - ../config/zero2@_here_
pretrain: org/name
sequence_length: 64
seed: 1
sft_train:
  device_mapping: [0, 1]
  strategy_args: {strategy_name: deepspeed_train, strategy_config: "${zero2}"}
END
with() { sed "s|^  - ../config.*|&\n$1|" "$T/a/run.yaml" >"$T/a/$2.yaml"; }
equal 'defaults: the keys of a file are merged under those of the run' \
    "$(got "$T/a/run.yaml" -g zero_stage -g seed -g save_steps | tr '\n' ' ')" '2 1 9 '
equal 'defaults: an override goes before both' "$(got "$T/a/run.yaml" seed=5 save_steps=6 \
    -g seed -g save_steps | tr '\n' ' ')" '5 6 '
with '  - ../config/more@_here_' two
equal 'defaults: a later file goes before an earlier one' "$(got "$T/a/two.yaml" -g zero_stage)" 3
with '  - _self_\n  - ../config/zero2.yaml' self
equal 'defaults: a file behind _self_ goes before the run' "$(got "$T/a/self.yaml" -g seed)" 7
equal 'defaults: keys without an effect are told with their file' \
    "$(sft-config "$T/a/run.yaml" 2>&1 >/dev/null |
        grep -c 'config/zero2.yaml:[23]: sft_train.*\.\(device\|gradient_clipping\): no effect')" 2
sft-config -q "$T/a/run.yaml" >"$T/a/printed.yaml"
sft-config -q "$T/a/printed.yaml" >"$T/a/again.yaml"
same 'defaults: the printed configuration reads back the same' "$T/a/printed.yaml" "$T/a/again.yaml"
with '  - ../config/none@_here_' none
fails 'defaults: a missing file is named with the line' 78 \
    'none.yaml:3: defaults: .*/config/none.yaml: there is no such file' sft-config "$T/a/none.yaml"
with '  - ../config/zero2@other' other
fails 'defaults: a package other than _here_ is refused' 78 \
    'only a file whose keys are merged here' sft-config "$T/a/other.yaml"
printf 'defaults: [../config/zero2]\n' >"$T/config/nested.yaml"
with '  - ../config/nested' nested
fails 'defaults: a list within a list is refused' 78 'nested.yaml:1: .*without such a list' \
    sft-config "$T/a/nested.yaml"
printf 'sft_train: {nonsense: 1}\n' >"$T/config/bad.yaml"
with '  - ../config/bad' bad
fails 'defaults: an unknown key below a section of ours is told with its file' 78 \
    'config/bad.yaml:1: sft_train.nonsense: unknown key' sft-config "$T/a/bad.yaml"

sft-config --keys >"$T/keys.md"
sed -n '/^## Keys that work/,$p' docs/config.md >"$T/doc.md"
same 'keys: docs/config.md has the table that --keys prints' "$T/keys.md" "$T/doc.md"

# ---- sequence parallelism beside one tensor-parallel worker ----
printf '%s\n' 'pretrain: a/b' 'sequence_length: 64' 'sft_train:' \
    '  device_mapping: [0, 1]' '  strategy_args: {strategy_name: megatron_train,' \
    '    strategy_config: {sequence_parallel: true, tensor_model_parallel_size: 2}}' >"$T/rows.yaml"
rows() { sft-config "$T/rows.yaml" "$@" 2>&1 >/dev/null; }
equal 'sequence_parallel: two tensor-parallel workers use it' "$(rows)" ''
strategy=sft_train.strategy_args.strategy_config
equal 'sequence_parallel: one has no use for it' \
    "$(rows $strategy.tensor_model_parallel_size=1 | sed 's/.*:6: //')" \
    "$strategy.sequence_parallel: no effect: only with tensor_model_parallel_size above 1"
equal 'sequence_parallel: false is not told' \
    "$(rows $strategy.tensor_model_parallel_size=1 $strategy.sequence_parallel=false)" ''

# ---- efsdp_size beside workers that have all experts ----
printf '%s\n' 'pretrain: a/b' 'sequence_length: 64' 'sft_train:' '  device_mapping: [0, 1]' \
    '  strategy_args: {strategy_name: fsdp2_train,' \
    '    strategy_config: {ep_size: 2, efsdp_size: 1}}' >"$T/experts.yaml"
experts() { sft-config "$T/experts.yaml" "$@" 2>&1 >/dev/null; }
equal 'efsdp_size: workers that share out the experts use it' "$(experts)" ''
equal 'efsdp_size: others have no use for it' "$(experts $strategy.ep_size=1 | sed 's/.*:6: //')" \
    "$strategy.efsdp_size: no effect: only with ep_size above 1"

# ---- fsdp_size beside stages of ZeRO that keep all weights and gradients ----
printf '%s\n' 'pretrain: a/b' 'sequence_length: 64' 'sft_train:' \
    '  device_mapping: [0, 1, 2, 3]' '  strategy_args: {strategy_name: fsdp2_train,' \
    '    strategy_config: {fsdp_size: 2}}' >"$T/copies.yaml"
copies() { sft-config "$T/copies.yaml" "$@" 2>&1 >/dev/null; }
equal 'fsdp_size: stage 3 of ZeRO uses it' "$(copies)" ''
equal 'fsdp_size: stage 1 has no use for it' "$(copies sft.zero_stage=1 | sed 's/.*:6: //')" \
    "$strategy.fsdp_size: no effect: only with stage 2 or 3 of ZeRO"

# ---- refusals ----
echo 'seed: 3' >>"$c"
fails 'refusal: a duplicate key names both lines' 78 \
    "c.yaml:4: the key 'seed' is already set on line 3" sft-config "$c"
sed -i '$d' "$c"
fails 'refusal: an unknown key names the nearest' 78 'did you mean save_steps\?' sft-config "$c" \
    save_stpes=3
echo 'learning_rate: 1e-5' >>"$c"
fails 'refusal: a key in the wrong place names the right one' 78 \
    'c.yaml:4: learning_rate: unknown key; did you mean sft_train.training_args.learning_rate\?' \
    sft-config "$c"
sed -i '$s/.*/eval_steps: often/' "$c"
fails 'refusal: a value of the wrong type names its line' 78 \
    "c.yaml:4: eval_steps: 'often' is not an integer" sft-config "$c"
sed -i '$d' "$c"
fails 'refusal: an override without a value is an error' 78 \
    "'save_steps=': a value is missing; .*save_steps=null" sft-config "$c" save_steps=
fails 'refusal: an exp_name with a slash is an error' 78 'exp_name=.*: has a /' sft-config "$c" \
    exp_name=a/b
printf 'x' >"$T/a=b"
(cd "$T" && fails 'refusal: a file whose name looks like an override is told how to write it' 78 \
    'write \./a=b' sft-config "$c" a=b)
fails 'refusal: --get of an unknown key names the nearest' 78 'did you mean seed\?' sft-config \
    "$c" --get sed
fails 'refusal: a missing file is no input' 66 'nope.yaml' sft-config "$T/nope.yaml"
: >"$T/empty.yaml"
fails 'refusal: an empty file is an error' 78 'empty' sft-config "$T/empty.yaml"
fails 'refusal: a call without a file is a usage error' 64 'which file' sft-config
fails 'refusal: an operand without = is a usage error' 64 'key=value' sft-config "$c" seed

# ---- files as editors save them ----
{ printf '\xef\xbb\xbf'; cat "$c"; } >"$T/mark.yaml"
equal 'file: a byte order mark at the start is accepted' "$(got "$T/mark.yaml" -g seed)" 1
printf '\xff\xfes\0' >"$T/wide.yaml"
fails 'file: UTF-16 is refused with the command that converts it' 78 'iconv -f UTF-16' \
    sft-config "$T/wide.yaml"
# tab NAME LINE TEXT: the text, in the notation of printf, has a tab that indents this line
tab() {
    # shellcheck disable=SC2059
    printf "$3" >"$T/tab.yaml"
    fails "$1" 78 "tab.yaml:$2: a tab indents this line" sft-config "$T/tab.yaml"
}
tab 'tab: one before a mapping is named with its line' 3 \
    'pretrain: x\nsft_train:\n\ttraining_args: {}\n'
tab 'tab: one after spaces is named with its line' 4 \
    'pretrain: x\nsft_train:\n  training_args:\n  \tlearning_rate: 1\n'
tab 'tab: one after a value is named with its line' 2 'pretrain: x\n\tseed: 2\n'
tab 'tab: one before a list is named with its line' 4 \
    'sft_train:\n  data_args:\n    file_name:\n\t- a\n'
printf 'pretrain:\tx\nseed:\t3\nsequence_length: 64\t# short\n' >"$T/tab.yaml"
equal 'tab: one between a key and its value is accepted' "$(got "$T/tab.yaml" -g seed)" 3
cp "$c" "$T/short.yml"
cp "$c" "$T/long.yaml"
fails 'ending: where .yaml is missing the message names the .yml that is there' 66 \
    'short.yaml: there is no such file, but there is .*/short.yml$' sft-config "$T/short.yaml"
fails 'ending: where .yml is missing the message names the .yaml that is there' 66 \
    'long.yml: there is no such file, but there is .*/long.yaml$' sft-config "$T/long.yml"
fails 'ending: where a name has none the message names the file that has one' 66 \
    'short: there is no such file, but there is .*/short.yml$' sft-config "$T/short"
fails 'ending: a name that no file has with any is missing' 66 'none.yaml: cannot open' \
    sft-config "$T/none.yaml"

# ---- models ----
export HF_HOME=$T/hf MODELSCOPE_CACHE=$T/ms
unset HF_HUB_CACHE HUGGINGFACE_HUB_CACHE
fails 'models: a hub id that is not on the disk is answered with its download commands' 66 \
    'hf download org/name .*modelscope download --model org/name' \
    sft-config "$c" --get model_path
fails 'models: a folder that does not exist is no input' 66 'no such folder' sft-config "$c" \
    pretrain=./org/name --get model_path
fails 'models: no path leads out of the cache' 66 'no such folder' sft-config "$c" pretrain=../.. \
    --get model_path \
    pretrain="$T/hf/../nope"
mkdir -p "$T/ms/models/org/na___me" "$T/hf/hub/models--org--name/refs" \
    "$T/hf/hub/models--org--name/snapshots/abc"
printf abc >"$T/hf/hub/models--org--name/refs/main"
equal 'models: a hub id is found in the Hugging Face cache' "$(got "$c" -g model_path)" \
    "$T/hf/hub/models--org--name/snapshots/abc"
equal 'models: a hub id is found in the ModelScope cache' \
    "$(got "$c" pretrain=org/na.me -g model_path)" "$T/ms/models/org/na___me"
equal 'models: a folder is taken as it is' "$(got "$c" pretrain="$T/ms" -g model_path)" "$T/ms"
printf '../../../..' >"$T/hf/hub/models--org--name/refs/main"
fails 'models: a reference that leads out of the cache is refused' 66 'hf download' sft-config \
    "$c" --get model_path
exit $bad
