# SPDX-License-Identifier: Apache-2.0
"""The adapters of experts: their names and the order of their elements here, where peft has others."""
import torch
from make_peft_golden import plain


def parameter_of(model, name):
    """gate_up_proj or down_proj of experts that a factor adapts; or nothing."""
    at, experts, _ = name.partition(".mlp.experts.")
    if not experts or ".lora_" not in name:
        return None
    module = model.get_submodule(name[:name.index(".lora_")])
    return module.parameter_name


def ours(model, name):
    """The name of our table of a parameter of a model of peft."""
    parameter = parameter_of(model, name)
    name = plain(name)
    return name.replace(".experts.base_layer.", ".experts.").replace(".experts.", f".experts.{parameter}.") if parameter else name


def experts_of(model, name):
    return model.get_submodule(name[:name.index(".lora_")]).num_experts if parameter_of(model, name) and "lora_B" in name else 1


def canonical(model, name, x):
    """B of experts as [experts, out, r]; others as they are."""
    n = experts_of(model, name)
    return x.reshape(x.shape[0], -1, n).permute(2, 0, 1) if n > 1 else x


def from_canonical(model, name, values, shape):
    n = experts_of(model, name)
    if n == 1:
        return torch.as_tensor(values).reshape(shape)
    return torch.as_tensor(values).reshape(n, shape[0], -1).permute(1, 2, 0).reshape(shape)
