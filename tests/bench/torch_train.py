# SPDX-License-Identifier: Apache-2.0
"""Full fine-tuning by Hugging Face transformers and PyTorch on the CPU, on the samples that sft-train was timed on.

usage: torch_train.py MODEL ROWS.jsonl SECONDS

ROWS.jsonl is what `sft-view STREAM` prints: a packed row a line, of which the samples of each step are taken. The first
step here has exactly the samples of the first step there, so that its loss shows whether this is the same job: sum of
NLL / label tokens of the step. It warms up. In the timed steps samples are sorted by length over all steps, so that
hardly any padding is left, and cut into micro-batches, which are dealt to as many steps as there are; clipping at 1 and
AdamW as there. Tried are bf16 by autocast on fp32 weights, bf16 weights, and fp32, each eager and compiled, and
micro-batches of other sizes; what is slower than two thirds of the best is dropped after one timed step. Rates count
real tokens, without padding. Nothing new is begun after SECONDS. Prints one JSON object; progress goes to stderr.
"""
import contextlib
import json
import os
import statistics
import sys
import time
import warnings

warnings.filterwarnings("ignore")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch  # noqa: E402
import transformers  # noqa: E402

FIRST_MICRO = 8
SMALLER, LARGER = (4, 2, 1), (12, 24, 48)
TIMED = 4  # steps of the winner, of which the median counts
DROP = 1.5  # times the best step: not looked at again
COMPILE_SECONDS = 180  # what compiling may take; less time left: nothing is compiled
EAGER_SHARE = 0.5  # of the time
DTYPES = {"autocast": torch.float32, "bf16": torch.bfloat16, "fp32": torch.float32}


def note(text):
    print(f"bench: PyTorch: {text}", file=sys.stderr, flush=True)


def read_steps(path):
    """[[(ids, labels) of a sample, ...] of a step, ...]"""
    steps = {}
    with open(path) as f:
        for line in f:
            row = json.loads(line)
            ends = row["starts"][1:] + [len(row["ids"])]
            for a, b in zip(row["starts"], ends):
                steps.setdefault(row["step"], []).append((row["ids"][a:b], row["labels"][a:b]))
    return [steps[k] for k in sorted(steps)]


def cut(samples, micro):
    """Micro-batches of neighbours in length, the longest first."""
    samples = sorted(samples, key=lambda s: -len(s[0]))
    return [samples[i : i + micro] for i in range(0, len(samples), micro)]


def padded(samples):
    n = max(len(ids) for ids, _ in samples)
    return {
        "input_ids": torch.tensor([ids + [0] * (n - len(ids)) for ids, _ in samples]),
        "attention_mask": torch.tensor([[1] * len(ids) + [0] * (n - len(ids)) for ids, _ in samples]),
        "labels": torch.tensor([labels + [-100] * (n - len(labels)) for _, labels in samples]),
    }


class Variant:
    def __init__(self, folder, dtype, compiled, micro):
        self.dtype, self.compiled, self.micro = dtype, compiled, micro
        self.model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=DTYPES[dtype], attn_implementation="sdpa"
        )
        self.model.train()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-5, weight_decay=0.0, fused=True)
        self.run = torch.compile(self.model, dynamic=True) if compiled else self.model
        self.forget()

    def forget(self):
        self.seconds, self.tokens, self.slots = [], [], []

    def step(self, batches):
        """One update on these micro-batches; its loss."""
        start = time.perf_counter()
        n = sum(label >= 0 for b in batches for _, labels in b for label in labels[1:])
        loss, slots = 0.0, 0
        for b in map(padded, batches):
            slots += b["input_ids"].numel()
            with torch.autocast("cpu", torch.bfloat16) if self.dtype == "autocast" else contextlib.nullcontext():
                out = self.run(**b, num_items_in_batch=n, use_cache=False)
            out.loss.backward()
            loss += out.loss.item()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.seconds.append(time.perf_counter() - start)
        self.tokens.append(sum(len(ids) for b in batches for ids, _ in b))
        self.slots.append(slots)
        return loss

    def rate(self):
        return statistics.median(n / s for s, n in zip(self.seconds, self.tokens))

    def figures(self):
        return {"dtype": self.dtype, "mode": "compiled" if self.compiled else "eager", "micro_batch": self.micro,
                "steps": len(self.seconds), "tokens_per_s": self.rate(),
                "padding": 1 - sum(self.tokens) / sum(self.slots)}


class Bench:
    """Tries variants; keeps the best one so far, and the figures of all."""

    def __init__(self, folder, steps, seconds):
        self.folder, self.first = folder, steps[0]
        self.steps, self.samples = len(steps) - 1, [s for step in steps[1:] for s in step]
        self.seconds, self.end = seconds, time.monotonic() + seconds
        self.tried, self.loss = [], {}
        self.best, self.best_micro, self.best_rate = None, 0, 0

    def left(self):
        return self.end - time.monotonic()

    def far_behind(self, rate):
        return rate * DROP < self.best_rate

    def make(self, dtype, compiled, micro):
        """Ready to be timed."""
        v = Variant(self.folder, dtype, compiled, micro)
        self.loss.setdefault(dtype, v.step(cut(self.first, micro)))
        return v

    def measure(self, v, micro, count=1):
        v.micro = micro
        batches = cut(self.samples, micro)
        v.forget()
        for k in range(count):
            v.step(batches[k % self.steps :: self.steps])
            if self.left() < 0:
                break
        x = v.figures()
        self.tried.append(x)
        if v.rate() > self.best_rate:
            self.best, self.best_micro, self.best_rate = v, micro, v.rate()
        note(f"{x['dtype']} {x['mode']}, micro-batches of {micro}: {x['tokens_per_s']:.0f} tokens/s, "
             f"{x['padding'] * 100:.0f} % padding")
        return v.rate()

    def eager(self):
        """Each type, with larger and smaller micro-batches as long as that is faster."""
        kept = self.seconds * (1 - EAGER_SHARE)
        for dtype in DTYPES:
            if self.left() < 0:
                return
            v = self.make(dtype, False, FIRST_MICRO)
            first = self.measure(v, FIRST_MICRO)
            if self.far_behind(first):
                continue
            for sizes in (LARGER, SMALLER):
                rate = first
                for micro in sizes:
                    if self.left() < kept:
                        break
                    before, rate = rate, self.measure(v, micro)
                    if rate < before:
                        break

    def compiled(self):
        """The types that are not far behind, the best first, each at its best size."""
        of = {}
        for x in sorted(self.tried, key=lambda x: x["tokens_per_s"]):
            of[x["dtype"]] = x
        for x in sorted(of.values(), key=lambda x: -x["tokens_per_s"]):
            if self.left() < COMPILE_SECONDS or self.far_behind(x["tokens_per_s"]):
                continue
            start = time.monotonic()
            try:
                v = self.make(x["dtype"], True, x["micro_batch"])
            except Exception as e:  # its compiler needs a C++ compiler and Python's headers
                note(f"torch.compile failed: {(str(e) or repr(e)).splitlines()[0]}")
                return
            note(f"{x['dtype']} compiled in {time.monotonic() - start:.0f} s")
            v.step(cut(self.samples, v.micro)[:: self.steps])  # other shapes: perhaps compiled anew
            self.measure(v, v.micro)


def main():
    folder, rows, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(0)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    bench = Bench(folder, read_steps(rows), seconds)
    bench.eager()
    bench.compiled()
    best = bench.best
    bench.measure(best, bench.best_micro, TIMED)
    print(json.dumps({
        "torch": torch.__version__, "transformers": transformers.__version__, "threads": torch.get_num_threads(),
        "first_loss": bench.loss, "best": best.figures(), "tried": bench.tried}))


if __name__ == "__main__":
    main()
