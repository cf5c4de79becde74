#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# As the group torch, with PyTorch's compiler.
. tests/gpu/torch.sh
