# SPDX-License-Identifier: Apache-2.0
"""Golden values of training from torch and transformers: tests/golden/train/*.json.

usage: make_train_golden.py OUTPUT_DIR [MODEL_FOLDER STEP]

tiny.json: two tiny models whose weights tests/tiny.h makes by the same formula: loss, NLLs, gradients,
PyTorch's own bf16 errors, and 20 steps of AdamW. smollm2.json (with MODEL_FOLDER): first-step loss,
gradient norms and seeded projections of a real model; smollm2_bf16.json, or on a CPU with AMX
smollm2_bf16_amx.json: the errors of PyTorch's bf16 gradients of it in the first step of `make demo`, which
STEP holds:
    sft-view build/demo/output/data/train.sfts | jq -c 'select(.step == 0)' >STEP
"""
import json
import math
import sys

import numpy as np
import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM
from transformers.models.llama import modeling_llama
from transformers import get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

torch.use_deterministic_algorithms(True)
LENGTHS = [17, 9, 1, 23, 12]


def hashes(name, index):
    """tiny_hash of tests/tiny.h, for an array of counters."""
    x = 2166136261
    for c in name.encode():
        x = ((x ^ c) * 16777619) & 0xFFFFFFFF
    with np.errstate(over="ignore"):
        x = np.uint32(x) + index.astype(np.uint32) * np.uint32(0x9E3779B1)
        x ^= x >> np.uint32(16)
        x *= np.uint32(0x85EBCA6B)
        x ^= x >> np.uint32(13)
        x *= np.uint32(0xC2B2AE35)
        return x ^ x >> np.uint32(16)


def weights(name, n):
    h = (hashes(name, np.arange(n)) >> np.uint32(8)).astype(np.int64) - (1 << 23)
    u = h.astype(np.float32) / np.float32(1 << 24)
    if "norm" in name:
        return (np.float32(1) + u / np.float32(4)).astype(np.float32)
    return u if "embed" in name else u / np.float32(4)


def signs(name, j, n):
    """Projection j of a tensor of n elements: +1 or -1 each."""
    return np.where(hashes(f"{name}#{j}", np.arange(n)) >> np.uint32(31), -1.0, 1.0)


def tiny(tied, bias):
    sizes = dict(vocab_size=97, hidden_size=24, intermediate_size=40, num_hidden_layers=2,
                 num_attention_heads=4, num_key_value_heads=2, head_dim=8, rms_norm_eps=1e-5,
                 max_position_embeddings=64, tie_word_embeddings=tied, attn_implementation="eager")
    if bias:
        model = Qwen2ForCausalLM(Qwen2Config(**sizes, rope_theta=10000.0))
    else:
        model = LlamaForCausalLM(LlamaConfig(**sizes, rope_theta=10000.0))
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(torch.from_numpy(weights(name, p.numel()).reshape(p.shape)))
    return model.float().train()


def documents(lengths, vocab, first):
    """tiny_batch: ids and weights of each document."""
    out, t = [], first
    for n in lengths:
        h = hashes("ids", np.arange(t, t + n))
        w = np.where(h >> np.uint32(30) == 0, 0.0, np.where(h >> np.uint32(30) == 1, 0.5, 1.0))
        w[0] = 0
        out.append((torch.from_numpy((h % np.uint32(vocab)).astype(np.int64)), torch.from_numpy(w)))
        t += n
    return out


def nlls(model, ids):
    logits = model(input_ids=ids[None]).logits[0]
    logits = logits if logits.dtype == torch.float64 else logits.float()
    return torch.nn.functional.cross_entropy(logits[:-1], ids[1:], reduction="none")


def loss_of(model, docs, keep=None):
    total = sum(w.sum().item() for _, w in docs)
    loss = 0.0
    for ids, w in docs:
        if len(ids) < 2:
            continue
        nll = nlls(model, ids)
        if keep is not None:
            keep += [x for x, y in zip(nll.tolist(), w[1:].tolist()) if y > 0]
        loss = loss + (nll.double() * w[1:]).sum()
    return loss / total


def gradients(model, docs, keep=None):
    model.zero_grad()
    loss = loss_of(model, docs, keep)
    loss.backward()
    return loss.item(), {n: p.grad.detach().double().flatten().numpy().copy()
                         for n, p in model.named_parameters()}


def describe(grads, full=0):
    out = {}
    for name, g in grads.items():
        out[name] = {"norm": float(np.linalg.norm(g)),
                     "projections": [float(g @ signs(name, j, len(g))) for j in range(16)]}
        if len(g) <= full:
            out[name]["all"] = [float(x) for x in g]
    return out


def curve(tied, bias, cosine):
    model = tiny(tied, bias)
    decay = [p for n, p in model.named_parameters() if p.dim() == 2]
    rest = [p for n, p in model.named_parameters() if p.dim() != 2]
    opt = torch.optim.AdamW([{"params": decay, "weight_decay": 0.1},
                             {"params": rest, "weight_decay": 0.0}],
                            lr=1e-2, betas=(0.9, 0.98), eps=1e-8)
    make = get_cosine_schedule_with_warmup if cosine else get_linear_schedule_with_warmup
    sched = make(opt, 4, 20)
    losses, norms, rates = [], [], []
    for k in range(20):
        loss, _ = gradients(model, documents(LENGTHS, 97, 1000 * k))
        losses.append(loss)
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0).item())
        rates.append(sched.get_last_lr()[0])
        opt.step()
        sched.step()
    return {"cosine": cosine, "losses": losses, "norms": norms, "rates": rates}


def errors(rough, exact):
    return {n: float(np.linalg.norm(rough[n] - g) / np.linalg.norm(g)) for n, g in exact.items()}


def bf16_errors(tied, bias):
    """Of PyTorch's bf16 gradients against its fp32 ones, for each of 8 batches."""
    exact, rough, out = tiny(tied, bias), tiny(tied, bias).bfloat16(), []
    for k in range(8):
        docs = documents(LENGTHS, 97, 1000 * k)
        out.append(errors(gradients(rough, docs)[1], gradients(exact, docs)[1]))
    return out


def tiny_case(name, tied, bias, cosine):
    docs, nll = documents(LENGTHS, 97, 0), []
    loss, exact = gradients(tiny(tied, bias), docs, nll)
    with torch.no_grad():
        loss16 = loss_of(tiny(tied, bias).bfloat16(), docs).item()
    return {"name": name, "tied": tied, "bias": bias, "loss": loss, "nll": nll,
            "gradients": describe(exact, 24),
            "bf16": {"loss": loss16, "errors": bf16_errors(tied, bias)},
            "curve": curve(tied, bias, cosine)}


TEXTS = ["The command `ls -l` lists the files of a folder, one on a line, with owner, size and date.",
         "Yes.",
         "To count the lines of every C file below this folder, type: find . -name '*.c' | xargs wc -l"]


def real_documents(folder):
    """The texts' ids; the first token of each and a quarter of the others are no targets."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    out, t = [], 0
    for text in TEXTS:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        h = hashes("ids", np.arange(t, t + len(ids))) >> np.uint32(30)
        w = np.where(h == 0, 0.0, np.where(h == 1, 0.5, 1.0))
        w[0] = 0
        out.append((torch.tensor(ids), torch.from_numpy(w)))
        t += len(ids)
    return out


def in_double():
    """transformers' Llama casts to fp32 inside RMSNorm and softmax whatever the model's type is."""
    softmax = torch.nn.functional.softmax

    def norm(self, x):
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon))

    modeling_llama.LlamaRMSNorm.forward = norm
    torch.nn.functional.softmax = lambda x, dim=None, dtype=None: softmax(x, dim=dim)


def real(folder):
    """The truth is PyTorch in double: its own fp32 is off by more than the test allows (recorded)."""
    def load():
        return transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager").train()
    docs = real_documents(folder)
    loss32, grads32 = gradients(load(), docs)
    in_double()
    loss, grads = gradients(load().double(), docs)
    off = [np.linalg.norm(grads32[n] - g) / np.linalg.norm(g) for n, g in grads.items()]
    return {"lengths": [len(ids) for ids, _ in docs], "ids": [i for ids, _ in docs for i in ids.tolist()],
            "loss": loss, "fp32_of_pytorch": {"loss_error": abs(loss32 - loss) / loss,
                                              "worst_gradient_error": float(max(off))},
            "gradients": describe(grads)}


def step_documents(path):
    """Ids and weights of a step's samples, from the JSON lines of sft-view."""
    out = []
    for row in map(json.loads, open(path)):
        ends = row["starts"][1:] + [len(row["ids"])]
        for begin, end in zip(row["starts"], ends):
            w = np.array([float(label >= 0) for label in row["labels"][begin:end]])
            w[0] = 0
            out.append((torch.tensor(row["ids"][begin:end]), torch.from_numpy(w)))
    return out


def real_bf16(folder, step):
    def run(dtype):
        loss, grads = gradients(transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, attn_implementation="eager").train(), docs)
        return loss, {n: g.astype(np.float32) for n, g in grads.items()}
    docs = step_documents(step)
    loss, exact = run(torch.float32)
    loss16, rough = run(torch.bfloat16)
    return {"lengths": [len(ids) for ids, _ in docs], "ids": [i for ids, _ in docs for i in ids.tolist()],
            "weights": [int(x) for _, w in docs for x in w.tolist()], "loss": loss,
            "loss_error": abs(loss16 - loss) / loss, "errors": errors(rough, exact)}


def rounded(x, digits):
    if isinstance(x, float):
        assert math.isfinite(x)
        return float(f"{x:.{digits}g}")
    if isinstance(x, dict):
        return {k: rounded(v, digits) for k, v in x.items()}
    return [rounded(v, digits) for v in x] if isinstance(x, list) else x


def write(path, what, digits=9):
    what = {"made_by": "tests/oracle/" + sys.argv[0].split("/")[-1],
            "versions": {"torch": torch.__version__, "transformers": transformers.__version__,
                         "numpy": np.__version__}, **what}
    with open(path, "w") as f:
        json.dump(rounded(what, digits), f, separators=(",", ":"))
        f.write("\n")


def main():
    write(f"{sys.argv[1]}/tiny.json",
          {"lengths": LENGTHS, "cases": [tiny_case("tied", True, False, False),
                                         tiny_case("untied, biased", False, True, True)]})
    if len(sys.argv) > 3:
        amx = "_amx" if " amx_bf16" in open("/proc/cpuinfo").read() else ""
        write(f"{sys.argv[1]}/smollm2_bf16{amx}.json", real_bf16(*sys.argv[2:4]), 5)
        write(f"{sys.argv[1]}/smollm2.json", real(sys.argv[2]), 7)


if __name__ == "__main__":
    main()
