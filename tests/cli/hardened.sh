#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The programs and plugins are linked with full RELRO, and compiled with guarded stacks and checked
# copies: a mistake in a parser is then harder to use.
source "$(dirname "$0")/../cli.sh"
command -v readelf >/dev/null || {
    skip 'hardened: the programs are linked and compiled so' 'there is no readelf'
    exit 0
}
# hardened FILE: checks a program or a plugin
hardened() {
    local name
    name=$(basename "$1")
    check "hardened: $name has a read-only table of addresses" \
        bash -c "readelf -lW '$1' | grep -q GNU_RELRO"
    check "hardened: $name binds all of it at its start" \
        bash -c "readelf -dW '$1' | grep -Eq 'BIND_NOW|FLAGS_1.*NOW'"
    check "hardened: $name has no stack that can be executed" \
        bash -c "readelf -lW '$1' | grep -Eq 'GNU_STACK.* RW +0x'"
    check "hardened: $name guards its stack" \
        bash -c "readelf -sW --dyn-syms '$1' | grep -q __stack_chk_fail"
}
for c in "${commands[@]}"; do
    hardened "$(type -P "$c")"
    sanitized || check "hardened: $c checks its copies" \
        bash -c "readelf -sW --dyn-syms '$(type -P "$c")' | grep -q '__snprintf_chk\|__memcpy_chk'"
done
for p in "$O"/lib/sft/*.so; do
    [ ! -e "$p" ] || hardened "$p"
done
exit $bad
