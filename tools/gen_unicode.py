#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes lib/unicode/data.c: the properties of each code point in Hugging Face `tokenizers`.

The parts of that library follow different versions of Unicode (the properties of Oniguruma, of the
regex crate and of Rust's standard library, and normalization tables of Unicode 9). So the script
does not copy the Unicode files, but queries the library for every code point.

usage: python tools/gen_unicode.py > lib/unicode/data.c     (needs tokenizers)
"""
import sys
import unicodedata

import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers

CATEGORIES = ("Cn Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp "
              "Cc Cf Cs Co").split()
# The names in Scripts.txt of Unicode 16.
SCRIPTS = """Adlam Ahom Anatolian_Hieroglyphs Arabic Armenian Avestan Balinese Bamum Bassa_Vah Batak
Bengali Bhaiksuki Bopomofo Brahmi Braille Buginese Buhid Canadian_Aboriginal Carian
Caucasian_Albanian Chakma Cham Cherokee Chorasmian Common Coptic Cuneiform Cypriot Cypro_Minoan
Cyrillic Deseret Devanagari Dives_Akuru Dogra Duployan Egyptian_Hieroglyphs Elbasan Elymaic Ethiopic
Garay Georgian Glagolitic Gothic Grantha Greek Gujarati Gunjala_Gondi Gurmukhi Gurung_Khema Han
Hangul Hanifi_Rohingya Hanunoo Hatran Hebrew Hiragana Imperial_Aramaic Inherited
Inscriptional_Pahlavi Inscriptional_Parthian Javanese Kaithi Kannada Katakana Kawi Kayah_Li
Kharoshthi Khitan_Small_Script Khmer Khojki Khudawadi Kirat_Rai Lao Latin Lepcha Limbu Linear_A
Linear_B Lisu Lycian Lydian Mahajani Makasar Malayalam Mandaic Manichaean Marchen Masaram_Gondi
Medefaidrin Meetei_Mayek Mende_Kikakui Meroitic_Cursive Meroitic_Hieroglyphs Miao Modi Mongolian Mro
Multani Myanmar Nabataean Nag_Mundari Nandinagari New_Tai_Lue Newa Nko Nushu Nyiakeng_Puachue_Hmong
Ogham Ol_Chiki Ol_Onal Old_Hungarian Old_Italic Old_North_Arabian Old_Permic Old_Persian Old_Sogdian
Old_South_Arabian Old_Turkic Old_Uyghur Oriya Osage Osmanya Pahawh_Hmong Palmyrene Pau_Cin_Hau
Phags_Pa Phoenician Psalter_Pahlavi Rejang Runic Samaritan Saurashtra Sharada Shavian Siddham
SignWriting Sinhala Sogdian Sora_Sompeng Soyombo Sundanese Sunuwar Syloti_Nagri Syriac Tagalog
Tagbanwa Tai_Le Tai_Tham Tai_Viet Takri Tamil Tangsa Tangut Telugu Thaana Thai Tibetan Tifinagh
Tirhuta Todhri Toto Tulu_Tigalari Ugaritic Vai Vithkuqi Wancho Warang_Citi Yezidi Yi
Zanabazar_Square""".split()

CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
ALL = "".join(map(chr, CODE_POINTS))


def members(splitter):
    s = set()
    for piece, _ in splitter.pre_tokenize_str(ALL):
        s.update(map(ord, piece))
    return s


def matching(pattern):
    """Return the code points that an Oniguruma pattern for one character matches."""
    return members(pre_tokenizers.Split(Regex("(?:%s)+" % pattern), "removed", invert=True))


def ranges_of(points):
    out = []
    for c in sorted(points):
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def partition(named, default):
    """Return a map from code points to indices, as boundaries start << 8 | index."""
    value = [default] * 0x110000
    for index, points in named:
        for c in points:
            assert value[c] == default, hex(c)
            value[c] = index
    out = []
    for c in range(0x110000):
        if c == 0 or value[c] != value[c - 1]:
            out.append(c << 8 | value[c])
    return out


def mapping_runs(pairs):
    """Return (from, to) pairs as runs: first, last, step 1 or 2, difference."""
    runs = []
    for a, b in sorted(pairs):
        if runs:
            r = runs[-1]
            step = a - r[1]
            if b - a == r[3] and step in (1, 2) and (r[2] in (0, step)):
                r[1], r[2] = a, step
                continue
        runs.append([a, a, 0, b - a])
    return [(f, l, s or 1, d) for f, l, s, d in runs]


def emit(kind, name, values, fmt="0x%x"):
    print("\nconst %s %s[] = {" % (kind, name))
    line = "   "
    for v in values:
        item = " " + (fmt % v) + ","
        if len(line) + len(item) > 100:
            print(line)
            line = "   "
        line += item
    print(line + "\n};\nconst unsigned %s_n = %d;" % (name, len(values)))


def emit_set(name, points):
    flat = [v for r in ranges_of(points) for v in r]
    emit("uint32_t", name, flat)


def emit_runs(name, pairs):
    print("\nconst struct unicode_run %s[] = {" % name)
    runs = mapping_runs(pairs)
    line = "   "
    for f, l, s, d in runs:
        item = " {0x%x, 0x%x, %d, %d}," % (f, l, s, d)
        if len(line) + len(item) > 100:
            print(line)
            line = "   "
        line += item
    print(line + "\n};\nconst unsigned %s_n = %d;" % (name, len(runs)))


def emit_strings(name, table):
    """Print a map of code points to sequences: point, pool offset << 8 | length; and the pool."""
    pool, keys, at = [], [], {}
    for c in sorted(table):
        seq = tuple(map(ord, table[c]))
        if seq not in at:
            at[seq] = len(pool)
            pool.extend(seq)
        keys += [c, at[seq] << 8 | len(seq)]
    emit("uint32_t", name, keys)
    emit("uint32_t", name + "_pool", pool)


def combining_classes(nfd):
    """Return the combining class of each code point that the library reorders."""
    out = {}
    low, high = "\u0334", "\u0345"  # classes 1 and 240
    for c in CODE_POINTS:
        ch = chr(c)
        if unicodedata.combining(ch) == 0:
            continue
        moved = nfd(ch + low) == low + ch or nfd(high + ch) == ch + high
        if moved or ch in (low, high):
            out[c] = unicodedata.combining(ch)
        elif nfd(low + ch) == low + ch and unicodedata.combining(ch) in (1, 240):
            other = "\u0301"
            if nfd(ch + other) != ch + other or nfd(other + ch) != other + ch:
                out[c] = unicodedata.combining(ch)
    for c in CODE_POINTS:  # a code point newer than Python's tables must not be reordered
        if c not in out:
            ch = chr(c)
            if len(nfd(ch)) == 1 and nfd(high + ch) == ch + high:
                raise SystemExit("U+%04X has a class that Python does not know" % c)
    return out


def case_folding():
    """Return the classes of characters equal under (?i), and characters that fold to several."""
    cand = set()
    for g in ("Lu", "Ll", "Lt", "Nl", "So", "Mn"):
        cand |= matching(r"\p{%s}" % g)
    cand = sorted(c for c in cand if c >= 128 or chr(c).isalpha())
    text = "\n".join(map(chr, cand))
    pairs = {}
    for c in cand:
        split = pre_tokenizers.Split(Regex("(?i:%s)" % chr(c)), "removed", invert=True)
        same = sorted(ord(p) for p, _ in split.pre_tokenize_str(text))
        if len(same) > 1:
            pairs[c] = same[0]
    several = {}
    for c in CODE_POINTS:
        fold = chr(c).casefold()
        if len(fold) > 1:
            split = pre_tokenizers.Split(Regex("(?i:%s)" % chr(c)), "removed", invert=True)
            if split.pre_tokenize_str(fold) == [(fold, (0, len(fold)))]:
                several[c] = fold
    return {c: r for c, r in pairs.items() if c != r}, several


def main():
    nfd, nfkd = normalizers.NFD().normalize_str, normalizers.NFKD().normalize_str
    nfc, lower = normalizers.NFC().normalize_str, normalizers.Lowercase().normalize_str
    print("/* SPDX-License-Identifier: Apache-2.0 */")
    print("/* Generated by tools/gen_unicode.py from the behaviour of tokenizers %s"
          % tokenizers.__version__)
    print(" * (Oniguruma properties, Rust character classes, Unicode 9 normalization);")
    print(" * combining class values from Python's Unicode %s. Do not edit. */"
          % unicodedata.unidata_version)
    print("#include \"unicode/unicode.h\"\n\n/* clang-format off */")

    cats = [(i, matching(r"\p{%s}" % g)) for i, g in enumerate(CATEGORIES)
            if g not in ("Cn", "Cs")]
    cats.append((CATEGORIES.index("Cs"), range(0xD800, 0xE000)))
    print("/* start << 8 | category */", end="")
    emit("uint32_t", "unicode_category", partition(cats, 0))
    names = []
    scripts = []
    for s in SCRIPTS:
        try:
            scripts.append((len(names) + 1, matching(r"\p{%s}" % s)))
            names.append(s)
        except Exception:
            print("no script %s" % s, file=sys.stderr)
    print("\n/* start << 8 | script, 0 for none */", end="")
    emit("uint32_t", "unicode_script", partition(scripts, 0))
    print("\nconst char *const unicode_script_name[] = {\"\",")
    for n in names:
        print("    \"%s\"," % n)
    print("};\nconst unsigned unicode_script_name_n = %d;" % (len(names) + 1))

    print("\n/* sets: first, last of each range */", end="")
    emit_set("unicode_alphabetic", matching(r"\p{Alphabetic}"))
    emit_set("unicode_lowercase", matching(r"\p{Lowercase}"))
    emit_set("unicode_uppercase", matching(r"\p{Uppercase}"))
    emit_set("unicode_space", matching(r"\s"))
    emit_set("unicode_word", matching(r"\w"))
    keep_all = pre_tokenizers.WhitespaceSplit()
    emit_set("unicode_rust_space", set(CODE_POINTS) - members(keep_all))
    numeric = set()
    for piece, _ in pre_tokenizers.Digits(individual_digits=True).pre_tokenize_str(ALL):
        if len(piece) == 1:
            numeric.add(ord(piece))
    # A one-character piece between two digits need not be a digit: test it alone.
    probe = pre_tokenizers.Digits(individual_digits=True)
    numeric = {c for c in numeric if len(probe.pre_tokenize_str("a%sa" % chr(c))) == 3}
    emit_set("unicode_rust_numeric", numeric)
    punct = pre_tokenizers.Punctuation("removed")
    emit_set("unicode_rust_punct", set(CODE_POINTS) - members(punct))
    rust_word, rust_other = set(), set()
    white = pre_tokenizers.Whitespace()
    for piece, _ in white.pre_tokenize_str(ALL):
        word = len(white.pre_tokenize_str("a" + piece[0])) == 1
        (rust_word if word else rust_other).update(map(ord, piece))
    emit_set("unicode_rust_word", rust_word)

    lowered = {c: lower(chr(c)) for c in CODE_POINTS}
    lowered = {c: s for c, s in lowered.items() if s != chr(c)}
    print("\n/* to lower case: one to one, and one to several */", end="")
    emit_runs("unicode_lower", [(c, ord(s)) for c, s in lowered.items() if len(s) == 1])
    emit_strings("unicode_lower_special", {c: s for c, s in lowered.items() if len(s) > 1})
    fold, several = case_folding()
    print("\n/* least member of each class of characters equal without case; multiple foldings */",
          end="")
    emit_runs("unicode_fold", fold.items())
    emit_strings("unicode_fold_special", several)

    hangul = range(0xAC00, 0xD7A4)
    d = {c: nfd(chr(c)) for c in CODE_POINTS if c not in hangul}
    d = {c: s for c, s in d.items() if s != chr(c)}
    k = {c: nfkd(chr(c)) for c in CODE_POINTS if c not in hangul}
    k = {c: s for c, s in k.items() if s != chr(c) and s != d.get(c)}
    print("\n/* full canonical decompositions, and compatibility ones where they differ */", end="")
    emit_strings("unicode_nfd", d)
    emit_strings("unicode_nfkd", k)
    ccc = combining_classes(nfd)
    print("\n/* start << 8 | canonical combining class */", end="")
    emit("uint32_t", "unicode_ccc", partition([(v, [c for c in ccc if ccc[c] == v])
                                                for v in sorted(set(ccc.values()))], 0))
    print("\n/* composition: first, second, result; sorted */", end="")
    triples = []
    for c in d:
        parts = unicodedata.decomposition(chr(c)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            a, b = (int(p, 16) for p in parts)
            if nfc(chr(a) + chr(b)) == chr(c):
                triples.append((a, b, c))
    emit("uint32_t", "unicode_compose", [v for t in sorted(triples) for v in t])
    # The code points that NFC may change, alone or beside others.
    seconds = {t[1] for t in triples} | set(range(0x1161, 0x1176)) | set(range(0x11A8, 0x11C3))
    print("\n/* code points that normalization to composed form may touch or move */", end="")
    emit_set("unicode_nfc_care", {c for c in CODE_POINTS
                                  if c in ccc or c in seconds or nfc(chr(c)) != chr(c)})


main()
