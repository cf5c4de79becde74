#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tools/hot on made-up outputs of nvcc: each fault of a listed kernel is told, and those of others
# are not; the list in kernels/HOT has the form that it reads.
source "$(dirname "$0")/../cli.sh"
hot=$PWD/tools/hot list=$PWD/kernels/HOT
cd "$T" || exit 70
spills='0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads'
some='24 bytes stack frame, 20 bytes spill stores, 28 bytes spill loads'
# compiled NAME ARCH SPILLS: prints what ptxas -v prints of a kernel
compiled() {
    printf "ptxas info    : Compiling entry function '%s' for '%s'\n" "$1" "$2"
    printf 'ptxas info    : Function properties for %s\n    %s\n' "$1" "$3"
}
# ptx ARCH: prints the PTX of both kernels; the instructions of the first are on standard input
ptx() {
    printf '.version 9.0\n.target %s\n.visible .entry _Z4mainILi64EEvi(\n)\n{\n' "$1"
    sed 's/$/;/'
    printf '}\n.entry _Z5otherv()\n{\nret;\n}\n\0'
}
# make SPILLS [SPILLS_90] [INSTRUCTION_90]: writes a.o and a.ptxas
make() {
    {
        compiled _Z4mainILi64EEvi sm_80 "$1"
        compiled _Z4mainILi64EEvi sm_90a "${2:-$spills}"
        compiled _Z5otherv sm_80 "$some"
    } >a.ptxas
    {
        printf '\177ELF\0\1'
        ptx sm_80 <<<'mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f1}'
        ptx sm_90a <<<"${3:-wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {%f1}}"
    } >a.o
}
printf '# a comment\n[0-9]mainI\tall\tmatrix\tbecause\n' >HOT
# told NAME PATTERN: the check fails and tells it in one line
told() {
    local rc
    rc=$(code "$hot" HOT a.o)
    equal "$1" "$rc $(grep -cE "$2" stderr)" '1 1'
}

make "$spills"
equal 'hot: kernels without a fault pass, and others are not looked at' \
    "$(code "$hot" HOT a.o) $(wc -c <stderr)" '0 0'
make "$some"
told 'hot: a spill is told with kernel, architecture and bytes' \
    'a.o: _Z4mainILi64EEvi: spills registers on sm_80: 24 .* 20 bytes spill stores, 28 '
make "$spills" "$some"
told 'hot: a spill on the other architecture is told' 'spills registers on sm_90a'
printf '[0-9]mainI\tsm_80\tplain\tbecause\n' >one && mv HOT both && mv one HOT
equal 'hot: a line for one architecture leaves out the other' "$(code "$hot" HOT a.o)" 0
mv both HOT
make "$spills" '' 'fma.rn.f32 %f1, %f2, %f3, %f4'
told 'hot: a product without tensor cores is told' '_Z4mainILi64EEvi: no mma.sync or wgmma .*sm_90a'
make "$spills"
for warning in C7508 C7510; do
    cp a.ptxas clean
    echo "ptxas info    : ($warning) Potential Performance Loss: wgmma is serialized" >>a.ptxas
    told "hot: the warning $warning is told" "a.o: ptxas info .*$warning"
    mv clean a.ptxas
done
printf '[0-9]gone\tall\tplain\tbecause\n' >>HOT
told 'hot: a name that no kernel has is told' 'HOT: no kernel has the name .0-9.gone'
printf '[0-9]mainI all matrix because\n' >HOT
told 'hot: a line of another form is told' 'HOT: not NAME, architecture'
printf '[0-9]mainI\tall\tmatrix\tbecause\n' >HOT
: >a.ptxas
told 'hot: an empty output of the compiler is told' 'no kernel was compiled'

rm a.ptxas
told 'hot: an object without the output of its compilation is told' 'a.o: no output of nvcc'

equal 'HOT: each line says why' "$(grep -v '^#' "$list" | awk -F '\t' 'NF != 4 || $4 == ""')" ''
if [ -e "$O/lib/sft/cuda.so" ]; then
    mapfile -t objects < <(cd "$OLDPWD" && ls kernels/*.cu | sed "s|.*|$O/obj/&|; s|cu$|o|")
    check 'HOT: the kernels of this build have no fault' "$hot" "$list" "${objects[@]}"
else
    skip 'HOT: the kernels of this build have no fault' 'no nvcc'
fi
exit $bad
