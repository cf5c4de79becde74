# SPDX-License-Identifier: Apache-2.0
"""Adapters made by peft and merged by it: tests/golden/peft.

usage: make_peft_golden.py OUTPUT_DIR

For each case a base model, an adapter folder of peft's own making whose factors are random, and what
merge_and_unload makes of both. versions.json tells who made them.
"""
import json
import os
import shutil
import sys
from pathlib import Path

import peft
import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

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
}


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
    cls = Qwen2ForCausalLM if kind is Qwen2Config else LlamaForCausalLM
    base = cls(kind(**SIZES, **sizes)).to(dtype)
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


def main():
    out = Path(sys.argv[1])
    for i, name in enumerate(CASES):
        shutil.rmtree(out / name, ignore_errors=True)
        make(out, name, i)
    versions = {"peft": peft.__version__, "torch": torch.__version__,
                "transformers": transformers.__version__}
    (out / "versions.json").write_text(
        json.dumps({"made_by": "tests/oracle/make_peft_golden.py", "versions": versions}) + "\n")


if __name__ == "__main__":
    main()
