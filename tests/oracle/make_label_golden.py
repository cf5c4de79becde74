# SPDX-License-Identifier: Apache-2.0
"""Token ids and labels as Hugging Face and ROLL make them, for tests/unit/chat_labels.c.

usage: make_label_golden.py SHARED_DATA > tests/golden/template/labels.tsv
A line: which, index, number of tokens, FNV-1a 64 (first 8 digits) of the (id, label) pairs, label -100
where there is no loss. which: "roll" and "turn" over the rows of code_alpaca_2k.json, "conv" over
conversations.json with the model's template, "generation" over them with the one that has
{% generation %} blocks. The model is Qwen2.5 throughout.
"""
import json
import pathlib
import struct
import sys

import tokenizers
import transformers

GOLDEN = pathlib.Path(__file__).parent.parent / "golden" / "template"
END = "<|im_end|>"
HEAD = "<|im_start|>assistant\n"


def fnv(data):
    h = 0xCBF29CE484222325
    for byte in data:
        h = ((h ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return "%016x" % h


def line(which, index, ids, labels):
    data = b"".join(struct.pack("<Ii", i, l) for i, l in zip(ids, labels))
    print(which, index, len(ids), fnv(data)[:8], sep="\t")


def roll(tok, messages, tools=None):
    """Two renders, two tokenizations, the prompt masked by count; no message for an empty answer."""
    if messages[-1] == {"role": "assistant", "content": ""}:
        messages = messages[:-1]
    last = max((i for i, m in enumerate(messages) if m["role"] == "assistant"), default=len(messages))
    kw = dict(tools=tools, tokenize=False)
    prompt = tok.apply_chat_template(messages[:last], add_generation_prompt=True, **kw)
    full = tok.apply_chat_template(messages, add_generation_prompt=False, **kw)
    if full[-1] == "\n":
        full = full[:-1]
    ids = tok(full, add_special_tokens=False)["input_ids"]
    n = len(tok(prompt, add_special_tokens=False)["input_ids"])
    return ids, ([-100] * n + ids[n:])[: len(ids)]


def turn(tok, messages, tools=None):
    """Each assistant turn, from the tokens that it shares with the generation prompt to END."""
    kw = dict(tools=tools, tokenize=False)
    text = tok.apply_chat_template(messages, **kw)
    out = tok(text, add_special_tokens=False, return_offsets_mapping=True)
    ids = out["input_ids"]
    labels = [-100] * len(ids)
    for i, m in enumerate(messages):
        if m["role"] != "assistant" or not m["content"]:
            continue
        prompt = tok.apply_chat_template(messages[:i], add_generation_prompt=True, **kw)
        begin = len(tok.apply_chat_template(messages[:i], **kw)) + len(HEAD)
        assert text[begin:].startswith(m["content"] + END)
        end = begin + len(m["content"]) + len(END)
        at = next((k for k, (a, b) in enumerate(zip(tok(prompt, add_special_tokens=False)["input_ids"], ids))
                   if a != b), len(tok(prompt, add_special_tokens=False)["input_ids"]))
        for k in range(at, len(ids)):
            if out["offset_mapping"][k][1] > end:
                break
            labels[k] = ids[k]
    return ids, labels


def make(shared):
    tok = transformers.AutoTokenizer.from_pretrained(shared / "tokenizers" / "qwen2.5")
    print(f"# transformers {transformers.__version__}, tokenizers {tokenizers.__version__}")
    rows = json.loads((shared / "instruct" / "code_alpaca_2k.json").read_text())
    for i, row in enumerate(rows):
        user = row["instruction"] + ("\n" + row["input"] if row["input"] else "")
        messages = [{"role": "user", "content": user}, {"role": "assistant", "content": row["output"]}]
        line("roll", i, *roll(tok, messages))
        line("turn", i, *turn(tok, messages))
    training = (shared / "templates" / "qwen2_5_training.jinja").read_text()
    for i, c in enumerate(json.loads((GOLDEN / "conversations.json").read_text())):
        messages, tools = c["messages"], c.get("tools")
        if any(not isinstance(m["content"], str) for m in messages):
            continue
        if not any("tool_calls" in m for m in messages):
            line("conv", i, *turn(tok, messages, tools))
        line("convroll", i, *roll(tok, messages, tools))
        out = tok.apply_chat_template(
            messages, tools=tools, chat_template=training, return_dict=True,
            return_assistant_tokens_mask=True)
        ids = out["input_ids"]
        line("generation", i, ids, [t if m else -100 for t, m in zip(ids, out["assistant_masks"])])


if __name__ == "__main__":
    make(pathlib.Path(sys.argv[1]))
