#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ids and labels of every record of the demo's data and of real instruction sets against
transformers: ids of the rendered conversation, labels of both masks, and where the two masks agree."""
import sys
from pathlib import Path

from rows import IGNORED, Oracle, alpaca, columns, load, ours, sharegpt, smollm2_folder

bad = False
shared = Path("../shared/data")


def check(name, wrong, rows):
    global bad
    bad |= bool(wrong) or not rows
    print(f"ok {name}: {rows} rows" if rows and not wrong else
          f"not ok {name}: {len(wrong)} of {rows} rows differ, first {wrong[:5]}", flush=True)


def agree(label, rolled):
    """The default mask and ROLL's on their common part; what ROLL strips must be untrained."""
    n = len(rolled)
    return label[:n] == rolled and all(x == IGNORED for x in label[n:])


def alpaca_rows(oracle, model, path):
    rows, name = load(path), f"{path.name} with {model.name}"
    keys = columns(rows)
    got, rolled = ours(model, path, keys), ours(model, path, keys, "roll")
    wrong = {k: [] for k in ("ids", "labels", "roll", "agree")}
    prefixes = 0
    for i, row in enumerate(rows):
        prompt, response = alpaca(row)
        ids, labels, prefix = oracle.roll(prompt, response)
        full = oracle.ids(oracle.render(oracle.conversation(prompt, response)))
        prefixes += prefix and response is not None
        if got[i]["ids"] != full or got[i]["source"] != [[0, i]]:
            wrong["ids"].append(i)
        if got[i]["labels"] != oracle.default_labels(prompt, response):
            wrong["labels"].append(i)
        if rolled[i]["ids"] != ids or rolled[i]["labels"] != labels:
            wrong["roll"].append(i)
        if prefix and not agree(got[i]["labels"], rolled[i]["labels"]):
            wrong["agree"].append(i)
    if len(got) != len(rows) or len(rolled) != len(rows):
        wrong["ids"].append("their number")
    check(f"{name}: ids", wrong["ids"], len(rows))
    check(f"{name}: labels", wrong["labels"], len(rows))
    check(f"{name}: ids and labels as ROLL's", wrong["roll"], len(rows))
    check(f"{name}: both masks agree where the prompt is a prefix", wrong["agree"], prefixes)


def sharegpt_rows(oracle, model, path):
    rows, got = load(path), ours(model, path)
    wrong = []
    for i, row in enumerate(rows):
        messages, tools = sharegpt(row)
        if i >= len(got) or got[i]["ids"] != oracle.ids(oracle.render(messages, tools=tools)):
            wrong.append(i)
    check(f"{path.name} with {model.name}: ids", wrong, len(rows))


def main():
    smollm2 = smollm2_folder()
    tiny = Path("share/tiny-tokenizer")
    for model in filter(None, (smollm2, tiny)):
        oracle = Oracle(model)
        for name in ("train", "validation"):
            alpaca_rows(oracle, model, Path(f"examples/data/{name}.json"))
    if not smollm2:
        print("skip the demo's data with SmolLM2: no model; make demo downloads it")
    if not shared.exists():
        print(f"skip real instruction sets: {shared} is not there")
        return
    qwen = shared / "tokenizers/qwen2.5"
    oracle = Oracle(qwen)
    for name in ("code_alpaca_2k", "alpaca_en_demo", "alpaca_zh_demo", "identity"):
        alpaca_rows(oracle, qwen, shared / f"instruct/{name}.json")
    sharegpt_rows(oracle, qwen, shared / "instruct/glaive_toolcall_en_demo.json")


main()
sys.exit(bad)
