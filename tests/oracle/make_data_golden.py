#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/data/*.txt, which tests/cli/labels.sh compares the commands with: a hash of
the ids and labels of every row, as transformers and the rules in rows.py give them.

usage: make_data_golden.py    (from the repository root; needs the demo's model and ../shared/data)
A file: comments; "options": what maps the columns; "data SHA256", "tokenizer SHA256": what it was
made from; "turn SHA256", "roll SHA256": of the lines "[[ids],[labels]]" of all rows under either
mask, the second being ROLL's; then for each row "ORIGIN ROLL", short hashes of these lines
(row_hash below).
"""
import hashlib
import json
import sys
from pathlib import Path

import tokenizers
import transformers

from rows import Oracle, alpaca, columns, load, smollm2_folder

SHARED = Path("../shared/data")
GOLDEN = Path("tests/golden/data")


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def row_hash(ids, labels):
    """Small enough for awk to compute exactly."""
    h = 0
    for v in ids + labels:
        h = (h * 1000003 + v + 101) % 2147483647
    return "%08x" % h


def lines_of(pairs):
    return "".join(json.dumps(p, separators=(",", ":")) + "\n" for p in pairs).encode()


def golden(name, model, path):
    oracle, rows = Oracle(model), load(path)
    turn, rolled = [], []
    for row in rows:
        prompt, response = alpaca(row)
        full = oracle.ids(oracle.render(oracle.conversation(prompt, response)))
        turn.append((full, oracle.default_labels(prompt, response)))
        rolled.append(oracle.roll(prompt, response)[:2])
    out = [f"# {path.name}, {len(rows)} rows; made by tests/oracle/make_data_golden.py with",
           f"# transformers {transformers.__version__}, tokenizers {tokenizers.__version__}",
           "options " + " ".join(columns(rows)),
           "data " + sha256(path.read_bytes()),
           "tokenizer " + sha256((model / "tokenizer.json").read_bytes()),
           "turn " + sha256(lines_of(turn)),
           "roll " + sha256(lines_of(rolled))]
    out += [f"{row_hash(*a)} {row_hash(*b)}" for a, b in zip(turn, rolled)]
    (GOLDEN / f"{name}.txt").write_text("\n".join(out) + "\n")
    print(f"{name}: {len(rows)} rows")


def main():
    GOLDEN.mkdir(exist_ok=True)
    tiny, smollm2, qwen = Path("share/tiny-tokenizer"), smollm2_folder(), SHARED / "tokenizers/qwen2.5"
    if not smollm2 or not qwen.exists():
        sys.exit("needs the demo's model (make demo) and ../shared/data")
    for name in ("train", "validation"):
        golden(f"{name}-tiny", tiny, Path(f"examples/data/{name}.json"))
        golden(f"{name}-smollm2", smollm2, Path(f"examples/data/{name}.json"))
    golden("code_alpaca_2k-qwen2.5", qwen, SHARED / "instruct/code_alpaca_2k.json")


main()
