# SPDX-License-Identifier: Apache-2.0
# Helpers of the two runs of docs/tutorial.md: tests/cli/tutorial.sh here, with what is built, and
# tests/release/tutorial in a new system. Both source this file behind tests/cli.sh.

# tutorial_commands PAGE: writes each command of the page to a file N.sh of the current folder, and
# what stands behind it to N.wanted. The configuration, which follows the text of its section, has
# an N.wanted alone; $config is its name.
tutorial_commands() {
    sed -n 's/^    //p' "$1" | awk '
        /^\$ / { n++; print substr($0, 3) >(n ".sh"); printf "" >(n ".wanted"); next }
        /^exp_name:/ { n++ }
        n { print >(n ".wanted") }'
    config=$(grep -l '^exp_name: ' ./*.wanted)
    mapfile -t numbers < <(printf '%s\n' *.sh | sort -n | sed 's/\.sh$//')
}
# masked FILE: the file with N in place of every number
masked() { sed -E 's/[0-9]+([.e+-]+[0-9]+)*/N/g' "$1"; }
# tutorial_printed N: each line that stands behind the command is in N.out: exactly; those of
# training and of a comparison, but for their numbers
tutorial_printed() {
    local filter=cat
    case $(cat "$1.sh") in sft-train* | *--compare*) filter=masked ;; esac
    grep -vx '\.\.\.' "$1.wanted" >lines
    equal "tutorial: command $1 prints what stands there" \
        "$(comm -23 <($filter lines | sort -u) <($filter "$1.out" | sort -u) | head -n 2)" ''
}
