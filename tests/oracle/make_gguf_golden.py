# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/hf/gguf_blocks.tsv: random blocks of each GGUF type and what the gguf package
expands them to. Usage: make_gguf_golden.py > tests/golden/hf/gguf_blocks.tsv"""
import importlib.metadata

import gguf
import numpy as np

TYPES = "F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q4_K Q5_K Q6_K".split()
# Places of the fp16 scales in a block: random bytes there could be infinities.
SCALES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
          "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}
BLOCKS = 3

rng = np.random.default_rng(1)
print(f"# gguf {importlib.metadata.version('gguf')}, numpy {np.__version__}: "
      "type, blocks, the same as little-endian fp32 (hexadecimal)")
for name in TYPES:
    kind = gguf.GGMLQuantizationType[name]
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    n = BLOCKS if elements > 1 else 64
    if elements > 1:
        raw = rng.integers(0, 256, (n, size), dtype=np.uint8)
        for at in SCALES[name]:
            # ordinary, negative and subnormal scales
            scale = np.array([0.0137, -3.25, 4.1e-7], dtype=np.float16) * np.float16(rng.uniform(0.5, 2))
            raw[:, at:at + 2] = scale.astype(np.float16).view(np.uint8).reshape(n, 2)
    else:
        x = rng.normal(size=n).astype(np.float32)
        x[:4] = [0.0, -0.0, 65504.0, 6e-8]
        raw = gguf.quants.quantize(x, kind).view(np.uint8).reshape(1, -1)
    out = gguf.quants.dequantize(raw.reshape(-1), kind).astype(np.float32)
    print(name, raw.tobytes().hex(), out.tobytes().hex(), sep="\t")
