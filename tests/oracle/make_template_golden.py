# SPDX-License-Identifier: Apache-2.0
"""Renders templates with transformers and writes what the unit tests expect to tests/golden/template.

usage: make_template_golden.py TEMPLATE_DIR
renders.tsv (chat_template.c): template file, conversation, add_generation_prompt, FNV-1a 64 of the
text or "error". edits.tsv (the same): template file, byte offset, the byte put there, conversation,
hash or "error". features.json (jinja_features.c): small templates and their text, null for an error.
"""
import copy
import datetime
import io
import json
import logging
import pathlib
import random
import re
import sys
import warnings

import jinja2
import transformers
import transformers.utils.chat_template_utils as ctu

import template_features

VERSIONS = f"transformers {transformers.__version__}, jinja2 {jinja2.__version__}"
CLOCK = datetime.datetime(2024, 7, 26)
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
GOLDEN = pathlib.Path(__file__).parent.parent / "golden" / "template"


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return CLOCK


ctu.datetime = Clock
logging.disable(logging.WARNING)
warnings.simplefilter("ignore")


def fnv(data):
    h = 0xCBF29CE484222325
    for byte in data:
        h = ((h ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return "%016x" % h


def drop_none(messages):
    """As apply_chat_template does before it renders."""
    return [{k: v for k, v in m.items() if v is not None} for m in messages]


def render(source, conversation, prompt, **extra):
    text, _ = ctu.render_jinja_template(
        conversations=[drop_none(conversation["messages"])],
        tools=conversation.get("tools"),
        chat_template=source,
        add_generation_prompt=prompt,
        **{**SPECIAL, **extra},
    )
    return text[0]


def outcome(*args, **kw):
    try:
        return fnv(render(*args, **kw).encode())
    except Exception:
        return "error"


EDITED = ["qwen2_5", "qwen3", "llama3_1", "gptoss_training", "deepseekv3", "glm4moe", "phi3", "cohere2"]


def edits(folder, conversations, out):
    """Templates with one character changed: most render differently or not at all."""
    random.seed(1)
    for name in EDITED:
        source = (folder / (name + ".jinja")).read_text()
        data = source.encode()
        for _ in range(60):
            at = random.randrange(len(data))
            new = ord(random.choice("{}%-'\"() .|[]=+~_,:0aex\n"))
            changed = data[:at] + bytes([new]) + data[at + 1:]
            try:
                changed = changed.decode()
            except UnicodeDecodeError:
                continue
            for i in (2, 12):
                print(name + ".jinja", at, new, i, outcome(changed, conversations[i], False), sep="\t", file=out)


def features(out, sources=template_features.CASES):
    cases = []
    for source in sources:
        try:
            text = ctu._compile_jinja_template(source).render(**copy.deepcopy(template_features.VARS))
        except Exception:
            text = None
        if text and re.search(r"0x[0-9a-f]{8}|\b(object at|bound method|built-in)\b", text, re.I):
            continue  # an address
        cases.append({"source": source, "text": text})
    lines = ",\n".join(json.dumps(c, ensure_ascii=False) for c in cases)
    vars_text = json.dumps(template_features.VARS, ensure_ascii=False)
    print('{"made_with": "%s",\n"vars": %s,\n"cases": [\n%s]}' % (VERSIONS, vars_text, lines), file=out)


def renders(folder, conversations, out):
    print("#", VERSIONS, file=out)
    for path in sorted(folder.glob("*.jinja")):
        source = path.read_text()
        for i, conversation in enumerate(conversations):
            for prompt in (False, True):
                got = outcome(source, conversation, prompt)
                print(path.name, i, int(prompt), got, sep="\t", file=out)


def files(folder):
    """The golden files by name."""
    conversations = json.loads((GOLDEN / "conversations.json").read_text())
    out = {name: io.StringIO() for name in ("renders.tsv", "edits.tsv", "features.json")}
    renders(folder, conversations, out["renders.tsv"])
    edits(folder, conversations, out["edits.tsv"])
    features(out["features.json"])
    return {name: text.getvalue() for name, text in out.items()}


if __name__ == "__main__":
    for name, text in files(pathlib.Path(sys.argv[1])).items():
        (GOLDEN / name).write_text(text)
