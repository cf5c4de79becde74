#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Streams of every kind, read by read_stream.py and by sft-view: the same JSON."""
import json
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import read_stream  # noqa: E402

TMP = os.environ.get("TEST_TMP", "/tmp")
MODEL = "share/tiny-tokenizer"
DATA = [("examples/data/train.json", ["--query-key", "input"]),
        ("../shared/data/instruct/glaive_toolcall_en_demo.json", [])]


def run(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def check(name, ok, why=""):
    print(f"ok {name}" if ok else f"not ok {name}: {why}")


def compare(name, path):
    header, trailer, records = read_stream.read(path)
    seen = [json.loads(line) for line in run("sft-view", path).splitlines()]
    check(f"{name}: records", seen == records)
    check(f"{name}: header", json.loads(run("sft-view", "-H", path)) == header)
    check(f"{name}: checksum", run("sft-view", "--checksum", path).decode().strip() == trailer["checksum"])


def damaged(path):
    """Changes that the reader of read_stream.py must see too."""
    data = bytearray(open(path, "rb").read())
    seen = 0
    for at in (0, 9, len(data) // 2, len(data) - 30, len(data) - 1):
        bad = bytearray(data)
        bad[at] ^= 1
        open(path + ".bad", "wb").write(bad)
        try:
            read_stream.read(path + ".bad")
        except (AssertionError, ValueError, KeyError, OSError, subprocess.CalledProcessError):
            seen += 1
    check("changed bytes are seen", seen == 5, f"{seen} of 5")


def beside():
    """What conversations have beside their messages."""
    rows, turns = f"{TMP}/beside.jsonl", f"{TMP}/beside"
    talk = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
    with open(rows, "w") as f:
        for more in ({"tools": []}, {"tools": [{"name": "f"}], "chat_template_kwargs": {"n": [1]}},
                     {"chat_template_kwargs": {"enable_thinking": False}}, {}):
            f.write(json.dumps({**talk, **more}) + "\n")
    run("sft-tokenize", "-q", "-m", MODEL, rows, "-o", turns)
    compare("tools and variables", turns)
    seen = [{k: r.get(k) for k in ("tools", "chat_template_kwargs")} for r in read_stream.read(turns)[2]]
    check("tools and variables as in the rows", seen == [
        {"tools": [], "chat_template_kwargs": None},
        {"tools": [{"name": "f"}], "chat_template_kwargs": {"n": [1]}},
        {"tools": None, "chat_template_kwargs": {"enable_thinking": False}},
        {"tools": None, "chat_template_kwargs": None}])


def main():
    if not shutil.which("zstd"):
        print("skip streams: no command zstd")
        return
    for file, options in DATA:
        name = os.path.basename(file)
        if not os.path.exists(file):
            print(f"skip {name}: is not there")
            continue
        turns, samples = f"{TMP}/turns", f"{TMP}/samples"
        run("sft-tokenize", "-q", "-m", MODEL, *options, file, "-o", turns)
        # chatml renders no calls and no tools; what is compared here is the container, so they may be missing.
        run("sft-template", "-q", "-m", MODEL, "-t", "chatml", "--allow", "unrendered", turns, "-o", samples)
        compare(f"{name} turns", turns)
        compare(f"{name} samples", samples)
        for mode in ("batch", "dense", "none"):
            packed = f"{TMP}/packed"
            run("sft-pack", "-q", "-l", "16384", "-b", "16", "--mode", mode, samples, "-o", packed)
            compare(f"{name} packed {mode}", packed)
    damaged(f"{TMP}/packed")
    beside()


main()
