#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# --version tells the version and the commit that were built, and of the trainer's commands the
# instruction sets. tools/version takes the version from a tag, from VERSION in a tarball, or from
# the sources.
source "$(dirname "$0")/../cli.sh"
cd "$(dirname "$0")/../.." || exit 70

# ---- what commands print ----
for c in "${commands[@]}" sft-run; do
    run=$c
    [ "$c" = sft-run ] && run=./run_sft_pipeline.sh
    equal "commands: $c --version begins with the version that was built" \
        "$("$run" --version | head -n 1)" "$c $(sed -n 's/^version //p' "$O/version")"
    equal "commands: $c --version tells the commit that was built" \
        "$("$run" --version | grep '^commit ')" "$(grep '^commit ' "$O/version")"
done
# flags WORD...: this CPU has all of these
flags() {
    local f
    for f; do grep -qw "$f" <(grep -m 1 '^flags' /proc/cpuinfo) || return; done
}
wanted=base
v3='avx2 fma bmi2'
# shellcheck disable=SC2086
{
    ! grep -q '^ISA_v3 ' "$O/config.mk" || ! flags $v3 || wanted=v3
    ! grep -q '^ISA_v4 ' "$O/config.mk" ||
        ! flags $v3 avx512_bf16 avx512f avx512bw avx512cd avx512dq avx512vl || wanted=v4
}
for c in sft-train sft-eval; do
    equal "commands: $c --version tells the instruction sets that are built in" \
        "$("$c" --version | sed -n 's/^instruction sets: \(.*\);.*/\1/p')" \
        "$(sed -n 's/^CPU_ISAS := //p' "$O/config.mk")"
    equal "commands: $c --version tells the one that it takes" \
        "$("$c" --version | sed -n 's/.*; this CPU takes //p')" $wanted
done

# ---- what tools/version finds ----
root=$PWD
mkdir -p "$T/tree"/{tools,man,lib/base}
cp tools/version "$T/tree/tools"
cp lib/base/version.c "$T/tree/lib/base"
touch "$T/tree/man"/{a,b}.in
cd "$T/tree" || exit 70
unset SOURCE_DATE_EPOCH
# version: prints what tools/version writes
version() { rm -f "$T/version" && tools/version "$T/version" && cat "$T/version"; }
default=$(sed -n 's/.*sft_version\[\] = "\(.*\)".*/\1/p' "$root/lib/base/version.c")
equal 'version: without git it is that of the sources' "$(version)" "version $default"
tools/version "$T/version" && touch -d @1 "$T/version" && tools/version "$T/version"
equal 'version: the file is left alone when nothing has changed' "$(stat -c %Y "$T/version")" 1

if ! command -v git >/dev/null; then
    skip 'version: a tag tells it' 'no git'
    exit $bad
fi
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
# commit DATE FILE...: a commit of these at that date
commit() {
    git add "${@:2}"
    GIT_AUTHOR_DATE=$1 GIT_COMMITTER_DATE=$1 git -c user.name=a -c user.email=a@a commit -qm a
}
git init -q ..
equal "version: somebody else's checkout around the tree is none" "$(version)" "version $default"
rm -rf ../.git
git init -q .
commit 2031-02-03T23:30:00-0200 tools man/a.in lib
equal 'version: without a tag it is that of the sources, with the commit' \
    "$(version | head -n 2 | paste -sd' ')" \
    "version $default commit $(git rev-parse --short=12 HEAD)"
git tag v1.2.0
git tag other
equal 'version: a tag tells it' "$(version | head -n 1)" 'version 1.2.0'
touch -d @1 man/b.in
commit 2031-03-05T12:00:00Z man/b.in
equal 'version: commits behind the tag are counted' "$(version | head -n 1)" \
    "version 1.2.0-1-g$(git rev-parse --short HEAD)"
equal 'version: each page has the date of its last commit, in UTC' \
    "$(version | grep ^page | paste -sd' ')" 'page a.in 2031-02-04 page b.in 2031-03-05'
equal 'version: SOURCE_DATE_EPOCH replaces dates' \
    "$(SOURCE_DATE_EPOCH=86400 version | grep '^page\|^date' | paste -sd' ')" \
    'date 86400 page a.in 1970-01-02 page b.in 1970-01-02'
version >"$T/clean"
echo '# more' >>tools/version
equal 'version: a change that is not committed is told' "$(version | sed -n 2p)" \
    "commit $(git rev-parse --short=12 HEAD)-dirty"
cp "$T/clean" VERSION
rm -rf .git
equal 'version: VERSION of a tarball tells all of it' "$(version)" "$(cat "$T/clean")"
exit $bad
