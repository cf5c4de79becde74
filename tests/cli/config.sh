# SPDX-License-Identifier: Apache-2.0
# sft-config: ROLL's own files, the examples, values, messages and exit codes.
source "$(dirname "$0")/../cli.sh"

printf 'pretrain: org/name\nsequence_length: 64\nseed: 1\n' >"$T/c.yaml"
c=$T/c.yaml
got() { sft-config -q "$@" 2>&1; }

# ---- ROLL's files and the examples: they load, and what is printed loads again to the same ----
roll=../shared/data/roll
if [ -d $roll ]; then
    n=0
    for f in $roll/*.yaml; do
        check "reads $(basename "$f")" sft-config -q "$f"
        sft-config -q "$f" >"$T/once.yaml" && sft-config -q "$T/once.yaml" >"$T/twice.yaml"
        same "prints $(basename "$f") so that it reads back" "$T/once.yaml" "$T/twice.yaml"
        n=$((n + 1))
    done
    equal "all of ROLL's five" $n 5
    f=$roll/qwen2.5-7B-sft_megatron.yaml
    equal 'what follows from it' "$(got $f -g global_batch_size -g world_size -g data_parallel_size \
        -g pack_mode -g template -g train_files | tr '\n' ' ')" '32 8 1 batch qwen2_5 data/code_alpaca_20k.json '
    sft-config $f 2>"$T/idle" >/dev/null
    equal 'what has no effect is listed' "$(sed 's/^[^:]*: [^:]*\(:[0-9]*: [^:]*\): no effect.*/\1/' "$T/idle")" \
        ':1: hydra
:10: system_envs
:26: num_gpus_per_node
:46: validation.data_args.template
:64: sft_train.strategy_args.strategy_config.sequence_parallel'
else
    skip "ROLL's files" "$roll is not there"
fi
for f in examples/*/sft_config.yaml; do check "reads $f" sft-config -q "$f"; done
equal 'the 7B example' "$(got examples/qwen2.5-7B-sft_megatron/sft_config.yaml -g tensor_parallel_size \
    -g pipeline_parallel_size -g context_parallel_size -g global_batch_size | tr '\n' ' ')" '2 2 2 32 '
equal 'the demo' "$(got examples/smollm2-135M-sft/sft_config.yaml -g global_batch_size -g world_size \
    -g query_key -g dtype | tr '\n' ' ')" '16 1 input bf16 '

# ---- values ----
equal 'override' "$(got "$c" seed=7 -g seed)" 7
equal 'a key that is not set is an empty line' "$(got "$c" -g query_key -g seed)" $'\n1'
equal 'JSON' "$(got "$c" sft.shuffle=no --json | jq -c '[.seed, .sft.shuffle, .sft_train.training_args.learning_rate]')" \
    '[1,false,5e-05]'
equal 'the environment' "$(SFT_X=9 got "$c" 'seed=${oc.env:SFT_X}' -g seed)" 9
equal 'a home folder' "$(HOME=/h got "$c" 'output_dir=~/x' -g output_dir)" /h/x
equal 'values that end with NUL' "$(got "$c" 'exp_name="a b"' -z -g exp_name -g query_key -g seed | tr '\0' '|')" 'a b||1|'
sft-config --keys >"$T/keys.md"
sed -n '/^## Keys that work/,$p' docs/config.md >"$T/doc.md"
same 'docs/config.md has the table of keys' "$T/keys.md" "$T/doc.md"

# ---- refusals ----
echo 'seed: 3' >>"$c"
fails 'duplicate key' 78 "c.yaml:4: the key 'seed' is already set on line 3" sft-config "$c"
sed -i '$d' "$c"
fails 'unknown key names the nearest' 78 'did you mean save_steps\?' sft-config "$c" save_stpes=3
echo 'learning_rate: 1e-5' >>"$c"
fails 'key in the wrong place' 78 'c.yaml:4: learning_rate: unknown key; did you mean sft_train.training_args.learning_rate\?' \
    sft-config "$c"
sed -i '$s/.*/eval_steps: often/' "$c"
fails 'bad type' 78 "c.yaml:4: eval_steps: 'often' is not an integer" sft-config "$c"
sed -i '$d' "$c"
fails 'an override without a value' 78 "'save_steps=': a value is missing; .*save_steps=null" sft-config "$c" save_steps=
fails 'a name that is no folder' 78 'exp_name=.*: has a /' sft-config "$c" exp_name=a/b
printf 'x' >"$T/a=b"
(cd "$T" && fails 'a file with the looks of an override' 78 'write \./a=b' sft-config "$c" a=b)
fails 'no such key to get' 78 'did you mean seed\?' sft-config "$c" --get sed
fails 'missing file' 66 'nope.yaml' sft-config "$T/nope.yaml"
: >"$T/empty.yaml"
fails 'empty file' 78 'empty' sft-config "$T/empty.yaml"
fails 'no file' 64 'which file' sft-config
fails 'not an override' 64 'key=value' sft-config "$c" seed

# ---- models ----
export HF_HOME=$T/hf MODELSCOPE_CACHE=$T/ms
unset HF_HUB_CACHE HUGGINGFACE_HUB_CACHE
fails 'hub id that is not on disk' 66 'hf download org/name .*modelscope download --model org/name' \
    sft-config "$c" --get model_path
fails 'no such folder' 66 'no such folder' sft-config "$c" pretrain=./org/name --get model_path
fails 'no way out of the cache' 66 'no such folder' sft-config "$c" pretrain=../.. --get model_path \
    pretrain="$T/hf/../nope"
mkdir -p "$T/ms/models/org/na___me" "$T/hf/hub/models--org--name/refs" "$T/hf/hub/models--org--name/snapshots/abc"
printf abc >"$T/hf/hub/models--org--name/refs/main"
equal 'Hugging Face cache' "$(got "$c" -g model_path)" "$T/hf/hub/models--org--name/snapshots/abc"
equal 'ModelScope cache' "$(got "$c" pretrain=org/na.me -g model_path)" "$T/ms/models/org/na___me"
equal 'a folder' "$(got "$c" pretrain="$T/ms" -g model_path)" "$T/ms"
printf '../../../..' >"$T/hf/hub/models--org--name/refs/main"
fails 'a reference that leads out of the cache' 66 'hf download' sft-config "$c" --get model_path
exit $bad
