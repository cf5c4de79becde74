# SPDX-License-Identifier: Apache-2.0
"""beside.py DIR [DEVICE]: the operations that tests/gpu/beside.c ran, by PyTorch in bf16 and in double.

A line for each result: operation, name, our error and PyTorch's, each relative to the result in double (norm of the
difference over norm), separated by tabs."""
import json, sys
import torch
import torch.nn.functional as F

KINDS = {"bf16": torch.bfloat16, "fp32": torch.float32, "int32": torch.int32}


def gradients(outputs, inputs, seeds):
    return torch.autograd.grad(outputs, inputs, seeds)


def leaf(x):
    return x.detach().clone().requires_grad_()


def matmul(a, b):
    A = b["a"].view(a["k"], a["m"]).T if a["ta"] else b["a"].view(a["m"], a["k"])
    B = b["b"].view(a["n"], a["k"]).T if a["tb"] else b["b"].view(a["k"], a["n"])
    if a["add"]:
        return {"c": torch.addmm(b["c"].view(a["m"], a["n"]), A, B)}
    return {"c": torch.addmm(b["bias"], A, B) if "bias" in b else A @ B}


def rmsnorm(a, b):
    return {"y": F.rms_norm(b["x"].view(a["T"], a["H"]), (a["H"],), b["w"], a["eps"])}


def rmsnorm_grad(a, b):
    x, w = leaf(b["s"].view(a["T"], a["H"])), leaf(b["w"])
    dx, dw = gradients(F.rms_norm(x, (a["H"],), w, a["eps"]), (x, w), b["dy"].view(a["T"], a["H"]))
    return {"dx": dx, "dw": dw}


def add(a, b):
    return {"y": b["a"] + b["b"]}


def swiglu(x, I):
    return F.silu(x[:, :I]) * x[:, I:]


def activation(a, b):
    return {"y": swiglu(b["x"].view(a["T"], -1), a["I"])}


def activation_grad(a, b):
    x = leaf(b["x"].view(a["T"], -1))
    return {"dx": gradients(swiglu(x, a["I"]), x, b["dy"].view(a["T"], -1))[0]}


def bias_grad(a, b):
    return {"db": b["db"] + b["dy"].view(a["T"], -1).sum(0)}


def rope(a, b):
    """as transformers: cos and sin in the type of x"""
    half = a["dim"] // 2
    x = b["x"].view(a["T"], a["heads"], a["dim"])
    cos, sin = (torch.cat([b[n].view(-1, half)[b["pos"].long()]] * 2, -1)[:, None].to(x.dtype) for n in ("cos", "sin"))
    return {"x": x * cos + torch.cat((-x[..., half:], x[..., :half]), -1) * sin}


def embed_grad(a, b):
    w = torch.zeros(a["V"], a["H"], dtype=b["dy"].dtype, device=b["dy"].device, requires_grad=True)
    return {"dw": b["dw"].view_as(w) + gradients(F.embedding(b["ids"].long(), w), w, b["dy"].view(a["T"], -1))[0]}


def xent(a, b):
    z = leaf(b["logits"].view(a["T"], a["V"]))
    nll = F.cross_entropy(z if z.dtype == torch.float64 else z.float(), b["target"].long(), reduction="none")
    return {"nll": nll.detach(), "dlogits": gradients(nll.sum(), z, None)[0]}


def attention_of(a, q, k, v):
    rows = []
    for begin, end in zip(a["cu"], a["cu"][1:]):
        part = [x[begin:end].transpose(0, 1)[None] for x in (q, k, v)]
        o = F.scaled_dot_product_attention(*part, is_causal=True, enable_gqa=True, scale=0.125)
        rows.append(o[0].transpose(0, 1))
    return torch.cat(rows)


def heads(a, b, prefix=""):
    T = a["cu"][-1]
    return [b[prefix + n].view(T, a["heads" if n == "q" else "kv_heads"], a["dim"]) for n in "qkv"]


def attention(a, b):
    return {"o": attention_of(a, *heads(a, b))}


def attention_grad(a, b):
    q, k, v = map(leaf, heads(a, b, "fwd."))
    o = attention_of(a, q, k, v)
    return dict(zip(("dq", "dk", "dv"), gradients(o, (q, k, v), b["dout"].view_as(o))))


def distance(x, y):
    x, y = x.detach().double().flatten(), y.detach().double().flatten()
    return float((x - y).norm() / max(float(y.norm()), 1e-300))


def main():
    folder, device = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "cuda"
    data = bytearray(open(f"{folder}/cases.bin", "rb").read())
    for line in open(f"{folder}/cases.jsonl"):
        case = json.loads(line)
        buffers = case["buffers"]

        def tensor(b, at):
            return torch.frombuffer(data, dtype=KINDS[b["dtype"]], count=b["n"], offset=at).to(device)

        before = {name: tensor(b, b["before"]) for name, b in buffers.items()}
        wide = {name: x.double() if x.is_floating_point() else x for name, x in before.items()}
        function = globals()[case["op"]]
        truth, theirs = function(case, wide), function(case, before)
        for name, want in truth.items():
            ours = tensor(buffers[name], buffers[name]["after"])
            print(case["op"], name, distance(ours, want), distance(theirs[name], want), sep="\t", flush=True)


main()
