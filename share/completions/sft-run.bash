# SPDX-License-Identifier: Apache-2.0
_sft_run() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
    case $prev in
    --config_path)
        COMPREPLY=($(compgen -d -- "$cur"))
        return ;;
    --hostfile)
        COMPREPLY=($(compgen -f -- "$cur"))
        return ;;
    --config_name)
        COMPREPLY=()
        return ;;
    --resume)
        COMPREPLY=($(compgen -W auto -- "$cur") $(compgen -d -- "$cur"))
        return ;;
    esac
    COMPREPLY=($(compgen -W '--config_path --config_name --resume --hostfile --help -h --version -V' -- "$cur"))
}
complete -o filenames -F _sft_run sft-run
