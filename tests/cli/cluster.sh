#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The table of docs/cluster.md: its plans are those of --plan, and its other columns follow from
# them by the formulas of docs/parallel.md and the rates that stand there.
source "$(dirname "$0")/../cli.sh"
doc=$PWD/docs/cluster.md
root=$PWD
cd "$T" || exit 70
# Qwen2.5-7B: config.json alone is enough for a plan.
mkdir qwen
cat >qwen/config.json <<'END'
{"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": 152064,
 "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
 "num_attention_heads": 28, "num_key_value_heads": 4, "max_position_embeddings": 32768,
 "rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "hidden_act": "silu",
 "tie_word_embeddings": false, "torch_dtype": "bfloat16"}
END
# The document's commands, each of which names a layout.
sed -n '/^```sh$/,/^```$/p' "$doc" | sed '1d; $d' >commands
check 'commands: the document has four layouts or more' \
    [ "$(grep -c '^plan [0-9]' commands)" -ge 4 ]
grep -v '^plan [0-9]' commands >definitions
grep '^plan [0-9]' commands | sed 's/^plan/layout/' >layouts
source ./definitions
mkdir -p examples && ln -s "$root/examples/qwen2.5-7B-sft_megatron" examples/
sft-train() { command sft-train -q "$@" pretrain=./qwen --json; }
# layout GPUS TP PP MICRO-BATCHES SETTING...: prints these, the GiB of the fullest rank, the bytes
# of a gradient, and the trained parameters of a rank, of the document's plan()
layout() {
    plan "$@" >plan.json
    jq -r --arg given "$1 $2 $3 $4" '.device.context as $c | .device.peers as $p |
        [., .others // empty, (.stages // [])[]] as $kinds |
        ($kinds | map(.total - (.host // 0)) | max) as $most | [$given, ($most + $c + $p) /
        1073741824, (if .classes.master.bytes > 0 then 4 else 2 end),
        .classes.weights.bytes / 2] | map(tostring) | join(" ")' plan.json
}
source ./layouts >rows
check 'commands: each layout can be planned' \
    [ "$(wc -l <rows)" -eq "$(grep -c '^plan [0-9]' commands)" ]
# The rates in the document: tokens a second of one GPU, bytes a second within a node and between
# nodes of 8. A micro-batch has 4096 tokens, all of them trained.
awk 'function other(n, R) { return R > 1 ? (R - 1) / R * n : 0 }
    function most(a, b) { return a > b ? a : b }
    {
        N = $1; tp = $2; pp = $3; m = $4; GiB = $5; g = $6; P = $7
        H = 3584; L = 28 / pp; T = 4096; c = 2; dp = N / tp / pp
        tokens = T * m * dp
        # sent by a rank in a step
        reduced = other(g * P, dp); gathered = other(c * P, dp)
        rows = T * H * (c + L * (8 + 2 * c)); head = pp == 1
        summed = m * (2 * other(rows + head * T * H * c, tp) + head * (tp - 1) * 12 * T)
        passed = pp > 1 ? m * 4 * T * H : 0
        # seconds; a dp group of more than a node sends to all ranks alike
        near = 8 / tp; if (near > dp) near = dp
        speed = 450e9
        if (N > 8) speed = 50e9 * (dp - 1) / (dp - near)
        alone = 13779 * tp * pp # tokens a second of one copy of the model
        compute = tokens / dp / alone * (1 + (pp - 1) / m)
        bare = most(0, reduced / speed - 2 / 3 * T / alone) + gathered / speed
        bare += (summed + passed) / 450e9
        layout = N == 1 ? "one GPU" : ""
        if (tp > 1) layout = layout "tp " tp " x "
        if (pp > 1) layout = layout "pp " pp " x "
        if (N > 1) layout = layout "dp " dp
        printf "| %d | %s | %.1f | %d | ", N, layout, GiB, tokens
        printf "%.1f | %.1f | %.1f | ", (reduced + gathered) / 1e9, summed / 1e9, passed / 1e9
        printf "%.1f | %.2f | %.2f | ", tokens * 43.0e-6, compute, bare
        printf "%d |\n", tokens / (compute + bare)
    }' rows >table
n=0
while IFS= read -r row; do
    n=$((n + 1))
    grep -qxF -- "$row" "$doc" && ok "table: layout $n stands in the document as it is planned" ||
        not_ok "table: layout $n stands in the document as it is planned" "computed: $row"
done <table
equal 'table: the document has no other layouts' "$(grep -cE '^\| [0-9]+ \| ' "$doc")" $n
fits=$(awk '$5 > 79.1' rows)
equal 'table: each layout fits an H100' "$fits" ''
exit $bad
