#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# examples/sweep with a small random model: a table of all cells, sorted; a rerun does what is
# missing; an interrupted cell goes on; a changed configuration begins anew.
source "$(dirname "$0")/../train.sh"
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES
model model
cp -r "$root/examples/sweep" sweep
jq '.[:160]' "$root/examples/data/train.json" >train.json
jq '.[:8]' "$root/examples/data/validation.json" >validation.json
# sweep FOLDER [RANKS [BUILD]]: prints what make does, messages too
sweep() {
    make -C sweep O="${3:-$O}" MODEL="$T/model" TRAIN="$T/train.json" \
        VAL="$T/validation.json" OUT="$T/$1" LR='1e-3 1e-2' RANK="${2:-4}" STEPS=16 2>&1
}
# trained FILE: prints how many runs of the trainer make began
trained() { grep -c '^sft-train --config' "$1"; }

check 'sweep: it runs to its end' bash -c "$(declare -f sweep); T='$T' O='$O'; sweep a >log"
equal 'sweep: each cell was trained once' "$(trained log)" 2
cut -f 1-2 a/table.txt | sort >cells
equal 'sweep: the table has a line for each' "$(paste -sd' ' cells)" \
    "$(printf '1e-2\t4 1e-3\t4 lr\trank')"
check 'sweep: the least loss comes first' bash -c "tail -n +2 a/table.txt | cut -f 3 | sort -gc"
equal 'sweep: the losses are those of the runs' "$(tail -n +2 a/table.txt | cut -f 3 | sort)" \
    "$(jq -r '.val_loss_after * 10000 | round / 10000' a/lr-*/summary.json | sort)"
sweep a >log
equal 'sweep: a rerun has nothing to do' "$(trained log)" 0
sweep a '4 2' >log
equal 'sweep: more cells are the only ones that are trained' \
    "$(trained log) $(wc -l <a/table.txt)" '2 5'

# ---- a cell that is interrupted: a trainer that is asked to stop after its first step ----
mkdir -p stopped/bin
ln -s "$O/lib" stopped/
ln -s "$O"/bin/* stopped/bin/
rm stopped/bin/sft-train
cat >stopped/bin/sft-train <<END
#!/bin/bash
"$O/bin/sft-train" "\$@" &
for _ in \$(seq 1000); do
    ! grep -q '"system/step":1,' "$T"/b/logs/lr-1e-3_rank-4/metrics.jsonl 2>/dev/null || break
    sleep 0.02
done
kill -USR1 \$!
wait \$!
END
chmod +x stopped/bin/sft-train
rc=$(code sweep b 4 "$T/stopped")
cp "$T/stdout" log
equal 'sweep: it ends where a cell was interrupted' \
    "$rc $(grep -c 'Error 75' log) $(ls b/lr-*/summary.json 2>/dev/null)" '2 1 '
sweep b >log
equal 'sweep: the next one takes that cell up where it was' \
    "$(trained log) $(grep -c 'continuing after' log)" '2 1'
equal 'sweep: and gets what a sweep without interruption gets' \
    "$(jq -c '[.val_loss_after, .loss, .step]' b/lr-*_rank-4/summary.json)" \
    "$(jq -c '[.val_loss_after, .loss, .step]' a/lr-*_rank-4/summary.json)"

# ---- another configuration ----
echo 'seed: 7' >>sweep/sft_config.yaml
sweep b >log
equal 'sweep: cells of another configuration are trained anew' \
    "$(trained log) $(grep -c 'starting anew' log)" '2 2'
exit $bad
