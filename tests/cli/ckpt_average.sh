#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# sft-ckpt average: the means of models and of adapters against a computation of their own, and the
# inputs that have none.
source "$(dirname "$0")/../train.sh"

# made DIR SEED [OPTION...]: a model with random weights, which are not those of other seeds
made() { sft-ckpt init -q small.json -o "$1" --seed "$2" "${@:3}"; }
jq '.num_hidden_layers = 2 | .hidden_size = 64 | .vocab_size = 256' \
    "$root/examples/random-model.json" >small.json
for seed in 1 2 3; do
    made "b$seed" $seed --tokenizer "$root/share/tiny-tokenizer"
    made "f$seed" $seed --dtype fp32
done

# data FILE BYTES: prints the elements of all tensors, each of so many bytes, as whole numbers
data() {
    local n
    n=$(od -An -tu8 -N8 "$1" | tr -d ' ')
    od -An -v -tu"$2" -w"$2" -j $((8 + n)) "$1"
}
# mean BITS FILE...: prints the means of the files' lines, numbers of data(), as such numbers. BITS:
# the bits of a fraction. Each mean is computed in awk's fp64 and rounded to the nearest, ties to
# even.
mean() {
    paste "${@:2}" | awk -v bits="$1" '
        function decode(u,  e, sign) {
            sign = u >= top ? -1 : 1; u %= top
            e = int(u / one)
            return sign * (e ? (one + u % one) * 2 ^ (e - 127 - bits) : u * 2 ^ (-126 - bits))
        }
        function encode(v,  e, u, low) {
            u = v < 0 ? top : 0; v = v < 0 ? -v : v
            if (v == 0) return u
            e = 0
            while (v >= 2 ^ (e + 1)) e++
            while (v < 2 ^ e && e > -126) e--
            v /= 2 ^ (e - bits); low = int(v)
            if (v - low > 0.5 || (v - low == 0.5 && low % 2)) low++
            return low >= one ? u + (e + 126) * one + low : u + low
        }
        BEGIN { one = 2 ^ bits; top = 256 * one }
        { sum = 0; for (i = 1; i <= NF; i++) sum += decode($i); printf "%.0f\n", encode(sum / NF) }'
}
# numbers MODEL BYTES: writes the model's elements to the file MODEL.txt
numbers() { data "$1/model.safetensors" "$2" | tr -d ' ' >"$1.txt"; }

# ---- models ----
check 'mean: three bf16 models have one' sft-ckpt average b1 b2 b3 -o bf16
for m in b1 b2 b3 bf16; do numbers $m 2; done
mean 7 b{1,2,3}.txt >wanted
check 'mean: the test has as many bf16 weights as the model' \
    [ "$(wc -l <wanted)" -eq "$(sft-ckpt show --json b1 | jq .parameters)" ]
same 'mean: each bf16 weight is the rounded mean of the three' wanted bf16.txt
check 'mean: three fp32 models have one' sft-ckpt average -q f1 f2 f3 -o fp32
for m in f1 f2 f3 fp32; do numbers $m 4; done
mean 23 f{1,2,3}.txt >wanted
same 'mean: each fp32 weight is the rounded mean of the three' wanted fp32.txt
check 'mean: a model has one with itself' sft-ckpt average b1 b1 b1 -o self
equal 'mean: that of a model with itself is the model, file by file' "$(diff -r b1 self 2>&1)" ''
equal 'mean: the configuration and the tokenizer are those of the first' \
    "$(diff -rq b1 bf16 2>&1)" 'Files b1/model.safetensors and bf16/model.safetensors differ'

# The same weights in three files, each filled in order up to 40 % of the bytes.
cut=$(sft-ckpt show --json f1 | jq -c '(.bytes * 0.4) as $most |
    reduce .tensors[] as $t ({file: 1, bytes: 0, map: {}};
        if .bytes + $t.bytes > $most then .file += 1 | .bytes = 0 else . end |
        .bytes += $t.bytes | .map[$t.name] = "s-\(.file - 1)") | .map')
equal 'files: the test divides the weights into three' "$(jq '[.[]] | unique | length' <<<"$cut")" 3
split() { # split MODEL: divides its tensors, in file order, into these files
    local from=$1/model.safetensors n part names begin end
    n=$(od -An -tu8 -N8 "$from" | tr -d ' ')
    mkdir "$1.split" && cp "$1/config.json" "$1.split"
    tail -c +9 "$from" | head -c "$n" | jq -c 'del(.__metadata__)' >"$T/header"
    for part in 0 1 2; do
        names=$(jq -c --arg s "s-$part" '[to_entries[] | select(.value == $s) | .key]' <<<"$cut")
        begin=$(jq --argjson n "$names" '[.[$n[]].data_offsets[0]] | min' "$T/header")
        end=$(jq --argjson n "$names" '[.[$n[]].data_offsets[1]] | max' "$T/header")
        jq -c --argjson n "$names" --argjson b "$begin" 'with_entries(select([.key] | inside($n))) |
            map_values(.data_offsets |= map(. - $b))' "$T/header" | tr -d '\n' >"$T/part"
        { printf "\\x$(printf %02x $(($(wc -c <"$T/part") % 256)))" &&
            printf "\\x$(printf %02x $(($(wc -c <"$T/part") / 256)))" && printf '\0\0\0\0\0\0' &&
            cat "$T/part" && tail -c +$((9 + n + begin)) "$from" | head -c $((end - begin))
        } >"$1.split/model-0000$((part + 1))-of-00003.safetensors"
    done
    jq '{metadata: {}, weight_map: map_values(
        "model-0000\(.[2:] | tonumber + 1)-of-00003.safetensors")}' \
        <<<"$cut" >"$1.split/model.safetensors.index.json"
}
split f1
check 'files: a model in three files is the model' sft-ckpt diff f1 f1.split
check 'files: it has a mean with one in one file' sft-ckpt average f1.split f2 f3 -o three
check 'files: that mean is that of the models in one file' sft-ckpt diff fp32 three
equal 'files: the tensors are divided as in the first' \
    "$(jq -Sc .weight_map three/model.safetensors.index.json)" \
    "$(jq -Sc .weight_map f1.split/model.safetensors.index.json)"

# ---- memory ----
# bounded COMMAND...: with 24 MB of memory beside the mapped files; the sanitizers take more
bounded() { (sanitized || ulimit -d 24000; exec "$@"); }
jq '.vocab_size = 32768' small.json >wide.json && sft-ckpt init -q wide.json --dtype fp32 -o w
check 'memory: the program alone has enough' bounded sft-ckpt show w
check 'memory: the test has a tensor of 8 MB, which six models have' \
    [ "$(sft-ckpt show --json w | jq '[.tensors[].bytes] | max')" -ge 8000000 ]
check 'memory: it does not grow with models or tensors' bounded sft-ckpt average w w w w w w -o wide
check 'memory: the mean is right' sft-ckpt diff w wide
rm -r w wide

# ---- models without a mean ----
fails 'input: a single model is refused' 64 'too few operands' sft-ckpt average b1 -o x
fails 'output: a call without -o is refused' 64 'where to' sft-ckpt average b1 b2
fails 'output: a folder that exists is refused' 73 'self: exists already' \
    sft-ckpt average b1 b2 -o self
fails 'input: a missing model is refused' 66 'none' sft-ckpt average b1 none -o x
fails 'input: weights of another type are refused' 65 \
    'tensor model.embed_tokens.weight: its type is BF16 in b1 and F32 in f2$' \
    sft-ckpt average b1 b3 f2 -o x
jq '.intermediate_size = 40' small.json >other.json && sft-ckpt init -q other.json -o other
fails 'input: another configuration is refused' 65 \
    'config.json: intermediate_size is [0-9]* in b1 and 40 in other$' sft-ckpt average b1 other -o x
cp -r other hidden && cp b1/config.json hidden
fails 'input: another shape under the same configuration is refused' 65 \
    'tensor model.layers.0.mlp.[a-z]*_proj.weight: its shape is .* in b1 and .*40.* in hidden$' \
    sft-ckpt average b1 hidden -o x
jq '.num_hidden_layers = 1' small.json >other.json && sft-ckpt init -q other.json -o fewer
cp b1/config.json fewer
fails 'input: a model with fewer tensors is refused' 65 \
    'fewer: has no tensor model.layers.1.*b1 has' sft-ckpt average b1 fewer -o x
fails 'input: a model with more tensors is refused' 65 \
    'fewer: has no tensor model.layers.1.*b1 has' sft-ckpt average fewer b1 -o x
cp -r b2 nan && fill nan/model.safetensors model.layers.1.mlp.up_proj.weight 5 1 '\xc0\x7f'
fails 'input: a weight that is not finite is refused' 65 \
    'nan/model.safetensors: tensor model.layers.1.mlp.up_proj.weight: element 5 is not finite' \
    sft-ckpt average b1 nan -o x
limited() { (trap '' XFSZ; ulimit -f 10; exec "$@"); }
fails 'output: a disk that is full half-way is an I/O error' 74 'model.safetensors.*too large' \
    limited sft-ckpt average b1 b2 -o x
equal 'output: a refusal leaves no file' "$(ls -A | grep -c -e '^x' -e tmp)" 0

# ---- adapters ----
golden=$root/tests/golden/peft
cp -r "$golden/list/adapter" a1 && cp -r a1 a2 && cp "$root/share/tiny-tokenizer"/* a1
sed -i 's/"peft_type"/ "peft_type"/' a1/adapter_config.json
end=$(stat -c %s a2/adapter_model.safetensors)
damage a2/adapter_model.safetensors $((end - 4)) '\0\0\0\x40' # the last weight becomes 2
check 'adapters: two have a mean' sft-ckpt average a1 a2 -o adapter
for m in a1 a2 adapter; do data $m/adapter_model.safetensors 4 | tr -d ' ' >$m.txt; done
mean 23 a1.txt a2.txt >wanted
same 'adapters: each matrix is the mean of the two' wanted adapter.txt
equal "adapters: the configuration's text and the tokenizer are those of the first" \
    "$(diff -rq a1 adapter 2>&1)" \
    'Files a1/adapter_model.safetensors and adapter/adapter_model.safetensors differ'
check 'adapters: the mean is merged' sft-ckpt merge "$golden/list/base" adapter -o whole
cp -r a2 rank && edit rank/adapter_config.json '.lora_alpha = 3'
fails 'adapters: another alpha is refused' 65 'lora_alpha is [0-9]* in a1 and 3 in rank$' \
    sft-ckpt average a1 rank -o x
fails 'adapters: one of other layers is refused' 65 'has no tensor base_model|lora_alpha|: r is' \
    sft-ckpt average a1 "$golden/rslora/adapter" -o x
fails 'adapters: a model among them is refused' 65 'a1 is an adapter, b1 is a model' \
    sft-ckpt average a1 b1 -o x
exit $bad
