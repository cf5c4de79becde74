# SPDX-License-Identifier: Apache-2.0
"""Golden filters of sampling from transformers: tests/golden/hf/sampling.json.

usage: make_sampling_golden.py OUTPUT_FILE

cases: generation's arguments, the tokens before, the logits, and what transformers' processors of logits,
in the order of its generate(), leave: the ids with a probability, largest first, and the probabilities.
"""
import json
import sys

import numpy
import torch
import transformers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

VOCAB = 60
model = LlamaForCausalLM(LlamaConfig(vocab_size=VOCAB, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
                                     num_attention_heads=2, num_key_value_heads=2))
CASES = [
    {},
    {"temperature": 0.7},
    {"temperature": 2.5},
    {"top_k": 7},
    {"top_k": 1},
    {"top_k": 500},
    {"top_p": 0.9},
    {"top_p": 0.05},
    {"top_p": 0.5, "temperature": 3.0},
    {"min_p": 0.1},
    {"min_p": 0.9},
    {"repetition_penalty": 1.3},
    {"repetition_penalty": 0.8, "top_p": 0.8},
    {"temperature": 0.6, "top_k": 20, "top_p": 0.95},
    {"temperature": 1.4, "top_k": 9, "top_p": 0.7, "min_p": 0.15, "repetition_penalty": 1.1},
    {"temperature": 0.2, "top_p": 0.99, "min_p": 0.01, "repetition_penalty": 2.0},
]


def filtered(how, before, logits):
    config = GenerationConfig(do_sample=True, **{"top_k": 0, **how})
    ids = torch.tensor([before])
    processors = model._get_logits_processor(config, input_ids_seq_length=len(before), device="cpu")
    return torch.softmax(processors(ids, torch.tensor([logits])).double(), -1)[0]


def cases():
    rng = numpy.random.default_rng(11)
    for n, how in enumerate(CASES):
        for ties in (False, True):
            logits = [round(float(x), 1 if ties else 5) for x in rng.normal(0, 2.5, VOCAB)]
            before = [int(i) for i in rng.integers(0, VOCAB, 1 + n)]
            prob = filtered(how, before, logits)
            if ties and "top_p" in how:
                continue  # which of equal tokens top_p keeps is left to the sort
            order = sorted((i for i in range(VOCAB) if prob[i] > 0), key=lambda i: (-float(prob[i]), i))
            yield {"how": how, "before": before, "logits": logits, "ids": order,
                   "probabilities": [float(f"{float(prob[i]):.9g}") for i in order]}


json.dump({"made_by": "tests/oracle/make_sampling_golden.py",
           "versions": {"torch": torch.__version__, "transformers": transformers.__version__,
                        "numpy": numpy.__version__}, "cases": list(cases())},
          open(sys.argv[1], "w"), separators=(",", ":"))
