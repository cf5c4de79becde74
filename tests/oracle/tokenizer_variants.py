# SPDX-License-Identifier: Apache-2.0
"""Texts and edited tokenizers that the golden files and the live comparison share."""
import json
import os

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "../..")
TINY = os.path.join(ROOT, "share/tiny-tokenizer")
META = os.path.join(ROOT, "tests/golden/tokenizer/meta")

TEXTS = [
    "", " ", "  ", "\n", "\r\n", "\t", "a", "Hello, world!", " leading", "trailing ", "two  spaces",
    "How do I count the lines in every C file?", "It's 7:05, they've gone; we'll SEE if IT'S right.",
    "I'M HE'LL they'Re 'ſ 'K x'd'", "1234567890 3.14159 1,234,567 ½ ² Ⅳ ٣ ๓ ৩ 一二",
    "for (int i = 0; i < n; i++) {\n\tprintf(\"%d\\n\", i);\n}\n", "    def f(x):\n        return x\n\n\n",
    "<|im_start|>user\nWhat is a pipe?<|im_end|>\n<|im_start|>assistant\n", "<|im_start|><|im_end|>",
    "<|im_start", "<|im_end|> <|im_end|>  x", "a<|endoftext|>b <|endoftext|> c", "<|IM_START|>",
    "如何查看当前目录下的文件?使用 ls 命令。", "これはテストです。한국어 문장입니다.", "ภาษาไทย สวัสดี",
    "नमस्ते दुनिया", "العَرَبِيَّة", "עִבְרִית", "Ελληνικά ΐ ΰ", "Привет, мир! Ёж", "Việt Nam Tiếng Việt",
    "e\u0301 \u00e9 e\u0323\u0302 \u1ec7 o\u0302\u0323", "\u1112\u1161\u11ab \ud55c \u1100\u1161",
    "\u212b \u2126 \u03a9 \u00c5 A\u030a", "\u0344 \u0958 \u2adc \u0f73 \u0f71\u0f72", "q\u0307\u0323q\u0323\u0307",
    "\u0301\u0301 start with marks", "a\u0301\u0327\u0316b", "ﬁ ﬀ ſt ① ㍿ ﷺ ｱ ＡＢＣ",
    "\U0001f600\U0001f680 \U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea \u2764\ufe0f",
    "\u00a0nbsp\u2003em\u3000wide\u0085nel\ufeffbom\u200bzwsp\u2028ls\u2029ps", "\x00\x01\x1f\x7f\x80\x9f",
    "\u0300", "\ufffd\uffff\U0010ffff", "\U0001d400\U0001d504 \U000118a0", "İstanbul ıİ ẞß ŉ ǰ",
    "x" * 300, "ab" * 200, " " * 100 + "x", "\n" * 50, "the the the " * 20, "!?" * 40 + "...",
    "▁under▁score ▁", "a▁b", "<0x41> <0x0A>", "https://example.org/a?b=c&d=%20#e", "snake_case camelCase",
    "{\"key\": [1, 2.5e-3, null, true]}", "\\alpha_{i}^{2} $x$", "MiXeD CaSe WORDS", "…—–“”‘’«»¿¡",
    "\u0e33\u0ec4 \uac00\u11a8 \uac01", "\U00016d67\u1ace\U0001e5ee",
]


def dump(o):
    return json.dumps(o, ensure_ascii=False, separators=(",", ":"))


def read(folder):
    with open(os.path.join(folder, "tokenizer.json"), encoding="utf-8") as f:
        return f.read()


def part(text, key):
    """The text of one component of a tokenizer.json as it stands in the file."""
    return "\"%s\":%s" % (key, dump(json.loads(text)[key]))


def split(pattern, behavior="Isolated", invert=False, kind="Regex"):
    return {"type": "Split", "pattern": {kind: pattern}, "behavior": behavior, "invert": invert}


BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
GPT2 = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
META_PRE = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}


def sequence(*steps, key="pretokenizers"):
    return {"type": "Sequence", key: list(steps)}


def token(content, **flags):
    base = {"id": 0, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": False}
    base.update(flags)
    return base


def tiny_variants(text):
    """(name, [(find, replace), ...]) for the tiny tokenizer."""
    norm, pre = part(text, "normalizer"), part(text, "pre_tokenizer")
    dec, added = part(text, "decoder"), part(text, "added_tokens")
    pattern = json.loads(text)["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"]
    out = [("as it is", [])]

    def pre_is(name, *steps, more=()):
        new = sequence(*steps) if len(steps) > 1 else steps[0]
        out.append((name, [(pre, "\"pre_tokenizer\":" + dump(new))] + list(more)))

    def norm_is(name, new):
        out.append((name, [(norm, "\"normalizer\":" + dump(new))]))

    # One character of the pattern, at many places.
    edits = [("\\p{N}|", "\\p{N}+|"), ("\\p{L}+|", "\\p{L}*|"), ("\\p{L}+|", "\\p{L}|"),
             ("[^\\r\\n\\p{L}\\p{N}]?", "[^\\r\\n\\p{L}\\p{N}]"), ("(?i:", "(?:"),
             ("'re", "'r"), ("\\s+(?!\\S)", "\\s+(?=\\S)"), ("\\s+(?!\\S)", "\\s+(?!\\s)"),
             ("(?!\\S)|", "(?!\\S)"), ("[\\r\\n]*", "[\\r\\n]?"), ("[\\r\\n]*", "[\\rn]*"),
             ("\\s*[\\r\\n]+", "\\S*[\\r\\n]+"), (" ?[^\\s", "  ?[^\\s"), (" ?[^\\s", "_?[^\\s"),
             ("[^\\s\\p{L}", "[\\s\\p{L}"), ("\\p{N}|", "\\p{M}|"), ("\\p{N}|", "\\P{N}|"),
             ("[^\\r\\n\\p{L}\\p{N}]?", "[^\\r\\n\\p{L}\\p{N}]?+"), ("\\p{L}+|", "\\p{L}+?|"),
             ("\\p{N}|", "\\p{N}{1,3}|"), ("(?i:'s", "(?i:'ss"), ("'d)", "'d)?")]
    for i, (a, b) in enumerate(edits):
        assert a in pattern
        pre_is("pattern edit %d: %s" % (i, b), split(pattern.replace(a, b, 1)), BYTES)
    pre_is("GPT-2", GPT2)
    pre_is("GPT-2 with a space in front", dict(GPT2, add_prefix_space=True))
    pre_is("digits, GPT-2", {"type": "Digits", "individual_digits": True}, GPT2)
    pre_is("digits in runs", {"type": "Digits", "individual_digits": False}, GPT2)
    pre_is("no pattern", BYTES)
    for b in ("Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"):
        pre_is("letters " + b, split("\\p{L}+", b), BYTES)
        pre_is("not letters " + b, split("\\p{L}+", b, True), BYTES)
    pre_is("a string", split("in", "MergedWithPrevious", False, "String"), BYTES)
    pre_is("words", {"type": "Whitespace"}, BYTES)
    pre_is("white space", {"type": "WhitespaceSplit"}, BYTES)
    pre_is("punctuation", {"type": "Punctuation", "behavior": "Isolated"}, BYTES)
    pre_is("punctuation contiguous", {"type": "Punctuation", "behavior": "Contiguous"}, BYTES)
    pre_is("metaspace, bytes", dict(META_PRE, prepend_scheme="always", split=True), BYTES)
    pre_is("split after bytes", BYTES, split("Ġ", "MergedWithNext"))
    pre_is("o200k", split(
        "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+"
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+"
        "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}|"
        " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"), BYTES)
    pre_is("several splits", split("\\p{N}{1,3}"), split("[一-龥぀-ゟ゠-ヿ]+"), split(
        "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?"
        "[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"), BYTES)
    pre_is("digits in threes from the right", split("\\d{1,3}(?=(?:\\d{3})*\\b)"), BYTES)
    norm_is("no normalizer", None)
    for form in ("NFD", "NFKC", "NFKD"):
        norm_is(form, {"type": form})
    norm_is("lower case", {"type": "Lowercase"})
    norm_is("strip", {"type": "Strip", "strip_left": True, "strip_right": True})
    norm_is("strip left, NFKC, lower", sequence(
        {"type": "Strip", "strip_left": True, "strip_right": False}, {"type": "NFKC"},
        {"type": "Lowercase"}, key="normalizers"))
    norm_is("replace", sequence(
        {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "},
        {"type": "Replace", "pattern": {"String": "the"}, "content": "<THE>"}, key="normalizers"))
    norm_is("prepend", {"type": "Prepend", "prepend": "> "})
    out.append(("ignore merges", [("\"ignore_merges\":false", "\"ignore_merges\":true")]))
    many = json.loads(text)["added_tokens"] + [
        token("<tool>"), token("<tool>x"), token("the", single_word=True),
        token(" pipe", lstrip=True, rstrip=True), token("<Strip>", lstrip=True, rstrip=True),
        token("é", normalized=True), token("WORD", normalized=True, single_word=True),
        token("ls", normalized=True, special=True), token("  ", normalized=False)]
    for i, t in enumerate(many):
        t["id"] = i if i < 3 else 1598 + i
    out.append(("more added tokens", [(added, "\"added_tokens\":" + dump(many))]))
    out.append(("more added tokens, lower case", [
        (added, "\"added_tokens\":" + dump(many)),
        (norm, "\"normalizer\":" + dump({"type": "Lowercase"}))]))
    out.append(("no decoder", [(dec, "\"decoder\":null")]))
    return out


def meta_variants(text):
    """The same for the tokenizer with U+2581 and byte fallback."""
    pre, norm = part(text, "pre_tokenizer"), part(text, "normalizer")
    out = [("meta as it is", [])]
    for scheme in ("first", "always", "never"):
        for cut in (False, True):
            new = dict(META_PRE, prepend_scheme=scheme, split=cut)
            out.append(("meta %s %s" % (scheme, cut), [(pre, "\"pre_tokenizer\":" + dump(new))]))
    old = sequence({"type": "Prepend", "prepend": "▁"},
                   {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
                   key="normalizers")
    out.append(("meta by normalizer", [(pre, "\"pre_tokenizer\":null"),
                                       (norm, "\"normalizer\":" + dump(old))]))
    none = ("\"byte_fallback\":true", "\"byte_fallback\":false")
    out.append(("meta unknown fused", [none]))
    out.append(("meta unknown", [none, ("\"fuse_unk\":true", "\"fuse_unk\":false")]))
    out.append(("meta left out", [none, ("\"unk_token\":\"<unk>\"", "\"unk_token\":null")]))
    return out


def apply(text, edits):
    for find, replace in edits:
        assert find in text, find
        text = text.replace(find, replace, 1)
    return text
