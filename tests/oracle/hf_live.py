# SPDX-License-Identifier: Apache-2.0
"""Model folders against transformers, safetensors and tokenizers, live."""
import json
import os
import random
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import torch
import transformers
from safetensors import SafetensorError, safe_open
from tokenizers import pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

from live import check, failures, tmp
from rows import texts


def run(*command):
    return subprocess.run(["sft-ckpt", *map(str, command)], capture_output=True, text=True)


def find_gguf():
    places = [os.environ.get("SFT_SMOLLM2_GGUF"),
              Path(os.environ.get("O", "build")) / "demo/SmolLM2-135M-Instruct.Q4_1.gguf"]
    return next((Path(p) for p in places if p and Path(p).exists()), None)


def convert_weights(gguf, folder):
    """Every tensor equals what transformers expands from the same file, rounded to bf16."""
    with torch.device("meta"):
        empty = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder))
    want = load_gguf_checkpoint(str(gguf), return_tensors=True, model_to_load=empty)["tensors"]
    model = AutoModelForCausalLM.from_pretrained(folder)
    got = model.state_dict()
    differ = [k for k, v in want.items() if not torch.equal(got[k], v.to(torch.bfloat16))]
    check("the converted tensors are transformers'", not differ and len(want) == 272, differ[:3])
    check("in bf16", model.dtype == torch.bfloat16, model.dtype)
    reference = AutoConfig.from_pretrained(gguf.parent, gguf_file=gguf.name).to_dict()
    ours = model.config.to_dict()
    keys = ("hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads "
            "head_dim max_position_embeddings vocab_size tie_word_embeddings bos_token_id eos_token_id "
            "pad_token_id hidden_act rope_parameters attention_bias mlp_bias").split()
    differ = [(k, ours.get(k), reference.get(k)) for k in keys if ours.get(k) != reference.get(k)]
    check("the configuration is transformers'", not differ, differ)
    eps = torch.tensor([ours["rms_norm_eps"], reference["rms_norm_eps"]], dtype=torch.float32)
    check("with the same epsilon in fp32", bool(eps[0] == eps[1]), eps)


def convert_tokenizer(gguf, folder):
    """transformers forgets the Digits step of this family's pre-tokenizer, which llama.cpp and the
    model's own tokenizer.json have; with it put back, all ids agree. Without it they differ only
    where white space of two characters or more comes before a digit, or at digits outside ASCII."""
    ours = AutoTokenizer.from_pretrained(folder)
    as_read = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    digits = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    digits.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True),
         pre_tokenizers.ByteLevel(add_prefix_space=False)])
    n, wrong, elsewhere = 0, [], []
    for text in texts():
        n += 1
        ids = ours(text, add_special_tokens=False).input_ids
        if ids != digits(text, add_special_tokens=False).input_ids:
            wrong.append(text[:80])
        if ids != as_read(text, add_special_tokens=False).input_ids and not (
                re.search(r"\s\s(?=\d)", text) or
                any(ord(c) > 127 and unicodedata.category(c)[0] == "N" for c in text)):
            elsewhere.append(text[:80])
    check(f"ids of {n} texts", not wrong, wrong[:2])
    check("transformers' own ids differ only at digits", not elsewhere, elsewhere[:2])
    check("the chat template", ours.chat_template == as_read.chat_template)
    for key in ("bos_token", "eos_token", "pad_token", "unk_token"):
        check(key, getattr(ours, key) == getattr(as_read, key), getattr(ours, key))


def init_families():
    base = dict(vocab_size=96, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
                num_attention_heads=4, num_key_value_heads=2, head_dim=8, max_position_embeddings=64)
    variants = {"llama": {}, "llama_bias": dict(model_type="llama", attention_bias=True, mlp_bias=True),
                "mistral": {}, "qwen2": {}, "qwen3": {}, "tied": dict(model_type="llama",
                                                                      tie_word_embeddings=True)}
    for name, extra in variants.items():
        config = {"tie_word_embeddings": False} | base | {"model_type": name} | extra
        (tmp / f"{name}.json").write_text(json.dumps(config))
        made = run("init", tmp / f"{name}.json", "-o", tmp / name, "--dtype", "fp32")
        model, info = AutoModelForCausalLM.from_pretrained(tmp / name, output_loading_info=True) \
            if made.returncode == 0 else (None, made.stderr)
        clean = model is not None and not any(info[k] for k in info)
        check(f"init {name}: every parameter of transformers' and no other", clean, info)
        if model is None:
            continue
        w = model.state_dict()["model.embed_tokens.weight"]
        check(f"init {name}: the weights are normal",
              abs(w.std().item() - 0.02) < 1e-3 and abs(w.mean().item()) < 1.5e-3, (w.std(), w.mean()))


def mutate(rng, raw):
    raw = bytearray(raw)
    for _ in range(rng.choice([1, 1, 2, 3])):
        at = rng.randrange(len(raw)) if rng.random() < 0.3 else rng.randrange(min(len(raw), 420))
        kind = rng.random()
        if kind < 0.5:
            raw[at] = rng.choice(b'0123456789{}[]":, \\nFBU\x00\xff') if rng.random() < 0.8 else rng.randrange(256)
        elif kind < 0.75:
            del raw[at:at + rng.choice([1, 1, 2, 8])]
        else:
            raw[at:at] = rng.choice([b"0", b"1", b" ", b",", b"\n", b"00", b"[]"])
    return bytes(raw)


def same_judgement():
    """What we accept of damaged safetensors files, the reference implementation accepts too, with the
    same names and shapes. (We refuse more: repeated keys, foreign members.)"""
    rng, disagree, accepted, refused = random.Random(1), [], 0, 0
    whole = (tmp / "tied/model.safetensors").read_bytes()
    path = tmp / "mutant.safetensors"
    for i in range(900):
        path.write_bytes(mutate(rng, whole))
        ours = run("show", "--json", path)
        if ours.returncode not in (0, 65):
            disagree.append((i, ours.returncode, ours.stderr))
        if ours.returncode:
            refused += 1
            continue
        accepted += 1
        try:
            with safe_open(path, "pt") as f:
                theirs = {k: list(f.get_slice(k).get_shape()) for k in f.keys()}
            mine = {t["name"]: t["shape"] for t in json.loads(ours.stdout)["tensors"]}
            if mine != theirs:
                disagree.append((i, "other tensors"))
        except SafetensorError as error:
            disagree.append((i, str(error)))
    check(f"{accepted} damaged files that we accept, safetensors accepts", not disagree, disagree[:3])
    check("and there were both kinds", accepted > 50 and refused > 50, (accepted, refused))


gguf = find_gguf()
if gguf:
    folder = tmp / "smollm2"
    made = run("convert", "--from", "gguf", gguf, "-o", folder)
    check("convert", made.returncode == 0, made.stderr)
    if made.returncode == 0:
        convert_weights(gguf, folder)
        convert_tokenizer(gguf, folder)
else:
    print("skip convert: no GGUF file; make demo downloads it, or set SFT_SMOLLM2_GGUF")
init_families()
same_judgement()
sys.exit(bool(failures))
