#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/tokenizer: what Hugging Face tokenizers makes of texts and edited tokenizers.

usage: make_tokenizer_golden.py DATA      (DATA: the folder that holds tokenizers/ and corpus/)
texts.json: the texts; for the tiny tokenizer their ids, byte ranges and decoded text; for the real
ones a hash of each. variants.json: edits of the tiny tokenizers as [find, replace] and a hash for
each text. regex.json: patterns and the pieces that they cut. corpus.json: a hash of all lines.
A hash is FNV-1a 64 over 32-bit words: h = (h ^ word) * 0x100000001b3.
"""
import json
import os
import random
import sys

import tokenizers
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

import tokenizer_variants as tv

GOLDEN = os.path.join(tv.HERE, "../golden/tokenizer")
REAL = ["qwen2.5", "gpt2", "mistral-v0.3"]


def fnv(words, h=0xcbf29ce484222325):
    for w in words:
        h = (h ^ w) * 0x100000001b3 & 0xffffffffffffffff
    return h


def plain(text):
    """A tokenizer that neither adds tokens nor trims ranges."""
    data = json.loads(text)
    data["post_processor"] = None
    return Tokenizer.from_str(json.dumps(data))


def ranges(text, encoding):
    at = [0]
    for ch in text:
        at.append(at[-1] + len(ch.encode("utf-8")))
    return [(at[a], at[b]) for a, b in encoding.offsets]


def words(text, encoding):
    out = list(encoding.ids)
    for a, b in ranges(text, encoding):
        out += (a, b)
    return out


def save(name, data):
    data = {"made with": "tokenizers " + tokenizers.__version__, **data}
    with open(os.path.join(GOLDEN, name), "w", encoding="utf-8") as f:
        f.write("{")
        for i, (k, v) in enumerate(data.items()):
            f.write(",\n" if i else "\n")
            f.write(json.dumps(k) + ": ")
            if isinstance(v, list):
                f.write("[\n" + ",\n".join(json.dumps(x, ensure_ascii=False) for x in v) + "\n]")
            else:
                f.write(json.dumps(v, ensure_ascii=False))
        f.write("\n}\n")


def make_meta():
    """A small tokenizer like those of SentencePiece: U+2581, byte fallback, an unknown token."""
    tok = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tok.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first",
                                                 split=True)
    tok.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(),
                                     decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    special = ["<unk>", "<s>", "</s>"] + ["<0x%02X>" % i for i in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=700, show_progress=False, special_tokens=special,
                                  limit_alphabet=80)
    with open(os.path.join(tv.HERE, "tiny_corpus.txt"), encoding="utf-8") as f:
        tok.train_from_iterator(f.read().split("\n"), trainer)
    data = json.loads(tok.to_str())
    data["added_tokens"] = data["added_tokens"][:3]
    data["pre_tokenizer"]["split"] = False
    os.makedirs(tv.META, exist_ok=True)
    with open(os.path.join(tv.META, "tokenizer.json"), "w", encoding="utf-8") as f:
        f.write(tv.dump(data) + "\n")


def make_texts(data):
    tiny = plain(tv.read(tv.TINY))
    rng = random.Random(1)
    rows = []
    for t in tv.TEXTS:
        e = tiny.encode(t, add_special_tokens=False)
        rows.append({"text": t, "ids": e.ids, "ranges": ranges(t, e)})
    decodes = []
    for name, folder in (("tiny", tv.TINY), ("meta", tv.META)):
        tok = plain(tv.read(folder))
        for _ in range(40):
            ids = [rng.randrange(tok.get_vocab_size()) for _ in range(rng.randrange(12))]
            if rng.random() < 0.5:  # bytes that may or may not make characters
                ids = [rng.randrange(3, 259) for _ in range(rng.randrange(1, 9))]
            decodes.append({"base": name, "ids": ids,
                            "text": tok.decode(ids, skip_special_tokens=False),
                            "skip": tok.decode(ids, skip_special_tokens=True)})
    real = {}
    for name in REAL:
        tok = plain(tv.read(os.path.join(data, "tokenizers", name)))
        real[name] = ["%016x" % fnv(words(t, tok.encode(t, add_special_tokens=False)))
                      for t in tv.TEXTS]
    save("texts.json", {"rows": rows, "decodes": decodes, **real})


def make_variants():
    out = []
    for base, folder, make in (("tiny", tv.TINY, tv.tiny_variants),
                               ("meta", tv.META, tv.meta_variants)):
        text = tv.read(folder)
        for name, edits in make(text):
            tok = plain(tv.apply(text, edits))
            row = {"name": name, "base": base, "edits": edits, "hash": [], "decoded": []}
            for t in tv.TEXTS:
                e = tok.encode(t, add_special_tokens=False)
                row["hash"].append("%016x" % fnv(words(t, e)))
            all_ids = [i for t in tv.TEXTS for i in tok.encode(t, add_special_tokens=False).ids]
            row["decoded"] = "%016x" % fnv(tok.decode(all_ids, skip_special_tokens=False).encode())
            out.append(row)
    save("variants.json", {"variants": out})


PIECES = ["a", "b", "A", "s", "ß", " ", "'", "\\s", "\\S", "\\p{L}", "\\p{N}", "\\p{Lu}", "[a-c]",
          "[^a]", "[\\s\\d]", "\\r", "\\n", ".", "\\d", "\\w", "[^\\s\\p{L}]", "(?:a|b)", "(?:ab|a)",
          "(?i:s)", "(?i:ss)", "(?i:k)", "(?!a)", "(?=b)", "(?!\\S)", "(?>a+)", "(?<=a)", "(?<!b)",
          "\\b", "^", "$", "\\A", "\\z", "\\Z", "é", "漢", "\\x41", "\\u0062", "[[:alpha:]]",
          "[a-c&&[^b]]", "\\h", "[\\w]", "[[:punct:]]", "(?i:[a-k])", "\\p{Han}", "[0-9-a]", "(?m:.)"]
REPEATS = ["", "", "", "", "?", "*", "+", "??", "*?", "+?", "?+", "*+", "++", "{2}", "{1,2}",
           "{,2}", "{2,}", "{1,2}?", "{2}+", "{3,1}"]
CHARS = list("abABsS'  \n\r\t019.,!-ſKkßéÉ漢ん한\u0301\u00a0\u3000²½٣\u0085\ufeff\u200b😀_ﬁ&") + ["\r\n"]


def make_regex():
    rng = random.Random(7)
    rows = []

    def pattern(depth=0):
        s = ""
        for _ in range(rng.randint(1, 3)):
            if rng.random() < 0.15 and depth < 2:
                s += "(%s%s)" % (rng.choice(["?:", "", "?i:", "?>", "?=", "?!"]), pattern(depth + 1))
            else:
                s += rng.choice(PIECES)
            s += rng.choice(REPEATS)
        return s + "|" + pattern(depth + 1) if rng.random() < 0.3 and depth < 2 else s

    while len(rows) < 500:
        p = pattern()
        try:
            cut = pre_tokenizers.Split(Regex(p), "isolated")
        except Exception:
            continue
        t = "".join(rng.choice(CHARS) for _ in range(rng.randint(1, 14)))
        pieces = [len(x.encode("utf-8")) for x, _ in cut.pre_tokenize_str(t)]
        if len(pieces) > 1 or rng.random() < 0.1:
            rows.append([p, t, pieces])
    save("regex.json", {"cases": rows})


def make_corpus(data):
    out = []
    for name in REAL + ["tiny"]:
        folder = tv.TINY if name == "tiny" else os.path.join(data, "tokenizers", name)
        tok = plain(tv.read(folder))
        for corpus in ("en", "zh", "unicode-torture"):
            with open(os.path.join(data, "corpus", corpus + ".txt"), encoding="utf-8",
                      newline="") as f:
                lines = f.read().split("\n")
            h, n = 0xcbf29ce484222325, 0
            for i in range(0, len(lines), 1000):
                part = lines[i:i + 1000]
                for j, e in enumerate(tok.encode_batch(part, add_special_tokens=False)):
                    # Ranges on each fifth line: they take Python long.
                    h = fnv(words(part[j], e) if (i + j) % 5 == 0 else e.ids, h)
                    n += len(e.ids)
            out.append({"tokenizer": name, "corpus": corpus, "tokens": n, "hash": "%016x" % h})
            print(out[-1], flush=True)
    save("corpus.json", {"rows": out})


def main():
    data = sys.argv[1]
    os.makedirs(GOLDEN, exist_ok=True)
    make_meta()
    make_texts(data)
    make_variants()
    make_regex()
    if "--no-corpus" not in sys.argv:
        make_corpus(data)


main()
