# SPDX-License-Identifier: Apache-2.0
"""Names of parameters in checkpoints, where transformers has others in memory."""


def on_disk(model, name, p):
    """The tensors of a checkpoint that a parameter holds: transformers stacks those of experts."""
    mlp, *names = ("block_sparse_moe", "w1", "w3", "w2") if model.config.model_type == "mixtral" else (
        "mlp", "gate_proj", "up_proj", "down_proj")
    if model.config.model_type.startswith("granitemoe"):  # they are stacked on the disk, too
        for there, here in (("experts.gate_up_proj", "input_linear.weight"), ("router.weight", "router.layer.weight"),
                            ("experts.down_proj", "output_linear.weight")):
            name = name.replace(f".block_sparse_moe.{there}", f".block_sparse_moe.{here}")
        return [(name, p)]
    at, experts, part = name.rpartition(".mlp.experts.")
    if not experts:
        return [(name.replace(".mlp.", f".{mlp}."), p)]
    if part == "gate_up_proj":
        return [(f"{at}.{mlp}.experts.{e}.{n}.weight", y)
                for e, x in enumerate(p) for n, y in zip(names, x.chunk(2))]
    return [(f"{at}.{mlp}.experts.{e}.{names[2]}.weight", x) for e, x in enumerate(p)]
