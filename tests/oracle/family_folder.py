# SPDX-License-Identifier: Apache-2.0
"""Folders with the models of family_models.py for the live comparisons, a stream to train them on, and
runs of the trainer."""
import json
import random
import shutil
import subprocess
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

from families_live import fill
from family_models import MODELS, has_experts
from live import run, tmp
from rows import IGNORED

LENGTH, SAMPLES, STEPS = 128, 120, 10
BATCH = SAMPLES // STEPS
TOKENIZER = Path("share/tiny-tokenizer")


def streams(seed):
    """Samples of 40 to 90 tokens; train.sfts has a step for every twelve of them, whole.sfts one for all."""
    words = "the quick brown fox jumps over a lazy dog and then it opens seven files at once".split()
    r = random.Random(seed)
    rows = [{"q": f"Say {n} words.", "a": " ".join(r.choice(words) for _ in range(n))} for n in r.choices(range(8, 24), k=SAMPLES)]
    (tmp / "rows.json").write_text(json.dumps(rows))
    tokenize = subprocess.run(["sft-tokenize", "-q", "-m", TOKENIZER, "--prompt-key", "q", "--response-key", "a",
                               tmp / "rows.json"], capture_output=True, check=True)
    subprocess.run(["sft-template", "-q", "-m", TOKENIZER, "-o", tmp / "samples.sfts"], input=tokenize.stdout, check=True)
    for name, batch in ("train", BATCH), ("whole", SAMPLES):
        run("sft-pack", "-q", "-l", LENGTH, "-b", batch, "--mode", "none", "-o", tmp / f"{name}.sfts", tmp / "samples.sfts")


def build(folder, dtype=torch.float32):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager").eval()
    if hasattr(model.config, "num_experts_per_tok"):
        model.set_experts_implementation("eager")
    return model


def make(family, seed):
    """A folder with random weights, which are values that bf16 has."""
    folder = tmp / f"{family}-{seed}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for f in TOKENIZER.iterdir():
        shutil.copy(f, folder)
    config = json.dumps(MODELS[family] | {"vocab_size": 2048, "dtype": "float32"})
    (folder / "config.json").write_text(config)
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), dtype=torch.float32)
    fill(model, seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "norm" in name and family.startswith("gemma"):
                p.sub_(1)  # a gain is 1 + w
            elif "proj" in name:
                p.div_(1.5)  # sharper scores enlarge roundings from layer to layer
            p.copy_(p.bfloat16().float())
    model.save_pretrained(folder)
    (folder / "config.json").write_text(config)
    return folder


def steps_of(stream):
    """The documents of each step: ids, and labels."""
    steps = {}
    for row in map(json.loads, run("sft-view", stream).splitlines()):
        starts = row["starts"] + [len(row["ids"])]
        for a, b in zip(starts, starts[1:]):
            steps.setdefault(row["step"], []).append((torch.tensor(row["ids"][a:b]), torch.tensor(row["labels"][a:b])))
    return [steps[k] for k in sorted(steps)]


def forward(model, ids):
    """Logits of a document in a model that saw none before; frequencies are in fp32 in any type."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    base.model.rotary_emb = type(base.model.rotary_emb)(base.config)
    return model(input_ids=ids[None], use_cache=False).logits[0].float()


def nll_of(model, ids, labels):
    """The sum of a document's NLLs, and how many they are."""
    x = torch.nn.functional.cross_entropy(forward(model, ids)[:-1], labels[1:], ignore_index=IGNORED, reduction="sum")
    return x, (labels[1:] != IGNORED).sum().item()


def loss_of(model, documents):
    nll = [nll_of(model, *d) for d in documents]
    return sum(x for x, _ in nll) / sum(n for _, n in nll)


def train(folder, out, dtype, steps=STEPS, model_args=None, norm=1.0, batch=BATCH, **training_args):
    """Runs the trainer; returns the checkpoint's weights, the losses, and the norms."""
    shutil.rmtree(folder / out, ignore_errors=True)
    (folder / "job.yaml").write_text(json.dumps({
        "exp_name": "job", "pretrain": str(folder), "output_dir": str(folder / out), "logging_dir": str(folder / out / "logs"),
        "track_with": "", "sequence_length": LENGTH, "prompt_key": "q", "response_key": "a", "max_steps": steps,
        "max_grad_norm": norm, "save_steps": steps,
        "sft_train": {"model_args": {"dtype": dtype} | (model_args or {}),
                      "training_args": {"per_device_train_batch_size": 2, "gradient_accumulation_steps": batch // 2,
                                        "lr_scheduler_type": "constant"} | training_args,
                      "strategy_args": {"strategy_name": "megatron_train"}, "use_sequence_packing": False},
        "sft": {"device": "cpu", "threads": 2}}))
    stream = "whole" if batch == SAMPLES else "train"
    run("sft-train", "-q", "--config", folder / "job.yaml", tmp / f"{stream}.sfts")
    metrics = [json.loads(x) for x in (folder / out / "logs/job/metrics.jsonl").read_text().splitlines()]
    saved = folder / out / f"sft_train/checkpoint-{steps}/sft_train"
    return saved, [m["sft_train/loss"] for m in metrics], [m["sft_train/grad_norm"] for m in metrics]


def stored(folder):
    """All tensors of a folder."""
    tensors = {}
    for f in folder.glob("*.safetensors"):
        tensors |= load_file(f)
    return tensors
