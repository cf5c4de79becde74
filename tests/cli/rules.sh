#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The rules of docs/design.md that a reader cannot see at a glance: the modules that a module may
# include, circles among files, functions that nothing calls, the files that may know MPI, NCCL and
# CUDA, the libraries of the data commands, functions that must not be called, and the form of the
# tests.
source "$(dirname "$0")/../cli.sh"
cd "$(dirname "$0")/../.." || exit 70
mapfile -t sources < <(find lib cmd -name '*.[ch]' | LC_ALL=C sort)
mapfile -t kernels < <(find kernels -type f 2>/dev/null | LC_ALL=C sort)

# blanked FILE...: prints the lines of code as "FILE:LINE: text", without comments and the contents
# of strings
blanked() {
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
blanked "${sources[@]}" >"$T/code"
blanked "${sources[@]}" "${kernels[@]}" | grep -E '^[^ ]+ [ \t]*#[ \t]*include' >"$T/includes"

# none NAME FILE: the file, a list of offences, is empty
none() {
    if [ ! -s "$2" ]; then ok "$1"
    else not_ok "$1" "$(head -n 3 "$2" | tr '\n' ' ')($(wc -l <"$2") in all)"; fi
}
# nowhere NAME PATTERN EXCEPT: no line of code matches the pattern, in files whose names do not
# match EXCEPT
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
blanked "$T/try/bad.c" | sed 's/^[^:]*://' >"$T/try/out"
equal "code: comments and strings are left out" \
    "$(grep -cE 'strcat|sprintf|gets|in a comment' "$T/try/out")" 0
equal "code: calls and includes are kept" \
    "$(grep -cE '^4: .*strcpy\(a, b\)|^5: .*"ops/ops.h"' "$T/try/out")" 2

# ---- who may use whom ----
# A line for each module of lib: its name, then those that it may use besides itself and base;
# MODULE:PREFIX allows only headers and symbols of MODULE whose name begins so.
cat >"$T/may" <<'EOF'
base
unicode
regex unicode
text regex unicode
jinja unicode
chat text jinja stream:run
rows stream chat
config hf
stream
pack
hf
ops kernels
track
comm ops kernels:fold
model hf ops parallel:collect
parallel ops comm model
data stream model parallel
save hf parallel model ops
adapter regex hf model
decode chat text hf model
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
# A line for each module: its name, then its public headers, which others may include.
cat >"$T/public" <<'EOF'
adapter adapter
base buf doc dtype err hash io json limits log mem num opt plugin pool rng scratch thread trace
base version
chat chat
comm comm launch world
config config keys settings
data balance batch feed feed_check rooms
decode prompt talk
hf config family folder gguf_convert gguf_export params peft safetensors
jinja jinja
kernels fold kernels matmul
model freeze kept lora micro_batch model plan sampler schedule stage weights
ops choose cuda_rules cuda_stream dropout ops waits
options options
pack pack
parallel collect mesh zero
regex regex
rows bad rows turns
save ckpt folder layout restore saver
stream run stream
text tokenizer
track track
train checkpoint fit loop
unicode cpset unicode utf8
EOF
# includes FILE PRIVATE: prints the includes of lib as edges, and writes those of headers of another
# module that are not public to PRIVATE
includes() {
    awk '
        NR == FNR { for (i = 2; i <= NF; i++) public[$1 "/" $i ".h"] = 1; next }
        match($0, /"[^"]*"/) {
            split($1, at, "/")
            target = substr($0, RSTART + 1, RLENGTH - 2)
            n = split(target, to, "/")
            from = at[1] == "lib" ? at[2] : at[1]
            if (n > 1 && to[1] != from && !(target in public))
                print $1, "includes the private", target >other
            if (at[1] == "lib") print $1, from, (n == 1 ? from : to[1]), to[n]
        }' other="$2" "$T/public" "$1"
}
: >"$T/private"
includes "$T/includes" "$T/private" >"$T/edges"
edges "$T/edges" >"$T/found"
none "modules: they include only those that they may" "$T/found"
none "modules: private headers stay in their module" "$T/private"
printf '%s\n' 'lib/text/a.c:1: #include "chat/chat.h"' \
    'lib/chat/a.c:1: #include "text/tokenizer.h"' 'lib/base/a.c:2: #include "text/tokenizer.h"' \
    'cmd/a/b.c:3: #include "base/io_impl.h"' \
    'cmd/a/b.c:4: #include "stream/format.h"' \
    'lib/chat/b.c:4: #include "jinja/ast.h"' 'lib/model/a.c:1: #include "parallel/collect.h"' \
    'lib/model/a.c:2: #include "parallel/mesh.h"' >"$T/try/includes"
includes "$T/try/includes" "$T/try/private" >"$T/try/edges"
equal "modules: a wrong include is found" "$(edges "$T/try/edges" | wc -l)" 3
equal "modules: the include of a private header is found" "$(wc -l <"$T/try/private")" 3

# The same rule for symbols: an undefined symbol of an archive belongs to a module that it may use.
# symbols ARCHIVE...: prints an edge for each use of a symbol of another module
symbols() {
    for a in "$@"; do
        nm --defined-only -g "$a" 2>/dev/null | awk -v m="$(basename "$a" .a)" \
            'NF == 3 { print "D", m, $3 }'
    done >"$T/symbols"
    for a in "$@"; do
        nm --undefined-only -g "$a" 2>/dev/null | awk -v m="$(basename "$a" .a)" \
            'NF == 2 { print "U", m, $2 }'
    done >>"$T/symbols"
    awk '$1 == "D" { home[$3] = $2; next } ($3 in home) { print $3, $2, home[$3], $3 }' \
        "$T/symbols" |
        sort -u
}
archives=(lib/*/)
archives=("${archives[@]/#lib/$O/lib}")
archives=("${archives[@]/%\//.a}")
if [ -e "${archives[0]}" ]; then
    symbols "${archives[@]}" >"$T/edges"
    check "symbols: archives use those of one another" [ "$(wc -l <"$T/edges")" -gt 500 ]
    edges "$T/edges" >"$T/found"
    none "symbols: modules use only those of modules that they may use" "$T/found"
    printf '%s\n' 'jinja_render text chat jinja_render' 'mesh_rank model parallel mesh_rank' \
        'collect_sum model parallel collect_sum' >"$T/try/edges"
    equal "symbols: a wrong one is found" "$(edges "$T/try/edges" | wc -l)" 2
else
    skip "symbols: modules use only those of modules that they may use" "$O/lib has no archives"
fi

# ---- files of a module do not use one another in a circle ----
# A line for each circle that is there: its module, then its files. Those of jinja are recursions:
# of the parser, of the evaluator, and of filters that apply a filter or a test by its name.
cat >"$T/circles" <<'EOF'
jinja expr operand parse_call
jinja eval exec loop macro
jinja filter filter_map test
EOF
# uses ARCHIVE...: prints "MODULE/FILE MODULE/FILE" where a file uses a symbol of another file of
# its module
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
# circles USES ALLOWED: prints the files that lines of uses() join in a circle. The files of a line
# of ALLOWED count as one, the first.
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
equal "circles: one through a listed one is found" "$(circles "$T/try/uses" "$T/try/two" | xargs)" \
    "text/a text/c"
equal "circles: one that is listed is not found" "$(circles "$T/try/uses" "$T/try/three")" ""
if [ -e "${archives[0]}" ]; then
    uses "$O"/lib/{base,stream,unicode,regex,text,jinja,chat,rows,pack,config,hf}.a >"$T/uses"
    check "circles: files use symbols of one another" [ "$(wc -l <"$T/uses")" -gt 200 ]
    circles "$T/uses" "$T/circles" >"$T/found"
    none "circles: files of a module do not use one another in one" "$T/found"
else
    skip "circles: files of a module do not use one another in one" "$O/lib has no archives"
fi

# ---- functions that nothing calls ----
# idle SYMBOLS CODE TESTS...: prints the functions that no other file of the library or of a command
# uses: those that their own file does not call either, and those that no test calls, which should
# be static. SYMBOLS: lines of `nm -A -g`. A name that is not in the code is made by a macro.
idle() {
    local symbols=$1 code=$2 f lines
    shift 2
    awk '
        $2 == "U" { used[$3] = 1 }
        $2 == "T" { home[$3] = $1; gsub(/^.*\/(lib|obj)\/|:[0-9a-f]*$/, "", home[$3]) }
        END { for (f in home) if (!(f in used) && f != "main") print f, home[f] }' "$symbols" |
        LC_ALL=C sort | while read -r f home; do
        lines=$(grep -cE "^[^:]*\.c:.*\b$f\b" "$code")
        if [ "$lines" -eq 1 ]; then echo "$home: nothing calls $f"
        elif [ "$lines" -gt 1 ] && ! grep -qw -- "$f" "$@"; then echo "$home: $f should be static"
        fi
    done
}
printf '%s\n' 'a.a:a.o:00 T called' 'a.a:b.o:     U called' 'a.a:a.o:00 T lonely' \
    'a.a:a.o:00 T inside' 'a.a:a.o:00 T tried' 'a.a:a.o:00 T pasted_v3' >"$T/try/nm"
printf 'a.c:%s: void %s(void)\na.h:9: void %s(void);\n' 1 called called 2 lonely lonely \
    3 inside inside 4 tried tried >"$T/try/functions"
printf 'a.c:%s: %s();\n' 5 inside 6 tried >>"$T/try/functions"
echo 'tried(); lonely();' >"$T/try/test.c"
equal "idle: functions that nothing calls, or their own file alone, are found" \
    "$(idle "$T/try/nm" "$T/try/functions" "$T/try/test.c" | paste -sd,)" \
    'a.a:a.o: inside should be static,a.a:a.o: nothing calls lonely'
if [ -e "${archives[0]}" ]; then
    mapfile -t objects < <(find cmd -name '*.c' | sed "s|.*|$O/obj/&|; s|c$|o|")
    nm -A -g "${archives[@]}" "${objects[@]}" >"$T/symbols" 2>/dev/null
    check "idle: the library has functions" [ "$(grep -c ' T ' "$T/symbols")" -gt 1000 ]
    mapfile -t callers < <(find tests kernels -name '*.[ch]' -o -name '*.cu')
    # lib/parallel/collect.h has every collective, whether the model needs it today or not.
    idle "$T/symbols" "$T/code" "${callers[@]}" | grep -v ': nothing calls collect_' >"$T/found"
    none "idle: each function is called, by another file or by its own and a test" "$T/found"
else
    skip "idle: each function is called, by another file or by its own and a test" \
        "$O/lib has no archives"
fi

# headers NAME PATTERN FILES: only files whose names match FILES include such a header
headers() {
    grep -E "[<\"]($2)[>\"]" "$T/includes" | awk -F: -v may="$3" '$1 !~ may' >"$T/found"
    none "$1" "$T/found"
}
headers 'headers: only files for MPI in comm include mpi.h' 'mpi\.h' '^lib/comm/[^/]*mpi[^/]*$'
headers 'headers: only files for NCCL in comm include nccl.h' 'nccl\.h' '^lib/comm/[^/]*nccl[^/]*$'
headers 'headers: only the CUDA backend, NCCL and kernels include those of CUDA' \
    '(cuda|cublas|cudnn|curand|nvml|nvToolsExt|cooperative_groups)[^>"]*' \
    '^(lib/ops/cuda|lib/comm/[^/]*nccl|kernels/)'
headers "headers: only the CUDA plugin includes the kernels' launchers" 'kernels/[^>"]*' \
    '^lib/(ops/cuda|comm/nccl)_plugin'
headers 'headers: only doc.c and doc_parse.c of base include that of cJSON' '(cjson/)?cJSON\.h' \
    '^lib/base/doc(_parse)?\.c'
headers 'headers: only ops includes those of oneDNN' '(oneapi/dnnl/)?dnnl[^>"]*' '^lib/ops/'
check 'headers: those of MPI, CUDA, oneDNN and cJSON are included somewhere' \
    [ "$(grep -cE '<mpi\.h>|<cuda|<dnnl|dnnl\.h|cJSON\.h' "$T/includes")" -ge 4 ]

# ---- the libraries that commands link ----
# links COMMAND PATTERN: checks that the command links no library that matches
links() {
    local program
    program=$(command -v "$1") || { not_ok "libraries: $1 is built" 'it is not there'; return; }
    ldd "$program" >"$T/libraries"
    check "libraries: $1 links those of C" grep -q 'libc\.so' "$T/libraries"
    grep -E "$2" "$T/libraries" >"$T/found"
    none "libraries: $1 links none that it need not have" "$T/found"
}
# The trainer loads MPI when it is started under a launcher, and not before.
for c in "${commands[@]}"; do
    case $c in
        sft-train | sft-eval) links "$c" 'libmpi|libopen-|libcuda|libcublas|libnccl' ;;
        sft-ckpt | sft-report) links "$c" 'libmpi|libcuda|libcublas|libnccl|libdnnl' ;;
        *) links "$c" 'libmpi|libcuda|libcublas|libnccl|libdnnl|libcjson' ;;
    esac
done

# ---- numbers of JSON have one writer, which knows that some are not finite ----
# reals FILE...: prints lines that format a real number behind a JSON key, or into a buffer
reals() { grep -nE '(\\":|buf_printf\([^"]*")([^"\\]|\\.)*%[-+#0-9.*]*[aefgAEFG]' "$@"; }
printf '%s\n' 'snprintf(line, n, "{\"loss\":%.9g}", x);' 'buf_printf(&b, "%s%.*g", comma, 9, x);' \
    'snprintf(line, n, "loss %.4f", x);' 'buf_printf(&b, "{\"n\":%zu}", n);' >"$T/try/reals.c"
equal "numbers: one that is printed by hand is found" "$(reals "$T/try/reals.c" | wc -l)" 2
reals "${sources[@]}" |
    grep -vE '^(lib/base/buf|lib/model/plan|cmd/sft-train/(fits|print))\.c:' |
    grep -vE '^cmd/sft-report/(page|svg|text)\.c:' >"$T/found" # HTML and text
none "numbers: real ones go into JSON through buf_json_number and buf_json_fixed" "$T/found"

# ---- functions that must not be called ----
# word NAMES: prints a pattern of calls of these functions
word() { echo "(^|[^A-Za-z0-9_.>])($1)[ ]*\("; }
check 'calls: the sources are searched' [ "$(wc -l <"$T/code")" -gt 10000 ]
equal 'calls: one that is not allowed is found' \
    "$(grep -cE -- "$(word 'strcpy|strcat')" "$T/try/out")" 1
nowhere "calls: no string function without a bound" \
    "$(word 'strcpy|strcat|stpcpy|sprintf|vsprintf|gets|strtok|alloca')" ""
nowhere "calls: no conversion of numbers without an error" "$(word 'atoi|atol|atoll|atof')" ""
nowhere "calls: no function with a hidden state" \
    "$(word 'gmtime|localtime|ctime|asctime|rand|srand|setlocale')" ""
nowhere "calls: no function of guessable temporary names" \
    "$(word 'mktemp|tmpnam|tempnam|tmpfile')" ""
nowhere "calls: no function starts a shell" "$(word 'system|popen')" ""
grep '^lib/' "$T/code" >"$T/lib" && mv "$T/lib" "$T/code"
nowhere "calls: the library does not end the process" \
    "$(word 'exit|_exit|_Exit|quick_exit|abort|assert')" ""
nowhere "calls: the library does not print" \
    "$(word 'printf|vprintf|puts|putchar|perror')|(^|[^a-zA-Z0-9_])std(out|err)([^a-zA-Z0-9_]|$)" \
    '^lib/base/(log|progress)\.c$'
nowhere "calls: only the memory module allocates" \
    "$(word 'malloc|calloc|realloc|free|strdup|strndup|aligned_alloc|posix_memalign')" \
    '^lib/base/mem\.c$'
nowhere "calls: only the I/O module opens, renames and removes" \
    "$(word 'fopen|freopen|open|openat|creat|rename|unlink|remove|mkdir|rmdir|truncate')" \
    '^lib/base/io[^/]*\.c$'

# ---- the form of the tests ----
mapfile -t tests < <(find tests -name '*.sh' -o -name '*.[ch]' | LC_ALL=C sort)
# names FILE...: prints names of checks that are not "area: what holds", with at least three words
# behind the colon, and areas with a colon, of these files and of those that tests source
names() {
    awk '
        BEGIN {
            operator = "(^ *|[;&|({] *|(then|else|do) )"
            command = operator "([A-Za-z_]+=[^ ]* )*[a-z_]+ +[\"\047]"
        }
        # A comment "# function NAME" or "# function AREA" tells what the function takes first.
        FILENAME !~ /\/(cli|dist)\// && /^# [a-z_]+ (NAME|AREA)/ { first[$2] = substr($3, 1, 4) }
        FNR == 1 { split("", own); here = "" }
        match($0, /^ *# [a-z_]+ (NAME|AREA)/) { own[$2] = substr($3, 1, 4); next }
        /^ *#/ { next }
        here != "" { if ($0 == here) here = ""; next }
        {
            # $(...) and ${...} stand for a word; a command begins a line or is behind an operator.
            if (match($0, /[^<]<<\047?[A-Z]+/)) {
                here = substr($0, RSTART + 3, RLENGTH - 3)
                sub(/^\047/, "", here)
            }
            text = $0
            while (sub(/\$\([^()]*\)|\$\{[^{}]*\}/, "X", text));
            while (match(text, command)) {
                head = substr(text, RSTART, RLENGTH - 1)
                text = substr(text, RSTART + RLENGTH - 1)
                n = split(head, word, " ")
                takes = word[n] in own ? own[word[n]] : first[word[n]]
                end = index(substr(text, 2), substr(text, 1, 1))
                name = substr(text, 2, end - 1)
                if (!end || name ~ /^\$[A-Za-z0-9]+$/) continue
                ok = name ~ /^[^:]+: [^ ]+ +[^ ]+ +[^ ]/
                if (takes == "AREA") ok = name !~ /:/
                if (takes != "" && !ok) print FILENAME ":" FNR ": " name
            }
        }' tests/cli.sh tests/train.sh tests/ranks.sh "$@"
}
cat >"$T/try/bad.sh" <<'EOF'
equal 'is one' 1 1
# whole AREA FILE: the file is whole
[ -e x ] && same "$1: and back" x y
if check "step: $(echo 'a b') is 1" true; then equal 'step: its name has four words' 1 1; fi
N=1 fails 'a: b' 64 'x' y || whole 'step 1: x' x
whole 'step 1' x # equal 'in a comment' 1 1
EOF
equal 'names: half sentences and wrong areas are found' \
    "$(names "$T/try/bad.sh" | cut -d: -f2 | paste -sd' ')" '1 3 5 5'
names tests/cli/*.sh tests/dist/*.sh >"$T/found"
none 'names: each check of the commands says "area: what holds"' "$T/found"
# undefined FILE...: prints the commands that a file gives the name of a check and that neither it
# nor a helper defines: bash goes on without them, and nothing is checked
undefined() {
    local t word
    for t; do
        grep -oE "^ *([A-Z_]+=[^ ]* )*[a-z_]+ ['\"][a-z][^'\":]*: " "$t" |
            sed -E "s/ ['\"].*//; s/.* //" | sort -u | while read -r word; do
            grep -qE "^ *$word\(\)" "$t" tests/*.sh ||
                type -t -- "$word" | grep -q 'builtin\|file' || echo "$t: $word"
        done
    done
}
printf '%s\n' "there 'a: one two three' x" "nowhere_ 'a: one two three' x" 'there() { ok; }' \
    >"$T/try/calls.sh"
equal 'checks: a call of a function that is not there is found' "$(undefined "$T/try/calls.sh")" \
    "$T/try/calls.sh: nowhere_"
undefined tests/cli/*.sh tests/dist/*.sh tests/emu/*.sh >"$T/found"
none 'checks: each function that a test calls by name is there' "$T/found"
# wide FILE...: prints lines of more than 100 characters
wide() { LC_ALL=C.UTF-8 grep -nE '^.{101}' "$@"; }
printf '%0100d\n%0101d\n%s\n' 0 0 "$(printf '·%.0s' $(seq 100))" >"$T/try/wide.sh"
equal 'columns: a line of 101 is found' "$(wide "$T/try/wide.sh" /dev/null | cut -d: -f2)" 2
wide "${tests[@]}" >"$T/found"
none 'columns: lines of the tests have at most 100' "$T/found"
# riddles FILE...: prints comments that begin with a pronoun or with the end of their sentence
riddles() { grep -nE '^ *(#|/\*|\*|//) *(-+ )?(Of|What|Who|Whose|Those|Whether)\b' "$@"; }
printf '%s\n' '# What is kept' '/* Of X, Y */' '# The X of Y' 'x # What' >"$T/try/riddles.sh"
equal 'comments: one that begins with a pronoun is found' \
    "$(riddles "$T/try/riddles.sh" /dev/null | cut -d: -f2 | paste -sd' ')" '1 2'
mapfile -t commented < <(find lib cmd kernels tests tools -type f \( -name '*.[ch]' \
    -o -name '*.cu*' -o -name '*.cpp' -o -name '*.sh' \) | LC_ALL=C sort)
riddles "${commented[@]}" Makefile run_sft_pipeline.sh .ci/run >"$T/found"
none 'comments: none begins with a pronoun' "$T/found"
exit $bad
