# SPDX-License-Identifier: Apache-2.0
complete -c sft-run -f
complete -c sft-run -l config_path -x -a '(__fish_complete_directories)' -d 'folder of the configuration'
complete -c sft-run -l config_name -x -d 'name of the configuration, without .yaml'
complete -c sft-run -l resume -x -a 'auto (__fish_complete_directories)' -d 'continue from the newest checkpoint or from this one'
complete -c sft-run -l hostfile -r -F -d 'hosts for the ranks, a line each: NAME slots=RANKS'
complete -c sft-run -s h -l help -d 'print this text'
complete -c sft-run -s V -l version -d 'print the version'
complete -c sft-run -n 'string length -q -- (commandline -ct)' -a '@KEYS@' -d 'key of the configuration'
