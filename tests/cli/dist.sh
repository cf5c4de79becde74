#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# make dist packs the last commit into a tarball, the same bytes each time, that builds without git.
source "$(dirname "$0")/../cli.sh"
cd "$(dirname "$0")/../.." || exit 70
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES SOURCE_DATE_EPOCH
if [ -e VERSION ] || ! git rev-parse -q --verify HEAD >/dev/null 2>&1; then
    fails 'dist: outside git it is refused' 69 'no checkout of git' tools/dist "$T"
    skip 'dist: the tarball has the bytes of the commit' 'this is no checkout'
    exit $bad
fi
check 'dist: make packs a tarball' make O="$T/one" dist
name=sft-$(sed -n 's/^version //p' "$T/one/tarball/VERSION")
check 'dist: and once more' env TZ=Asia/Tokyo LC_ALL=C bash -c "umask 077; make O='$T/two' dist"
same 'dist: both have the same bytes' "$T/one/$name.tar.gz" "$T/two/$name.tar.gz"
equal 'dist: all files have one owner and the time of the commit' \
    "$(TZ=UTC tar -tvzf "$T/one/$name.tar.gz" --full-time --numeric-owner |
        awk '{ print $2, $4, $5 }' | sort -u)" \
    "0/0 $(TZ=UTC git log -1 --date=format-local:'%Y-%m-%d %H:%M:%S' --format=%cd)"

mkdir "$T/commit"
git archive HEAD | tar -xf - -C "$T/commit"
tar -xzf "$T/one/$name.tar.gz" -C "$T"
equal 'dist: the tarball has the files of the commit, and VERSION' \
    "$(diff -r "$T/commit" "$T/$name")" "Only in $T/$name: VERSION"
cd "$T/$name" || exit 70
unset O
check 'dist: make works in it' env CC="${CC:-cc}" make build/obj/version.o
same 'dist: its version, commit and dates are those of the checkout' build/version VERSION
rm VERSION
tools/version "$T/plain"
equal 'dist: without VERSION it has no commit' "$(grep -c '' "$T/plain")" 1
exit $bad
