#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# sft-ckpt: every verb, and what it refuses.
source "$(dirname "$0")/../cli.sh"
root=$PWD
cd "$T" || exit 70

config() { # config KEY=VALUE...: a tiny llama with changes
    local text='"model_type":"llama","architectures":["LlamaForCausalLM"],"vocab_size":64,"hidden_size":32,
 "intermediate_size":48,"num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":2,
 "tie_word_embeddings":true,"torch_dtype":"bfloat16","unknown_key":[1,{"a":null}]' kv
    for kv; do text+=",\"${kv%%=*}\":${kv#*=}"; done
    echo "{$text}"
}
config >config.json

# ---- init ----
check 'init makes a model' sft-ckpt init config.json -o a --seed 7
check 'init again' sft-ckpt init config.json -o b --seed 7
same 'the same seed gives the same bytes' a/model.safetensors b/model.safetensors
same 'and the same configuration' a/config.json b/config.json
check 'another seed' sft-ckpt init config.json -o c --seed 8 -q
differ 'another seed, other bytes' a/model.safetensors c/model.safetensors
equal 'the configuration keeps unknown keys' "$(grep -c unknown_key a/config.json)" 1
equal 'and tells the type' "$(grep -o '"torch_dtype": "[a-z0-9]*"' a/config.json)" '"torch_dtype": "bfloat16"'
check 'fp32' sft-ckpt init --dtype fp32 --seed 7 -o f config.json
config 'num_hidden_layers_x=1' 'tie_word_embeddings_x=false' >more.json
check 'from a folder' sft-ckpt init a -o g --seed 7
same 'is the same model' a/model.safetensors g/model.safetensors
more=additional_chat_templates
mkdir -p tok/$more/deep && echo T >tok/$more/tool_use.jinja && echo R >"tok/$more/r g.jinja"
touch tok/$more/README tok/$more/deep/x.jinja
echo '{}' >tok/tokenizer.json && echo '{"x": 1}' >tok/tokenizer_config.json && echo no >tok/other
check 'with a tokenizer' sft-ckpt init config.json --tokenizer tok -o t
same 'its files are copied' tok/tokenizer_config.json t/tokenizer_config.json
same 'and its named templates' tok/$more/tool_use.jinja t/$more/tool_use.jinja
equal 'and nothing else' "$(cd t && find . -type f | LC_ALL=C sort | tr '\n' ' ')" \
    "./$more/r g.jinja ./$more/tool_use.jinja ./config.json ./model.safetensors ./tokenizer.json ./tokenizer_config.json "
fails 'init: the folder exists' 73 'a: exists already' sft-ckpt init config.json -o a
fails 'init: no -o' 64 'where to' sft-ckpt init config.json
fails 'init: no configuration' 66 'none.json' sft-ckpt init none.json -o x
fails 'init: no tokenizer there' 66 'a: contains no tokenizer.json' sft-ckpt init config.json --tokenizer a -o x
echo '{"model_type":"qwen3_moe","num_experts":8}' >moe.json
fails 'init: a mixture of experts' 65 'MoE' sft-ckpt init moe.json -o x
echo '{"model_type":"gemma3","text_config":{}}' >gemma.json
fails 'init: another family' 65 'gemma3' sft-ckpt init gemma.json -o x
config 'hidden_size=0' >dup.json
fails 'init: a key twice' 65 'hidden_size' sft-ckpt init dup.json -o x
# A limit on the size of files stands for a full disk: the write fails half-way.
limited() { (trap '' XFSZ; ulimit -f 10; exec "$@"); }
fails 'init: a write that fails' 74 'model.safetensors.*too large' limited sft-ckpt init config.json -o x
equal 'a refusal leaves nothing' "$(ls -A | grep -c -e '^x' -e tmp)" 0
mkdir .x.0123abcd.sft-tmp && echo half >.x.0123abcd.sft-tmp/model.safetensors
check 'init: over what an interrupted run left' sft-ckpt init config.json -o x/ --seed 7
equal 'init: the folder is whole' "$(ls -A x | tr '\n' ' ')" 'config.json model.safetensors '
equal 'init: and nothing is left' "$(ls -A | grep -c -e tmp)" 0
rm -r x
if [ "$(id -u)" -ne 0 ] || [ ! -e /proc/self ]; then
    mkdir -m 555 ro
    fails 'init: a folder that cannot be written' 73 'ro/x' sft-ckpt init config.json -o ro/x
else
    fails 'init: a folder that cannot be written' 73 '/proc/' sft-ckpt init config.json -o /proc/x
fi

# ---- init: every family ----
family() { # family NAME TENSORS KEY=VALUE...: a configuration of that model_type, and what it makes
    local text="\"model_type\":\"$1\"" n=$2 kv
    text+=',"vocab_size":64,"hidden_size":32,"intermediate_size":48,"num_hidden_layers":2,"num_attention_heads":4'
    text+=',"num_key_value_heads":2,"torch_dtype":"float16"'
    for kv in "${@:3}"; do text+=",\"${kv%%=*}\":${kv#*=}"; done
    rm -rf fam && echo "{$text}" >fam.json
    check "init: $1 ${*:3}" sft-ckpt init fam.json -o fam --seed 3
    equal "init: its tensors" "$(sft-ckpt show fam | tail -n 1 | cut -f 1)" "$n tensors"
}
family llama 21
family llama 20 tie_word_embeddings=true 'rope_scaling={"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":64}'
family llama 35 attention_bias=true mlp_bias=true 'rope_scaling={"type":"linear","factor":2.0}'
family llama 21 'rope_scaling={"type":"dynamic","factor":2.0}'
family mistral 21 sliding_window=16
family qwen2 27 use_sliding_window=true max_window_layers=1 'rope_scaling={"type":"yarn","factor":2.0}'
family qwen3 25 head_dim=16
family qwen3 33 head_dim=16 attention_bias=true
config 'rope_scaling={"type":"longrope","factor":2.0}' >longrope.json
fails 'init: what no model can be' 65 'type longrope is not supported; supported are .*qwen3.*yarn' sft-ckpt init longrope.json -o x

# ---- show ----
equal 'show: a line each and the total' "$(sft-ckpt show a | wc -l)" 21
equal 'show: a tensor' "$(sft-ckpt show a | grep 'layers.1.mlp.down')" \
    "$(printf 'model.layers.1.mlp.down_proj.weight\tBF16\t[32, 48]')"
equal 'show: totals' "$(sft-ckpt show a | tail -n 1)" "$(printf '20 tensors\t17568 parameters\t35136 bytes')"
equal 'show: JSON' "$(sft-ckpt show --json f/model.safetensors | tr -d '\n' | grep -o '"count":20,"parameters":17568,"bytes":70272}$')" \
    '"count":20,"parameters":17568,"bytes":70272}'
fails 'show: a folder without weights' 66 'tok: contains neither' sft-ckpt show tok
fails 'show: nothing there' 66 'none' sft-ckpt show none
head -c 200 a/model.safetensors >cut.safetensors
fails 'show: a header that lies about its size' 65 'cut.safetensors: the header claims' sft-ckpt show cut.safetensors
head -c 9000 a/model.safetensors >cut.safetensors
fails 'show: a file cut short' 65 'tensor "model.*outside' sft-ckpt show cut.safetensors
{ cat a/model.safetensors; echo; } >long.safetensors
fails 'show: a byte too many' 65 '1 bytes after the last tensor' sft-ckpt show long.safetensors
: >empty.safetensors
fails 'show: an empty file' 65 'empty.safetensors' sft-ckpt show empty.safetensors

# ---- diff ----
check 'diff: the same' sft-ckpt diff a b
sft-ckpt diff a c >out 2>err; rc=$?
equal 'diff: another seed is 1' $rc 1
equal 'diff: norms do not differ' "$(grep -c norm out)" 0
equal 'diff: matrices do' "$(grep -c 'weight.values.0[.][0-9e.+-]*.1[.][0-9]*$' out)" "$(wc -l <out)"
sft-ckpt diff a f >out; rc=$?
equal 'diff: another type is 1' $rc 1
equal 'diff: names the types' "$(grep -c 'type.BF16.F32' out)" 20
awk -F'\t' '$2 == "values" && $4 > 0.01 { bad = 1 } END { exit bad }' out && ok 'diff: bf16 is near fp32' || not_ok 'diff: bf16 is near fp32'
config 'tie_word_embeddings_=1' | sed 's/"intermediate_size":48/"intermediate_size":40/; s/"tie_word_embeddings":true/"tie_word_embeddings":false/' >other.json
check 'another shape' sft-ckpt init other.json -o o --seed 7
sft-ckpt diff a o >out; rc=$?
equal 'diff: shape' "$rc $(grep -c 'shape.\[32, 48\].\[32, 40\]' out)" '1 2'
equal 'diff: a tensor too many' "$(grep only out)" "$(printf 'lm_head.weight\tonly in the second')"
cp -r a nan && damage nan/model.safetensors -2 '\xc0\xff'
equal 'diff: a NaN has no sign' "$(sft-ckpt diff a nan | cut -f2-)" 'values	nan	nan'
fails 'diff: one operand' 64 'too few' sft-ckpt diff a
fails 'diff: nothing there' 66 'none' sft-ckpt diff a none

# ---- ls and verify, on folders as the trainer leaves them ----
mkdir -p run/sft_train
equal 'ls: a run without checkpoints' "$(sft-ckpt ls run; echo $?)" 0
build=${O:-build}
[[ $build == /* ]] || build=$OLDPWD/$build
make=$build/test/ckpt
if [ -x "$make" ]; then
    check 'a checkpoint' "$make" make run/sft_train 100 a
    check 'and another' "$make" make run/sft_train 20 a
    mkdir -p run/sft_train/checkpoint-120/sft_train run/sft_train/other
    equal 'ls: by step, and which are whole' "$(sft-ckpt ls run | cut -f1,2 | tr '\t\n' ' ;')" \
        '20 complete;100 complete;120 incomplete;'
    equal 'ls: the inner folder is the same' "$(sft-ckpt ls run/sft_train)" "$(sft-ckpt ls run/sft_train/)"
    equal 'ls: JSON' "$(sft-ckpt ls --json run | grep -c '"complete":true')" 2
    check 'verify' sft-ckpt verify run/sft_train/checkpoint-100
    check 'verify: two at once' sft-ckpt verify run/sft_train/checkpoint-{20,100}
    equal 'show: a checkpoint' "$(sft-ckpt show run/sft_train/checkpoint-20 | tail -n 1 | cut -f1)" '20 tensors'
    check 'a checkpoint with named templates' "$make" make named 1 t
    same 'has them' t/$more/tool_use.jinja named/checkpoint-1/sft_train/$more/tool_use.jinja
    check 'verify: named templates' sft-ckpt verify named/checkpoint-1
    echo t >named/checkpoint-1/sft_train/$more/tool_use.jinja
    fails 'verify: one that was changed' 65 "$more/tool_use.jinja: damaged" sft-ckpt verify named/checkpoint-1
    rm named/checkpoint-1/sft_train/$more/tool_use.jinja
    fails 'verify: one that is gone' 65 "$more/tool_use.jinja" sft-ckpt verify named/checkpoint-1
    check 'diff: a checkpoint and its source' sft-ckpt diff a run/sft_train/checkpoint-100
    d=run/sft_train/checkpoint-100/sft_train
    damage $d/model.safetensors 9000 X
    fails 'verify: a damaged file is named' 65 'sft_train/model.safetensors: damaged' sft-ckpt verify run/sft_train/checkpoint-100
    equal 'ls: its size is right' "$(sft-ckpt ls run | grep -c complete)" 3
    truncate -s -1 $d/model.safetensors
    fails 'verify: a file cut short' 65 'model.safetensors: has' sft-ckpt verify run/sft_train/checkpoint-100
    equal 'ls: not whole any more' "$(sft-ckpt ls run | grep -c incomplete)" 2
    sed -i 's/"step": 20/"step": 21/' run/sft_train/checkpoint-20/sft_train/manifest.json
    fails 'verify: an edited manifest' 65 'manifest.json: its own hash' sft-ckpt verify run/sft_train/checkpoint-20
else
    not_ok 'ls and verify' "no $make to make checkpoints with"
fi
fails 'verify: no manifest' 66 'manifest.json' sft-ckpt verify a
fails 'ls: nothing there' 66 'none' sft-ckpt ls none

# ---- convert ----
printf 'GGUF\3\0\0\0' >cut.gguf
fails 'convert: a file cut short' 65 'cut.gguf' sft-ckpt convert --from gguf cut.gguf -o x
fails 'convert: not a GGUF file' 65 'not a GGUF file' sft-ckpt convert config.json -o x
fails 'convert: another format' 64 'gguf' sft-ckpt convert --from onnx cut.gguf -o x
fails 'convert: no such file' 66 'none.gguf' sft-ckpt convert none.gguf -o x
gguf=${SFT_SMOLLM2_GGUF:-$build/demo/SmolLM2-135M-Instruct.Q4_1.gguf}
if [ -e "$gguf" ]; then
    check 'convert: the real model' sft-ckpt convert --from gguf "$gguf" -o smol
    equal 'convert: its files' "$(ls smol | tr '\n' ' ')" \
        'config.json generation_config.json model.safetensors special_tokens_map.json tokenizer.json tokenizer_config.json '
    equal 'convert: its parameters' "$(sft-ckpt show smol | tail -n 1 | cut -f2)" '134515008 parameters'
    fails 'convert: the folder exists' 73 'smol: exists already' sft-ckpt convert "$gguf" -o smol
    head -c 50000000 "$gguf" >half.gguf
    fails 'convert: half of the real file' 65 'half.gguf: tensor .*cut short' sft-ckpt convert half.gguf -o x
else
    skip 'convert: the real model' 'no GGUF file; make demo downloads it'
fi
equal 'convert: a refusal leaves nothing' "$(ls -A | grep -c -e '^x' -e tmp)" 0

# ---- merge ----
golden=$root/tests/golden/peft
check 'merge: as peft, in bf16' sft-ckpt merge "$golden/rslora/base" "$golden/rslora/adapter" -o merged
check 'merge: bit for bit' sft-ckpt diff merged "$golden/rslora/merged"
same "merge: the base's configuration" merged/config.json "$golden/rslora/base/config.json"
check 'merge: in fp32' sft-ckpt merge "$golden/list/base" "$golden/list/adapter" -o merged32
equal 'merge: within the last bit' "$(sft-ckpt diff merged32 "$golden/list/merged" | awk '$3 > 2e-7')" ''
equal 'merge: something was added' "$(sft-ckpt diff merged32 "$golden/list/base" | wc -l)" 6
mkdir -p step/checkpoint-3 && cp -r "$golden/list/adapter" step/checkpoint-3/sft_train
equal 'show: an adapter' "$(sft-ckpt show step/checkpoint-3 | tail -n 1 | cut -f1)" '12 tensors'
check 'merge: a checkpoint' sft-ckpt merge "$golden/list/base" step/checkpoint-3 -o merged3
check 'merge: is the same' sft-ckpt diff merged32 merged3
cp -r "$golden/list/base" base && cp tok/tokenizer.json base/ && mkdir base/$more
echo B >base/$more/base.jinja && echo B >base/chat_template.jinja
check "merge: with the base's tokenizer" sft-ckpt merge base step/checkpoint-3 -o merged4
same 'merge: has its templates' base/$more/base.jinja merged4/$more/base.jinja
cp -r step/checkpoint-3/sft_train own && cp -r tok/tokenizer.json tok/$more own/
check 'merge: with a tokenizer of its own' sft-ckpt merge base own -o merged5
same "merge: has the adapter's templates" own/$more/tool_use.jinja merged5/$more/tool_use.jinja
equal "merge: and none of the base's" "$(ls -d merged5/*/base.jinja merged5/chat_template.jinja 2>/dev/null)" ''
fails 'merge: the folder exists' 73 'exists already' sft-ckpt merge "$golden/list/base" step/checkpoint-3 -o merged3
fails 'merge: not an adapter' 66 'a: no adapter' sft-ckpt merge a a -o x
fails 'merge: another base' 65 'tensor base_model.*has shape.*down_proj' sft-ckpt merge a step/checkpoint-3 -o x
fails 'merge: one folder' 64 'too few operands' sft-ckpt merge a -o x
fails 'merge: no -o' 64 'where to' sft-ckpt merge a step/checkpoint-3
cp -r step/checkpoint-3/sft_train dora && sed -i 's/"use_dora": false/"use_dora": true/' dora/adapter_config.json
fails 'merge: an adapter of another kind' 65 'use_dora' sft-ckpt merge "$golden/list/base" dora -o x
equal 'merge: a refusal leaves nothing' "$(ls -A | grep -c -e '^x' -e tmp)" 0

# ---- the command itself ----
fails 'no verb' 64 'what to do' sft-ckpt
fails 'a verb that is misspelt' 64 'did you mean verify' sft-ckpt verfy a
fails 'an unknown option' 64 'jsn' sft-ckpt show --jsn a
check 'help' sft-ckpt --help
equal 'help names the verb' "$(sft-ckpt diff --help | head -n 1)" 'usage: sft-ckpt diff [options] A B'
if [ -c /dev/full ]; then
    sft-ckpt show a >/dev/full 2>err; rc=$?
    equal 'a full disk under standard output' $rc 74
fi
exit $bad
