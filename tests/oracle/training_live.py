#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs with random training arguments against the same steps in PyTorch with transformers' schedules
and groups of parameters, and peft's adapters: every learning rate, loss and norm, and the weights at
the end. The reference reads the packed stream, and knows nothing of how a step was cut.

usage: training_live.py [FIRST [COUNT]]   the random cases FIRST.. (0 and 8)"""
import json
import math
import random
import shutil
import subprocess
import sys
from pathlib import Path

import peft
import torch
import transformers
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, EarlyStoppingCallback, Trainer, TrainingArguments
from transformers.optimization import get_scheduler

from live import check, failures, run, tmp
from rows import IGNORED, load

LENGTH = 400
BASE = dict(vocab_size=2048, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=512, rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2,
            dtype="float32")
SCHEDULES = ["linear", "cosine", "constant", "constant_with_warmup", "cosine_with_restarts", "polynomial", "inverse_sqrt",
             "cosine_with_min_lr", "cosine_warmup_with_min_lr", "warmup_stable_decay"]
PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


# ---- random arguments ----
def draw_schedule(r, rate):
    kind, kwargs = r.choice(SCHEDULES), {}
    if kind == "polynomial":
        kwargs = r.choice([{}, {"power": 2.5, "lr_end": rate / 10}, {"power": 0.5}, {"lr_end": 0.0}])
    if kind in ("cosine", "cosine_with_restarts"):
        kwargs = r.choice([{}, {"num_cycles": 0.25}, {"num_cycles": 3}])
    if kind == "inverse_sqrt":
        kwargs = r.choice([{}, {"timescale": 3}, {"timescale": 50}])
    if kind in ("cosine_with_min_lr", "cosine_warmup_with_min_lr"):
        kwargs = r.choice([{"min_lr": rate / 5}, {"min_lr_rate": 0.1}, {"min_lr": 2 * rate}, {"min_lr_rate": 0.3, "num_cycles": 1.5}])
        if kind == "cosine_warmup_with_min_lr" and r.random() < 0.5:
            kwargs = kwargs | {"warmup_lr_rate": 0.2}
    if kind == "warmup_stable_decay":
        kwargs = {"num_decay_steps": r.choice([0, 2, 5, 30])} | r.choice([{}, {"num_stable_steps": r.choice([0, 2, 40])}])
        kwargs |= r.choice([{}, {"warmup_type": r.choice(["linear", "cosine", "1-sqrt"]), "min_lr_ratio": 0.1}])
        kwargs |= r.choice([{}, {"decay_type": r.choice(["linear", "cosine", "1-sqrt"])}])
    return kind, kwargs


def draw(r):
    sgd = r.random() < 0.3
    a = {"learning_rate": r.choice([1e-2, 1e-1, 1.0] if sgd else [1e-3, 3e-3, 1e-2])}
    a["lr_scheduler_type"], a["lr_scheduler_kwargs"] = draw_schedule(r, a["learning_rate"])
    a |= r.choice([{}, {"warmup_steps": r.choice([0, 1, 3, 0.2, 100])}, {"warmup_ratio": r.choice([0.0, 0.3, 1.0])},
                   {"warmup_steps": 2, "warmup_ratio": 0.9}])
    a["per_device_train_batch_size"], a["gradient_accumulation_steps"] = r.choice([(1, 4), (4, 1), (2, 3), (1, 1), (3, 1), (8, 1)])
    a["dataloader_num_workers"] = r.choice([0, 0, 1, 4])
    if r.random() < 0.6:
        a["weight_decay"] = r.choice([0.0, 0.01, 0.3])
    if sgd:
        a["optim"] = "sgd"
        a["optim_args"] = r.choice([None, "momentum=0.9", "momentum=0.8,nesterov=True", "momentum=0.5,dampening=0.3"])
    else:
        a |= r.choice([{}, {"adam_beta1": 0.8, "adam_beta2": 0.9, "adam_epsilon": 1e-6}, {"adam_beta1": 0.0}, {"adam_beta2": 0.5}])
    if r.random() < 0.3:
        a["max_steps"] = r.choice([3, 1000])
    return a, r.choice([1.0, 0.0, 0.05, 30])


def draw_model(r):
    c = dict(BASE) | r.choice([{"model_type": "llama"}, {"model_type": "llama", "attention_bias": True, "mlp_bias": True},
                               {"model_type": "qwen2"}, {"model_type": "qwen3", "head_dim": 12},
                               {"model_type": "mistral", "sliding_window": 20}])
    return c | {"tie_word_embeddings": r.random() < 0.5}


def draw_adapter(r, tied):
    """peft's configuration of an adapter."""
    whole = r.choice([None, None, ["norm"], ["embed_tokens"], ["lm_head"], ["post_attention_layernorm", "k_proj"]])
    if tied and whole == ["lm_head"]:
        whole = ["embed_tokens"]
    targets = r.choice(["all-linear", r.sample(PROJECTIONS, 3), r".*\.1\.(mlp|self_attn)\.(k|o|up)_proj"])
    return peft.LoraConfig(task_type="CAUSAL_LM", r=r.choice([1, 4, 7, 64]), lora_alpha=r.choice([1, 8, 12.5]), lora_dropout=0.0,
                           use_rslora=r.random() < 0.3, target_modules=targets, modules_to_save=whole,
                           ensure_weight_tying=tied and whole == ["embed_tokens"])


# ---- theirs ----
def steps_of(stream):
    steps = {}
    for line in run("sft-view", stream).splitlines():
        row = json.loads(line)
        starts = row["starts"] + [len(row["ids"])]
        for a, b in zip(starts, starts[1:]):
            steps.setdefault(row["step"], []).append((torch.tensor(row["ids"][a:b]), torch.tensor(row["labels"][a:b])))
    return [steps[k] for k in sorted(steps)]


def loss_of(model, documents):
    total, count = 0.0, 0
    for ids, labels in documents:
        logits = model(input_ids=ids[None], use_cache=False).logits[0, :-1]
        total = total + torch.nn.functional.cross_entropy(logits, labels[1:], ignore_index=IGNORED, reduction="sum")
        count += (labels[1:] != IGNORED).sum().item()
    return total / count


def optimizer_of(model, a):
    decayed = set(Trainer.get_decay_parameter_names(None, model))
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    groups = [{"params": [p for n, p in named if n in decayed], "weight_decay": a.get("weight_decay", 0.0)},
              {"params": [p for n, p in named if n not in decayed], "weight_decay": 0.0}]
    groups = [g for g in groups if g["params"]]
    if a.get("optim") == "sgd":
        words = dict(w.split("=") for w in (a["optim_args"] or "").split(",") if w)
        return torch.optim.SGD(groups, lr=a["learning_rate"], nesterov=words.get("nesterov") == "True",
                               **{k: float(v) for k, v in words.items() if k != "nesterov"})
    return torch.optim.AdamW(groups, lr=a["learning_rate"], betas=(a.get("adam_beta1", 0.9), a.get("adam_beta2", 0.999)),
                             eps=a.get("adam_epsilon", 1e-8))


def train(model, steps, a, most):
    """The numbers of each step."""
    if 0 < a.get("max_steps", -1) < len(steps):
        steps = steps[:a["max_steps"]]
    warmup = a.get("warmup_steps", 0)
    warmup = int(warmup) if warmup >= 1 else math.ceil(len(steps) * (warmup or a.get("warmup_ratio", 0.0)))
    optimizer = optimizer_of(model, a)
    schedule = get_scheduler(a["lr_scheduler_type"], optimizer, num_warmup_steps=warmup, num_training_steps=len(steps),
                             scheduler_specific_kwargs=a["lr_scheduler_kwargs"] or None)
    numbers = []
    for documents in steps:
        optimizer.zero_grad()
        loss = loss_of(model, documents)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), most if most > 0 else math.inf)
        numbers.append({"loss": loss.item(), "grad_norm": norm.item(), "lr": schedule.get_last_lr()[0]})
        optimizer.step()
        schedule.step()
    return numbers


# ---- ours ----
def prepare(folder, config, seed):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), dtype=torch.float32, attn_implementation="eager")
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() == 1:
                p.add_(0.1 * torch.randn(p.shape))
            else:
                p.mul_(4)
    model.save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(config))
    for f in Path("share/tiny-tokenizer").iterdir():
        shutil.copy(f, folder)
    return model


def pack(folder, r, a):
    b = a["per_device_train_batch_size"] * a["gradient_accumulation_steps"]
    packing = r.choice(["batch", "none"])
    epochs = r.choice(["1", "0.5", "2", "1.25"])
    run("sft-pack", "-q", "-l", LENGTH, "-b", b, "--mode", packing, "--epochs", epochs, "--seed", r.randrange(99),
        "-o", folder / "train.sfts", tmp / "samples.sfts")
    return {"packing": packing == "batch", "epochs": float(epochs)}


def job(folder, r, a, most, packed, model_args):
    strategy = r.choice(["megatron_train", "fsdp2_train"])
    (folder / "job.yaml").write_text(json.dumps({
        "exp_name": "job", "pretrain": str(folder), "output_dir": str(folder / "out"), "logging_dir": str(folder / "out/logs"),
        "track_with": "", "sequence_length": LENGTH, "query_key": "input", "max_grad_norm": most, "save_steps": 2,
        "sft_train": {"model_args": {"dtype": "fp32"} | model_args, "training_args": a | {"num_train_epochs": packed["epochs"]},
                      "strategy_args": {"strategy_name": strategy}, "use_sequence_packing": packed["packing"]},
        "sft": {"device": "cpu", "threads": 2} | r.choice([{}, {"recompute": "selective"}, {"recompute": "full"}])}))
    run("sft-train", "-q", "--config", folder / "job.yaml", folder / "train.sfts")
    metrics = [json.loads(x) for x in (folder / "out/logs/job/metrics.jsonl").read_text().splitlines()]
    saved = folder / f"out/sft_train/checkpoint-{len(metrics)}/sft_train"
    return [{k: m[f"sft_train/{k}"] for k in ("loss", "grad_norm", "lr")} for m in metrics], saved


def resumed(folder, saved):
    """The run goes on from the checkpoint before the last one, to the same bytes."""
    weights = next(saved.glob("*model*.safetensors"))
    bytes_then = weights.read_bytes()
    for c in (folder / "out/sft_train").glob("checkpoint-*"):
        if c == saved.parent:
            shutil.rmtree(c)
    if not any((folder / "out/sft_train").glob("checkpoint-*")):
        return True
    run("sft-train", "-q", "--config", folder / "job.yaml", "--resume", "auto", folder / "train.sfts")
    return weights.read_bytes() == bytes_then


def compare(seed):
    r = random.Random(seed)
    a, most = draw(r)
    config = draw_model(r)
    folder = tmp / f"case-{seed}"
    how = r.choice(["full", "full", "frozen", "adapter"])
    name, model_args, tied = f"{seed} {config['model_type']} {how}", {}, config["tie_word_embeddings"]
    told = f"{a} max_grad_norm={most} {config}"
    try:
        model = prepare(folder, config, seed)
        if how == "frozen":
            prefixes = r.choice([["model.embed_tokens"], ["model.layers.0", "model.norm"], ["model.layers.1.self_attn.k_proj"]])
            model_args = {"freeze_module_prefix": ", ".join(prefixes)}
            for n, p in model.named_parameters():
                p.requires_grad_(not n.startswith(tuple(prefixes)))
        if how == "adapter":
            adapter = draw_adapter(r, tied)
            told += f" {adapter.to_dict()}"
            model = peft.get_peft_model(model, adapter)
            with torch.no_grad():
                for n, p in model.named_parameters():
                    if "lora_B" in n:
                        p.normal_(std=0.1)
            model.save_pretrained(folder / "adapter")
            model_args = {"adapter_name_or_path": str(folder / "adapter")}
        before = {n: p.detach().clone() for n, p in model.state_dict().items()}
        packed = pack(folder, r, a)
        ours, saved = job(folder, r, a, most, packed, model_args)
        theirs = train(model, steps_of(folder / "train.sfts"), a, most)
        check(f"{name}: as many steps", len(ours) == len(theirs), f"{len(ours)}, {len(theirs)}: {told}")
        for key, most_off in [("lr", 1e-8), ("loss", 2e-4), ("grad_norm", 2e-3)]:
            worst = max(abs(x[key] - y[key]) / max(abs(y[key]), 1e-30) if x[key] != y[key] else 0 for x, y in zip(ours, theirs))
            check(f"{name}: the {key} of every step", worst <= most_off, f"{worst}: {told}")
        state = peft.get_peft_model_state_dict(model) if how == "adapter" else model.state_dict()
        stored = next(saved.glob("*model*.safetensors"))
        worst = (0, "")
        loaded = load_file(stored)
        for n, w in loaded.items():
            n = n.replace("base_model.model.lm_head.weight", "base_model.model.model.embed_tokens.weight") if how == "adapter" and tied else n
            start = load_file(folder / "adapter/adapter_model.safetensors")[n] if how == "adapter" else before[n]
            moved = (state[n] - start).norm().item()
            worst = max(worst, ((w - state[n]).norm().item() / moved if moved else (w != state[n]).sum().item(), n))
        check(f"{name}: the weights at the end", worst[0] < 2e-2, f"{worst}: {told}")
        missing = set(state) - set(loaded) - ({"lm_head.weight"} if tied else set())
        check(f"{name}: all of them", not missing, f"{missing}: {told}")
        if how == "adapter":
            again = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), saved)
            d = steps_of(folder / "train.sfts")[0]
            with torch.no_grad():
                x, y = loss_of(again, d).item(), loss_of(model, d).item()
            check(f"{name}: peft reads it", abs(x - y) < 2e-4 * y, f"{x}, {y}: {told}")
        check(f"{name}: resumed", resumed(folder, saved), told)
    except Exception as e:
        check(name, False, f"{type(e).__name__} {str(e)[:600]}: {told}")
    shutil.rmtree(folder, ignore_errors=True)


def defaults():
    """Those of Hugging Face, one of them of its callback, but for ROLL's one epoch and the plain name of the same optimizer."""
    (tmp / "least.yaml").write_text("pretrain: m\nsequence_length: 128\n")
    ours = json.loads(run("sft-config", tmp / "least.yaml", "--json"))
    ours = ours["sft_train"]["training_args"] | {"max_grad_norm": ours["max_grad_norm"], "seed": ours["seed"]}
    theirs = TrainingArguments(output_dir=str(tmp), use_cpu=True).to_dict() | {
        "num_train_epochs": 1.0, "optim": "adamw_torch", "warmup_ratio": 0.0,
        "early_stopping_threshold": EarlyStoppingCallback().early_stopping_threshold}
    check("defaults", all(theirs[k] == v for k, v in ours.items()) and len(ours) > 12,
          {k: (v, theirs[k]) for k, v in ours.items() if theirs[k] != v})


def main():
    first, count = (int(x) for x in (sys.argv[1:] + ["0", "8"][len(sys.argv) - 1:]))
    (tmp / "rows.json").write_text(json.dumps(load("examples/data/train.json")[:14]))
    tokenize = subprocess.run(["sft-tokenize", "-q", "-m", "share/tiny-tokenizer", "--query-key", "input", tmp / "rows.json"],
                              capture_output=True, check=True)
    subprocess.run(["sft-template", "-q", "-m", "share/tiny-tokenizer", "-o", tmp / "samples.sfts"], input=tokenize.stdout, check=True)
    defaults()
    for seed in range(first, first + count):
        compare(seed)
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
