# SPDX-License-Identifier: Apache-2.0
"""Renders templates with transformers and writes what tests/unit/chat_template.c expects.

usage: make_template_golden.py TEMPLATE_DIR > tests/golden/template/renders.tsv
A line: template file, conversation, add_generation_prompt, FNV-1a 64 of the text or "error".
"""
import datetime
import json
import logging
import pathlib
import sys

import jinja2
import transformers
import transformers.utils.chat_template_utils as ctu

CLOCK = datetime.datetime(2024, 7, 26)
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
GOLDEN = pathlib.Path(__file__).parent.parent / "golden" / "template"


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return CLOCK


ctu.datetime = Clock
logging.disable(logging.WARNING)


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


def main():
    conversations = json.loads((GOLDEN / "conversations.json").read_text())
    print(f"# transformers {transformers.__version__}, jinja2 {jinja2.__version__}")
    for path in sorted(pathlib.Path(sys.argv[1]).glob("*.jinja")):
        source = path.read_text()
        for i, conversation in enumerate(conversations):
            for prompt in (False, True):
                print(path.name, i, int(prompt), outcome(source, conversation, prompt), sep="\t")


if __name__ == "__main__":
    main()
