#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Live: `sft-tokenize --ids` against Hugging Face tokenizers on whole corpora, on edited tokenizers
and on every code point."""
import os
import subprocess
import tempfile
import unicodedata

from tokenizers import Tokenizer

import tokenizer_variants as tv

DATA = os.path.join(tv.ROOT, "../shared/data")
COMMAND = os.path.join(os.environ.get("O", os.path.join(tv.ROOT, "build")), "bin/sft-tokenize")


def ours(folder, lines):
    text = "".join(line + "\n" for line in lines).encode("utf-8")
    done = subprocess.run([COMMAND, "--ids", "-q", "-m", folder], input=text,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.decode("utf-8", "replace").strip())
    rows = done.stdout.decode("ascii").split("\n")[:-1]
    return [[int(i) for i in row.split()] for row in rows]


def compare(name, folder, lines):
    """Prints ok when every line has the same ids."""
    tok = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    try:
        got = ours(folder, lines)
    except RuntimeError as e:
        print("not ok %s: %s" % (name, e))
        return
    if len(got) != len(lines):
        print("not ok %s: %d lines of ids for %d lines" % (name, len(got), len(lines)))
        return
    bad = []
    for at in range(0, len(lines), 1000):
        part = lines[at:at + 1000]
        for i, e in enumerate(tok.encode_batch(part, add_special_tokens=False)):
            if e.ids != got[at + i]:
                bad.append(at + i)
    if bad:
        print("not ok %s: %d lines differ, first %d: %.60r" % (name, len(bad), bad[0],
                                                               lines[bad[0]]))
    else:
        print("ok %s" % name)


def corpora():
    for name in ("qwen2.5", "gpt2", "mistral-v0.3", "tiny"):
        folder = tv.TINY if name == "tiny" else os.path.join(DATA, "tokenizers", name)
        for corpus in ("en", "zh", "unicode-torture"):
            path = os.path.join(DATA, "corpus", corpus + ".txt")
            what = "%s on %s" % (name, corpus)
            if not os.path.isdir(folder) or not os.path.exists(path):
                print("skip %s: no ../shared/data" % what)
                continue
            with open(path, encoding="utf-8", newline="") as f:
                compare(what, folder, f.read().split("\n"))


def characters():
    """Each code point alone, before, between and after letters, digits and spaces."""
    chars = [chr(c) for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF and c != 10]
    lines = ["".join("%s a%sb 1%s2 %s" % (c, c, c, c) for c in chars[i:i + 8])
             for i in range(0, len(chars), 8) if unicodedata.category(chars[i]) not in ("Co", "Cn")]
    compare("every code point", tv.TINY, lines)


def variants():
    lines = [line for t in tv.TEXTS for line in t.split("\n")]
    with tempfile.TemporaryDirectory() as tmp:
        for folder, make in ((tv.TINY, tv.tiny_variants), (tv.META, tv.meta_variants)):
            text = tv.read(folder)
            for name, edits in make(text):
                with open(os.path.join(tmp, "tokenizer.json"), "w", encoding="utf-8") as f:
                    f.write(tv.apply(text, edits))
                compare(name, tmp, lines)


variants()
corpora()
characters()
