#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The emulator finds faults: each line of broken.tsv is an edit of a kernel, after which an
# operation must fail with that message.
source "$(dirname "$0")/../cli.sh"
nvcc=$(sed -n 's/^NVCC := //p' "$O/config.mk")
code=(-gencode 'arch=compute_90a,code=compute_90a') # PTX alone is enough here
flags=(-std=c++17 -O3 -lineinfo --no-compress -Ilib -I. "${code[@]}"
    -Xcompiler '-fPIC,-fvisibility=hidden')

# plugin DIR EDITED SOURCE EDIT: a plugin in DIR/sft of kernels with that edit
plugin() {
    mkdir -p "$1/kernels" && cp kernels/* "$1/kernels" || return
    sed -E -i "$4" "$1/kernels/$2"
    if cmp -s "kernels/$2" "$1/kernels/$2"; then
        echo "the edit changes nothing"
        return 1
    fi
    local objects=()
    for o in kernels/*.cu; do [ "$o" = "kernels/$3" ] || objects+=("$O/obj/${o%.cu}.o"); done
    "$nvcc" "${flags[@]}" -c "$1/kernels/$3" -o "$1/edited.o" &&
        "$nvcc" -shared -cudart shared "${code[@]}" -o "$1/cuda.so" "$1/edited.o" "${objects[@]}" \
            "$O"/obj/lib/ops/cuda_{plugin,rules}.pic.o "$O/obj/lib/base/err.pic.o" -lcublasLt
}

# found NAME EDITED SOURCE OPERATION EDIT MESSAGE
found() {
    local dir=$T/${1// /-} rc=0
    if ! plugin "$dir" "$2" "$3" "$5" >"$dir.log" 2>&1; then
        not_ok "broken: $1 is built" "$(tail -n 1 "$dir.log")"
        return
    fi
    SFT_PLUGIN_PATH=$dir LD_LIBRARY_PATH=$O/emu timeout 300 "$O/gpu/ops" --first $4 \
        >"$dir.log" 2>&1 || rc=$?
    if [ "$rc" -ne 1 ]; then not_ok "broken: $1 makes $4 fail" "exit $rc"
    elif ! grep -qE "$6" "$dir.log"; then
        not_ok "broken: $1 is told" "$(grep -m 1 emulator: "$dir.log")"
    else ok "broken: $1 is found and told"; fi
}

while IFS=$'\t' read -r name edited source op edit message; do
    [[ $name == '#'* ]] || found "$name" "$edited" "$source" "$op" "$edit" "$message"
done <tests/emu/broken.tsv
exit $bad
