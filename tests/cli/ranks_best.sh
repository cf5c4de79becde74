#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The best checkpoint and early stopping on several ranks: all end after the same step, which is
# that of the rule (tests/best.sh) on their validation losses, and a killed job goes on to the same.
source "$(dirname "$0")/../ranks.sh"
source "$root/tests/best.sh"
falling
export MPIEXEC_TIMEOUT=120 # seconds after which mpirun ends a job that hangs
# train N DIR [ARGUMENT...]: a run on N ranks, with the global batch of 4
train() {
    local trainer=(ranks "$1" "${program[@]}")
    run "$2" "sft_train.device_mapping=list(range(0,$1))" --val val.sfts \
        sft_train.training_args.per_device_train_batch_size=$((4 / $1)) "${@:3}" train.sfts
}
there() { ls "$1/sft_train" | tr '\n' ' '; }
# bytes DIR: prints what the job has made, but for times
bytes() {
    there "$1"
    cat "$1"/sft_train/{best,checkpoint-*/sft_train}/manifest.json
    steady "$1"
}
early=("$load=true" "$patience=3" "$threshold=0.02" max_ckpt_to_keep=2)

equal 'rule: two ranks train without early stopping' "$(code train 2 whole save_steps=0)" 0
table whole >losses
wanted=$(rule 1 4 3 0.02 <losses)
equal 'rule: two ranks end well' "$(code train 2 two $zero1 "${early[@]}")" 0
read -r end best counter <<<"$wanted"
check 'rule: they end before the last step' test "$end" -lt 24
equal 'rule: both end after the step of the rule' \
    "$(jq -c '[.step, .best_step, .stopped_early]' stdout) $(values two \
        sft_train/early_stopping_counter | tail -n 1)" "[$end,$best,true] $counter"
equal 'rule: the best and the last checkpoint remain' "$(there two)" \
    "best $(printf 'checkpoint-%d\n' "$best" "$end" | LC_ALL=C sort | tr '\n' ' ')"
check 'rule: the best model is whole' sft-ckpt verify -q two/sft_train/best
close 'rule: the best loss is that of one rank' \
    "$(run one --val val.sfts "${early[@]}" train.sfts | jq '.step, .best_step, .best_val_loss')" \
    "$(jq '.step, .best_step, .best_val_loss' stdout)" 1e-5

# ---- rank 0 is killed ----
bytes two >wanted
cat >first <<'END'
#!/bin/bash
[ $OMPI_COMM_WORLD_RANK == 0 ] || unset KILL_AT KILL_LOG
exec "$@"
END
chmod +x first
program=(./first "$O/test/train_kill")
KILL_LOG=$T/calls check 'killed: a job that counts calls ends well' train 2 all $zero1 "${early[@]}"
wrong=''
for i in 1 2 3; do
    rc=$(KILL_AT=$(($(<calls) * i / 4)) code train 2 k$i $zero1 "${early[@]}")
    [ "$rc" -ne 0 ] || wrong+=" $i(not killed)"
    rc=$(code train 2 k$i $zero1 "${early[@]}" --resume auto)
    [ "$rc" -eq 0 ] && bytes k$i | cmp -s - wanted || wrong+=" $i($rc)"
done
equal 'killed: rank 0 killed at 3 calls and continued gives the same best and bytes' "$wrong" ''
exit $bad
