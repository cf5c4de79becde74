#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# make deb puts all that is installed into packages, each file into one, the same bytes each time.
# `make check-deb` installs them into a new system.
source "$(dirname "$0")/../cli.sh"
cd "$(dirname "$0")/../.." || exit 70
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES SOURCE_DATE_EPOCH
if ! command -v dpkg-shlibdeps >/dev/null; then
    skip 'deb: packages are made' 'no dpkg-dev'
    exit 0
elif sanitized; then
    skip 'deb: packages are made' 'the build is no release'
    exit 0
fi
# made DIR: makes packages of this build in DIR, without compressing them. That of CUDA's plugin,
# which is large and of one file, is left to check-deb.
export MAKEFLAGS=NVCC=
made() { DEB_FLAGS=-Znone tools/deb "$O" "$T/$1"; }
check 'deb: packages are made' made one
check 'deb: and once more' env TZ=Asia/Tokyo LC_ALL=C bash -c "T='$T'; umask 077
    $(declare -f made); made two"
names=(sft-tools sft-train)
equal 'deb: there are two, without a plugin for CUDA' \
    "$(cd "$T/one" && printf '%s\n' *.deb | sed 's/_.*//' | sort | paste -sd' ')" \
    "$(printf '%s\n' "${names[@]}" | sort | paste -sd' ')"
date=$(sed -n 's/^date //p' "$O/version" | grep . || echo 0) # 0: this is no checkout
for p in "${names[@]}"; do
    deb=$(echo "$T/one/$p"_*.deb)
    same "deb, $p: both have the same bytes" "$deb" "$T/two/${deb##*/}"
    equal "deb, $p: files have one owner and the time of the commit" \
        "$(TZ=UTC dpkg-deb -c "$deb" | awk '{ print $2, $4, $5 }' | sort -u)" \
        "root/root $(date -u -d "@$date" '+%F %R')"
    dpkg-deb -x "$deb" "$T/$p"
    dpkg-deb -f "$deb" Depends | tr , '\n' | sed 's/^ //' >"$T/$p.depends"
    check "deb, $p: the sums of its files are right" bash -c "dpkg-deb --ctrl-tarfile '$deb' |
        tar -xOf - ./md5sums >'$T/sums' && cd '$T/$p' && md5sum --quiet -c '$T/sums'"
    check "deb, $p: it has a licence and changes" \
        ls "$T/$p/usr/share/doc/$p"/{copyright,changelog.gz}
done

# ---- what is in which ----
equal 'deb, sft-tools: it has the commands that need no trainer' \
    "$(ls "$T/sft-tools/usr/bin" | paste -sd' ')" \
    'sft-ckpt sft-config sft-pack sft-report sft-template sft-tokenize sft-view'
equal 'deb, sft-train: it has the trainer, the evaluation and the launcher' \
    "$(ls "$T/sft-train/usr/bin" | paste -sd' ')" 'sft-eval sft-run sft-train'
equal 'deb, sft-tools: it depends on neither MPI nor oneDNN' \
    "$(grep -E 'mpi|dnnl|gomp|cuda' "$T/sft-tools.depends")" ''
check 'deb, sft-tools: it depends on the library of C' grep -q '^libc6 ' "$T/sft-tools.depends"
check 'deb, sft-train: it depends on oneDNN' grep -q '^libdnnl' "$T/sft-train.depends"
check 'deb, sft-train: it depends on the same sft-tools' \
    grep -qx "sft-tools (= $(dpkg-deb -f "$T"/one/sft-tools_*.deb Version))" "$T/sft-train.depends"
! have_mpi || check 'deb, sft-train: it depends on MPI' grep -q mpi "$T/sft-train.depends"
# Each file of `make install` is in one package; Debian compresses manuals and has its own licence.
make -s O="$O" DESTDIR="$T/dest" PREFIX=/usr DOCDIR=/usr/share/doc/sft-tools install >/dev/null
(cd "$T/dest" && find . -type f ! -name LICENSE) | sort >"$T/installed"
for p in "${names[@]}"; do
    (cd "$T/$p" && find . -type f | grep -vE '/(copyright|changelog\.gz|lintian/.*)$' |
        sed '/share\/man/s/\.gz$//')
done | sort >"$T/packed"
equal 'deb: each file that is installed is in one package' \
    "$(comm -3 "$T/installed" "$T/packed" | paste -sd' ')" ''
equal 'deb: the programs have no symbols' \
    "$(for p in "$T"/sft-*/usr/bin/sft-[ceptv]*; do readelf -SW "$p"; done | grep -c '\.symtab')" 0
check 'deb: a program that was unpacked runs' "$T/sft-tools/usr/bin/sft-pack" --version
exit $bad
