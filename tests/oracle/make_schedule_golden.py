# SPDX-License-Identifier: Apache-2.0
"""Golden learning rates and step counts from transformers: tests/golden/train/schedules.json.

usage: make_schedule_golden.py OUTPUT_FILE

cases: training_args as YAML has them, the steps of the run, and the rate that PyTorch's LambdaLR holds
before each optimizer step. plans: samples and global batch of a run, num_train_epochs, and the number of
steps that transformers' Trainer computes.
"""
import json
import math
import sys
import warnings

import torch
import transformers
from transformers import Trainer, TrainingArguments
from transformers.optimization import get_scheduler

warnings.filterwarnings("ignore")


def rates(kind, steps, lr=5e-5, warmup_steps=0, warmup_ratio=0.0, kwargs=None):
    args = TrainingArguments(output_dir="/tmp", use_cpu=True, warmup_steps=warmup_steps)
    warmup = args.get_warmup_steps(steps) or math.ceil(steps * warmup_ratio)  # transformers 4 had both
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=lr)
    schedule = get_scheduler(kind, optimizer, num_warmup_steps=warmup,
                             num_training_steps=steps, scheduler_specific_kwargs=kwargs)
    out = []
    for k in range(steps):
        out.append(schedule.get_last_lr()[0])
        optimizer.step()
        if k + 1 < steps:
            schedule.step()
    case = {"lr_scheduler_type": kind, "learning_rate": lr}
    if warmup_steps:
        case["warmup_steps"] = warmup_steps
    if warmup_ratio:
        case["warmup_ratio"] = warmup_ratio
    if kwargs:
        case["lr_scheduler_kwargs"] = kwargs
    return {"training_args": case, "steps": steps, "rates": out}


def cases():
    plain = ["linear", "cosine", "constant", "constant_with_warmup", "cosine_with_restarts", "polynomial", "inverse_sqrt"]
    for kind in plain:
        yield rates(kind, 12)
        yield rates(kind, 13, 1e-3, warmup_steps=4)
        yield rates(kind, 17, 3e-4, warmup_ratio=0.15)
        yield rates(kind, 5, 2.0, warmup_steps=5)
        yield rates(kind, 1)
    yield rates("linear", 6, warmup_steps=9)
    yield rates("cosine", 11, warmup_ratio=1.0)
    yield rates("cosine", 13, warmup_steps=0.3)
    yield rates("linear", 13, warmup_steps=2.7)
    yield rates("linear", 9, warmup_steps=1.0, warmup_ratio=0.5)
    yield rates("cosine", 21, warmup_steps=1, kwargs={"num_cycles": 1.25})
    yield rates("cosine_with_restarts", 22, warmup_steps=2, kwargs={"num_cycles": 3})
    yield rates("polynomial", 19, 1e-4, warmup_steps=3, kwargs={"power": 2.5, "lr_end": 1e-6})
    yield rates("polynomial", 8, 1e-4, kwargs={"lr_end": 0.0})
    yield rates("inverse_sqrt", 18, warmup_steps=3, kwargs={"timescale": 7})
    yield rates("inverse_sqrt", 18, kwargs={"timescale": 100})
    for kind in ["cosine_with_min_lr", "cosine_warmup_with_min_lr"]:
        yield rates(kind, 15, 1e-4, warmup_steps=3, kwargs={"min_lr": 1e-5})
        yield rates(kind, 15, 1e-4, warmup_ratio=0.1, kwargs={"min_lr_rate": 0.1, "num_cycles": 1.5})
        yield rates(kind, 9, 1e-4, kwargs={"min_lr_rate": 0.0})
    yield rates("cosine_warmup_with_min_lr", 15, 1e-4, warmup_steps=4, kwargs={"min_lr_rate": 0.05, "warmup_lr_rate": 0.2})
    yield rates("cosine_warmup_with_min_lr", 6, 1e-4, warmup_steps=1, kwargs={"min_lr": 0.0, "warmup_lr_rate": 0.5})
    wsd = "warmup_stable_decay"
    yield rates(wsd, 20, 1e-3, warmup_steps=4, kwargs={"num_decay_steps": 6})
    yield rates(wsd, 20, 1e-3, warmup_ratio=0.2, kwargs={"num_decay_steps": 5, "num_stable_steps": 7, "min_lr_ratio": 0.1})
    for warm in ["linear", "cosine", "1-sqrt"]:
        for decay in ["linear", "cosine", "1-sqrt"]:
            yield rates(wsd, 16, 1e-3, warmup_steps=5,
                        kwargs={"num_decay_steps": 7, "warmup_type": warm, "decay_type": decay, "min_lr_ratio": 0.25})
    yield rates(wsd, 14, 1e-3, kwargs={"num_decay_steps": 14, "num_cycles": 1.0})
    yield rates(wsd, 10, 1e-3, warmup_steps=4, kwargs={"num_decay_steps": 9})
    yield rates(wsd, 10, 1e-3, warmup_steps=4, kwargs={"num_decay_steps": 0})


class Rows(torch.utils.data.Dataset):
    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return {"input_ids": torch.tensor([i])}


def plans():
    model = torch.nn.Linear(1, 1)
    for samples, each, accumulate, epochs in [
            (40, 2, 4, 1), (40, 2, 4, 1.0), (40, 2, 4, 0.5), (41, 2, 4, 1), (41, 2, 4, 0.5), (39, 8, 1, 2),
            (39, 8, 1, 0.2), (100, 1, 8, 2.5), (100, 1, 8, 0.01), (7, 4, 8, 1), (7, 4, 8, 3), (64, 8, 2, 0.75), (33, 4, 2, 1.5)]:
        args = TrainingArguments(output_dir="/tmp", per_device_train_batch_size=each, gradient_accumulation_steps=accumulate,
                                 num_train_epochs=epochs, use_cpu=True, report_to=[])
        trainer = Trainer(model, args, train_dataset=Rows(samples))
        steps = trainer.set_initial_training_values(args, trainer.get_train_dataloader())[-1]
        yield {"samples": samples, "global_batch": each * accumulate, "epochs": epochs, "steps": steps}


def main():
    made = {"versions": {"torch": torch.__version__, "transformers": transformers.__version__},
            "cases": list(cases()), "plans": list(plans())}
    with open(sys.argv[1], "w") as f:
        f.write('{"versions": ' + json.dumps(made["versions"]))
        for part in ["cases", "plans"]:
            f.write(f',\n"{part}": [\n' + ",\n".join(json.dumps(x) for x in made[part]) + "\n]")
        f.write("}\n")


main()
