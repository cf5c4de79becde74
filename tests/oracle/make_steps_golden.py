# SPDX-License-Identifier: Apache-2.0
"""Golden values of training every family from PyTorch, transformers and peft: tests/golden/steps/.

usage: make_steps_golden.py OUTPUT_DIR [FAMILY...]

FAMILY.json: the config.json of a model of family_models.py; its weights are those of tests/tiny.h, its
documents those of tests/rig.h. Of ten steps of torch's AdamW in fp32 each loss, and its norm in double, and of every
tensor at the end its norm, its projections on signs, and the length of its change. The errors of
PyTorch's computation in bf16 against fp32, over BATCHES steps, with weights that bf16 has. Loss and
gradients of two adapters of peft.
"""
import contextlib
import copy
import shutil
import sys

import numpy as np
import peft
import torch
from adapted import canonical, from_canonical, ours
from family_models import MODELS, chooses_all, has_experts, targets
from make_family_golden import build
from make_train_golden import LENGTHS, documents, signs, weights, write
from on_disk import on_disk

STEPS, BATCHES, SIGNS = 10, 8, 6
# Where a gradient is near epsilon or above, its rounding moves the weight by as much as rate * rounding /
# epsilon: with 1e-8 the steps of elements without a gradient to speak of are noise, of any program.
ADAMW = {"lr": 3e-3, "beta1": 0.9, "beta2": 0.98, "eps": 3e-3, "weight_decay": 0.1, "max_norm": 1.0}
RANK, ALPHA = 3, 5


def make(family, config=None):
    model = build(config or MODELS[family], "build/steps-golden")
    shutil.rmtree("build/steps-golden")
    if has_experts(family):
        model.set_experts_implementation("eager")
    return model


def base_of(model):
    return model.get_base_model() if isinstance(model, peft.PeftModel) else model


def forward(model, ids):
    """Logits of a document in a model that saw none before; frequencies are in fp32 in any type."""
    text = base_of(model).model
    text.rotary_emb = type(text.rotary_emb)(text.config)
    x = model(input_ids=ids[None], use_cache=False).logits[0]
    return x if x.dtype == torch.float64 else x.float()


def gradients_of(model):
    """As they lie on the disk."""
    base = base_of(model)
    return {n: x.detach().double().flatten().numpy().copy() for name, p in base.named_parameters() if p.grad is not None
            for n, x in on_disk(base, name, p.grad)}


def run(model, docs, apart=False):
    """Loss, logits, NLLs and gradients. apart: the gradients of each document are added here, in double, and not by
    PyTorch, which would round each sum to the model's type, and so more often than one batch of all does."""
    model.zero_grad()
    total, loss, logits, nlls, grads = sum(w.sum().item() for _, w in docs), 0.0, [], [], {}
    for ids, w in docs:
        x = forward(model, ids)
        logits.append(x.detach().double().flatten().numpy())
        if len(ids) < 2:
            continue
        nll = torch.nn.functional.cross_entropy(x[:-1], ids[1:], reduction="none")
        nlls.append(nll.detach().double().numpy()[w[1:].numpy() > 0])
        part = (nll.double() * w[1:]).sum() / total
        part.backward()
        loss += part.item()
        if apart:
            grads = {n: g + grads.get(n, 0) for n, g in gradients_of(model).items()}
            model.zero_grad()
    return loss, np.concatenate(logits), np.concatenate(nlls), grads or gradients_of(model)


def batch(k):
    return documents(LENGTHS, 97, 1000 * k)


def describe(name, x):
    return {"norm": float(np.linalg.norm(x)), "projections": [float(x @ signs(name, j, len(x))) for j in range(SIGNS)]}


def on_signs(values):
    return {n: describe(n, x) for n, x in values.items()}


@contextlib.contextmanager
def in_double():
    """transformers computes softmax, norms and frequencies in fp32 whatever the type of the model."""
    softmax, float_, to = torch.nn.functional.softmax, torch.Tensor.float, torch.Tensor.to

    def to_double(x, *args, **kwargs):
        return to(x, *(torch.float64 if a is torch.float32 else a for a in args),
                  **{k: torch.float64 if a is torch.float32 else a for k, a in kwargs.items()})
    torch.nn.functional.softmax = lambda x, dim=None, dtype=None, **_: softmax(x, dim)
    torch.Tensor.float, torch.Tensor.to = torch.Tensor.double, to_double
    try:
        yield
    finally:
        torch.nn.functional.softmax, torch.Tensor.float, torch.Tensor.to = softmax, float_, to


def adamw(model):
    """No decay of norms and biases, as transformers groups them."""
    matrix = [p for p in model.parameters() if p.dim() > 1]
    vector = [p for p in model.parameters() if p.dim() == 1]
    return torch.optim.AdamW([{"params": matrix, "weight_decay": ADAMW["weight_decay"]}, {"params": vector, "weight_decay": 0.0}],
                            lr=ADAMW["lr"], betas=(ADAMW["beta1"], ADAMW["beta2"]), eps=ADAMW["eps"])


def exact_norms(family):
    """The norms of the gradients of a run in double. Those of PyTorch in fp32 are up to 8e-7 off them."""
    with in_double():
        model, norms = make(family).double(), []
        opt = adamw(model)
        for k in range(STEPS):
            run(model, batch(k))
            norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), ADAMW["max_norm"]).item())
            opt.step()
    return norms


def steps(model, norms):
    opt, losses = adamw(model), []
    for k in range(STEPS):
        losses.append(run(model, batch(k))[0])
        torch.nn.utils.clip_grad_norm_(model.parameters(), ADAMW["max_norm"])
        opt.step()
    last = {n: x.detach().double().flatten().numpy() for name, p in model.named_parameters()
            for n, x in on_disk(model, name, p)}
    moved = {n: float(np.linalg.norm(x - weights(n, len(x)))) for n, x in last.items()}
    return {"losses": losses, "norms": norms, "weights": {n: {**describe(n, x), "moved": moved[n]} for n, x in last.items()}}


class Error:
    """Of vectors that were added: the length of all differences over that of all values."""

    def __init__(self):
        self.off = self.size = 0.0

    def add(self, rough, exact):
        self.off += float(np.sum((rough - exact) ** 2))
        self.size += float(np.sum(exact ** 2))

    def get(self):
        return (self.off / self.size) ** 0.5


def bf16(family):
    config = chooses_all(family)
    model = make(family, config)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(p.bfloat16().float())
    rough, errors = copy.deepcopy(model).bfloat16(), {}
    for k in range(BATCHES):
        _, x, nll, grads = run(model, batch(k), True)
        _, x16, nll16, grads16 = run(rough, batch(k), True)
        for name, a, b in [("logits", x16, x), ("nll", nll16, nll)] + [(n, grads16[n], g) for n, g in grads.items()]:
            errors.setdefault(name, Error()).add(a, b)
    out = {n: errors.pop(n).get() for n in ("logits", "nll")}
    whole = Error()
    for x in errors.values():
        whole.off, whole.size = whole.off + x.off, whole.size + x.size
    return {"config": config, **out, "gradients": whole.get(), "tensors": {n: x.get() for n, x in errors.items()}}


def adapter(family, target, theirs):
    model = peft.get_peft_model(make(family), peft.LoraConfig(task_type="CAUSAL_LM", r=RANK, lora_alpha=ALPHA, lora_dropout=0.0,
                                                              target_modules=theirs))
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.requires_grad:
                p.copy_(from_canonical(model, name, weights(ours(model, name), p.numel()), p.shape))
    loss = run(model, batch(0))[0]
    grads = {ours(model, n): canonical(model, n, p.grad).double().flatten().numpy()
             for n, p in model.named_parameters() if p.requires_grad}
    return {"name": f"{family}, {target}", "target": target, "loss": loss, "gradients": on_signs(grads)}


def case(family):
    return {"name": family, "config": MODELS[family], "adamw": ADAMW, "steps": steps(make(family), exact_norms(family)), "bf16": bf16(family),
            "rank": RANK, "alpha": ALPHA, "adapters": [adapter(family, *x) for x in targets(family)]}


def main():
    for family in sys.argv[2:] or MODELS:
        write(f"{sys.argv[1]}/{family}.json", {"peft": peft.__version__, **case(family)})


if __name__ == "__main__":
    main()
