#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs the configuration in this folder; arguments are overrides such as sft.device=cpu.
here=$(dirname "$0")
exec "$here/../../run_sft_pipeline.sh" --config_path "$here" --config_name sft_config "$@"
