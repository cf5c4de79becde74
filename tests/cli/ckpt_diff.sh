#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# sft-ckpt diff by norms, against a computation of their own, and --json of every verb.
source "$(dirname "$0")/../train.sh"

jq '.num_hidden_layers = 3 | .hidden_size = 64 | .vocab_size = 256' \
    "$root/examples/random-model.json" >small.json
for seed in 1 2; do sft-ckpt init -q small.json --dtype fp32 -o m$seed --seed $seed; done
# b is m1 but for three tensors.
cp -r m1 b
# scaled TENSOR N: writes the tensor's values of m1, times 2 ^ N, to b: N is added to each exponent.
scaled() {
    local at n
    at=$(tensor_at b/model.safetensors "$1")
    n=$(sft-ckpt show --json b | jq ".tensors[] | select(.name == \"$1\").bytes")
    od -An -v -tu4 -w4 -j "$at" -N "$n" m1/model.safetensors | LC_ALL=C awk -v f="$2" '
        { u = $1 + f * 8388608; printf "%c%c%c%c", u % 256, u / 256 % 256, u / 65536 % 256,
            u / 16777216 }' | dd of=b/model.safetensors oflag=seek_bytes seek="$at" \
        conv=notrunc status=none
}
up=model.layers.0.mlp.up_proj.weight q=model.layers.2.self_attn.q_proj.weight
k=model.layers.2.self_attn.k_proj.weight
scaled $up 1
scaled $q 1
cp -r b c
at=$(tensor_at b/model.safetensors $k)
damage b/model.safetensors "$at" '\0\0\x80\x3f' # the first weight of k becomes 1

# values MODEL TENSOR: prints the tensor's values
values() {
    od -An -v -tf4 -w4 -j "$(tensor_at "$1/model.safetensors" "$2")" -N "$(
        sft-ckpt show --json "$1" | jq ".tensors[] | select(.name == \"$2\").bytes")" \
        "$1/model.safetensors"
}
# norm TENSOR...: prints |a - b| / |a| of the tensors of m1 and b together
norm() {
    local t
    for t; do paste <(values m1 "$t") <(values b "$t"); done |
        awk '{ d += ($1 - $2) ^ 2; n += $1 ^ 2 } END { printf "%.9g\n", sqrt(d / n) }'
}
column() { cut -f "$1" | paste -sd' '; }

# ---- tensors ----
sft-ckpt diff m1 b >plain; rc=$?
equal 'tensors: models that differ exit with 1' $rc 1
equal 'tensors: those that differ come in file order' "$(column 1 <plain)" "$up $q $k"
close 'tensors: the relative difference is that of the norms' "$(cut -f4 plain)" \
    "$(norm $up; norm $q; norm $k)" 1e-5
equal 'tensors: doubled values have the relative difference 1' \
    "$(grep -e $up -e $q plain | column 4)" '1 1'
sft-ckpt diff --sort relative b m1 >sorted; rc=$?
equal 'sort: models that differ exit with 1' $rc 1
equal 'sort: the largest relative difference comes first' "$(cut -f4 sorted)" \
    "$(cut -f4 sorted | sort -gr)"
equal 'sort: it has the lines of the file order' "$(sort sorted)" "$(sft-ckpt diff b m1 | sort)"
equal 'sort: --top has the first lines' "$(sft-ckpt diff --top 2 b m1)" "$(head -n 2 sorted)"
equal 'sort: --top of more than there are has all' "$(sft-ckpt diff --top 9 b m1)" "$(cat sorted)"
fails 'sort: --top of none is refused' 64 'top' sft-ckpt diff --top 0 b m1

# ---- layers ----
sft-ckpt diff --layers m1 b >layers; rc=$?
equal 'layers: models that differ exit with 1' $rc 1
equal 'layers: those that differ come in file order' "$(column 1 <layers)" \
    'model.layers.0 model.layers.2'
of_layer() { sft-ckpt show m1 | cut -f1 | grep "^model.layers.$1\."; }
# shellcheck disable=SC2046
close 'layers: the relative difference is that of all its tensors' "$(cut -f4 layers)" \
    "$(norm $(of_layer 0); norm $(of_layer 2))" 1e-5
equal 'layers: the largest difference is that of its tensors' "$(tail -n 1 layers | cut -f3)" \
    "$(grep layers.2 plain | cut -f3 | sort -g | tail -n 1)"
check 'layers: equal models exit with 0' sft-ckpt diff --layers m1 m1
jq '.num_hidden_layers = 2 | .intermediate_size = 40' small.json >other.json
sft-ckpt init -q other.json --dtype fp32 -o other
equal 'layers: shapes and missing tensors keep lines of their own' \
    "$(sft-ckpt diff --layers m1 other | cut -f2 | sort | uniq -c | tr -s ' ' | paste -sd,)" \
    "$(sft-ckpt diff m1 other | cut -f2 | grep -v values | sort | uniq -c | tr -s ' ' |
        paste -sd,), $(sft-ckpt diff --layers m1 other | cut -f2 | grep -c values) values"
equal 'sort: values come behind the other differences, which stay in file order' \
    "$(sft-ckpt diff --top 1 m1 other | cut -f1,2)" \
    "$(sft-ckpt diff m1 other | cut -f1,2 | grep -v values
        sft-ckpt diff m1 other | sort -gr -t$'\t' -k4 | grep values | head -n 1 | cut -f1,2)"

# ---- JSON ----
sft-ckpt diff --json m1 b >out; rc=$?
equal 'json, diff: models that differ exit with 1' $rc 1
equal 'json, diff: a line has the name and both differences' \
    "$(jq -r 'select(.differs == "values") | [.name, "values", .largest, .relative] | @tsv' out)" \
    "$(cat plain)"
equal 'json, diff: equal models have no line' "$(sft-ckpt diff --json m1 m1; echo $?)" 0
sft-ckpt diff --json m1 other >out
equal 'json, diff: each shape is a list' \
    "$(jq -c 'select(.differs == "shape" and (.name | test("layers.0.mlp.up"))) |
        [.first[0], .second[0]]' out)" "[$(jq .intermediate_size small.json),40]"
equal 'json, diff: a tensor of one model tells which' \
    "$(jq -r 'select(.differs | test("only")).differs' out | sort -u)" only_first
sft-ckpt init -q small.json --dtype bf16 -o b16 --seed 1
equal 'json, diff: types have the names of the format' \
    "$(sft-ckpt diff --json m1 b16 | jq -c 'select(.differs == "type") | [.first, .second]' |
        sort -u)" '["F32","BF16"]'
damage c/model.safetensors "$at" '\0\0\xc0\x7f'
equal 'json, diff: what is not a number is null' \
    "$(sft-ckpt diff --json m1 c | jq -c 'select(.name == "'$k'") | [.largest, .relative]')" \
    '[null,null]'
equal 'sort: what is not a number comes first' "$(sft-ckpt diff --top 1 m1 c | cut -f1)" $k
# made NAME WANTED COMMAND...: the command prints one object about a new folder, with these inputs
# and the totals of `show`
made() {
    local got
    got=$("${@:3}" --json 2>/dev/null)
    equal "json, $1: the object has the inputs" "$(jq -c .inputs <<<"$got")" "$2"
    equal "json, $1: the object has the totals of the output" \
        "$(jq -c '[.tensors, .parameters, .bytes]' <<<"$got")" \
        "$(sft-ckpt show --json "$(jq -r .output <<<"$got")" |
            jq -c '[.count, .parameters, .bytes]')"
}
golden=$root/tests/golden/peft
made init '["small.json"]' sft-ckpt init small.json -o new1
made average '["m1","m2","b"]' sft-ckpt average m1 m2 b -o new2
made export '["m1"]' sft-ckpt export m1 -o new3
made merge "[\"$golden/list/base\",\"$golden/list/adapter\"]" sft-ckpt merge "$golden/list/base" \
    "$golden/list/adapter" -o new4
for step in 1 2 3; do "$O/test/ckpt" make run/sft_train $step m1 >/dev/null; done
dir=run/sft_train/checkpoint
equal 'json, verify: whole checkpoints have a line each' \
    "$(sft-ckpt verify --json $dir-{1,2} 2>/dev/null | jq -c '[.path, .whole]' | paste -sd' ')" \
    "[\"$dir-1\",true] [\"$dir-2\",true]"
flip $dir-2/sft_train/model.safetensors 9000
sft-ckpt verify -q --json $dir-{1,2,3} >out 2>err; rc=$?
equal 'json, verify: a damaged one ends the list with its problem' \
    "$rc $(jq -c '[.whole, .problem]' out | paste -sd' ')" \
    "65 [true,null] [false,\"$(sed 's/^sft-ckpt: //' err)\"]"
exit $bad
