#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Adapters of a model of every family against peft: on all linear layers, and on some by name. A run
adapts the layers that peft adapts, and saves its tensors under peft's names; peft reads them, with the
same loss and merged weights; and the gradients of an adapter of peft's own making are peft's.

usage: family_lora_live.py [SEED [FAMILY...]]   SEED: one of today by default;
FAMILY: without one a third of the families, by the seed"""
import json
import shutil
import sys
import time
import warnings

import peft
import torch
from safetensors.torch import load_file

from family_folder import build, loss_of, make, steps_of, stored, streams, train
from family_models import of_the_day, targets
from live import check, failures, run, tmp
from on_disk import on_disk

RANK, ALPHA = 4, 8
RATE = 100.0


def theirs(folder, target):
    """peft's model with random factors, saved."""
    torch.manual_seed(1)
    model = peft.get_peft_model(build(folder), peft.LoraConfig(task_type="CAUSAL_LM", r=RANK, lora_alpha=ALPHA, lora_dropout=0.0,
                                                               target_modules=target))
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p.add_(torch.randn(p.shape) * 0.1)
    model.save_pretrained(folder / "adapter")
    return model.eval()


def loaded(folder, adapter):
    """peft's model, and its complaints about keys. peft 0.21 says of the rank of experts that no module has it."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model = peft.PeftModel.from_pretrained(build(folder), adapter).eval()
    return model, {str(w.message) for w in told if "key" in str(w.message).lower()}


def ours_to_peft(name, folder, target, steps):
    """A new adapter, trained some steps."""
    saved, _, _ = train(folder, "lora", "fp32", steps=3, learning_rate=1e-2,
                        model_args={"lora_target": target, "lora_rank": RANK, "lora_alpha": ALPHA})
    names = [set(load_file(f / "adapter_model.safetensors")) for f in (saved, folder / "adapter")]
    check(f"{name}: peft's layers, by peft's names", names[0] == names[1], sorted(names[0] ^ names[1]))
    _, own = loaded(folder, folder / "adapter")
    model, told = loaded(folder, saved)
    check(f"{name}: peft loads it with no other complaint than of its own", told <= own, told - own)
    with torch.no_grad():
        loss, base = (loss_of(m, sum(steps, [])).item() for m in (model, build(folder)))
    ours = json.loads(run("sft-eval", "-q", "--dtype", "fp32", "-m", folder, "--adapter", saved.parent, tmp / "samples.sfts"))["loss"]
    check(f"{name}: with the same loss", abs(ours / loss - 1) <= 1e-5 < 1e-3 < abs(base - loss), (ours, loss, base))
    run("sft-ckpt", "merge", "-q", folder, saved.parent, "-o", folder / "merged")
    ours, merged = stored(folder / "merged"), model.merge_and_unload()
    off = {n: (ours[n] - x).abs().max().item() for key, p in merged.named_parameters() for n, x in on_disk(merged, key, p.detach())}
    shutil.rmtree(folder / "merged")
    check(f"{name}: merged as peft merges", max(off.values()) <= 1e-6, {n: x for n, x in off.items() if x > 1e-6})


def gradients(name, folder, model, step):
    """Those of peft's adapter, read off a step of SGD."""
    saved, losses, _ = train(folder, "sgd", "fp32", steps=1, norm=0, learning_rate=RATE, optim="sgd",
                             model_args={"adapter_name_or_path": str(folder / "adapter")})
    before, after = (load_file(f / "adapter_model.safetensors") for f in (folder / "adapter", saved))
    loss = loss_of(model, step)
    loss.backward()
    exact = {n.replace(".default", ""): p.grad.double() for n, p in model.named_parameters() if p.requires_grad}
    check(f"{name}: the loss is peft's", abs(losses[0] / loss.item() - 1) <= 1e-6, (losses[0], loss.item()))
    off = {n: (((before[n].double() - after[n].double()) / RATE - g).norm() / g.norm()).item() for n, g in exact.items()}
    check(f"{name}: every gradient is peft's", max(off.values()) <= 2e-5 and after.keys() == exact.keys(),
          {n: x for n, x in off.items() if x > 2e-5})


def main():
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else int(time.time()) // 86400
    streams(seed)
    steps = steps_of(tmp / "train.sfts")
    for family in sys.argv[2:] or of_the_day(seed):
        folder = make(family, seed)
        for ours, their in targets(family):
            name = f"{family}, {ours}, seed {seed}"
            try:
                model = theirs(folder, their)
                ours_to_peft(name, folder, ours, steps)
                gradients(name, folder, model, steps[0])
            except Exception as e:
                check(name, False, f"{type(e).__name__} {str(e)[-600:]}")
        shutil.rmtree(folder)
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
