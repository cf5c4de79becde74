#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# make install puts the commands, plugins, manual pages, completions and documents in the usual
# places; make uninstall removes them and nothing else. The completions know every option.
source "$(dirname "$0")/../cli.sh"
cd "$(dirname "$0")/../.." || exit 70
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES
# files: prints what lies below the installation, sorted
files() { (cd "$T/dest" && find . ! -type d | LC_ALL=C sort); }
make_it() { make O="$O" DESTDIR="$T/dest" PREFIX=/opt/x "$@"; }
prefix=$T/dest/opt/x

# ---- what is installed ----
mkdir -p "$prefix"/{bin,lib/sft,share/sft,share/doc/sft/docs}
touch "$prefix"/{bin,lib/sft,share/sft,share/doc/sft/docs}/own
files >"$T/before"
{
    cat "$T/before"
    for c in "${commands[@]}" sft-run; do
        printf './opt/x/%s\n' "bin/$c" "share/man/man1/$c.1" \
            "share/bash-completion/completions/$c" "share/zsh/site-functions/_$c" \
            "share/fish/vendor_completions.d/$c.fish"
    done
    for page in man/*.[57].in; do
        page=${page#man/} page=${page%.in}
        echo "./opt/x/share/man/man${page##*.}/$page"
    done
    for d in README.md LICENSE CHANGELOG.md docs/*.md examples/*.json examples/*/* \
        share/tiny-tokenizer/*; do echo "./opt/x/share/doc/sft/$d"; done
    for p in "$O"/lib/sft/*.so; do [ ! -e "$p" ] || echo "./opt/x/lib/sft/${p##*/}"; done
    echo ./opt/x/share/sft/train.sbatch
    for b in share/bridges/{sft-to-*,sft_follow.py}; do echo "./opt/x/share/sft/${b#share/}"; done
} | LC_ALL=C sort >"$T/wanted"
check 'install: make installs below DESTDIR and PREFIX' make_it install
files >"$T/installed"
equal 'install: exactly the listed files are there' \
    "$(diff "$T/installed" "$T/wanted" | paste -sd' ')" ''
equal 'install: commands can be run by everybody, and documents be read' \
    "$(stat -c %a "$prefix"/{bin/sft-pack,bin/sft-run,share/doc/sft/README.md} | paste -sd' ')" \
    '755 755 644'
equal 'install: plugins can be loaded by everybody, and not be run' \
    "$(stat -c %a "$prefix"/lib/sft/*.so | sort -u)" 644
check 'install: an installed command runs' "$prefix/bin/sft-pack" --version
same 'install: sft-run is the wrapper' "$prefix/bin/sft-run" run_sft_pipeline.sh
# Links in the installed README lead to installed documents.
grep -oE '\]\((docs|examples)/[^)#]*' README.md | cut -c3- | sort -u >"$T/links"
check 'install: README links documents' [ "$(wc -l <"$T/links")" -ge 5 ]
equal 'install: each document that README links is installed' \
    "$(cd "$prefix/share/doc/sft" && xargs ls -d <"$T/links" 2>&1 >/dev/null)" ''

# ---- completions ----
completion=$prefix/share/bash-completion/completions
# bash_words WORD...: prints what bash completes for the last word of that line
bash_words() {
    bash -c '. "$1/$2"; COMP_WORDS=("${@:2}") COMP_CWORD=$(($# - 2)) COMPREPLY=()
        "_${2//-/_}"; printf "%s\n" "${COMPREPLY[@]}"' bash "$completion" "$@" | sort -u
}
# help_options COMMAND...: prints the long options of its --help, without --help and --version
help_options() {
    "$@" --help | grep -oE '^  (-.,|   ) --[a-z-]+|\[--[a-z_]+|^usage.*--config_name' |
        grep -oE -- '--[a-z_-]+' | sort -u
}
PATH=$prefix/bin:$PATH
for c in "${commands[@]}" sft-run; do
    help_options "$c" >"$T/options"
    check "completion, $c: --help has options" [ "$(wc -l <"$T/options")" -ge 3 ]
    bash_words "$c" -- >"$T/words"
    equal "completion, $c: bash completes each of them" "$(comm -23 "$T/options" "$T/words")" ''
    for shell in zsh/site-functions/_"$c" "fish/vendor_completions.d/$c.fish"; do
        sed -E 's/ -l ([a-z])/ --\1/g' "$prefix/share/$shell" | grep -oE -- '--[a-z_-]+' |
            sort -u >"$T/words"
        equal "completion, $c: ${shell%%/*} knows each of them" \
            "$(comm -23 "$T/options" "$T/words")" ''
    done
    for shell in bash zsh fish; do
        case $shell in
            bash) file=$completion/$c ;;
            zsh) file=$prefix/share/zsh/site-functions/_$c ;;
            fish) file=$prefix/share/fish/vendor_completions.d/$c.fish ;;
        esac
        if command -v $shell >/dev/null; then
            check "completion, $c: $shell can read it" $shell -n "$file"
        fi
    done
done
verbs=$(sft-ckpt --help | sed -n '1s/^usage: sft-ckpt \([a-z|]*\) .*/\1/p' | tr '|' '\n' | sort)
equal 'completion, sft-ckpt: bash completes the verbs' "$(bash_words sft-ckpt '')" "$verbs"
for verb in $verbs; do
    help_options sft-ckpt "$verb" >"$T/options"
    bash_words sft-ckpt "$verb" -- >"$T/words"
    equal "completion, sft-ckpt $verb: bash completes each option" \
        "$(comm -23 "$T/options" "$T/words")" ''
    check "completion, sft-ckpt $verb: zsh has its options" \
        grep -qF "[[ \$words[2] == $verb ]]" "$prefix/share/zsh/site-functions/_sft-ckpt"
    equal "completion, sft-ckpt $verb: fish has each option behind the verb" \
        "$(sed -nE "s/.*seen_subcommand_from $verb'.* -l ([a-z-]+).*/--\1/p" \
            "$prefix/share/fish/vendor_completions.d/sft-ckpt.fish" | sort |
            comm -23 "$T/options" -)" ''
done
equal 'completion: bash completes the words of an option' \
    "$(bash_words sft-pack --over-length d)" drop

# ---- keys of the configuration ----
sft-config --keys | sed -n '/^## Keys that sft-train/q; s/^| `\([^`*]*\)` .*/\1=/p' |
    sort -u >"$T/keys"
check 'completion, keys: the table of keys has some' [ "$(wc -l <"$T/keys")" -ge 50 ]
for c in sft-train sft-config sft-run; do
    for first in $(cut -c 1 "$T/keys" | sort -u); do bash_words "$c" "$first"; done |
        grep '=$' | sort >"$T/words"
    same "completion, $c: bash completes each key that has an effect" "$T/keys" "$T/words"
    for file in zsh/site-functions/_"$c" "fish/vendor_completions.d/$c.fish"; do
        equal "completion, $c: ${file%%/*} has the same keys" \
            "$(grep -oE '[a-z_]+(\.[a-z_0-9]+)*=( |.$|;|.? -d)' "$prefix/share/$file" |
                sed 's/=.*/=/' | sort -u | comm -3 "$T/keys" -)" ''
    done
done
equal 'completion, keys: bash completes a file as the value' \
    "$(bash_words sft-train pretrain = "$T/key")" "$T/keys"
equal 'completion, keys: bash completes all files behind the sign' \
    "$(cd "$prefix/bin" && bash_words sft-train pretrain = | grep -c '^sft-')" \
    $((${#commands[@]} + 1))
equal 'completion, keys: an empty word is completed to files alone' \
    "$(bash_words sft-train '' | grep -c '=$')" 0

if command -v fish >/dev/null; then
    # fish_words LINE: prints what fish completes at its end
    fish_words() { XDG_DATA_DIRS=$prefix/share fish -c 'complete -C "$argv"' "$1" | cut -f1; }
    equal 'completion: fish completes the words of an option' \
        "$(fish_words 'sft-pack --over-length d')" drop
    equal 'completion: fish completes verbs' "$(fish_words 'sft-ckpt dif')" diff
    equal 'completion: fish completes options of sft-run' "$(fish_words 'sft-run --res')" --resume
    for c in sft-train sft-config sft-run; do
        equal "completion, $c: fish completes a key" "$(fish_words "$c max_st")" max_steps=
    done
    equal 'completion: fish completes a file as the value of a key' \
        "$(cd "$T" && fish_words 'sft-train pretrain=inst')" pretrain=installed
else
    skip 'completion: fish completes the words of an option' 'no fish'
fi

# ---- other folders ----
# The names of GNU, and a folder of plugins that is not beside that of the programs.
given=(DESTDIR="$T/gnu" prefix=/usr bindir=/usr/libexec/x libdir=/usr/lib/arch mandir=/man
    docdir=/usr/doc)
# placed VARIABLE=VALUE... show: prints the folders
placed() { make -s -f - "$@" <<'END'
include Makefile
show: ; @printf '%s\n' $(BINDIR) $(LIBDIR) $(MANDIR) $(DATADIR) $(DOCDIR) $(PLUGIN_FOLDER)
END
}
equal 'install: LIBDIR decides where a program in BINDIR looks for plugins' \
    "$(placed "${given[@]}" show | paste -sd' ')" \
    '/usr/libexec/x /usr/lib/arch /man /usr/share /usr/doc ../../lib/arch/sft'
equal 'install: PREFIX moves all folders' "$(placed PREFIX=/p show | paste -sd' ')" \
    '/p/bin /p/lib /p/share/man /p/share /p/share/doc/sft ../lib/sft'

# A program that loads a plugin, with lib/base/plugin.c as it is compiled for these folders.
cat >"$T/load.c" <<'END'
#include <stdio.h>
#include "base/plugin.h"
int main(void)
{
    const struct plugin p = {"own.so", "own", "it is not there", "it is broken", 7};
    struct err e = {0};
    const int *own = plugin_load(&p, &e);
    puts(own ? "found" : e.msg);
    return 0;
}
END
echo 'int own = 7;' >"$T/own.c"
root=$T/gnu/usr
mkdir -p "$root"/libexec/x "$root"/lib/arch/sft "$root"/libexec/lib/sft
san=()
! sanitized || san=(-fsanitize=address,undefined)
cc=${CC:-cc}
$cc -std=c11 -D_GNU_SOURCE -Ilib "${san[@]}" -DPLUGIN_FOLDER='"../../lib/arch/sft"' "$T/load.c" \
    lib/base/plugin.c "$O/lib/base.a" -pthread -ldl -lcjson -o "$root/libexec/x/load"
$cc -shared -fPIC "$T/own.c" -o "$root/lib/arch/sft/own.so"
equal 'install: a program finds a plugin in LIBDIR' "$("$root/libexec/x/load" 2>&1)" found
mv "$root/lib/arch/sft/own.so" "$T"
equal 'install: the message about a missing plugin names LIBDIR' \
    "$("$root/libexec/x/load" 2>&1)" "$root/lib/arch/sft/own.so: missing: it is not there"
rmdir "$root/lib/arch/sft"
mv "$T/own.so" "$root/libexec/lib/sft"
equal 'install: without that folder, one beside the program is taken, as in a build' \
    "$("$root/libexec/x/load" 2>&1)" found

# ---- and removed ----
check 'uninstall: make removes what it installed' make_it uninstall
files >"$T/after"
same 'uninstall: all else is left' "$T/after" "$T/before"
rm "$prefix"/{lib/sft,share/sft,share/doc/sft/docs}/own
make_it uninstall >/dev/null
equal 'uninstall: folders of its own go when they are empty' \
    "$(ls -d "$prefix"/{lib/sft,share/sft,share/doc/sft} 2>/dev/null)" ''
exit $bad
