#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Adapters between this project and peft: what a LoRA run leaves behind is loaded by peft, with the
same losses, the same logits and the same merged weights; and an adapter of peft's own making is
evaluated, trained further and merged here."""
import json
import subprocess
import sys
import warnings

import peft
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from live import check, failures, run, tmp
from rows import IGNORED, columns, load

TRAIN = "examples/data/train.json"
BASE = dict(model_type="llama", vocab_size=2048, hidden_size=64, intermediate_size=96,
            num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, rms_norm_eps=1e-5,
            max_position_embeddings=512, rope_theta=10000.0, hidden_act="silu", bos_token_id=1,
            eos_token_id=2, tie_word_embeddings=True, torch_dtype="float32")
GRANITE = dict(model_type="granite", embedding_multiplier=12.0, logits_scaling=0.5, residual_multiplier=1.7,
               attention_multiplier=0.1)
RUNS = {
    "a list": ({}, dict(lora_target="q_proj,v_proj,down_proj", lora_rank=4)),
    "all linear, rank-stabilised": ({}, dict(lora_target="all-linear", lora_rank=3, lora_alpha=5,
                                             lora_dropout=0.1)),
    "a pattern and whole modules": (dict(tie_word_embeddings=False), dict(
        lora_target=r".*\.1\.(mlp|self_attn)\.(k|o|up)_proj", additional_target="lm_head,norm")),
    "a tied embedding": ({}, dict(lora_target="o_proj,gate_proj", additional_target="embed_tokens")),
    "qwen3": (dict(model_type="qwen3", head_dim=24, tie_word_embeddings=False),
              dict(lora_target="q_proj,o_proj,gate_proj", additional_target="q_norm")),
    "a pattern of whole blocks": ({}, dict(lora_target=r"model\.layers\.\d+\.self_attn.*", lora_rank=100)),
    "names that are no layers": ({}, dict(lora_target="v_proj,mlp,norm,self_attn")),
    "an embedding by both names": ({}, dict(lora_target="v_proj", additional_target="norm,lm_head,embed_tokens")),
    "qwen2": (dict(model_type="qwen2", num_key_value_heads=4), dict(lora_target="k_proj,up_proj")),
    "granite": (GRANITE, dict(lora_target="all-linear", lora_rank=4)),
}


def prepare(folder, changes):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(BASE | changes))
    run("sft-ckpt", "init", "-q", folder / "config.json", "--tokenizer", "share/tiny-tokenizer",
        "--seed", 7, "-o", folder / "model")
    rows = load(TRAIN)[:24]
    (folder / "train.json").write_text(json.dumps(rows))
    tokenize = subprocess.run(["sft-tokenize", "-q", "-m", folder / "model", *columns(rows),
                               folder / "train.json"], capture_output=True, check=True)
    run_in = dict(input=tokenize.stdout, check=True)
    subprocess.run(["sft-template", "-q", "-m", folder / "model", "-o", folder / "samples.sfts"], **run_in)
    run("sft-pack", "-q", "-l", 400, "-b", 8, "-o", folder / "train.sfts", folder / "samples.sfts")


def train(folder, out, model_args, rslora=False, steps=3, **training_args):
    """Some steps; returns the checkpoint."""
    (folder / "job.yaml").write_text(json.dumps({
        "exp_name": "job", "pretrain": str(folder / "model"), "output_dir": str(folder / out),
        "logging_dir": str(folder / out / "logs"), "sequence_length": 400, "query_key": "input",
        "max_steps": steps, "max_grad_norm": 0 if steps == 1 else 1.0, "sft_train": {
            "model_args": {"dtype": "fp32"} | model_args,
            "training_args": {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 8,
                              "learning_rate": 1e-2} | training_args,
            "data_args": {"file_name": str(folder / "train.json")},
            "strategy_args": {"strategy_name": "megatron_train"}, "use_sequence_packing": True},
        "sft": {"device": "cpu", "threads": 2, "rslora": rslora}}))
    run("sft-train", "-q", "--config", folder / "job.yaml", folder / "train.sfts")
    return folder / out / "sft_train" / f"checkpoint-{steps}"


def open_base(folder):
    return AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32).eval()


def loss_of(model, folder):
    total, count = 0.0, 0
    for line in run("sft-view", folder / "samples.sfts").splitlines():
        record = json.loads(line)
        ids, labels = torch.tensor([record["ids"]]), torch.tensor(record["labels"][1:])
        with torch.no_grad():
            logits = model(ids).logits[0, :-1].double()
        total += torch.nn.functional.cross_entropy(logits, labels, ignore_index=IGNORED,
                                                   reduction="sum").item()
        count += (labels != IGNORED).sum().item()
    return total / count


def our_loss(*args):
    return json.loads(run("sft-eval", "-q", "--dtype", "fp32", *args))["loss"]


def logits_apart(model, folder, *args):
    ours = torch.tensor(json.loads(run("sft-eval", "-q", "--dtype", "fp32", *args, "--prompt", "x = 1",
                                       "--logits")), dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    text = tokenizer.apply_chat_template([{"role": "user", "content": "x = 1"}], tokenize=False,
                                         add_generation_prompt=True)
    ids = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])
    with torch.no_grad():
        theirs = model(ids).logits[0, -1]
    return ((ours - theirs).norm() / theirs.norm()).item()


def same_tensors(path, model, tolerance=1e-6):
    """The tensors of a folder against those of a model."""
    stored, state = load_file(path / "model.safetensors"), model.state_dict()
    apart = {k: (v - state[k]).abs().max().item() for k, v in stored.items()}
    return {k: v for k, v in apart.items() if not v <= tolerance}


def ours_to_peft(name, changes, model_args):
    folder = tmp / name.replace(", ", "-").replace(" ", "-")
    prepare(folder, changes)
    ckpt = train(folder, "out", model_args, "rank" in name)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model = peft.PeftModel.from_pretrained(open_base(folder), ckpt / "sft_train").eval()
    told = [str(w.message) for w in told if "key" in str(w.message).lower()]
    check(f"{name}: peft loads it without a complaint", not told, told)
    theirs, ours = loss_of(model, folder), our_loss("-m", folder / "model", "--adapter", ckpt,
                                                    folder / "samples.sfts")
    check(f"{name}: the same loss", abs(theirs - ours) < 1e-5 * theirs, f"{ours}, peft {theirs}")
    untouched = loss_of(open_base(folder), folder)
    check(f"{name}: which the adapter changed", abs(theirs - untouched) > 1e-3, untouched)
    off = logits_apart(model, folder, "-m", folder / "model", "--adapter", ckpt)
    check(f"{name}: the same logits", off < 1e-5, off)
    run("sft-ckpt", "merge", "-q", folder / "model", ckpt, "-o", folder / "merged")
    apart = same_tensors(folder / "merged", model.merge_and_unload())
    check(f"{name}: merged as peft merges", not apart, apart)


def peft_to_ours():
    folder = tmp / "theirs"
    prepare(folder, {})
    torch.manual_seed(1)
    model = peft.get_peft_model(open_base(folder), peft.LoraConfig(
        task_type="CAUSAL_LM", r=4, lora_alpha=8, lora_dropout=0.0, target_modules="all-linear"))
    with torch.no_grad():
        for n, p in model.named_parameters():
            if "lora_B" in n:
                p.normal_(std=0.05)
    model.save_pretrained(folder / "adapter")
    theirs, ours = loss_of(model, folder), our_loss("-m", folder / "model", "--adapter",
                                                    folder / "adapter", folder / "samples.sfts")
    check("peft's adapter: the same loss", abs(theirs - ours) < 1e-5 * theirs, f"{ours}, {theirs}")
    ckpt = train(folder, "out", {"adapter_name_or_path": str(folder / "adapter")})
    metrics = [json.loads(x) for x in (folder / "out/logs/job/metrics.jsonl").read_text().splitlines()]
    first, last = (x["sft_train/loss"] for x in (metrics[0], metrics[-1]))
    check("peft's adapter: trained further", last < first, (first, last))
    again = peft.PeftModel.from_pretrained(open_base(folder), ckpt / "sft_train").eval()
    theirs, ours = loss_of(again, folder), our_loss("-m", folder / "model", "--adapter", ckpt,
                                                    folder / "samples.sfts")
    check("peft's adapter: and read back", abs(theirs - ours) < 1e-5 * theirs, f"{ours}, {theirs}")


# Adapters of peft's own making, by what LoraConfig is told; what is not None is what they are refused with.
UNTIED = dict(tie_word_embeddings=False)
VARIANTS = {
    "a number for alpha, rank-stabilised": ({}, dict(lora_alpha=12.5, use_rslora=True, r=6), None),
    "a rank above the sizes": ({}, dict(r=150), None),
    "some layers": ({}, dict(layers_to_transform=[1], target_modules=["q_proj", "mlp.down_proj"]), None),
    "all but some": ({}, dict(exclude_modules=r".*\.0\..*_proj"), None),
    "a pattern": ({}, dict(target_modules=r".*\.(0\.self_attn\.v|1\.mlp\.up)_proj"), None),
    "whole modules": (UNTIED, dict(target_modules=["q_proj"], modules_to_save=["lm_head", "norm", "embed_tokens", "v_proj"]), None),
    "a tied embedding": ({}, dict(modules_to_save=["embed_tokens"], ensure_weight_tying=True), None),
    "gaussian": ({}, dict(init_lora_weights="gaussian"), None),
    "orthogonal": ({}, dict(init_lora_weights="orthogonal", r=8), None),
    "qwen3": (dict(model_type="qwen3", head_dim=24), dict(target_modules=["k_proj", "o_proj"], modules_to_save=["q_norm"]), None),
    "granite": (GRANITE, dict(), None),
    "ranks of their own": ({}, dict(rank_pattern={"q_proj": 2}), "rank_pattern"),
    "scales of their own": ({}, dict(alpha_pattern={"q_proj": 2}), "alpha_pattern"),
    "DoRA": ({}, dict(use_dora=True), "use_dora"),
    "trained biases": (dict(attention_bias=True), dict(bias="all"), "bias"),
    "its layers' biases": (dict(attention_bias=True), dict(bias="lora_only"), "bias"),
    "biases of its own": (dict(attention_bias=True), dict(lora_bias=True), "lora_bias"),
    "PiSSA": ({}, dict(init_lora_weights="pissa"), "init_lora_weights"),
    "OLoRA": ({}, dict(init_lora_weights="olora"), "init_lora_weights"),
    "the embedding": (UNTIED, dict(target_modules=["embed_tokens"]), "embed_tokens"),
    "lm_head": (UNTIED, dict(target_modules=["q_proj", "lm_head"]), "LoRA on q_proj, k_proj"),
    "some tokens": ({}, dict(trainable_token_indices=[3, 4]), "trainable_token_indices"),
    "two heads of a tied model": ({}, dict(modules_to_save=["lm_head"]), "ensure_weight_tying"),
    "layers twice": ({}, dict(layer_replication=[(0, 2), (1, 2)]), "layer_replication"),
}


def adapter_of_theirs(folder, settings, seed=1):
    """peft's model with random factors, saved."""
    torch.manual_seed(seed)
    model = peft.get_peft_model(open_base(folder), peft.LoraConfig(**dict(
        task_type="CAUSAL_LM", r=4, lora_alpha=8, lora_dropout=0.0, target_modules="all-linear") | settings))
    with torch.no_grad():
        for n, p in model.named_parameters():
            if p.requires_grad:
                p.add_(torch.randn(p.shape) * 0.05)
    model.save_pretrained(folder / "adapter")
    return model.eval()


def variant(name, changes, settings, refused):
    folder = tmp / f"variant-{name}".replace(", ", "-").replace(" ", "-").replace("'", "")
    prepare(folder, changes)
    model = adapter_of_theirs(folder, settings)
    command = ["sft-eval", "-q", "--dtype", "fp32", "-m", folder / "model", "--adapter", folder / "adapter", folder / "samples.sfts"]
    if refused:
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
        told = done.stderr.strip()
        check(f"peft's adapter, {name}: refused", done.returncode == 65 and refused in told and "\n" not in told,
              f"{done.returncode}: {told}")
        return
    theirs, ours = loss_of(model, folder), json.loads(run(*command))["loss"]
    check(f"peft's adapter, {name}: the same loss", abs(theirs - ours) < 1e-5 * theirs, f"{ours}, {theirs}")
    run("sft-ckpt", "merge", "-q", folder / "model", folder / "adapter", "-o", folder / "merged")
    ckpt = train(folder, "out", {"adapter_name_or_path": str(folder / "adapter")})
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        again = peft.PeftModel.from_pretrained(open_base(folder), ckpt / "sft_train").eval()
    told = [str(w.message) for w in told if "key" in str(w.message).lower()]
    check(f"peft's adapter, {name}: trained further and read back", not told, told)
    theirs, ours = loss_of(again, folder), our_loss("-m", folder / "model", "--adapter", ckpt, folder / "samples.sfts")
    check(f"peft's adapter, {name}: with the same loss", abs(theirs - ours) < 1e-5 * theirs, f"{ours}, {theirs}")
    apart = same_tensors(folder / "merged", model.merge_and_unload())
    check(f"peft's adapter, {name}: merged as peft merges", not apart, apart)


def their_gradients(folder, dtype):
    """Of the first step."""
    base = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=dtype)
    model = peft.PeftModel.from_pretrained(base, folder / "adapter", is_trainable=True)
    total, count = 0, 0
    for row in map(json.loads, run("sft-view", folder / "train.sfts").splitlines()):
        starts = row["starts"] + [len(row["ids"])] if row["step"] == 0 else []
        for a, b in zip(starts, starts[1:]):
            ids, labels = torch.tensor([row["ids"][a:b]]), torch.tensor(row["labels"][a + 1:b])
            total = total + torch.nn.functional.cross_entropy(model(ids).logits[0, :-1].float(), labels,
                                                              ignore_index=IGNORED, reduction="sum")
            count += (labels != IGNORED).sum().item()
    (total / count).backward()
    return {n.replace(".default", ""): p.grad.double() for n, p in model.named_parameters() if p.requires_grad}


def our_gradients(folder, dtype):
    """A step of SGD at the rate 1 goes so far."""
    ckpt = train(folder, dtype, {"dtype": dtype, "adapter_name_or_path": str(folder / "adapter")}, steps=1,
                 learning_rate=1.0, optim="sgd", lr_scheduler_type="constant")
    before = load_file(folder / "adapter" / "adapter_model.safetensors")
    return {n: before[n].double() - w.double() for n, w in load_file(ckpt / "sft_train" / "adapter_model.safetensors").items()}


def in_bf16():
    """How far bf16 is off, beside how far it is for peft."""
    folder = tmp / "bf16"
    prepare(folder, dict(hidden_size=128, num_hidden_layers=3, initializer_range=0.1, torch_dtype="bfloat16"))
    adapter_of_theirs(folder, {})
    exact, theirs = their_gradients(folder, torch.float32), their_gradients(folder, torch.bfloat16)
    whole, ours = our_gradients(folder, "fp32"), our_gradients(folder, "bf16")
    off = {n: [((x[n] - g).norm() / g.norm()).item() for x in (whole, ours, theirs)] for n, g in exact.items()}
    check("gradients are peft's", max(a for a, _, _ in off.values()) < 1e-4 and whole.keys() == exact.keys(), off)
    # A single small tensor's error is one draw of roundings, and CPUs differ in them (ratios of 0.76 to 1.27
    # with AVX512_BF16): the mean of 42 tensors is what holds everywhere.
    ratio = {n: b / c for n, (_, b, c) in off.items()}
    check("gradients in bf16 are on average no further off than peft's", sum(ratio.values()) / len(ratio) < 1.02, ratio)
    check("no gradient in bf16 is further off than 1.5 times peft's", max(ratio.values()) < 1.5, ratio)


def main():
    in_bf16()
    for name, (changes, settings, refused) in VARIANTS.items():
        try:
            variant(name, changes, settings, refused)
        except Exception as e:
            check(f"peft's adapter, {name}", False, f"{type(e).__name__}: {str(e)[-500:]}")
    for name, (changes, model_args) in RUNS.items():
        ours_to_peft(name, changes, model_args)
    peft_to_ours()
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
