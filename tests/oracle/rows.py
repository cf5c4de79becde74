# SPDX-License-Identifier: Apache-2.0
"""Rows of training data to ids and labels with Hugging Face's tokenizers and templates: what the
commands have to produce. Shared by data_live.py and make_data_golden.py."""
import copy
import json
import os
import subprocess
import tempfile
from pathlib import Path

from tokenizers import processors
from transformers import AutoTokenizer

IGNORED = -100


def columns(rows):
    """The options that map all columns of alpaca rows; one that no row has may not be mapped."""
    keys = {"prompt": "instruction", "query": "input", "response": "output", "system": "system"}
    return [w for k, c in keys.items() if any(c in r for r in rows) for w in (f"--{k}-key", c)]


def load(path):
    """A JSON list, or JSON Lines."""
    text = Path(path).read_text()
    if text.lstrip().startswith("["):
        return json.loads(text)
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def smollm2_folder():
    """The demo's model folder, or one converted from its GGUF file, or None."""
    demo = Path(os.environ.get("O", "build")) / "demo"
    for folder in (os.environ.get("SFT_SMOLLM2"), demo / "SmolLM2-135M-Instruct"):
        if folder and (Path(folder) / "tokenizer.json").exists():
            return Path(folder)
    for gguf in (os.environ.get("SFT_SMOLLM2_GGUF"), demo / "SmolLM2-135M-Instruct.Q4_1.gguf"):
        if gguf and Path(gguf).exists():
            out = Path(tempfile.mkdtemp(dir=os.environ.get("TEST_TMP"))) / "smollm2"
            subprocess.run(["sft-ckpt", "convert", "-q", "--from", "gguf", gguf, "-o", out], check=True)
            return out
    return None


def texts():
    """Texts of many kinds: rows of the shared data sets, where they are, and one line."""
    data = Path("../shared/data")
    if (data / "instruct").exists():
        for name in ("alpaca_en_demo", "alpaca_zh_demo", "code_alpaca_2k"):
            for row in json.loads((data / f"instruct/{name}.json").read_text()):
                yield from (v for v in row.values() if isinstance(v, str))
        yield from (data / "corpus/unicode-torture.txt").read_text().splitlines()
    yield "<|im_start|>user\nIt's 3.14,  12\n\n7 \u0e59 apples\u3000\u00bd<|im_end|>\n"


# ---- rows to messages ----
def alpaca(row):
    """(prompt messages, response or None), as ROLL reads a row."""
    user = row["instruction"] + ("\n" + row["input"] if row.get("input") else "")
    system = [{"role": "system", "content": row["system"]}] if row.get("system") else []
    return system + [{"role": "user", "content": user}], row["output"] or None


def sharegpt(row):
    """(messages, tools or None)."""
    roles = {"human": "user", "gpt": "assistant", "observation": "tool", "system": "system"}
    messages = [{"role": "system", "content": row["system"]}] if row.get("system") else []
    for turn in row["conversations"]:
        if turn["from"] == "function_call":
            calls = json.loads(turn["value"])
            calls = calls if isinstance(calls, list) else [calls]
            messages.append({"role": "assistant", "content": "",
                             "tool_calls": [{"type": "function", "function": c} for c in calls]})
        else:
            messages.append({"role": roles[turn["from"]], "content": turn["value"]})
    tools = row.get("tools") or None
    tools = json.loads(tools) if isinstance(tools, str) else tools
    return messages, [t if "function" in t else {"type": "function", "function": t}
                      for t in tools or []] or None


# ---- messages to ids and labels ----
class Oracle:
    def __init__(self, folder):
        self.tok = AutoTokenizer.from_pretrained(folder)
        # For offsets: without post-processing, which adds tokens and trims white space off offsets.
        self.plain = copy.deepcopy(self.tok.backend_tokenizer)
        self.plain.post_processor = processors.ByteLevel(trim_offsets=False, use_regex=False)
        self.specials = set(self.tok.all_special_tokens)

    def render(self, messages, prompt=False, tools=None):
        return self.tok.apply_chat_template(messages, tools=tools, tokenize=False,
                                            add_generation_prompt=prompt)

    def ids(self, text):
        return self.tok(text, add_special_tokens=False).input_ids

    def conversation(self, prompt, response):
        return prompt + ([{"role": "assistant", "content": response}] if response else [])

    def default_labels(self, prompt, response):
        """Loss on the response and on the special token behind it, by the offsets of each token; a
        token that is partly outside is untrained. For templates that end with the response and that
        token, and repeat the response as it is."""
        text = self.render(self.conversation(prompt, response))
        ids = self.ids(text)
        if response is None:
            return [IGNORED] * len(ids)
        at = text.rindex(response)
        end = at + len(response)
        stop = next(s for s in sorted(self.specials, key=len, reverse=True) if text.startswith(s, end))
        assert text[end + len(stop):].strip() == "", text[end:]
        encoded = self.plain.encode(text, add_special_tokens=False)
        assert encoded.ids == ids
        inside = [at <= a and b <= end + len(stop) for a, b in encoded.offsets]
        return [i if good else IGNORED for i, good in zip(ids, inside)]

    def roll(self, prompt, response):
        """(ids, labels, is the prompt a prefix) as ROLL's SFT pipeline encodes a row: the rendering
        loses one trailing newline; the prompt's tokens are untrained, by count. An answerless row
        renders shorter than its prompt; its labels are as long as its ids here."""
        p = self.tok(self.render(prompt, True)).input_ids
        text = self.render(self.conversation(prompt, response))
        f = self.tok(text[:-1] if text.endswith("\n") else text).input_ids
        return f, ([IGNORED] * len(p) + f[len(p):])[:len(f)], f[:len(p)] == p


# ---- the same from the commands ----
def ours(model, path, options=(), mask="turn"):
    """The records of sft-tokenize | sft-template | sft-view."""
    tokenize = subprocess.Popen(["sft-tokenize", "-q", "-m", model, *options, path],
                                stdout=subprocess.PIPE)
    template = subprocess.Popen(["sft-template", "-q", "-m", model, "--mask", mask],
                                stdin=tokenize.stdout, stdout=subprocess.PIPE)
    tokenize.stdout.close()
    view = subprocess.run(["sft-view"], stdin=template.stdout, stdout=subprocess.PIPE)
    template.stdout.close()
    codes = tokenize.wait(), template.wait(), view.returncode
    if any(codes):
        raise RuntimeError(f"{path}: exit codes {codes}")
    return [json.loads(line) for line in view.stdout.splitlines()]
