#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# sft-ckpt convert --to gguf: small models against the files that llama.cpp's own programs made of
# them (tests/golden/hf/gguf_export), the way back, and what is refused.
source "$(dirname "$0")/../cli.sh"
root=$PWD
golden=$root/tests/golden/hf/gguf_export
tiny=$root/share/tiny-tokenizer
cd "$T" || exit 70
to_gguf() { sft-ckpt convert -q --to gguf "$@"; }

# ---- llama.cpp's files ----
# listed AREA TYPE FILE: the golden listing of this type is what the file has. Keys that llama.cpp's
# converter leaves out in some families, and the model's name, may be there besides.
listed() {
    local want
    want=$(sed -n "s/^$2\t//p" "$golden/$family.tsv")
    "$O/test/gguf_export" list "$3" >list
    equal "$1: $family in $2 has llama.cpp's values and tensors" "$(grep -vxFf list <<<"$want")" ''
}
for family in llama mistral qwen2 qwen3; do
    sft-ckpt init -q "$golden/$family.json" --tokenizer "$tiny" --seed 7 -o $family
    for type in f32 f16 bf16 q8_0 q4_0 q6_k q4_k; do
        to_gguf --type $type -o $family-$type.gguf $family
        listed gguf $type $family-$type.gguf
    done
    tensors=$(grep -c "^f32.[^ ]*weight\|^f32.[^ ]*bias" "$golden/$family.tsv")
    equal "gguf: $family has no other tensors" "$(grep -c 'weight\|bias' list)" "$tensors"
done

# ---- and back ----
for family in llama mistral qwen2 qwen3; do
    sft-ckpt convert -q $family-f32.gguf -o $family-back
    check "back: $family has the same tensors" sft-ckpt diff $family $family-back
done
# values FILE: the metadata of a GGUF file, but for the model's name
values() { "$O/test/gguf_export" list "$1" | grep -v '^general.name'; }
# again NAME FILE DIR: the folder becomes that file again: so its numbers and tokens are the same
again() {
    to_gguf --type "${2##*-}" -o again.gguf "$3"
    equal "$1" "$(diff <(values "$2.gguf") <(values again.gguf))" ''
}
for family in llama mistral qwen2 qwen3; do
    again "back: $family has the same configuration and tokenizer" $family-f32 $family-back
done
for key in '"rope_type": "llama3"' '"factor": 8.0' '"low_freq_factor": 1.0' '"vocab_size": 1664' \
    '"original_max_position_embeddings": 8192' '"head_dim": 16' '"tie_word_embeddings": true'; do
    check "back: config.json of a llama has $key" grep -q "$key" llama-back/config.json
done
printf '%s\n' '{"q":"It is 3.14, <|im_start|>naïve 12\n\n x","a":"日本 42"}' >rows.jsonl
# ids DIR: the tokens of the row
ids() {
    sft-tokenize -q -m "$1" --prompt-key q --response-key a rows.jsonl | sft-view | cut -d, -f2-
}
equal 'back: the tokenizer encodes alike' "$(ids qwen2-back)" "$(ids qwen2)"
for type in f16 q8_0 q4_0 q4_k q6_k; do
    check "back: a file in $type becomes a folder" \
        sft-ckpt convert -q llama-$type.gguf -o back-$type
done

# ---- a tokenizer of SentencePiece's form ----
sft-ckpt init -q "$golden/llama.json" --tokenizer "$golden/spm" --seed 7 -o spm
family=spm
to_gguf --type f32 -o spm-f32.gguf spm
listed gguf f32 spm-f32.gguf
sft-ckpt convert -q spm-f32.gguf -o spm-back
check "back: SentencePiece's form has the same tensors" sft-ckpt diff spm spm-back
again "back: SentencePiece's form has the same configuration and tokenizer" spm-f32 spm-back
# part DIR FILTER: what jq finds in its tokenizer.json
part() { jq -cS "$2" "$1/tokenizer.json"; }
equal 'back: its merges are those that transformers makes of the scores' \
    "$(part spm-back .model.merges | sha256sum)" "$(part spm .model.merges | sha256sum)"
settings='[.normalizer, .pre_tokenizer, .decoder, .added_tokens, (.model | del(.vocab, .merges))]'
equal 'back: its other settings too' "$(part spm-back "$settings")" "$(part spm "$settings")"
equal 'back: its tokens have their ids, the added one among them' \
    "$(part spm-back .model.vocab)" "$(part spm '.model.vocab + {"<tool>": 900}')"
check 'back: its chat template comes along' grep -q "bos_token + '\[' + m" \
    spm-back/tokenizer_config.json
printf '%s\n' 'The file is here.' ' two  spaces   and    more' 'x<s>y </s> <unk><tool> z' \
    'naïve café 日本 42 😀 é ก▁▁ ▁' '<0x41> <0x' '' ' ' '                                        x' \
    $'\ttabs\t\tand\v' '[PAD901] [PAD' >texts
# like AREA DIR OTHER: the tokenizers of both folders make the same ids of texts, and the texts of
# the rows, which have several lines
like() {
    equal "$1: both make the same ids of lines" "$(sft-tokenize --ids -m "$2" texts)" \
        "$(sft-tokenize --ids -m "$3" texts)"
    equal "$1: both make the same ids of rows" "$(ids "$2")" "$(ids "$3")"
}
like 'back, a space before texts' spm-back spm
sft-ckpt convert -q -t "$tiny" spm-f32.gguf -o spm-other
same 'back: --tokenizer has precedence over the file' "$tiny/tokenizer.json" \
    spm-other/tokenizer.json
"$O/test/hf_convert" make apart.gguf apart
sft-ckpt convert apart.gguf -o apart 2>err
check 'back: tokens with one score are told' grep -q \
    'apart.gguf: 2 tokens have the score of another: .* llama.cpp joins the first in the text' err
check 'back: a token with a character that is none is told' grep -q \
    'apart.gguf: 1 token begins or ends with a character that is no token' err
sft-ckpt convert spm-f32.gguf -o spm-quiet 2>err
equal 'back: nothing is told of a usual vocabulary' "$(cat err)" \
    'sft-ckpt: spm-quiet: written from spm-f32.gguf'
# spelled FILTER: a copy of that model whose tokenizer.json is edited with jq
spelled() { rm -rf m; cp -r spm m; jq -c "$1" spm/tokenizer.json >m/tokenizer.json; }
meta='.normalizer = null | .pre_tokenizer = {type: "Metaspace", replacement: "▁", '
meta+='prepend_scheme: $scheme, split: false}'
# space NAME SCHEME TOLD SWITCH: with that scheme of Metaspace, the command tells of the space and
# the file has that switch
space() {
    spelled "\"$2\" as \$scheme | $meta"
    [ -z "${bare:-}" ] ||
        jq 'del(.chat_template)' spm/tokenizer_config.json >m/tokenizer_config.json
    sft-ckpt convert --to gguf --type f32 -o j.gguf m 2>err
    equal "$1" \
        "$(grep -oE 'llama.cpp puts [^,;]*' err) $(values j.gguf | grep add_space_prefix)" \
        "$3 tokenizer.ggml.add_space_prefix"$'\t'"BOOL $4"
}
space 'space: one before the first text alone is none in chats' first \
    'llama.cpp puts no space before a text that begins with a word' 0
space 'space: one before each text that begins with none is told' always \
    'llama.cpp puts a space before a text that begins with one' 1
space 'space: none is none' never '' 0
sft-ckpt convert -q j.gguf -o never
like 'back, no space before texts' never m
bare=1 space 'space: one before the first text alone is one where there are no chats' first \
    'llama.cpp puts a space behind each special token' 1
spelled '.added_tokens[-1].normalized = true'
sft-ckpt convert --to gguf -o j.gguf m 2>err
check 'space: a token that is looked for behind the first space is told' \
    grep -q 'cannot say .* normalized of 1 added' err
spelled '.post_processor.single += [{SpecialToken: {id: "</s>", type_id: 0}}]'
to_gguf --type f32 -o behind.gguf m
sft-ckpt convert -q behind.gguf -o behind
equal 'back: a token behind every text stays there' "$(part behind .post_processor.single)" \
    "$(part m .post_processor.single)"
spelled '.model.merges |= map(if type == "array" then join(" ") else . end)'
to_gguf --type f32 -o j.gguf m
equal 'gguf: merges of both spellings make the same scores' \
    "$(diff <(values spm-f32.gguf) <(values j.gguf))" ''

# ---- the command ----
wanted='{"output":"j.gguf","inputs":["llama"],"type":"Q4_K","tensors":21,"parameters":229696,'
wanted+='"bytes":N,"fallbacks":[{"wanted":"Q6_K","got":"Q8_0","row":64,"tensors":1},'
wanted+='{"wanted":"Q4_K","got":"Q5_0","row":64,"tensors":12}]}'
sft-ckpt convert -q --json --to gguf --type q4_k -o j.gguf llama >json
equal 'command: the result is told as JSON' "$(sed 's/"bytes":[0-9]*/"bytes":N/' json)" "$wanted"
equal 'command: with the size of the file' "$(grep -o '"bytes":[0-9]*' json)" \
    "\"bytes\":$(stat -c %s j.gguf)"
same 'command: the output depends only on the input' j.gguf llama-q4_k.gguf
sft-ckpt convert -q -@ 1 --to gguf --type q4_k -o j.gguf llama
same 'command: and not on the number of threads' j.gguf llama-q4_k.gguf
sft-ckpt convert -q --to gguf -o - llama >j.gguf
same 'command: standard output takes a file, in bf16 by default' j.gguf llama-bf16.gguf
sft-ckpt convert --to gguf --type q4_k -o j.gguf llama 2>err
check 'command: tensors of another type are counted' grep -q \
    'rows of 64 elements are not whole blocks of Q4_K: 12 tensors are Q5_0 instead' err
edit() { # edit NAME SCRIPT...: a copy of the model whose config.json is edited with sed
    rm -rf "$1"
    cp -r llama "$1"
    sed -i "${@:2}" "$1/config.json"
}
cp -r mistral window
sed -i 's/"sliding_window": null/"sliding_window": 1024/' window/config.json
sft-ckpt convert --to gguf -o j.gguf window 2>err
check 'command: a window that is lost is told' \
    grep -q 'no sliding window.*more than 1024 tokens' err

# ---- refusals ----
fails 'refused: a command line without an output' 64 'where to.*-o FILE' \
    sft-ckpt convert --to gguf llama
fails 'refused: both directions in one command' 64 'not both' \
    sft-ckpt convert --from gguf --to gguf -o x llama
fails 'refused: a type of weights without --to' 64 '--to gguf' \
    sft-ckpt convert --type f16 -o x llama-f32.gguf
fails 'refused: another tokenizer with --to' 64 '--from gguf' \
    sft-ckpt convert --to gguf -t llama -o x llama
fails 'refused: a type that is not known' 64 'q4_k' \
    sft-ckpt convert --to gguf --type q5_1 -o x llama
fails 'refused: a format that is not known' 64 'gguf' sft-ckpt convert --to onnx -o x llama
fails 'refused: a folder that is missing' 66 'nowhere' to_gguf -o x nowhere
fails 'refused: an adapter, with the verb that merges it' 65 'merge it .*sft-ckpt merge' \
    to_gguf -o x "$root/tests/golden/peft/list/adapter"
edit m 's/"llama"/"gemma2"/'
rm m/tokenizer.json
fails 'refused: another family, by name' 65 'model_type gemma2.*llama, mistral, qwen2 and qwen3' \
    to_gguf -o x m
edit m 's/"silu"/"gelu"/'
fails 'refused: an activation other than silu' 65 'm/config.json: hidden_act gelu' to_gguf -o x m
edit m 's/"llama3"/"dynamic"/'
fails 'refused: a rotary scaling that llama.cpp has not' 65 'rope_scaling dynamic' to_gguf -o x m
edit m 's/"vocab_size": *1664/"vocab_size": 1600/'
fails 'refused: more tokens than rows' 65 'shape|no row' to_gguf -o x m
edit m 's/x/x/'
rm m/model.safetensors
fails 'refused: a folder without weights' 66 'm' to_gguf -o x m
edit m 's/x/x/'
rm m/tokenizer*
fails 'refused: a folder without a tokenizer' 66 'm' to_gguf -o x m
# splits EXPRESSION: edits the tokenizer with sed, in a fresh copy of the model
splits() { edit m 's/x/x/'; sed -i "$1" m/tokenizer.json; }
splits 's/{"type":"NFC"}/{"type":"NFKC"}/'
fails 'refused: a normalizer that GGUF does not name' 65 \
    'm/tokenizer.json: no pre-tokenizer that GGUF names.*"NFKC"' to_gguf -o x m
splits 's/|\\\\p{N}|/|\\\\p{N}+|/'
fails 'refused: a pattern that GGUF does not name' 65 'm/tokenizer.json: .*qwen2 and tekken' \
    to_gguf -o x m
splits 's/"id":2,"content"/"id":1,"content"/'
fails 'refused: two tokens with one id' 65 'm/tokenizer.json|m: ' to_gguf -o x m
spelled '.model.merges |= .[1:]'
fails 'refused: a vocabulary that llama.cpp would merge further' 65 \
    'm/tokenizer.json: model: token [0-9]+ ".*": .* in two parts' to_gguf -o x m
spelled '.model.merges += [["<0x41>", "<0x42>"]] | .model.vocab["<0x41><0x42>"] = 901'
fails 'refused: a merge of bytes' 65 'merge [0-9]+ joins the token of a byte' to_gguf -o x m
spelled 'del(.model.vocab["<0x41>"])'
fails 'refused: bytes without tokens' 65 'has 255 of the tokens <0x00> to <0xFF>' to_gguf -o x m
spelled '.model.ignore_merges = true'
fails 'refused: whole words before merges' 65 'with byte_fallback.*ignore_merges' to_gguf -o x m
spelled '.normalizer = {type: "NFKC"}'
fails "refused: a normalizer that SentencePiece's form lacks" 65 'with byte_fallback.*"NFKC"' \
    to_gguf -o x m
spelled '.model.type = "Unigram"'
fails 'refused: a model that is no BPE' 65 'm/tokenizer.json.*Unigram' to_gguf -o x m
behind='{"type":"TemplateProcessing","single":[{"Sequence":{"id":"A","type_id":0}},'
behind+='{"SpecialToken":{"id":"<|im_start|>","type_id":0}}],"pair":[],"special_tokens":{}}'
splits "s/\"post_processor\":null/\"post_processor\":$behind/"
fails 'refused: a token behind every text' 65 'post_processor: puts "<|im_start|>"' to_gguf -o x m
cp -r llama-back extra
printf 'x' >>extra/model.safetensors
fails 'refused: weights whose file is damaged' 65 'extra/model.safetensors' to_gguf -o x extra
# A limit on the size of files stands for a full disk: the write fails half-way.
echo old >kept.gguf
fails 'disk: a full one is an I/O error' 74 'kept.gguf' \
    bash -c 'ulimit -f 100; exec sft-ckpt convert -q --to gguf -o kept.gguf llama'
equal 'disk: the file of that name is as it was' "$(cat kept.gguf)" old
equal 'disk: no part of a file is left' "$(ls -A | grep -c -e '^x$' -e 'kept.gguf.' -e tmp)" 0

# ---- a real model ----
real=${SFT_SMOLLM2:-$O/demo/SmolLM2-135M-Instruct}
if [ -e "$real/config.json" ]; then
    to_gguf --type bf16 -o smol.gguf "$real"
    sft-ckpt convert -q smol.gguf -o smol
    check 'real: SmolLM2 comes back with the same tensors' sft-ckpt diff "$real" smol
    mv smol.gguf smol-bf16.gguf
    again 'real: SmolLM2 comes back with the same configuration' smol-bf16 smol
    cp "$root/examples/data/validation.json" .
    same_ids() {
        sft-tokenize -q -m "$1" --prompt-key instruction --response-key output validation.json |
            sft-view --checksum
    }
    equal 'real: SmolLM2 comes back with a tokenizer that encodes alike' "$(same_ids smol)" \
        "$(same_ids "$real")"
else
    skip 'real: SmolLM2 comes back with the same tensors' 'no model; make demo downloads it'
fi
exit $bad
