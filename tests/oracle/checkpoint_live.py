#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a run leaves behind, read by others: the checkpoint by transformers (every tensor, the same
losses, the same greedy answers), its tokenizer, the manifest by the xxHash library, the event files
by TensorBoard's own reader. Tiny models with random weights, trained for a few steps."""
import ctypes
import ctypes.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import AutoModelForCausalLM

from live import check, failures, run, tmp
from rows import IGNORED, Oracle, alpaca, columns, load

VALIDATION = Path("examples/data/validation.json")
PROMPTS = ["How do I list open files?", "你好", "x = 1\n\ny = 2"]
BASE = dict(model_type="llama", vocab_size=2048, hidden_size=64, intermediate_size=96,
            num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, rms_norm_eps=1e-5,
            max_position_embeddings=512, rope_theta=10000.0, hidden_act="silu", bos_token_id=1,
            eos_token_id=2, tie_word_embeddings=True, torch_dtype="float32")
MODELS = {
    "fp32, tied": {},
    "fp32, untied": dict(tie_word_embeddings=False, head_dim=24),
    "bf16, tied": dict(torch_dtype="bfloat16"),
    "bf16, untied, qwen2": dict(torch_dtype="bfloat16", tie_word_embeddings=False, model_type="qwen2",
                                num_key_value_heads=4),
    "fp32, untied, mistral": dict(tie_word_embeddings=False, model_type="mistral", sliding_window=24),
    "bf16, tied, qwen3": dict(torch_dtype="bfloat16", model_type="qwen3", head_dim=32, sliding_window=16,
                              use_sliding_window=True, max_window_layers=1),
    "fp32, tied, yarn": dict(head_dim=32, max_position_embeddings=512, rope_scaling=dict(
        rope_type="yarn", factor=8.0, original_max_position_embeddings=64)),
}


def launch(folder, *options):
    run("./run_sft_pipeline.sh", "--config_path", folder, "--config_name", "job", *options)


def train(name, changes):
    """The whole pipe through the launcher: 5 steps; returns the run's folder."""
    folder = tmp / name.replace(", ", "-")
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(BASE | changes))
    run("sft-ckpt", "init", "-q", folder / "config.json", "--tokenizer", "share/tiny-tokenizer",
        "--dtype", name[:4], "--seed", 7, "-o", folder / "model")
    (folder / "train.json").write_text(json.dumps(load("examples/data/train.json")[:40]))
    (folder / "prompts.jsonl").write_text("".join(json.dumps({"prompt": p}) + "\n" for p in PROMPTS))
    (folder / "job.yaml").write_text(f"""
exp_name: job
pretrain: {folder}/model
output_dir: {folder}
logging_dir: {folder}/logs
tracker_kwargs: {{log_dir: {folder}/tensorboard}}
sequence_length: 400
query_key: input
eval_steps: 2
save_steps: 2
validation: {{data_args: {{file_name: {VALIDATION}}}}}
sft_train:
  model_args: {{dtype: {name[:4]}}}
  training_args: {{per_device_train_batch_size: 2, gradient_accumulation_steps: 4, learning_rate: 1e-2}}
  data_args: {{file_name: {folder}/train.json}}
  strategy_args: {{strategy_name: megatron_train}}
  use_sequence_packing: true
sft: {{device: cpu, threads: 2, sample_prompts: {folder}/prompts.jsonl, sample_tokens: 20}}
""")
    launch(folder)
    return folder


def check_loads(name, ckpt, changes):
    """Returns the model with its weights in fp32."""
    model, info = AutoModelForCausalLM.from_pretrained(ckpt, dtype=torch.float32,
                                                       output_loading_info=True)
    clean = not any(info[k] for k in info)
    check(f"{name}: every parameter of transformers' and no other", clean, info)
    stored = AutoModelForCausalLM.from_pretrained(ckpt, dtype="auto").dtype
    wanted = getattr(torch, (BASE | changes)["torch_dtype"])
    check(f"{name}: in the model's own type", stored == wanted, stored)
    base = AutoModelForCausalLM.from_pretrained(ckpt.parents[2] / "model", dtype=torch.float32)
    same = [k for k, v in base.state_dict().items() if torch.equal(v, model.state_dict()[k])]
    check(f"{name}: every tensor was trained", not same, same)
    return model.eval()


def mean_nll(model, record):
    ids, labels = torch.tensor([record["ids"]]), torch.tensor(record["labels"][1:])
    with torch.no_grad():
        logits = model(ids).logits[0, :-1].double()
    return torch.nn.functional.cross_entropy(logits, labels, ignore_index=IGNORED).item()


def check_losses(name, ckpt, model):
    samples = tmp / "samples.sfts"
    tokenize = subprocess.Popen(["sft-tokenize", "-q", "-m", ckpt, *columns(load(VALIDATION)), VALIDATION],
                                stdout=subprocess.PIPE)
    subprocess.run(["sft-template", "-q", "-m", ckpt, "-o", samples], stdin=tokenize.stdout, check=True)
    tokenize.stdout.close()
    tokenize.wait()
    records = [json.loads(line) for line in run("sft-view", samples).splitlines()]
    out = run("sft-eval", "-q", "-m", ckpt, "--per-sample", "--dtype", "fp32", samples).splitlines()
    each, total = [json.loads(line) for line in out[:-1]], json.loads(out[-1])
    theirs = np.array([mean_nll(model, r) for r in records])
    ours = np.array([x["loss"] for x in each])
    counts = np.array([sum(t != IGNORED for t in r["labels"][1:]) for r in records])
    error = np.abs(ours - theirs).max()
    check(f"{name}: the losses of {len(records)} samples", len(each) == len(records) and error < 1e-5,
          f"off by {error}")
    check(f"{name}: their label tokens", [x["label_tokens"] for x in each] == counts.tolist())
    whole = (theirs * counts).sum() / counts.sum()
    check(f"{name}: the loss of all", abs(total["loss"] - whole) < 1e-5 and
          total["label_tokens"] == counts.sum() and
          abs(total["perplexity"] / np.exp(whole) - 1) < 1e-4, (total, whole))
    return records, whole


def check_tokenizer(name, ckpt, records):
    """Returns transformers' tokenizer of the checkpoint."""
    oracle = Oracle(ckpt)
    wrong = [i for i, row in enumerate(load(VALIDATION))
             if oracle.ids(oracle.render(oracle.conversation(*alpaca(row)))) != records[i]["ids"]]
    check(f"{name}: the checkpoint's tokenizer", not wrong, wrong[:5])
    return oracle.tok


def check_answers(name, ckpt, model, tok):
    for prompt in PROMPTS:
        text = tok.apply_chat_template([{"role": "user", "content": prompt}], tokenize=False,
                                       add_generation_prompt=True)
        ids = tok(text, add_special_tokens=False, return_tensors="pt").input_ids
        with torch.no_grad():
            out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False,
                                 max_new_tokens=40, pad_token_id=0)[0, ids.shape[1]:]
        with torch.no_grad():
            wanted = model(ids).logits[0, -1].double()
        logits = torch.tensor(json.loads(run("sft-eval", "-q", "-m", ckpt, "--dtype", "fp32", "--prompt",
                                             prompt, "--logits")), dtype=torch.float64)
        error = ((logits - wanted).norm() / wanted.norm()).item()
        check(f"{name}: the logits after {prompt!r}", error < 1e-5, f"off by {error}")
        theirs = tok.decode(out, skip_special_tokens=True)
        ours = run("sft-eval", "-q", "-m", ckpt, "--dtype", "fp32", "--prompt", prompt, "--max-tokens", 40)
        check(f"{name}: the greedy answer to {prompt!r}", ours.rstrip("\n") == theirs.rstrip("\n"),
              (ours, theirs))


def metrics(folder):
    return [json.loads(line) for line in (folder / "logs/job/metrics.jsonl").read_text().splitlines()]


def check_events(name, folder, loss, runs=1):
    """Every number of metrics.jsonl (nine digits) is in the event files, which are those of so many
    processes, at its step and no other, as a 32-bit float."""
    lines = metrics(folder)
    events = EventAccumulator(str(folder / "tensorboard/job"), size_guidance={"scalars": 0})
    events.Reload()
    each = [(t, e.step, e.value) for t in events.Tags()["scalars"] for e in events.Scalars(t)]
    theirs = {(t, step): value for t, step, value in each}
    check(f"{name}: no step twice", len(theirs) == len(each), len(each) - len(theirs))
    ours = {(k, m["system/step"]): v for m in lines for k, v in m.items() if k != "system/step"}
    differ = {k for k in ours | theirs if k not in ours or k not in theirs or
              abs(theirs[k] - ours[k]) > 1e-7 * abs(ours[k])}
    check(f"{name}: {len(ours)} numbers in TensorBoard's reader", not differ and len(ours) > 50,
          sorted(differ)[:5])
    check(f"{name}: every step", [m["system/step"] for m in lines] == list(range(6)))
    last = lines[-1]["sft_train/val_loss"]
    files = len(list((folder / "tensorboard/job").iterdir()))
    check(f"{name}: {runs} event files", files == runs, files)
    check(f"{name}: the validation loss is that of the checkpoint", abs(last - loss) < 2e-3, (last, loss))


def check_texts(name, folder):
    """Each answer of samples.jsonl is a text in TensorBoard's reader, at its step and no other."""
    events = EventAccumulator(str(folder / "tensorboard/job"), size_guidance={"tensors": 0})
    events.Reload()
    theirs = {(t, e.step): e.tensor_proto.string_val[0].decode()
              for t in events.PluginTagToContent("text") for e in events.Tensors(t)}
    lines = [json.loads(x) for x in (folder / "logs/job/samples.jsonl").read_text().splitlines()]
    ours = {(f"samples/{m['row']}", m["step"]): m for m in lines}
    check(f"{name}: the answers of each validation", len(lines) == len(ours) == 4 * len(PROMPTS),
          sorted(ours))
    check(f"{name}: no other text in TensorBoard's reader", theirs.keys() == ours.keys(),
          sorted(theirs.keys() ^ ours.keys()))
    for k, m in ours.items():
        text = theirs.get(k, "")
        block = "    " + m["answer"].replace("\n", "\n    ")
        check(f"{name}: {k[0]} at step {k[1]}", block in text and
              f"({m['answer_tokens']} tokens, {m['answer_end']})" in text, text)


def check_again(name, folder, loss):
    """The same of a run that goes on from its checkpoint-2, and of one that begins again."""
    for n in (4, 5):
        shutil.rmtree(folder / f"sft_train/checkpoint-{n}")
    launch(folder, "--resume", "auto")
    check_events(f"{name}, resumed", folder, loss, 2)
    check_texts(f"{name}, resumed", folder)
    shutil.rmtree(folder / "sft_train")
    launch(folder, "sft_train.training_args.learning_rate=9e-3")
    check_events(f"{name}, begun again", folder, metrics(folder)[-1]["sft_train/val_loss"], 3)


class Hash128(ctypes.Structure):
    _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64)]


def xxhash_library():
    """XXH3_128bits of libxxhash, as a function from bytes to hex digits; or None."""
    try:
        library = ctypes.CDLL(ctypes.util.find_library("xxhash") or "libxxhash.so.0")
    except OSError:
        return None
    library.XXH3_128bits.restype = Hash128
    library.XXH3_128bits.argtypes = [ctypes.c_char_p, ctypes.c_size_t]

    def digest(data):
        h = library.XXH3_128bits(data, len(data))
        return "%016x%016x" % (h.high, h.low)
    return digest


def check_manifest(name, ckpt, digest):
    listed = {f["path"]: (f["size"], f["xxh128"])
              for f in json.loads((ckpt / "manifest.json").read_text())["files"]}
    there = {str(p.relative_to(ckpt)): (p.stat().st_size, digest(p.read_bytes()))
             for p in ckpt.rglob("*") if p.is_file() and p.name != "manifest.json"}
    check(f"{name}: the manifest lists every file, size and hash", listed == there and len(there) >= 6,
          (listed, there))


def main():
    digest = xxhash_library()
    if not digest:
        print("skip manifests: no libxxhash (Debian package libxxhash0)")
    for name, changes in MODELS.items():
        folder = train(name, changes)
        ckpt = folder / "sft_train/checkpoint-5/sft_train"
        model = check_loads(name, ckpt, changes)
        records, loss = check_losses(name, ckpt, model)
        check_answers(name, ckpt, model, check_tokenizer(name, ckpt, records))
        check_events(name, folder, loss)
        if digest:
            check_manifest(name, ckpt, digest)
        if name == "fp32, tied":
            check_again(name, folder, loss)


main()
sys.exit(bool(failures))
