#compdef sft-run
# SPDX-License-Identifier: Apache-2.0
_arguments -S \
    '--config_path=[folder of the configuration]:DIR:_files -/' \
    '--config_name=[name of the configuration, without .yaml]:NAME:' \
    '--resume=[continue from the newest checkpoint or from this one]:auto or folder:_files -/' \
    '--hostfile=[hosts for the ranks, a line each: NAME slots=RANKS]:FILE:_files' \
    '-h[print this text]' \
    '--help[print this text]' \
    '-V[print the version]' \
    '--version[print the version]' \
    '*:key=value:{ if compset -P "*="; then _files; else compadd -S "" -- @KEYS@; fi }'
