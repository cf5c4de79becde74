#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Checkpoints of several ranks with a sharded optimizer, written while training goes on: steps are
# done meanwhile, the bytes are those of ZeRO-0, and neither a killed rank nor a full disk costs
# more than the checkpoint under way.
source "$(dirname "$0")/../ranks.sh"
export MPIEXEC_TIMEOUT=120 # seconds after which mpirun ends a job that hangs

for n in 2 3; do
    ranks $n "$O/test/save_ranks" >saves 2>err && rc=0 || rc=$?
    sed "s/^\(ok\|not ok\) /&$n ranks: /" saves
    equal "saving, $n ranks: all checks pass" "$rc" 0
done

for n in 2 4; do
    ranks $n "$O/test/layout_ranks" >layout 2>err && rc=0 || rc=$?
    sed "s/^\(ok\|not ok\) /&$n ranks: /" layout
    equal "layout, $n ranks: all checks pass" "$rc" 0
done

# The copy of sft-train in tests/kill/kill_at.c; what it is asked for, rank 0 does.
cat >first <<'END'
#!/bin/bash
echo $$ >pid.$OMPI_COMM_WORLD_RANK
[ $OMPI_COMM_WORLD_RANK == 0 ] || unset KILL_AT KILL_LOG FAIL_AT RUN_ON
exec "$@"
END
chmod +x first
there() { ls "$1/sft_train" | tr '\n' ' '; }
# result DIR: prints the hashes of both checkpoints, and all losses
result() {
    sha256sum <"$(weights "$1" 2)" && sha256sum <"$(state "$1" 2)" &&
        sha256sum <"$(weights "$1")" && sha256sum <"$(state "$1")" && losses "$1"
}
equal 'saving: 2 ranks with ZeRO-0 train' "$(code train 2 zero0 train.sfts)" 0
result zero0 >wanted
program=(./first "$O/test/train_kill")

# ---- training goes on ----
# The writer of checkpoint-2 waits for a file, which is made when all ranks have done step 3.
RUN_ON=optimizer RUN_COMMAND="timeout 100 sh -c 'until [ -e go ]; do sleep 0.05; done'" \
    train 2 beside $zero1 train.sfts >stdout 2>stderr </dev/null &
job=$!
reached beside 3
equal 'saving: step 3 is done while checkpoint-2 is being written' \
    "$(values beside system/step | tail -n 1) $(there beside)" '3 '
touch go
wait $job && rc=0 || rc=$?
equal 'saving: both checkpoints are there in the end' "$rc $(there beside)" \
    '0 checkpoint-2 checkpoint-3 '
equal 'saving: they have the bytes of ZeRO-0' "$(result beside)" "$(<wanted)"
# A checkpoint three times its staging memory: while its writer sleeps, updates must wait.
model wide hidden_size=256 intermediate_size=512 num_hidden_layers=2 num_attention_heads=4 \
    num_key_value_heads=2
wide=(pretrain=./wide sft.staging=8 train.sfts)
equal 'staging: a model larger than the staging memory is trained with ZeRO-0' \
    "$(program=(sft-train) && code train 2 wide0 "${wide[@]}")" 0
equal 'staging: it is trained with ZeRO-1 and a disk that stops' \
    "$(RUN_ON=optimizer RUN_COMMAND='sleep 2' code train 2 wide1 $zero1 "${wide[@]}")" 0
equal 'staging: both have the same bytes' "$(result wide1)" "$(result wide0)"
equal 'saving: 2 ranks train with sft.async_save=false' \
    "$(KILL_LOG=calls code train 2 sync $zero1 sft.async_save=false train.sfts)" 0
equal 'saving: without async_save the bytes are the same' "$(result sync)" "$(<wanted)"

# ---- a rank that is killed, a disk that is full ----
calls=$(<calls)
wrong=''
for i in 1 2 3 4; do
    k=$((calls * i / 5))
    rc=$(KILL_AT=$k code train 2 k$i $zero1 train.sfts)
    [ "$rc" -ne 0 ] || wrong+=" $k(not killed)"
    rc=$(code train 2 k$i $zero1 --resume auto train.sfts)
    [ "$rc $(result k$i)$(hidden k$i)" == "0 $(<wanted)" ] || wrong+=" $k($rc $(hidden k$i))"
done
equal 'killed: rank 0 killed at 4 calls and continued gives the same bytes and losses' "$wrong" ''
rc=$(RUN_ON=optimizer RUN_COMMAND='kill -KILL $(cat pid.1); sleep 5' code train 2 k $zero1 \
        train.sfts)
equal 'killed: rank 1 killed during a save leaves no checkpoint' "$((rc != 0)) $(there k)" '1 '
equal 'killed: the run goes on without the lost checkpoint' \
    "$(code train 2 k $zero1 --resume auto train.sfts)" 0
equal 'killed: the bytes and losses are the same then' "$(result k)" "$(<wanted)"
wrong=''
for i in 1 2 3; do
    k=$((calls * i / 4))
    rc=$(FAIL_AT=$k FAIL_ERRNO=28 code train 2 f$i $zero1 train.sfts)
    [[ "$rc $(wc -l <stderr) $(hidden f$i)" =~ ^7[34]\ 1\ $ ]] || wrong+=" $k($rc $(hidden f$i))"
    grep -q 'No space left' stderr || wrong+=" $k($(head -n 1 stderr))"
    rc=$(code train 2 f$i $zero1 --resume auto train.sfts)
    [ "$rc $(result f$i)" == "0 $(<wanted)" ] || wrong+=" $k(then $rc)"
done
equal 'full disk: at 3 calls all ranks end with one message, and the run goes on later' "$wrong" ''
exit $bad
