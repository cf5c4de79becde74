#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The recorded bytes of PTX forms: the files are whole, and the host computes the same values. Needs
# nvcc, and no GPU.
source "$(dirname "$0")/../cli.sh"
golden=tests/golden/ptx
program=$O/conform/conform

# damaged FILE...: forms with a count of elements that is not theirs, elements that are wider than
# their type, and names that come twice
damaged() {
    awk 'function say(what) { print FILENAME ": " name ": " what }
        function end() { if (name != "" && seen != wanted) say(seen " elements of " wanted) }
        $1 == "form" {
            end()
            name = $2; wanted = $NF; seen = 0
            if (NF != 6 || wanted < 1 || name in names) say($0)
            names[name] = 1
            width = $5 == "b8" ? 2 : $5 ~ /64/ ? 16 : $5 ~ /^(.16|bf16|e.m.x2)$/ ? 4 : 8
        }
        /^#/ || $1 == "form" { next }
        { seen += NF }
        { for (i = 1; i <= NF; i++) if ($i !~ /^[0-9a-f]+$/ || length($i) > width) say($i) }
        END { end() }' "$1"
}
equal 'golden: each form has its elements, within their width' \
    "$(for f in $golden/*.txt; do damaged "$f"; done)" ''
sed '/^form add.s32 /{n;s/^[^ ]* //}' $golden/int.txt >"$T/short.txt"
equal 'golden: a lost element is noticed' "$(damaged "$T/short.txt" | wc -l)" 1

# why the program cannot be built here
lacking() {
    command -v nvcc >/dev/null || { echo 'no nvcc'; return; }
    local release
    release=$(nvcc --version | sed -n 's/.*release \([0-9]*\)\..*/\1/p')
    [ "${release:-0}" -ge 13 ] || { echo "nvcc $release, 13 or newer is needed"; return; }
    echo '#include <cudaTypedefs.h>' >"$T/probe.cu"
    nvcc -std=c++17 -arch=sm_90a -c -o "$T/probe.o" "$T/probe.cu" >"$T/probe" 2>&1 ||
        echo "nvcc does not compile here: $(grep -m 1 -i error "$T/probe")"
}
reason=$(lacking)
if [ -n "$reason" ]; then
    skip 'conform: the host computes what was recorded' "$reason"
    exit $bad
fi

# The program is built anew when a source is newer. For sm_80 the kernels are assembled only: their
# forms are among those of sm_90a.
assemble_80() {
    printf '%s\n' tests/emu/conform_*.cu | xargs -P "$(nproc)" -I{} \
        nvcc -std=c++17 -DCONFORM_SM=80 -arch=sm_80 -cubin -odir "$T" {}
}
build() {
    [ -x "$program" ] && [ -z "$(find tests/emu "$(command -v nvcc)" -newer "$program")" ] && return
    mkdir -p "$(dirname "$program")"
    assemble_80 && JOBS=$(nproc) OPT=-O0 tests/emu/build_conform 90 "$program"
}
check 'conform: the program is built for sm_80 and sm_90a' build
[ $bad -eq 0 ] || exit $bad

# held FAMILY FILE: prints the verdicts that are bad, and leaves all in $T/verdicts
held() {
    local rc=0
    "$program" "$1" --check "$2" >"$T/verdicts" 2>&1 || rc=$?
    grep -Ev '^(ok|unchecked) ' "$T/verdicts"
    return $rc
}
forms() { sed -n 's/^form \([^ ]*\) .*/\1/p' "$1" | sort; }
equal 'conform: each family has its golden file' "$("$program" --families | sort)" \
    "$(basename -s .txt -a $golden/*.txt | sort)"
for f in $("$program" --families); do
    check "conform $f: the host computes what was recorded" held "$f" $golden/$f.txt
    equal "conform $f: some forms are compared with the host's values" \
        "$(awk '/^ok / { n = 1 } END { print n }' "$T/verdicts")" 1
    equal "conform $f: the file has the bytes of its forms and no others" \
        "$(forms $golden/$f.txt)" \
        "$("$program" --list | sed -n "s/^$f \([^ ]*\) .*/\1/p" | sort)"
done

# --check notices another value, and a form that is not there.
sed '/^form add.s32 /{n;s/^[^ ]* /0 /}' $golden/int.txt >"$T/other.txt"
equal 'conform: a value that differs exits with 1' "$(code "$program" int --check "$T/other.txt")" 1
said 'conform: a value that differs is named' '^WRONG add\.s32: element 0 is 0, not ffffffff$'
sed 's/^form add.s32 /form add.s33 /' $golden/int.txt >"$T/gone.txt"
equal 'conform: a form without bytes exits with 1' "$(code "$program" int --check "$T/gone.txt")" 1
said 'conform: a form without bytes is named' '^missing add\.s32$'
exit $bad
