#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Two builds of a tree in two folders give the same bytes. Each kind of rule of the Makefile builds
# one file here; `make check-reproducible` compares all that is installed, which takes minutes.
source "$(dirname "$0")/../cli.sh"
cd "$(dirname "$0")/../.." || exit 70
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES SOURCE_DATE_EPOCH
mkdir -p "$T/one" "$T/a/longer/two"
cp -r --parents Makefile tools cmd lib man "$T/one"
printf '%s\n' 'version 9.8.7' 'commit 0123456789ab' 'page sft-pack.in 2031-02-03' >"$T/one/VERSION"
cp -r "$T/one/." "$T/a/longer/two"
# build SOURCES O: builds the files in the folder O, which may be relative to the sources; sft-pack
# needs three of the archives
build() {
    local o=$2
    cd "$1" || return
    mkdir -p "$o"
    cp "$O/config.mk" "$o"
    # shellcheck disable=SC2046
    make -j2 O="$o" CFLAGS='-O1 -g' TOOL_ARCHIVES="$(echo "$o"/lib/{base,stream,pack}.a)" \
        "$o/bin/sft-pack" "$o/man/sft-pack.1" "$o/completions/sft-pack.zsh" \
        "$o"/obj/lib/ops/{ref/rope.f32,cpu/rope.base}.o \
        $(sed -n "s,^MPICC := .*,$o/lib/sft/mpi.so,p" "$O/config.mk")
}
check 'reproducible: a tree is built' build "$T/one" build
check 'reproducible: it is built again, in other folders, zone and language' \
    env TZ=Asia/Tokyo LC_ALL=C bash -c "umask 077; $(declare -f build)
        build '$T/a/longer/two' '$T/a/elsewhere'"
(cd "$T/one/build" && find bin man completions lib obj -type f ! -name '*.d' | sort) >"$T/files"
equal 'reproducible: each kind of file was built' \
    "$(sed -E 's/.*(\.[a-z1]+)$/\1/' "$T/files" | grep -v / | sort -u | paste -sd' ')" \
    "$(grep -q ^MPICC "$O/config.mk" && echo '.1 .a .o .so .zsh' || echo '.1 .a .o .zsh')"
equal 'reproducible: no byte is another' "$(while read -r f; do
    cmp -s "$T/one/build/$f" "$T/a/elsewhere/$f" || echo "$f"
done <"$T/files" | paste -sd' ')" ''
equal 'reproducible: no program names the folder of its sources' \
    "$(grep -lF "$T" "$T/one/build/bin"/* "$T/one/build/lib"/*.a)" ''
exit $bad
