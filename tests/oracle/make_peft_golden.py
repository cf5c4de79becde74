# SPDX-License-Identifier: Apache-2.0
"""Adapters made, merged and trained by peft: tests/golden/peft.

usage: make_peft_golden.py OUTPUT_DIR

For each of CASES a base model, an adapter folder of peft's own making whose factors are random, and
what merge_and_unload makes of both. train.json: for each of TRAINED, on the tiny models of
make_train_golden.py with factors of the same formula, loss and gradients of what the adapter trains,
and ten steps of torch's AdamW.
"""
import os
import shutil
import sys
from pathlib import Path

import peft
import torch
import transformers
import make_train_golden as tiny
from transformers import (LlamaConfig, LlamaForCausalLM, MixtralConfig, MixtralForCausalLM, Qwen2Config,
                          Qwen2ForCausalLM)

SIZES = dict(vocab_size=32, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
             num_attention_heads=4, num_key_value_heads=2, head_dim=4, max_position_embeddings=64)
CASES = {
    "list": (LlamaConfig, torch.float32, dict(tie_word_embeddings=True),
             dict(r=3, lora_alpha=8, target_modules=["q_proj", "v_proj", "down_proj"])),
    "rslora": (LlamaConfig, torch.bfloat16, dict(tie_word_embeddings=False),
               dict(r=4, lora_alpha=5, use_rslora=True, target_modules="all-linear",
                    modules_to_save=["lm_head", "input_layernorm"])),
    "pattern": (Qwen2Config, torch.float32, dict(tie_word_embeddings=True),
                dict(r=2, lora_alpha=2, target_modules=r".*\.1\.(mlp|self_attn)\.(k|o|gate|up)_proj",
                     modules_to_save=["embed_tokens"], ensure_weight_tying=True)),
    "experts": (MixtralConfig, torch.float32, dict(tie_word_embeddings=False, num_hidden_layers=1, num_local_experts=3),
                dict(r=2, lora_alpha=3, target_modules="all-linear")),
}
CLASSES = {LlamaConfig: LlamaForCausalLM, Qwen2Config: Qwen2ForCausalLM, MixtralConfig: MixtralForCausalLM}


def shake(model):
    """Everything that an adapter trains gets values of its own."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.requires_grad:
                p.copy_(torch.randn(p.shape) * 0.25 + ("norm" in name))


def folder(out, model, adapter_of=None):
    """model.safetensors and config.json, or an adapter's files, and nothing else."""
    model.save_pretrained(out)
    for extra in ("README.md", "generation_config.json"):
        if os.path.exists(out / extra):
            os.remove(out / extra)


def make(out, name, seed):
    kind, dtype, sizes, lora = CASES[name]
    torch.manual_seed(seed)
    cls = CLASSES[kind]
    base = cls(kind(**SIZES | sizes)).to(dtype)
    with torch.no_grad():
        for p in base.parameters():
            p.copy_(torch.randn(p.shape) * 0.25)
    folder(out / name / "base", base)
    model = peft.get_peft_model(base, peft.LoraConfig(task_type="CAUSAL_LM", **lora))
    shake(model)
    folder(out / name / "adapter", model)
    again = peft.PeftModel.from_pretrained(cls.from_pretrained(out / name / "base", dtype=dtype),
                                           out / name / "adapter")
    folder(out / name / "merged", again.merge_and_unload())
    os.remove(out / name / "merged" / "config.json")


TRAINED = [
    ("two targets", True, False, dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"])),
    ("all linear, rank-stabilised, whole modules", False, True,
     dict(r=3, lora_alpha=4, use_rslora=True, target_modules="all-linear",
          modules_to_save=["lm_head", "input_layernorm"])),
    ("a pattern, a tied embedding", True, False,
     dict(r=2, lora_alpha=3, target_modules=r".*\.1\.(mlp|self_attn)\.(k|o|up|down)_proj",
          modules_to_save=["embed_tokens"], ensure_weight_tying=True)),
    ("fused blocks in part", False, False,
     dict(r=5, lora_alpha=5, target_modules=["k_proj", "gate_proj", "up_proj"])),
]


def plain(name):
    """The name of our table: without peft's wrappers."""
    for part in ("base_model.model.", ".default", ".modules_to_save"):
        name = name.replace(part, "")
    return name


def adapted(tied, bias, lora):
    model = peft.get_peft_model(tiny.tiny(tied, bias), peft.LoraConfig(task_type="CAUSAL_LM", **lora))
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(torch.from_numpy(tiny.weights(plain(name.replace(".base_layer", "").replace(
                ".original_module", "")), p.numel()).reshape(p.shape)))
    return model.train()


def gradients(model, docs):
    model.zero_grad()
    loss = tiny.loss_of(model, docs)
    loss.backward()
    return loss.item(), {plain(n): p.grad.detach().double().flatten().numpy().copy()
                         for n, p in model.named_parameters() if p.requires_grad}


def curve(model):
    trained = [p for p in model.parameters() if p.requires_grad]
    opt = torch.optim.AdamW([{"params": [p for p in trained if p.dim() == 2], "weight_decay": 0.1},
                             {"params": [p for p in trained if p.dim() != 2], "weight_decay": 0.0}],
                            lr=1e-2, betas=(0.9, 0.98), eps=1e-8)
    losses, norms = [], []
    for k in range(10):
        losses.append(gradients(model, tiny.documents(tiny.LENGTHS, 97, 1000 * k))[0])
        norms.append(torch.nn.utils.clip_grad_norm_(trained, 1.0).item())
        opt.step()
    return {"losses": losses, "norms": norms}


def train_case(name, tied, bias, lora):
    loss, grads = gradients(adapted(tied, bias, lora), tiny.documents(tiny.LENGTHS, 97, 0))
    return {"name": name, "tied": tied, "bias": bias, "rank": lora["r"],
            "scale": lora["lora_alpha"] / lora["r"] ** (0.5 if "use_rslora" in lora else 1),
            "loss": loss, "gradients": tiny.describe(grads), "curve": curve(adapted(tied, bias, lora))}


def main():
    out = Path(sys.argv[1])
    for i, name in enumerate(CASES):
        shutil.rmtree(out / name, ignore_errors=True)
        make(out, name, i)
    tiny.write(out / "train.json", {"peft": peft.__version__,
                                    "cases": [train_case(*case) for case in TRAINED]})


if __name__ == "__main__":
    main()
