# SPDX-License-Identifier: Apache-2.0
"""GGUF files of SmolLM2 that sft-ckpt writes: gguf-py reads what transformers computes with, and
llama.cpp (in the package cyllama) quantizes, tokenizes and answers alike."""
import sys

import gguf
import numpy as np
import torch
from cyllama.llama import llama_cpp
from safetensors.torch import load_file
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


class Llama:
    def __init__(self, path):
        self.model = llama_cpp.LlamaModel(path_model=str(path), params=llama_cpp.LlamaModelParams(), verbose=False)
        params = llama_cpp.LlamaContextParams()
        params.n_ctx = params.n_batch = 512
        params.n_threads = params.n_threads_batch = 1  # its threads spin
        self.context = llama_cpp.LlamaContext(self.model, params, verbose=False)
        self.vocab = self.model.get_vocab()

    def ids(self, text):
        return list(self.vocab.tokenize(text, False, True))

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
    questions = ["Show the last 50 lines of a log and keep following it.", "What is the capital of France?"]
    for t in ("f32", "bf16"):
        llama, wrong = Llama(tmp / f"{t}.gguf"), []
        for q in questions:
            prompt = hf.apply_chat_template([{"role": "user", "content": q}], tokenize=False,
                                            add_generation_prompt=True)
            theirs = hf.decode(llama.answer(prompt, 32), skip_special_tokens=True)
            ours = run("sft-eval", "-q", "-m", folder, "--dtype", "fp32", "-p", q, "--max-tokens", "32")
            if ours.strip() != theirs.strip():
                wrong.append((q, ours, theirs))
        check(f"llama.cpp answers from the file in {t} as sft-eval does", not wrong, wrong[:1])


TYPES = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_k", "q6_k")
torch.set_num_threads(2)
source = smollm2_folder()
if source is None:
    print("skip gguf-py reads all tensors: no model; make demo downloads it")
    sys.exit(0)
for kind in TYPES:
    run("sft-ckpt", "convert", "-q", "--to", "gguf", "--type", kind, "-o", tmp / f"{kind}.gguf", source)
read(source)
quantize()
tokenize(source)
answer(source)
sys.exit(bool(failures))
