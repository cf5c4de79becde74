#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/tokenizer/old.json: the ids that transformers makes of texts with tokenizers
that have vocab.json and merges.txt and no tokenizer.json.

Each case has the two files of the tiny tokenizer and further files; a hash (FNV-1a 64 over the ids)
for each text of tests/golden/tokenizer/texts.json, and the texts of the named special tokens."""
import json
import os
import tempfile

import transformers
from transformers import AutoTokenizer

import tokenizer_variants as tv

GOLDEN = os.path.join(tv.HERE, "../golden/tokenizer")
EOT = "<|endoftext|>"
NAMES = ["bos_token", "eos_token", "unk_token", "pad_token"]
CHAT = {"eos_token": "<|im_end|>", "pad_token": EOT, "bos_token": None, "unk_token": None}
DECODER = {str(i): {"content": t, "special": s, "lstrip": False, "rstrip": False,
                    "single_word": False, "normalized": False}
           for i, t, s in ((0, EOT, True), (1, "<|im_start|>", True), (2, "<|im_end|>", True))}
CASES = [  # name, files as JSON
    ("gpt2 with its defaults", {"tokenizer_config.json": {"tokenizer_class": "GPT2Tokenizer"}}),
    ("gpt2, fast", {"tokenizer_config.json": {"tokenizer_class": "GPT2TokenizerFast", **CHAT}}),
    ("gpt2 with a space in front", {"tokenizer_config.json": {
        "tokenizer_class": "GPT2Tokenizer", "add_prefix_space": True}}),
    ("gpt2 by the type of the model", {"config.json": {"model_type": "gpt2"}}),
    ("qwen2 with its defaults", {"tokenizer_config.json": {"tokenizer_class": "Qwen2Tokenizer"}}),
    ("qwen2 with added tokens of the configuration", {"tokenizer_config.json": {
        "tokenizer_class": "Qwen2Tokenizer", **CHAT, "added_tokens_decoder": DECODER}}),
    ("qwen2 by the type of the model", {"config.json": {"model_type": "qwen2"}}),
    ("qwen2 with added_tokens.json", {
        "tokenizer_config.json": {"tokenizer_class": "Qwen2Tokenizer", **CHAT},
        "added_tokens.json": {"<|im_start|>": 1, "<|im_end|>": 2, "ééé": 1602, "MiXeD": 1601}}),
    ("gpt2 with special_tokens_map.json", {
        "tokenizer_config.json": {"tokenizer_class": "GPT2Tokenizer"},
        "special_tokens_map.json": {"eos_token": {"content": "<|im_end|>", "lstrip": False,
            "rstrip": False, "single_word": False, "normalized": False}}}),
]


def fnv(words, h=0xcbf29ce484222325):
    for w in words:
        h = (h ^ w) * 0x100000001b3 & 0xffffffffffffffff
    return h


def main():
    model = json.loads(tv.read(tv.TINY))["model"]
    texts = [r["text"] for r in json.load(open(os.path.join(GOLDEN, "texts.json")))["rows"]]
    rows = []
    for name, files in CASES:
        with tempfile.TemporaryDirectory() as d:
            put = lambda n, text: open(os.path.join(d, n), "w", encoding="utf-8").write(text)
            put("vocab.json", json.dumps(model["vocab"], ensure_ascii=False))
            merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
            put("merges.txt", "#version: 0.2\n" + "\n".join(merges) + "\n")
            for n, v in files.items():
                put(n, json.dumps(v))
            tok = AutoTokenizer.from_pretrained(d)
            rows.append({"name": name, "files": files,
                         "named": {n: getattr(tok, n) for n in NAMES},
                         "hash": ["%016x" % fnv(tok(t, add_special_tokens=False)["input_ids"])
                                  for t in texts]})
    with open(os.path.join(GOLDEN, "old.json"), "w", encoding="utf-8") as f:
        f.write('{\n"made with": "make_old_tokenizer_golden.py, transformers %s",\n"rows": [\n'
                % transformers.__version__)
        f.write(",\n".join(json.dumps(r, ensure_ascii=False) for r in rows) + "\n]\n}\n")


if __name__ == "__main__":
    main()
