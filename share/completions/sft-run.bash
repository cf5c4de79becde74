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
    if [[ $cur == = || $prev == = ]]; then
        COMPREPLY=($(compgen -f -- "${cur#=}"))
    elif [[ ${cur:--} == -* ]]; then
        COMPREPLY=($(compgen -W '--config_path --config_name --resume --hostfile --help -h --version -V' -- "$cur"))
    else
        COMPREPLY=($(compgen -W '@KEYS@' -- "$cur"))
        compopt +o filenames -o nospace 2>/dev/null
    fi
}
complete -o filenames -F _sft_run sft-run
