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
# of a gradient, the trained parameters of a rank, the stage of ZeRO, the ranks that share one copy,
# cp, and 1 with sequence parallelism, of the document's plan()
layout() {
    local cp=1 rows=0
    [[ $* =~ context_parallel_size=([0-9]+) ]] && cp=${BASH_REMATCH[1]}
    [[ $* == *sequence_parallel=true* ]] && rows=1
    plan "$@" >plan.json
    jq -r --arg given "$1 $2 $3 $4" --arg cut "$cp $rows" '.device.context as $c |
        .device.peers as $p | [., .others // empty, (.stages // [])[]] as $kinds |
        ($kinds | map(.total - (.host // 0)) | max) as $most | [$given, ($most + $c + $p) /
        1073741824, (if .classes.master.bytes > 0 then 4 else 2 end),
        (if .zero_stage < 3 then .classes.weights.bytes / 2
        else .classes.master.bytes / 4 * .shard_size end), .zero_stage, .shard_size, $cut] |
        map(tostring) | join(" ")' plan.json
}
source ./layouts >rows
check 'commands: each layout can be planned' \
    [ "$(wc -l <rows)" -eq "$(grep -c '^plan [0-9]' commands)" ]
# The rates in the document: tokens a second of one GPU, bytes a second within a node and between
# nodes of 8. A micro-batch has 4096 tokens, all of them trained.
awk 'function other(n, R) { return R > 1 ? (R - 1) / R * n : 0 }
    function most(a, b) { return a > b ? a : b }
    # bytes a second to R ranks alike, `near` of which are on a node
    function rate(R, near) { return R > near ? 50e9 * (R - 1) / (R - near) : 450e9 }
    {
        N = $1; tp = $2; pp = $3; m = $4; GiB = $5; g = $6; P = $7
        zero = $8; S = $9; cp = $10; sp = $11
        H = 3584; I = 18944; q = 3584; k = 512; V = 152064; L = 28 / pp; c = 2
        R = N / tp / pp; dp = R / cp; tokens = 4096 * m * dp; T = 4096 / cp; head = pp == 1
        # sent by a rank in a step
        reduced = other(g * P, R); gathered = other(c * P, R); copied = 0
        if (zero == 3) {
            layer = H * (q + 2 * k) + q + 2 * k + q * H + 3 * H * I + 2 * H
            ends = 2 * V * H + H
            reduced = m * other(g * P, S)
            gathered = other(c * ((L + (2 * m - 1) * (L - 2)) * layer + m * ends), S)
            copied = 2 * other(g * P / S, R / S)
        }
        parts = head * (tp - 1) * 12 * T
        rows = T * H * (c + head * c + L * (8 + 2 * c))
        summed = m * (2 * other(rows, tp) + parts)
        if (sp) {
            norms = T * H * c * (1 + head + 6 * L)
            summed = m * (other(rows + norms, tp) + parts) + 2 * other(g * H * (2 * L + head), tp)
        }
        keys = m * (cp - 1) * (c + 4) * L * T * 2 * k / tp
        passed = pp > 1 ? m * 4 * T * H / (sp ? tp : 1) : 0
        # seconds
        near = 8 / tp; if (near > R) near = R
        alone = 13779 * tp * pp * cp # tokens a second of one copy of the model
        pass = 4096 / alone / 3      # of a micro-batch forward; backward takes two
        compute = m * 3 * pass * (1 + (pp - 1) / m)
        bare = most(0, reduced / rate(R, near) - 2 * pass) + gathered / rate(R, near)
        if (zero == 3) {
            speed = rate(S, S < near ? S : near)
            bare = m * most(0, gathered / m / 2 / speed - pass)
            bare += m * most(0, (gathered / 2 + reduced) / m / speed - 2 * pass) + copied / 50e9
        }
        bare += (summed + keys + passed) / 450e9
        layout = N == 1 ? "one GPU" : ""
        if (tp > 1) layout = layout "tp " tp (sp ? " sp" : "") " x "
        if (cp > 1) layout = layout "cp " cp " x "
        if (pp > 1) layout = layout "pp " pp " x "
        if (dp > 1) layout = layout "dp " dp
        sub(/ x $/, "", layout)
        if (zero == 3) layout = layout ", ZeRO-3" (S < R ? " over " S : "")
        printf "| %d | %s | %.1f | %d | ", N, layout, GiB, tokens
        printf "%.1f | %.1f | ", (reduced + gathered + copied) / 1e9, summed / 1e9
        printf "%.1f | %.1f | ", keys / 1e9, passed / 1e9
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

# ---- a mixture of experts: the plans of the document's settings ----
mkdir experts
cat >experts/config.json <<'END'
{"architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "vocab_size": 151936,
 "hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 48,
 "num_attention_heads": 32, "num_key_value_heads": 4, "head_dim": 128, "num_experts": 128,
 "num_experts_per_tok": 8, "moe_intermediate_size": 768, "norm_topk_prob": true,
 "max_position_embeddings": 32768, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0,
 "tie_word_embeddings": false, "torch_dtype": "bfloat16"}
END
# experts FILE SETTING...: prints the line of the table for that file and these settings
experts() {
    command sft-train -q --config "$root/examples/qwen3-30BA3B-sft_fsdp2/$1.yaml" --plan --json \
        --device cuda:h100 "${@:2}" pretrain=./experts 2>/dev/null |
        jq -r --arg given "$*" '.device.context as $c | .device.peers as $p |
            [., .others // empty, (.stages // [])[]] | map(.total - (.host // 0)) | max |
            (. + $c + $p) / 1073741824 | [$given, (. * 10 | round / 10 | tostring |
                if contains(".") then . else . + ".0" end), if . <= 79.1 then "yes" else "no" end] |
            "| `\(.[0])` | \(.[1]) | \(.[2]) |"'
}
sed -n 's/^| `\(sft_config.*\)` | .*/\1/p' "$doc" >settings
check 'experts: the document has four plans or more' [ "$(wc -l <settings)" -ge 4 ]
while read -ra setting; do
    row=$(experts "${setting[@]}")
    if grep -qxF -- "$row" "$doc"; then ok "experts: ${setting[*]} needs what the document says"
    else not_ok "experts: ${setting[*]} needs what the document says" "computed: $row"; fi
done <settings
exit $bad
