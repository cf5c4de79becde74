#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The build: make tools without OpenMP, oneDNN and MPI, and a compiler of several words.
source "$(dirname "$0")/../cli.sh"
cd "$(dirname "$0")/../.." || exit 70
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES
cc=${CC:-cc}

# ---- a compiler that has no OpenMP, oneDNN and MPI ----
mkdir -p "$T/none/oneapi/dnnl"
for header in omp.h oneapi/dnnl/dnnl.h dnnl.h mpi.h; do
    echo "#error no $header on this machine" >"$T/none/$header"
done
cat >"$T/without" <<EOF
#!/bin/bash
for a; do
    case \$a in -fopenmp | -lgomp | -ldnnl) echo "no \$a on this machine" >&2; exit 1 ;; esac
done
exec "\$1" -I$T/none "\${@:2}"
EOF
chmod +x "$T/without"
# bare ARGUMENT...: make with that compiler, in a build folder of its own
bare() { make -j2 O="$T/bare" CC="$T/without $cc" CFLAGS=-O0 "$@"; }

check 'tools: make builds them without OpenMP, oneDNN and MPI' bare tools
equal 'tools: the build has noticed what is missing' \
    "$(grep -E '^(LACKING|OPENMP|DNNL_LIBS|MPICC) ' "$T/bare/config.mk")" \
    'LACKING := OpenMP oneDNN'
equal 'tools: they are all commands but the trainer and the evaluation' \
    "$(ls "$T/bare/bin" | paste -sd' ')" \
    'sft-ckpt sft-config sft-pack sft-report sft-template sft-tokenize sft-view'
for program in "$T"/bare/bin/*; do
    ldd "$program" >"$T/libraries"
    name=$(basename "$program")
    check "tools: $name links the library of C" grep -q 'libc\.so' "$T/libraries"
    equal "tools: $name links none of what is missing" \
        "$(grep -E 'libgomp|libomp|libdnnl|libmpi|libopen-' "$T/libraries")" ''
done

# ---- they run ----
bare=$T/bare/bin
check 'tools: sft-ckpt makes a model' "$bare/sft-ckpt" init -q examples/random-model.json \
    --tokenizer share/tiny-tokenizer -o "$T/model"
"$bare/sft-tokenize" -q -m "$T/model" --query-key input examples/data/validation.json |
    "$bare/sft-template" -q -m "$T/model" |
    "$bare/sft-pack" -q -l 2048 -b 4 -o "$T/bare.sfts"
sft-tokenize -q -m "$T/model" --query-key input examples/data/validation.json |
    sft-template -q -m "$T/model" | sft-pack -q -l 2048 -b 4 -o "$T/full.sfts"
same 'tools: the pipe writes the bytes of a full build' "$T/bare.sfts" "$T/full.sfts"
check 'tools: sft-view finds no fault in them' "$bare/sft-view" --check "$T/bare.sfts"
equal 'tools: sft-config reads a configuration' \
    "$("$bare/sft-config" -q examples/smollm2-135M-sft/sft_config.yaml --get seed)" 42

# ---- the rest is asked for ----
equal 'trainer: make fails where OpenMP and oneDNN are missing' "$(code bare trainer)" 2
said 'trainer: make tells what is missing and what does without' \
    "^sft: missing: OpenMP oneDNN\. 'make deps' .*'make tools' builds"
if grep -q '^DNNL_LIBS ' "$O/config.mk"; then
    check 'trainer: make finds what was installed since' \
        make O="$T/bare" CC="$cc" "$T/bare/obj/lib/ops/gemm.o"
fi

# ---- a compiler of several words ----
CC=$cc tools/probe "$T/one.mk" 2>"$T/stderr"
check 'compiler: the probe takes one of two words' env CC="env $cc" tools/probe "$T/two.mk"
same 'compiler: the probe finds the same with two words' "$T/one.mk" "$T/two.mk"
if grep -q '^MPICC ' "$T/one.mk"; then
    check 'compiler: mpicc compiles the plugin with one of two words' \
        make O="$T/two" CC="env $cc" "$T/two/lib/sft/mpi.so"
else
    skip 'compiler: mpicc compiles the plugin with one of two words' 'no MPI here'
fi
# Nothing is installed by this test.
mkdir "$T/stub"
for c in apt-get sudo; do printf '#!/bin/sh\nexit 1\n' >"$T/stub/$c" && chmod +x "$T/stub/$c"; done
# lacks COMPILER: prints "gcc" if tools/deps would install it
lacks() {
    CC=$1 PATH=$T/stub:$PATH tools/deps build 2>&1 | sed -n 's/.*will be installed: //p' |
        tr ' ' '\n' | grep -x gcc
}
equal 'compiler: deps sees that one of two words is there' "$(lacks "env $cc")" ''
equal 'compiler: deps sees that one of two words is missing' "$(lacks 'env no-such-cc')" gcc
exit $bad
