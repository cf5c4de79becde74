# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/hf/smollm2.tsv: name, shape and XXH3-128 of the bf16 bytes of each tensor that
transformers loads from the Q4_1 GGUF of SmolLM2-135M-Instruct.
Usage: make_smollm2_golden.py FILE.gguf > tests/golden/hf/smollm2.tsv (needs accelerate, xxhash)"""
import os
import sys

import accelerate
import gguf
import torch
import transformers
import xxhash
from importlib.metadata import version

path = sys.argv[1]
model = transformers.AutoModelForCausalLM.from_pretrained(
    os.path.dirname(path), gguf_file=os.path.basename(path), dtype=torch.float32)
print(f"# transformers {transformers.__version__}, gguf {version('gguf')}, torch {torch.__version__}, "
      f"accelerate {accelerate.__version__}: tensor, shape, XXH3-128 as bf16")
for name, t in sorted(model.state_dict().items()):
    if name == "lm_head.weight" and model.config.tie_word_embeddings:
        continue
    raw = t.to(torch.bfloat16).contiguous().view(torch.int16).numpy().tobytes()
    print(name, list(t.shape), xxhash.xxh3_128_hexdigest(raw), sep="\t")
