#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# sft-ckpt: every verb and its refusals.
source "$(dirname "$0")/../cli.sh"
root=$PWD
cd "$T" || exit 70

config() { # config KEY=VALUE...: a tiny llama with changes
    local text='"model_type":"llama","architectures":["LlamaForCausalLM"],"vocab_size":64,
 "hidden_size":32,"intermediate_size":48,"num_hidden_layers":2,"num_attention_heads":4,
 "num_key_value_heads":2,"tie_word_embeddings":true,"torch_dtype":"bfloat16",
 "unknown_key":[1,{"a":null}]'
    echo "{$text$(members "$@")}"
}
config >config.json

# ---- init ----
check 'init: a configuration becomes a model' sft-ckpt init config.json -o a --seed 7
check 'init: a second model is made from it' sft-ckpt init config.json -o b --seed 7
same 'init: the same seed gives the same weights' a/model.safetensors b/model.safetensors
same 'init: the same seed gives the same configuration' a/config.json b/config.json
check 'init: a model is made with another seed' sft-ckpt init config.json -o c --seed 8 -q
differ 'init: another seed gives other weights' a/model.safetensors c/model.safetensors
equal 'init: the configuration keeps unknown keys' "$(jq -c .unknown_key a/config.json)" \
    '[1,{"a":null}]'
equal 'init: the configuration tells the type of the weights' \
    "$(jq -r .torch_dtype a/config.json)" bfloat16
check 'init: --dtype fp32 makes a model' sft-ckpt init --dtype fp32 --seed 7 -o f config.json
config 'num_hidden_layers_x=1' 'tie_word_embeddings_x=false' >more.json
jq '.model_type = "gemma" | .head_dim = 8' config.json >offset.json
check 'init: a model with gains of 1 + w is made' sft-ckpt init offset.json -o offset --seed 7
gain() { # gain MODEL: the bytes of the gain of the last norm that are not 0
    tail -c "+$(($(tensor_at "$1/model.safetensors" model.norm.weight) + 1))" \
        "$1/model.safetensors" | head -c 64 | tr -d '\0' | wc -c
}
equal 'init: gains begin with 1, those of 1 + w with 0' "$(gain a) $(gain offset)" '64 0'
check 'init: the configuration may be in a model folder' sft-ckpt init a -o g --seed 7
same 'init: a model folder gives the same model as its config.json' a/model.safetensors \
    g/model.safetensors
more=additional_chat_templates
mkdir -p tok/$more/deep && echo T >tok/$more/tool_use.jinja && echo R >"tok/$more/r g.jinja"
touch tok/$more/README tok/$more/deep/x.jinja
echo '{}' >tok/tokenizer.json && echo '{"x": 1}' >tok/tokenizer_config.json && echo no >tok/other
check "init: --tokenizer takes a tokenizer's folder" sft-ckpt init config.json --tokenizer tok -o t
same "init: the tokenizer's files are copied" tok/tokenizer_config.json t/tokenizer_config.json
same 'init: the named templates are copied' tok/$more/tool_use.jinja t/$more/tool_use.jinja
equal 'init: no other file is copied' "$(cd t && find . -type f | LC_ALL=C sort | tr '\n' ' ')" \
    "./$more/r g.jinja ./$more/tool_use.jinja ./config.json ./model.safetensors $(
        printf './%s ' tokenizer.json tokenizer_config.json)"
fails 'init: a folder that exists is refused' 73 'a: exists already' sft-ckpt init config.json -o a
fails 'init: a call without -o is refused' 64 'where to' sft-ckpt init config.json
fails 'init: a missing configuration is refused' 66 'none.json' sft-ckpt init none.json -o x
fails 'init: a --tokenizer folder without a tokenizer is refused' 66 \
    'a: contains no tokenizer.json' \
    sft-ckpt init config.json --tokenizer a -o x
echo '{"model_type":"deepseek_v3","n_routed_experts":8}' >moe.json
fails 'init: a mixture of experts is refused' 65 'MoE' sft-ckpt init moe.json -o x
echo '{"model_type":"gemma3","text_config":{}}' >gemma.json
fails 'init: a family that is not in the table is refused' 65 'gemma3' sft-ckpt init gemma.json -o x
config 'hidden_size=0' >dup.json
fails 'init: a key that occurs twice is refused' 65 'hidden_size' sft-ckpt init dup.json -o x
# A limit on the size of files stands for a full disk: the write fails half-way.
limited() { (trap '' XFSZ; ulimit -f 10; exec "$@"); }
fails 'init: a write that fails half-way is an I/O error' 74 'model.safetensors.*too large' \
    limited sft-ckpt init config.json -o x
equal 'init: a refusal leaves no file' "$(ls -A | grep -c -e '^x' -e tmp)" 0
mkdir .x.0123abcd.sft-tmp && echo half >.x.0123abcd.sft-tmp/model.safetensors
check 'init: a temporary folder of a killed one is no obstacle' sft-ckpt init config.json -o x/ \
    --seed 7
equal 'init: the folder made beside it is whole' "$(ls -A x | tr '\n' ' ')" \
    'config.json model.safetensors '
equal 'init: the temporary folder of the killed one is removed' "$(ls -A | grep -c -e tmp)" 0
rm -r x
if [ "$(id -u)" -ne 0 ] || [ ! -e /proc/self ]; then
    mkdir -m 555 ro
    fails 'init: a folder that cannot be written is refused' 73 'ro/x' sft-ckpt init config.json \
        -o ro/x
else
    fails 'init: a folder that cannot be written is refused' 73 '/proc/' sft-ckpt init config.json \
        -o /proc/x
fi

# ---- init: every family ----
sizes='"vocab_size":64,"hidden_size":32,"intermediate_size":48,"num_hidden_layers":2,
    "num_attention_heads":4,"num_key_value_heads":2,"torch_dtype":"float16"'
# family NAME TENSORS KEY=VALUE...: checks that a configuration of that model_type becomes a model
family() {
    local n=$2
    rm -rf fam && echo "{$sizes,\"model_type\":\"$1\"$(members "${@:3}")}" >fam.json
    check "init: a model of family $1 ${*:3} is made" sft-ckpt init fam.json -o fam --seed 3
    equal "init: the model of family $1 ${*:3} has $n tensors" \
        "$(sft-ckpt show fam | tail -n 1 | cut -f 1)" "$n tensors"
}
llama3='{"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,
    "original_max_position_embeddings":64}'
family llama 21
family llama 20 tie_word_embeddings=true \
    "rope_scaling=$llama3"
family llama 35 attention_bias=true mlp_bias=true 'rope_scaling={"type":"linear","factor":2.0}'
family llama 21 'rope_scaling={"type":"dynamic","factor":2.0}'
family mistral 21 sliding_window=16
family qwen2 27 use_sliding_window=true max_window_layers=1 \
    'rope_scaling={"type":"yarn","factor":2.0}'
family qwen3 25 head_dim=16
family qwen3 33 head_dim=16 attention_bias=true
family seed_oss 27
family seed_oss 29 attention_out_bias=true
family ministral 21 sliding_window=16
family granite 35 embedding_multiplier=12.0 attention_bias=true mlp_bias=true
family smollm3 20 no_rope_layer_interval=2
family smollm3 35 attention_bias=true mlp_bias=true tie_word_embeddings=false
family ernie4_5 34 head_dim=8 use_bias=true
family helium 27 head_dim=8 attention_bias=true
longrope='{"type":"longrope","short_factor":[1.0,1.1],"long_factor":[2.0,4.0]}'
family phi3 15 partial_rotary_factor=0.5 "rope_scaling=$longrope"
family glm 25 head_dim=8
family ministral3 21 head_dim=8
config 'rope_scaling={"type":"proportional"}' >other.json
fails 'init: a scaling that no model supports is refused with those that are' 65 \
    'type proportional is not supported; supported are .*qwen3.*yarn' sft-ckpt init other.json -o x

# ---- show ----
equal 'show: each tensor has a line, and the total has one' "$(sft-ckpt show a | wc -l)" 21
equal "show: a tensor's line has name, type and shape" \
    "$(sft-ckpt show a | grep 'layers.1.mlp.down')" \
    "$(printf 'model.layers.1.mlp.down_proj.weight\tBF16\t[32, 48]')"
equal 'show: the last line has the totals' "$(sft-ckpt show a | tail -n 1)" \
    "$(printf '20 tensors\t17568 parameters\t35136 bytes')"
equal 'show: --json has the totals' \
    "$(sft-ckpt show --json f/model.safetensors | jq -c '[.count, .parameters, .bytes]')" \
    '[20,17568,70272]'
fails 'show: a folder without weights is refused' 66 'tok: contains neither' sft-ckpt show tok
fails 'show: a missing folder is refused' 66 'none' sft-ckpt show none
head -c 200 a/model.safetensors >cut.safetensors
fails 'show: a header that claims more than the file has is refused' 65 \
    'cut.safetensors: the header claims' sft-ckpt show cut.safetensors
head -c 9000 a/model.safetensors >cut.safetensors
fails 'show: a file cut short is refused' 65 'tensor "model.*outside' sft-ckpt show cut.safetensors
{ cat a/model.safetensors; echo; } >long.safetensors
fails 'show: a byte after the last tensor is refused' 65 '1 bytes after the last tensor' sft-ckpt \
    show long.safetensors
: >empty.safetensors
fails 'show: an empty file is refused' 65 'empty.safetensors' sft-ckpt show empty.safetensors

# ---- diff ----
check 'diff: equal models exit with 0' sft-ckpt diff a b
sft-ckpt diff a c >out 2>err; rc=$?
equal 'diff: models of other seeds exit with 1' $rc 1
equal 'diff: norms of other seeds are equal and not listed' "$(grep -c norm out)" 0
equal 'diff: each matrix is listed with its largest and relative difference' \
    "$(wc -l <out) $(grep -c 'weight.values.0[.][0-9e.+-]*.1[.][0-9]*$' out)" '15 15'
sft-ckpt diff a f >out; rc=$?
equal 'diff: models of another type exit with 1' $rc 1
equal 'diff: each tensor of another type has both types' "$(grep -c 'type.BF16.F32' out)" 20
equal 'diff: bf16 weights are within 0.01 of the fp32 weights' \
    "$(awk -F'\t' '$2 == "values" { n++; if ($4 > 0.01) print } END { print n }' out)" 15
config | jq '.intermediate_size = 40 | .tie_word_embeddings = false' >other.json
check 'diff: a model of another shape is made' sft-ckpt init other.json -o o --seed 7
sft-ckpt diff a o >out; rc=$?
equal 'diff: each tensor of another shape has both shapes' \
    "$rc $(grep -c 'shape.\[32, 48\].\[32, 40\]' out)" '1 2'
equal 'diff: a tensor of one model only is listed' "$(grep only out)" \
    "$(printf 'lm_head.weight\tonly in the second')"
cp -r a nan && damage nan/model.safetensors -2 '\xc0\xff'
equal 'diff: a NaN is listed without a sign' "$(sft-ckpt diff a nan | cut -f2-)" 'values	nan	nan'
fails 'diff: a call with one operand is refused' 64 'too few' sft-ckpt diff a
fails 'diff: a missing folder is refused' 66 'none' sft-ckpt diff a none

# ---- ls and verify, on folders as the trainer leaves them ----
mkdir -p run/sft_train
equal 'ls: a run without checkpoints has an empty list' "$(sft-ckpt ls run; echo $?)" 0
make=$O/test/ckpt
if [ -x "$make" ]; then
    check 'ls: a checkpoint of step 100 is made' "$make" make run/sft_train 100 a
    check 'ls: a checkpoint of step 20 is made' "$make" make run/sft_train 20 a
    mkdir -p run/sft_train/checkpoint-120/sft_train run/sft_train/other
    equal 'ls: checkpoints are listed by step, with whether they are complete' \
        "$(sft-ckpt ls run | cut -f1,2 | tr '\t\n' ' ;')" \
        '20 complete;100 complete;120 incomplete;'
    equal "ls: a slash at the end of the folder's name changes nothing" \
        "$(sft-ckpt ls run/sft_train)" "$(sft-ckpt ls run/sft_train/)"
    equal 'ls: --json tells which checkpoints are complete' \
        "$(sft-ckpt ls --json run | jq -sc "map(.complete)")" '[true,true,false]'
    check 'verify: a complete checkpoint exits with 0' sft-ckpt verify run/sft_train/checkpoint-100
    check 'verify: two checkpoints are taken in one call' sft-ckpt verify \
        run/sft_train/checkpoint-{20,100}
    equal 'show: a checkpoint is a model' \
        "$(sft-ckpt show run/sft_train/checkpoint-20 | tail -n 1 | cut -f1)" '20 tensors'
    check 'verify: a checkpoint with named templates is made' "$make" make named 1 t
    same 'verify: the checkpoint has the named templates' t/$more/tool_use.jinja \
        named/checkpoint-1/sft_train/$more/tool_use.jinja
    check 'verify: a checkpoint with named templates exits with 0' sft-ckpt verify \
        named/checkpoint-1
    echo t >named/checkpoint-1/sft_train/$more/tool_use.jinja
    fails 'verify: a changed named template is found' 65 "$more/tool_use.jinja: damaged" sft-ckpt \
        verify named/checkpoint-1
    rm named/checkpoint-1/sft_train/$more/tool_use.jinja
    fails 'verify: a missing named template is found' 65 "$more/tool_use.jinja" sft-ckpt verify \
        named/checkpoint-1
    check 'diff: a checkpoint equals the model that it was made of' sft-ckpt diff a \
        run/sft_train/checkpoint-100
    d=run/sft_train/checkpoint-100/sft_train
    damage $d/model.safetensors 9000 X
    fails 'verify: a damaged file is named' 65 'sft_train/model.safetensors: damaged' sft-ckpt \
        verify run/sft_train/checkpoint-100
    equal 'ls: a damaged file of the right size leaves the checkpoint complete' \
        "$(sft-ckpt ls run | grep -cw complete)" 2
    truncate -s -1 $d/model.safetensors
    fails 'verify: a file cut short is named' 65 'model.safetensors: has' sft-ckpt verify \
        run/sft_train/checkpoint-100
    equal 'ls: a file of another size makes the checkpoint incomplete' \
        "$(sft-ckpt ls run | grep -c incomplete)" 2
    sed -i 's/"step": 20/"step": 21/' run/sft_train/checkpoint-20/sft_train/manifest.json
    fails 'verify: an edited manifest is found by its own hash' 65 'manifest.json: its own hash' \
        sft-ckpt verify run/sft_train/checkpoint-20
else
    not_ok 'ls: the test has a program to make checkpoints with' "no $make to make checkpoints with"
fi
fails 'verify: a folder without a manifest is refused' 66 'manifest.json' sft-ckpt verify a
fails 'ls: a missing folder is refused' 66 'none' sft-ckpt ls none

# ---- convert ----
printf 'GGUF\3\0\0\0' >cut.gguf
fails 'convert: a GGUF file cut short is refused' 65 'cut.gguf' sft-ckpt convert --from gguf \
    cut.gguf -o x
fails 'convert: a file that is no GGUF file is refused' 65 'not a GGUF file' sft-ckpt convert \
    config.json -o x
fails 'convert: a format that is not supported is refused' 64 'gguf' sft-ckpt convert --from onnx \
    cut.gguf -o x
fails 'convert: a missing file is refused' 66 'none.gguf' sft-ckpt convert none.gguf -o x
gguf=${SFT_SMOLLM2_GGUF:-$O/demo/SmolLM2-135M-Instruct.Q4_1.gguf}
if [ -e "$gguf" ]; then
    check "convert: SmolLM2's GGUF file becomes a model folder" sft-ckpt convert --from gguf \
        "$gguf" -o smol
    equal "convert: the folder has the model's and the tokenizer's files" \
        "$(ls smol | tr '\n' ' ')" \
        "$(printf '%s ' config.json generation_config.json model.safetensors \
            special_tokens_map.json tokenizer.json tokenizer_config.json)"
    equal 'convert: the model has all its parameters' \
        "$(sft-ckpt show smol | tail -n 1 | cut -f2)" '134515008 parameters'
    fails 'convert: a folder that exists is refused' 73 'smol: exists already' sft-ckpt convert \
        "$gguf" -o smol
    head -c 50000000 "$gguf" >half.gguf
    fails 'convert: half of a real file is refused' 65 'half.gguf: tensor .*cut short' sft-ckpt \
        convert half.gguf -o x
else
    skip "convert: SmolLM2's GGUF file becomes a model folder" \
        'no GGUF file; make demo downloads it'
fi
equal 'convert: a refusal leaves no file' "$(ls -A | grep -c -e '^x' -e tmp)" 0

# ---- merge ----
golden=$root/tests/golden/peft
check 'merge: an adapter and its base become a model in bf16' sft-ckpt merge "$golden/rslora/base" \
    "$golden/rslora/adapter" -o merged
check "merge: the bf16 model equals peft's bit for bit" sft-ckpt diff merged "$golden/rslora/merged"
same "merge: the model has the base's configuration" merged/config.json \
    "$golden/rslora/base/config.json"
check 'merge: an adapter and its base become a model in fp32' sft-ckpt merge "$golden/list/base" \
    "$golden/list/adapter" -o merged32
equal "merge: the fp32 model is within the last bit of peft's" \
    "$(sft-ckpt diff merged32 "$golden/list/merged" | awk '$3 > 2e-7')" ''
equal 'merge: the model differs from its base in each adapted tensor' \
    "$(sft-ckpt diff merged32 "$golden/list/base" | wc -l)" 6
mkdir -p step/checkpoint-3 && cp -r "$golden/list/adapter" step/checkpoint-3/sft_train
equal 'show: an adapter of a checkpoint has its matrices' \
    "$(sft-ckpt show step/checkpoint-3 | tail -n 1 | cut -f1)" '12 tensors'
check 'merge: the adapter may be a checkpoint' sft-ckpt merge "$golden/list/base" \
    step/checkpoint-3 -o merged3
check 'merge: a checkpoint gives the same model as its adapter' sft-ckpt diff merged32 merged3
cp -r "$golden/list/base" base && cp tok/tokenizer.json base/ && mkdir base/$more
echo B >base/$more/base.jinja && echo B >base/chat_template.jinja
check 'merge: a base with a tokenizer is taken' sft-ckpt merge base step/checkpoint-3 -o merged4
same "merge: the model has the base's named templates" base/$more/base.jinja \
    merged4/$more/base.jinja
cp -r step/checkpoint-3/sft_train own && cp -r tok/tokenizer.json tok/$more own/
check 'merge: an adapter with a tokenizer of its own is taken' sft-ckpt merge base own -o merged5
same "merge: the model has the adapter's named templates" own/$more/tool_use.jinja \
    merged5/$more/tool_use.jinja
equal 'merge: the model has no template of the base then' \
    "$(ls -d merged5/*/base.jinja merged5/chat_template.jinja 2>/dev/null)" ''
fails 'merge: a folder that exists is refused' 73 'exists already' sft-ckpt merge \
    "$golden/list/base" step/checkpoint-3 -o merged3
fails 'merge: a model in the place of the adapter is refused' 66 'a: no adapter' sft-ckpt merge a \
    a -o x
fails 'merge: an adapter of another base is refused' 65 'tensor base_model.*has shape.*down_proj' \
    sft-ckpt merge a step/checkpoint-3 -o x
fails 'merge: a call with one folder is refused' 64 'too few operands' sft-ckpt merge a -o x
fails 'merge: a call without -o is refused' 64 'where to' sft-ckpt merge a step/checkpoint-3
cp -r step/checkpoint-3/sft_train dora && edit dora/adapter_config.json '.use_dora = true'
fails 'merge: an adapter of a kind that is not supported is refused' 65 'use_dora' sft-ckpt merge \
    "$golden/list/base" dora -o x
equal 'merge: a refusal leaves no file' "$(ls -A | grep -c -e '^x' -e tmp)" 0

# ---- the command itself ----
fails 'sft-ckpt: a call without a verb is refused' 64 'what to do' sft-ckpt
fails 'sft-ckpt: a misspelt verb names the nearest' 64 'did you mean verify' sft-ckpt verfy a
fails 'sft-ckpt: an unknown option is refused' 64 'jsn' sft-ckpt show --jsn a
check 'sft-ckpt: --help exits with 0' sft-ckpt --help
equal 'sft-ckpt: the help of a verb begins with its usage' "$(sft-ckpt diff --help | head -n 1)" \
    'usage: sft-ckpt diff [options] A B'
if [ -c /dev/full ]; then
    sft-ckpt show a >/dev/full 2>err; rc=$?
    equal 'show: a full disk under standard output is an I/O error' $rc 74
fi
exit $bad
