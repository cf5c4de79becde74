#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The rules of docs/design.md that a reader cannot see at a glance: which module may include which,
# that files do not use one another in a circle, who may know of MPI, NCCL and CUDA, what the data
# commands link, and functions nobody may call.
source "$(dirname "$0")/../cli.sh"
cd "$(dirname "$0")/../.." || exit 70
mapfile -t sources < <(find lib cmd -name '*.[ch]' | LC_ALL=C sort)
mapfile -t kernels < <(find kernels -type f 2>/dev/null | LC_ALL=C sort)

# "FILE:LINE: text" of the sources, with comments and the contents of strings blanked
code() {
    awk '
        FNR == 1 { inside = 0 }
        {
            text = $0; out = ""
            while (text != "") {
                if (inside) {
                    i = index(text, "*/")
                    if (!i) { text = ""; break }
                    text = substr(text, i + 2); inside = 0
                } else if (match(text, /\/\*|\/\/|"([^"\\]|\\.)*"|\047([^\047\\]|\\.)*\047/)) {
                    token = substr(text, RSTART, 2)
                    out = out substr(text, 1, RSTART - 1)
                    rest = substr(text, RSTART + RLENGTH)
                    if (token == "//") rest = ""
                    else if (token == "/*") inside = 1
                    else if (text ~ /^[ \t]*#[ \t]*include/) out = out substr(text, RSTART, RLENGTH)
                    else out = out "\"\""
                    text = rest
                } else { out = out text; text = "" }
            }
            if (out ~ /[^ \t]/) print FILENAME ":" FNR ": " out
        }' "$@"
}
code "${sources[@]}" >"$T/code"
code "${sources[@]}" "${kernels[@]}" | grep -E '^[^ ]+ [ \t]*#[ \t]*include' >"$T/includes"

# none NAME FILE: the file, a list of offences, is empty
none() {
    if [ -s "$2" ]; then not_ok "$1" "$(head -n 3 "$2" | tr '\n' ' ')($(wc -l <"$2") in all)"; else ok "$1"; fi
}
# nowhere NAME PATTERN FILES-TO-LEAVE-OUT: no line of code matches, but in files that match the third
nowhere() {
    grep -E -- "$2" "$T/code" | awk -F: -v but="$3" 'but == "" || $1 !~ but' >"$T/found"
    none "$1" "$T/found"
}

# ---- the rules notice an offence: each is tried on a file that commits all of them ----
mkdir -p "$T/try"
cat >"$T/try/bad.c" <<'EOF'
/* strcpy(a, b) in a comment
 * strcat(a, b) in a longer one */ int x; // sprintf(a)
const char *s = "gets(\"s\") /* ";
char c = '"'; void f(void) { strcpy(a, b); }
#include "ops/ops.h" /* why */
EOF
code "$T/try/bad.c" | sed 's/^[^:]*://' >"$T/try/out"
equal "comments and strings are left out" "$(grep -cE 'strcat|sprintf|gets|in a comment' "$T/try/out")" 0
equal "code is kept" "$(grep -cE '^4: .*strcpy\(a, b\)|^5: .*"ops/ops.h"' "$T/try/out")" 2

# ---- who may use whom ----
# A line for each module of lib: its name, then those that it may use besides itself and base;
# MODULE:PREFIX allows only headers and symbols of MODULE whose name begins so.
cat >"$T/may" <<'EOF'
base
unicode
regex unicode
text regex unicode
jinja
chat text jinja stream:run
rows stream chat
config
stream
pack
hf
ops kernels
track
comm ops
model hf ops parallel:collect
parallel ops comm model
data stream model parallel
save hf parallel model ops
adapter regex hf model
train data save parallel stream track model ops hf
options config adapter train data stream model ops
EOF

# edges FILE: of lines "PLACE FROM TO NAME", those that $T/may does not have
edges() {
    awk '
        NR == FNR {
            for (i = 2; i <= NF; i++)
                if (split($i, part, ":") == 2) some[$1, part[1]] = part[2]
                else may[$1, $i] = 1
            known[$1] = 1
            next
        }
        !($2 in known) { print $1, "is in no known module"; next }
        $2 == $3 || $3 == "base" || ($2, $3) in may { next }
        ($2, $3) in some && index($4, some[$2, $3]) == 1 { next }
        { print $1, $2, "uses", $3 }' "$T/may" "$1"
}
# Includes of lib as edges; a header called impl.h or NAME_impl.h is its module's own, and of jinja
# the language's inside is.
includes() {
    awk '
        match($0, /"[^"]*"/) {
            split($1, at, "/")
            target = substr($0, RSTART + 1, RLENGTH - 2)
            n = split(target, to, "/")
            from = at[1] == "lib" ? at[2] : at[1]
            private = target ~ /[_\/]impl\.h$/ || target ~ /^jinja\/(ast|case|filters|lex|spec)\.h$/
            if (private && n > 1 && to[1] != from) print $1, "includes the private", target >other
            if (at[1] == "lib") print $1, from, (n == 1 ? from : to[1]), to[n]
        }' other="$2" "$1"
}
: >"$T/private"
includes "$T/includes" "$T/private" >"$T/edges"
edges "$T/edges" >"$T/found"
none "modules include only what they may" "$T/found"
none "private headers stay in their module" "$T/private"
printf '%s\n' 'lib/text/a.c:1: #include "chat/x.h"' 'lib/chat/a.c:1: #include "text/x.h"' \
    'lib/base/a.c:2: #include "text/x.h"' 'cmd/a/b.c:3: #include "base/io_impl.h"' \
    'lib/chat/b.c:4: #include "jinja/ast.h"' 'lib/model/a.c:1: #include "parallel/collect.h"' \
    'lib/model/a.c:2: #include "parallel/mesh.h"' >"$T/try/includes"
includes "$T/try/includes" "$T/try/private" >"$T/try/edges"
equal "a wrong include is found" "$(edges "$T/try/edges" | wc -l)" 3
equal "the include of a private header is found" "$(wc -l <"$T/try/private")" 2

# The same walls by symbols: what an archive leaves undefined belongs to a module that it may use.
O=${O:-build}
symbols() { # symbols ARCHIVE...: "ARCHIVE FROM TO" for each use of another module's symbol
    for a in "$@"; do
        nm --defined-only -g "$a" 2>/dev/null | awk -v m="$(basename "$a" .a)" 'NF == 3 { print "D", m, $3 }'
    done >"$T/symbols"
    for a in "$@"; do
        nm --undefined-only -g "$a" 2>/dev/null | awk -v m="$(basename "$a" .a)" 'NF == 2 { print "U", m, $2 }'
    done >>"$T/symbols"
    awk '$1 == "D" { home[$3] = $2; next } ($3 in home) { print $3, $2, home[$3], $3 }' "$T/symbols" |
        sort -u
}
if compgen -G "$O/lib/*.a" >/dev/null; then
    symbols "$O"/lib/*.a >"$T/edges"
    check "symbols: archives use one another" [ "$(wc -l <"$T/edges")" -gt 500 ]
    edges "$T/edges" >"$T/found"
    none "modules use only symbols of those that they may use" "$T/found"
    printf '%s\n' 'jinja_render text chat jinja_render' 'mesh_rank model parallel mesh_rank' \
        'collect_sum model parallel collect_sum' >"$T/try/edges"
    equal "a wrong symbol is found" "$(edges "$T/try/edges" | wc -l)" 2
else
    skip "modules use only symbols of those that they may use" "$O/lib has no archives"
fi

# ---- files of a module do not use one another in a circle ----
# A line for each circle that is there: its module, then its files. Those of jinja are recursions:
# of the parser, of the evaluator, and of filters that apply a filter or a test by its name.
cat >"$T/circles" <<'EOF'
jinja expr operand
jinja eval exec loop macro
jinja filter filter_map test
base io_stale io_temp
base json json_string
base opt opt_text
hf config config_family config_rope family params
hf gguf gguf_get
EOF
# uses ARCHIVE...: "MODULE/FILE MODULE/FILE" where a file uses a symbol of another of its module
uses() {
    nm -A -g "$@" 2>/dev/null | awk '
        {
            split($1, at, ":"); m = at[1]; gsub(/.*\/|\.a$/, "", m)
            file = m "/" at[2]; sub(/\.o$/, "", file)
        }
        $2 != "U" { home[m, $3] = file; next }
        { from[++n] = file; what[n] = m SUBSEP $3 }
        END { for (i = 1; i <= n; i++) if (what[i] in home) print from[i], home[what[i]] }' |
        sort -u
}
# circles USES ALLOWED: the files that lines of uses() join in a circle. The files of a line of
# ALLOWED count as one, the first.
circles() {
    awk '
        NR == FNR { for (i = 2; i <= NF; i++) one[$1 "/" $i] = $1 "/" $2; next }
        { a = $1 in one ? one[$1] : $1; b = $2 in one ? one[$2] : $2 }
        a != b { print a, b }' "$2" "$1" | tsort 2>&1 >/dev/null |
        sed -n '/contains a loop/d; s/^tsort: //p' | LC_ALL=C sort -u
}
printf 'text/%s text/%s\n' a b b a b c c a c d >"$T/try/uses"
printf '%s\n' 'hf a b' 'text a b' >"$T/try/two"
printf '%s\n' 'hf a b' 'text a b c' >"$T/try/three"
equal "a circle through a listed one is found" "$(circles "$T/try/uses" "$T/try/two" | xargs)" \
    "text/a text/c"
equal "a circle that is listed is not" "$(circles "$T/try/uses" "$T/try/three")" ""
if compgen -G "$O/lib/*.a" >/dev/null; then
    uses "$O"/lib/{base,stream,unicode,regex,text,jinja,chat,rows,pack,config,hf}.a >"$T/uses"
    check "symbols: files use one another" [ "$(wc -l <"$T/uses")" -gt 200 ]
    circles "$T/uses" "$T/circles" >"$T/found"
    none "files of a module do not use one another in a circle" "$T/found"
else
    skip "files of a module do not use one another in a circle" "$O/lib has no archives"
fi

# headers PATTERN FILES: only these files include such a header
headers() {
    grep -E "[<\"]($1)[>\"]" "$T/includes" | awk -F: -v may="$2" '$1 !~ may' >"$T/found"
    none "$3" "$T/found"
}
headers 'mpi\.h' '^lib/comm/[^/]*mpi[^/]*$' "mpi.h"
headers 'nccl\.h' '^lib/comm/[^/]*nccl[^/]*$' "nccl.h"
headers '(cuda|cublas|cudnn|curand|nvml|nvToolsExt|cooperative_groups)[^>"]*' \
    '^(lib/ops/cuda|lib/comm/[^/]*nccl|kernels/)' "CUDA headers"
headers 'kernels/[^>"]*' '^lib/ops/cuda_plugin' "the kernels' launchers"
headers '(oneapi/dnnl/)?dnnl[^>"]*' '^lib/ops/' "oneDNN's headers"

# ---- what the data commands link ----
for c in sft-tokenize sft-template sft-pack sft-view sft-config sft-ckpt; do
    bin=$(command -v "$c") || { skip "libraries of $c" "not built"; continue; }
    ldd "$bin" | grep -E 'libmpi|libcuda|libcublas|libnccl|libdnnl' >"$T/found"
    none "libraries of $c" "$T/found"
done

# The trainer loads MPI when it is started under a launcher, and not before.
for c in sft-train sft-eval; do
    ldd "$(command -v $c)" | grep -E 'libmpi|libopen-|libcuda|libcublas|libnccl' >"$T/found"
    none "libraries of $c" "$T/found"
done

# ---- numbers of JSON have one writer, which knows that some are not finite ----
# reals FILE...: lines that format a real number behind a JSON key, or into a buffer
reals() { grep -nE '(\\":|buf_printf\([^"]*")([^"\\]|\\.)*%[-+#0-9.*]*[aefgAEFG]' "$@"; }
printf '%s\n' 'snprintf(line, n, "{\"loss\":%.9g}", x);' 'buf_printf(&b, "%s%.*g", comma, 9, x);' \
    'snprintf(line, n, "loss %.4f", x);' 'buf_printf(&b, "{\"n\":%zu}", n);' >"$T/try/reals.c"
equal "a number that is printed by hand is found" "$(reals "$T/try/reals.c" | wc -l)" 2
reals "${sources[@]}" | grep -vE '^(lib/base/buf|lib/model/plan|cmd/sft-train/plan)\.c:' >"$T/found"
none "real numbers go into JSON through buf_json_number and buf_json_fixed" "$T/found"

# ---- functions that are not called ----
word() { echo "(^|[^A-Za-z0-9_.>])($1)[ ]*\("; }
nowhere "unbounded string functions" "$(word 'strcpy|strcat|stpcpy|sprintf|vsprintf|gets|strtok|alloca')" ""
nowhere "numbers without an error" "$(word 'atoi|atol|atoll|atof')" ""
nowhere "functions with a hidden state" "$(word 'gmtime|localtime|ctime|asctime|rand|srand|setlocale')" ""
nowhere "guessable temporary names" "$(word 'mktemp|tmpnam|tempnam|tmpfile')" ""
nowhere "shells" "$(word 'system|popen')" ""
grep '^lib/' "$T/code" >"$T/lib" && mv "$T/lib" "$T/code"
nowhere "the library does not end the process" "$(word 'exit|_exit|_Exit|quick_exit|abort|assert')" ""
nowhere "the library does not print" "$(word 'printf|vprintf|puts|putchar|perror')|(^|[^A-Za-z0-9_])(stdout|stderr)([^A-Za-z0-9_]|$)" \
    '^lib/base/(log|progress)\.c$'
nowhere "only the memory module allocates" "$(word 'malloc|calloc|realloc|free|strdup|strndup|aligned_alloc|posix_memalign')" '^lib/base/mem\.c$'
nowhere "only the I/O module opens, renames and removes" \
    "$(word 'fopen|freopen|open|openat|creat|rename|unlink|remove|mkdir|rmdir|truncate')" '^lib/base/io[^/]*\.c$'
exit $bad
