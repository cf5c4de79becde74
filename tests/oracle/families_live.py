#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Models of every family that a random config.json describes, against transformers: the loss of each
sample, the logits after a prompt and every gradient. Sizes are odd, keys are absent, null, spelled as
transformers 4 or 5 spells them, or mean nothing in the family; weights are in one file or in shards,
of any type. Gradients are read off one step of SGD at a rate that makes them large.

usage: families_live.py [FIRST [COUNT]]   the random cases FIRST.. (0 and 20)"""
import json
import math
import random
import shutil
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from live import check, failures, run, tmp
from on_disk import on_disk
from rows import IGNORED

LENGTH, RATE = 160, 1000.0  # tokens of a row; the learning rate
PROMPT = "Tell me, how do I list open files?"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


# ---- random configurations ----
def maybe(r, config, key, *values, chance=0.5):
    if r.random() < chance:
        config[key] = r.choice(values)


DIVIDES = ("llama", "arcee", "gemma2", "gemma3_text")  # heads must divide hidden_size
BEHIND = ("glm4", "olmo2", "olmo3", "exaone4", "gemma2", "gemma3_text")  # a norm follows the MLP
# an absent head_dim is not hidden_size / heads
OWN_HEAD = ("qwen3", "ministral", "hunyuan_v1_dense", "gemma", "gemma2", "gemma3_text")


def draw_rope(r, config):
    """Rotary scaling with which documents of LENGTH tokens are allowed, in either spelling."""
    kinds = ["default", "default", "linear", "dynamic", "yarn", "llama3"]
    if config["model_type"] == "ministral3":
        kinds.remove("dynamic")  # refused with a factor of q
    kind = r.choice(kinds)
    factor = r.choice([1.0, 1.5, 2, 4.0, 8.0])
    theta = r.choice([10000.0, 500000.0, 1000000, 100.0, 12345.678])
    scaling = {"factor": factor}
    positions = original = math.ceil(LENGTH / factor)
    if kind == "yarn":
        for key, *values in [("attention_factor", 1.25, 0.5), ("beta_fast", 16.0, 4), ("beta_slow", 2.0, 0.5),
                             ("mscale", 0.7, 1.0), ("mscale_all_dim", 1.3, 0.5), ("truncate", True, False)]:
            maybe(r, scaling, key, *values, chance=0.35)
        if r.random() < 0.2 and factor > 1:
            scaling["factor"] = None  # the quotient of both lengths
            positions = LENGTH
    if kind == "llama3":
        low = r.choice([0.5, 1.0, 2.0, 8])
        scaling |= {"low_freq_factor": low, "high_freq_factor": low * r.choice([1.5, 4.0])}
    if kind in ("yarn", "llama3"):
        where = r.choice(["inside", "beside", "absent"])
        if where == "absent":
            positions = max(positions, original)
            if scaling["factor"] is None:
                scaling["factor"] = factor
        else:
            (scaling if where == "inside" else config)["original_max_position_embeddings"] = original
            positions = r.choice([positions, 2 * LENGTH])
    if kind == "dynamic" and 2 in (config.get("head_dim"), config["hidden_size"] // config["num_attention_heads"]):
        kind = "linear"  # transformers divides by head_dim - 2
    if kind == "dynamic" and config["model_type"] == "hunyuan_v1_dense":
        maybe(r, scaling, "alpha", 1000.0, 2, 50.5)
        positions = LENGTH if "alpha" in scaling else positions  # nothing is stretched by length
    config["max_position_embeddings"] = r.choice([LENGTH, 4096]) if kind == "default" else positions
    key, name = r.choice([("rope_scaling", "type"), ("rope_scaling", "rope_type"), ("rope_parameters", "rope_type")])
    if kind == "default":
        if key == "rope_scaling":
            config |= {"rope_theta": theta} | r.choice([{}, {"rope_scaling": None}, {"rope_scaling": {}}])
        else:
            config[key] = {"rope_theta": theta} | r.choice([{}, {name: "default"}])
        return
    scaling[name] = kind
    if key == "rope_parameters" and r.random() < 0.7:
        scaling["rope_theta"] = theta
    else:
        config["rope_theta"] = theta
    config[key] = scaling


def draw_longrope(r, config, dim):
    """phi3: no scaling, or factors for the pairs of the part of a head that rotates."""
    part = r.choice([p for p in (0.25, 0.5, 0.75, 1.0) if dim * p >= 2 and dim * p % 2 == 0])
    inside = {"rope_theta": r.choice([10000.0, 500.0])} if r.random() < 0.5 else {}
    if r.random() < 0.5:
        config["rope_theta"] = r.choice([10000.0, 777.0])
    config["max_position_embeddings"] = LENGTH * r.choice([1, 2])
    (inside if r.random() < 0.5 else config)["partial_rotary_factor"] = part
    if r.random() < 0.3:
        if inside:
            config["rope_parameters"] = inside
        return
    pairs = int(dim * part) // 2
    inside |= {"short_factor": [r.choice([1, 1.05, 1.3]) for _ in range(pairs)],
               "long_factor": [r.choice([1, 2.5, 8.0, 21.25]) for _ in range(pairs)],
               "original_max_position_embeddings": r.choice([16, 70])}
    maybe(r, inside, "factor", 4.0, 1.5)
    maybe(r, inside, "attention_factor", 1.25, chance=0.3)
    maybe(r, config, "original_max_position_embeddings", 32, 64, 100, chance=0.8)
    key, name, kind = r.choice([("rope_scaling", "type", "su"), ("rope_scaling", "type", "longrope"),
                                ("rope_parameters", "rope_type", "longrope"), ("rope_scaling", "rope_type", "yarn")])
    config[key] = inside | {name: kind}


def draw_part(r, config):
    """glm: the part of a head that rotates, half of it when absent."""
    parts = [p for p in (0.25, 0.5, 1.0) if config["head_dim"] * p % 2 == 0 and config["head_dim"] * p > 2]
    if config["head_dim"] % 4 or config["head_dim"] < 8 or r.random() < 0.6:
        settings = config.get("rope_parameters") or config
        settings["partial_rotary_factor"] = r.choice(parts or [1.0])


def draw_q_factor(r, config):
    """ministral3: its settings, or none, which are yarn of 16 times 16384 positions."""
    if r.random() < 0.15:
        for key in ("rope_scaling", "rope_parameters", "original_max_position_embeddings"):
            config.pop(key, None)
        return
    key = "rope_scaling" if config.get("rope_scaling") else "rope_parameters"
    config.setdefault(key, {"rope_type": "default"})
    config[key] |= {"llama_4_scaling_beta": r.choice([0.0, 0.1, 0.5])}
    if "original_max_position_embeddings" not in config:
        least = math.ceil(LENGTH / (config[key].get("factor") or LENGTH))  # rows of LENGTH are allowed
        config[key].setdefault("original_max_position_embeddings", max(least, r.choice([16, 64, 4096])))


def draw_ropes(r, config):
    """Settings for each type of layer, or the old keys, which are for layers without a window."""
    full = r.choice([{"rope_type": "default"}, {"rope_type": "linear", "factor": 2.0},
                     {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": LENGTH // 4}])
    theta, local = r.choice([10000.0, 123.4]), r.choice([500000.0, 77.0])
    config["max_position_embeddings"] = LENGTH
    if r.random() < 0.5:
        config |= {"rope_theta": theta, "rope_scaling": full}
        return
    config["rope_parameters"] = {"full_attention": full | {"rope_theta": theta}}
    maybe(r, config["rope_parameters"], "sliding_attention", {"rope_type": "default", "rope_theta": local})


FLAGGED = ("qwen2", "qwen3", "smollm3", "qwen3_moe", "qwen2_moe")  # they read use_sliding_window


def draw_types(r, config, on):
    """layer_types, with windows if they are on."""
    if r.random() < 0.3:
        kinds = ["full_attention", "sliding_attention"] if on else ["full_attention"]
        config["layer_types"] = [r.choice(kinds) for _ in range(config["num_hidden_layers"])]


def draw_windows(r, config):
    width = r.choice([1, 2, 7, 16, 24, 63, 64, 65, 130, 4096])
    family = config["model_type"]
    none = width if family in ("ministral", "qwen2_moe") else None  # transformers fails where it is null
    maybe(r, config, "sliding_window", width, width, width, none, chance=0.8)
    if family == "smollm3":
        maybe(r, config, "no_rope_layer_interval", 1, 2, 3)
        maybe(r, config, "no_rope_layers", [r.choice([0, 1]) for _ in range(4)], None)
    if family in ("gemma2", "gemma3_text"):
        config["sliding_window"] = width
        maybe(r, config, "sliding_window_pattern", 1, 2, 3)
        draw_types(r, config, True)
        return
    if family in ("exaone4", "olmo3"):
        maybe(r, config, "sliding_window_pattern", 1, 2, 3)
        if config.get("sliding_window", 4096) is None and family == "olmo3":
            config["sliding_window"] = width  # transformers makes no mask without it
        if config.get("sliding_window", 4096) is None:  # transformers divides by 0 without layer_types
            config["layer_types"] = ["full_attention"] * config["num_hidden_layers"]
        else:
            draw_types(r, config, True)
        return
    if family not in FLAGGED:
        draw_types(r, config, family == "ministral" or r.random() < 0.5)
        return
    maybe(r, config, "use_sliding_window", True, True, False, chance=0.8)
    maybe(r, config, "max_window_layers", 0, 1, 2, 28, chance=0.8)
    if family == "qwen3_moe":
        return
    width = config.get("sliding_window", None if family == "smollm3" else 4096)
    draw_types(r, config, config.get("use_sliding_window", False) and width is not None)


FAMILIES = ["llama", "mistral", "qwen2", "qwen3", "seed_oss", "ministral", "smollm3", "granite", "ernie4_5",
            "helium", "phi3", "glm", "ministral3", "arcee", "hunyuan_v1_dense", "gemma", "glm4",
            "olmo2", "exaone4", "olmo3", "qwen3_moe", "mixtral", "gemma2", "gemma3_text",
            "olmoe", "qwen2_moe", "granitemoe", "granitemoeshared"]
SPARSE = ("qwen3_moe", "mixtral", "olmoe", "qwen2_moe", "granitemoe", "granitemoeshared")


def draw_experts(r, config):
    family, layers = config["model_type"], config["num_hidden_layers"]
    if family not in SPARSE:
        return
    n = r.choice([1, 2, 3, 5, 8, 17])
    config[r.choice(["num_experts", "num_local_experts"] if family in ("qwen3_moe", "olmoe") else [
        "num_experts" if family == "qwen2_moe" else "num_local_experts"])] = n
    config["num_experts_per_tok"] = r.choice([k for k in (1, 2, 3, 8) if k <= n])
    if family == "olmoe":
        maybe(r, config, "norm_topk_prob", True, False, chance=0.8)
        maybe(r, config, "clip_qkv", None)
    if family == "granitemoeshared":
        maybe(r, config, "shared_intermediate_size", 0, 1, 9, 40, chance=0.8)
    if family not in ("qwen2_moe", "qwen3_moe"):
        return
    config["moe_intermediate_size"] = r.choice([1, 7, 24, 33])
    if family == "qwen2_moe":
        config["shared_expert_intermediate_size"] = r.choice([1, 9, 40, 65])
        maybe(r, config, "qkv_bias", True, False)
    maybe(r, config, "norm_topk_prob", True, True, False, chance=0.8)
    maybe(r, config, "decoder_sparse_step", 1, 2, chance=0.4)
    maybe(r, config, "mlp_only_layers", [], None, [0], [layers - 1, 7], chance=0.5)


def draw(r):
    family = r.choice(FAMILIES)
    heads = r.choice([1, 2, 3, 4, 6, 8])
    c = {"model_type": family, "vocab_size": r.choice([2048, 2049, 2053, 2111]),
         "intermediate_size": r.choice([1, 7, 24, 40, 65, 100]), "num_hidden_layers": r.choice([1, 2, 3]),
         "num_attention_heads": heads,
         "num_key_value_heads": r.choice([k for k in range(1, heads + 1) if heads % k == 0])}
    dim = r.choice([2, 4, 6, 8, 10, 16, 20, 32, 64])
    if family in ("qwen3", "seed_oss") and r.random() < 0.15:
        c["hidden_size"] = r.choice([24, 33])  # head_dim is 128
    elif family in ("helium", "phi3", "olmoe"):
        c["hidden_size"] = heads * dim
        if family == "helium":
            c["head_dim"] = dim
    elif family in ("ernie4_5", "glm", "glm4", "ministral3"):
        c |= {"head_dim": dim, "hidden_size": r.choice([24, 33, 50])}
    elif r.random() < 0.6:
        c |= {"head_dim": dim, "hidden_size": heads * r.choice([5, 8, 11]) if family in DIVIDES else r.choice([24, 33, 50])}
    else:
        c["hidden_size"] = heads * dim
        if family in OWN_HEAD:
            c["head_dim"] = dim
        elif family == "seed_oss" or (r.random() < 0.3 and family in DIVIDES):
            c["head_dim"] = None
    if family.startswith("granite"):
        for key in ("embedding_multiplier", "logits_scaling", "residual_multiplier"):
            maybe(r, c, key, 0.3, 0.22, 1, 1.7, 12.0, chance=0.8)
        maybe(r, c, "attention_multiplier", 0.3, 0.22, 1, 1.7, chance=0.8)  # 12 is too much for fp32
    if family in ("gemma2", "gemma3_text"):
        maybe(r, c, "query_pre_attn_scalar", 7, 64, 256, chance=0.8)
        maybe(r, c, "attn_logit_softcapping", 0.5, 5.0, None)
        maybe(r, c, "final_logit_softcapping", 2.0, 30.0, None)
        maybe(r, c, "hidden_activation", "gelu_pytorch_tanh", "gelu", "silu")
    if family in ("llama", "granite", "arcee", "hunyuan_v1_dense", "olmoe", "granitemoe") and r.random() < 0.3:
        c.pop("num_key_value_heads") if r.random() < 0.5 else c.update(num_key_value_heads=None)
    if family in ("qwen2", "qwen3", "seed_oss", "smollm3") and r.random() < 0.2:
        c["num_key_value_heads"] = None
    if family in FAMILIES[4:]:
        c["pad_token_id"] = None  # transformers gives the row of a padding token no gradient
    if family == "phi3":
        draw_longrope(r, c, dim)
    elif family in ("olmo3", "gemma3_text"):
        draw_ropes(r, c)
    else:
        draw_rope(r, c)
    if family == "ministral3":
        draw_q_factor(r, c)
    if family in ("glm", "glm4"):
        draw_part(r, c)
    draw_windows(r, c)
    kind = (c.get("rope_scaling") or c.get("rope_parameters") or {}).get("rope_type", "")
    if kind == "dynamic" and family not in FLAGGED:
        c.pop("layer_types", None)  # transformers computes no frequencies then
    if family in BEHIND:
        c["intermediate_size"] = max(c["intermediate_size"], 7)  # the norm of one direction has no gradient
    draw_experts(r, c)
    maybe(r, c, "rms_norm_eps", 1e-5, 1e-6, 1e-3, 0.1, chance=0.8)
    for key in ("attention_bias", "attention_out_bias", "mlp_bias", "use_bias", "tie_word_embeddings", "use_cache"):
        maybe(r, c, key, True, False)
    maybe(r, c, "hidden_act", "silu", "swish", "gelu", "gelu_pytorch_tanh", "relu2")
    maybe(r, c, "attention_dropout", 0.0, *([0.1] if family == "seed_oss" else [0]))
    maybe(r, c, "eos_token_id", 2, [2, 1], None)
    maybe(r, c, "pretraining_tp", 1, 2)
    if family in ("olmo2", "olmo3"):
        c["pad_token_id"] = None  # the row of such a token has no gradient in transformers
    maybe(r, c, "transformers_version", "4.37.0", "5.23.0")
    maybe(r, c, "something_else", {"nested": [1, 2]}, None)
    return c


# ---- a model folder ----
def fill(model, seed):
    """Weights that make every part of the model matter."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            x = torch.randn(p.shape, generator=g)
            if "norm" in name:
                p.copy_(1 + 0.3 * x)
            elif p.dim() == 1:
                p.copy_(0.5 * x)
            else:
                p.copy_(x if "embed" in name else x * 1.5 / math.sqrt(p.shape[-1]))


def make(r, config, folder, seed):
    folder.mkdir()
    for f in Path("share/tiny-tokenizer").iterdir():
        shutil.copy(f, folder)
    (folder / "config.json").write_text(json.dumps(config))
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), dtype=torch.float32,
                                             attn_implementation="eager")
    if config["model_type"] in SPARSE:
        model.set_experts_implementation("eager")  # others need sizes that are multiples of 16 bytes
    fill(model.eval(), seed)  # without the dropout of seed_oss
    dtype = r.choice(list(DTYPES))
    model.to(DTYPES[dtype]).save_pretrained(folder, max_shard_size=r.choice(["1GB", "1GB", "20KB"]))
    model.to(torch.float32)
    embed = model.get_input_embeddings()
    if hasattr(embed, "scalar_embed_scale"):  # gemma: a buffer, which was rounded with the weights
        embed.embed_scale.fill_(embed.scalar_embed_scale)
    if r.random() < 0.7:  # as it was written, else as transformers 5 writes it
        (folder / "config.json").write_text(json.dumps(config))
    text = json.loads((folder / "config.json").read_text())
    text.pop("torch_dtype", None)
    text["dtype"] = "float32"  # checkpoints shall be in fp32, whatever the weights were in
    (folder / "config.json").write_text(json.dumps(text))
    return model


def streams(folder):
    """Six samples of 20 to 150 tokens, side by side in rows, and one a row."""
    words = "the quick brown fox jumps over a lazy dog and then it opens seven files at once".split()
    r = random.Random(5)
    rows = [{"q": f"Say {n} words.", "a": " ".join(r.choice(words) for _ in range(n))} for n in (3, 64, 12, 30, 1, 45)]
    (folder / "rows.json").write_text(json.dumps(rows))
    tokenize = subprocess.run(["sft-tokenize", "-q", "-m", "share/tiny-tokenizer", "--prompt-key", "q", "--response-key", "a",
                               folder / "rows.json"], capture_output=True, check=True)
    subprocess.run(["sft-template", "-q", "-m", "share/tiny-tokenizer", "-o", folder / "samples.sfts"], input=tokenize.stdout, check=True)
    for mode in ("batch", "none"):
        run("sft-pack", "-q", "-l", LENGTH, "-b", 6, "--mode", mode, "-o", folder / f"{mode}.sfts", folder / "samples.sfts")


# ---- theirs and ours ----
def reference(model, samples):
    """Loss of each sample, of all, and all gradients; a new rotary embedding for each document, since
    that of dynamic scaling remembers what it saw."""
    each, total, count = [], 0.0, 0
    for s in samples:
        model.model.rotary_emb = type(model.model.rotary_emb)(model.config)
        ids, labels = torch.tensor([s["ids"]]), torch.tensor(s["labels"][1:])
        nll = torch.nn.functional.cross_entropy(model(ids, use_cache=False).logits[0, :-1], labels,
                                                ignore_index=IGNORED, reduction="sum")
        n = (labels != IGNORED).sum().item()
        each.append(nll.item() / n)
        total, count = total + nll, count + n
    (total / count).backward()
    return each, total.item() / count, {n: x.double() for name, p in model.named_parameters()
                                        for n, x in on_disk(model, name, p.grad)}


def after_prompt(model, tokenizer):
    model.model.rotary_emb = type(model.model.rotary_emb)(model.config)
    text = tokenizer.apply_chat_template([{"role": "user", "content": PROMPT}], tokenize=False, add_generation_prompt=True)
    ids = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])
    with torch.no_grad():
        return model(ids, use_cache=False).logits[0, -1].double()


def step(r, model, stream, out):
    """One step; its loss and gradients."""
    mode = r.choice(["batch", "none"])
    each = r.choice([1, 2, 6])
    (out / "job.yaml").write_text(json.dumps({
        "exp_name": "job", "pretrain": str(model), "output_dir": str(out), "logging_dir": str(out / "logs"), "track_with": "",
        "sequence_length": LENGTH, "prompt_key": "q", "response_key": "a", "max_grad_norm": 0,
        "sft_train": {"model_args": {"dtype": "fp32"},
                      "training_args": {"per_device_train_batch_size": each, "gradient_accumulation_steps": 6 // each,
                                        "learning_rate": RATE, "lr_scheduler_type": "constant", "optim": "sgd"},
                      "strategy_args": {"strategy_name": "megatron_train"}, "use_sequence_packing": mode == "batch"},
        "sft": {"device": "cpu", "threads": 2, "recompute": r.choice(["none", "selective", "full"])}}))
    run("sft-train", "-q", "--config", out / "job.yaml", stream / f"{mode}.sfts")
    loss = json.loads((out / "logs/job/metrics.jsonl").read_text().splitlines()[0])["sft_train/loss"]
    before = {}
    for f in model.glob("*.safetensors"):
        before |= load_file(f)
    after = load_file(out / "sft_train/checkpoint-1/sft_train/model.safetensors")
    return loss, {n: (before[n].double() - w.double()) / RATE for n, w in after.items()}


def off(ours, theirs, whole):
    """The distance relative to the length of theirs, or to a ten-thousandth of all if that is more."""
    return ((ours - theirs).norm() / max(theirs.norm(), 1e-4 * whole)).item()


def compare(seed, stream):
    r = random.Random(seed)
    config = draw(r)
    folder = tmp / f"case-{seed}"
    name = f"{seed} {config['model_type']}"
    samples = [json.loads(x) for x in run("sft-view", stream / "samples.sfts").splitlines()]
    try:
        model = make(r, config, folder, seed)
        theirs, loss, gradients = reference(model, samples)
        text = run("sft-eval", "-q", "--dtype", "fp32", "--per-sample", "-m", folder, stream / "batch.sfts")
        ours = {x["source"][1]: x["loss"] for x in map(json.loads, text.splitlines()) if "source" in x}
        worst = max(abs(ours[i] - x) / x for i, x in enumerate(theirs))
        check(f"{name}: the loss of each sample", worst < 2e-5 and len(ours) == len(theirs), f"{worst}: {config}")
        our_loss, our_gradients = step(r, folder, stream, folder)
        check(f"{name}: the loss of a step", abs(our_loss - loss) < 1e-5 * loss, f"{our_loss}, {loss}: {config}")
        whole = math.sqrt(sum(g.square().sum().item() for g in gradients.values()))
        worst = max((off(our_gradients[n], g, whole), n) for n, g in gradients.items())
        check(f"{name}: every gradient", worst[0] < 2e-3 and our_gradients.keys() == gradients.keys(), f"{worst}: {config}")
        if not any(config.get(k) and config[k].get("rope_type", config[k].get("type")) == "dynamic"
                   for k in ("rope_scaling", "rope_parameters")):
            x = torch.tensor(json.loads(run("sft-eval", "-q", "--dtype", "fp32", "-m", folder, "--prompt", PROMPT, "--logits")))
            y = after_prompt(model, AutoTokenizer.from_pretrained(folder))
            check(f"{name}: logits after a prompt", off(x.double(), y, 0) < 2e-5, f"{off(x.double(), y, 0)}: {config}")
    except Exception as e:
        check(name, False, f"{type(e).__name__} {str(e)[:600]}: {config}")
    shutil.rmtree(folder, ignore_errors=True)


def initialised(config):
    """sft-ckpt init: transformers finds every tensor and no other, with the values that were promised."""
    name = f"init {config['model_type']}"
    folder = tmp / name.replace(" ", "-")
    (tmp / "init.json").write_text(json.dumps(config | dict(
        vocab_size=1000, hidden_size=64, intermediate_size=100, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, initializer_range=0.05)))
    run("sft-ckpt", "init", "-q", "--dtype", "fp32", "--seed", 3, "-o", folder, tmp / "init.json")
    model, told = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    check(f"{name}: all tensors", not any(told.values()), told)
    for n, p in model.named_parameters():
        z = p.detach().double().flatten()
        fine = (z == ("norm" in n and "gemma" not in config["model_type"])).all() if p.dim() == 1 else (
            abs(z.mean()) < 4 * 0.05 / len(z) ** 0.5 and abs(z.std() / 0.05 - 1) < 4 / (2 * len(z)) ** 0.5
            and abs((z / 0.05).pow(4).mean() - 3) < 4 * (96 / len(z)) ** 0.5)
        check(f"{name}: {n}", fine, f"mean {z.mean()}, deviation {z.std()}")


def main():
    first, count = (int(x) for x in (sys.argv[1:] + ["0", "20"][len(sys.argv) - 1:]))
    streams(tmp)
    for config in ({"model_type": "llama", "attention_bias": True, "mlp_bias": True}, {"model_type": "mistral"},
                   {"model_type": "qwen2"}, {"model_type": "qwen3", "tie_word_embeddings": True},
                   {"model_type": "seed_oss", "attention_out_bias": True, "pad_token_id": None},
                   {"model_type": "ministral", "head_dim": 24}, {"model_type": "smollm3", "pad_token_id": None},
                   {"model_type": "granite", "attention_bias": True},
                   {"model_type": "ernie4_5", "use_bias": True}, {"model_type": "helium", "head_dim": 16},
                   {"model_type": "phi3", "pad_token_id": None}, {"model_type": "glm", "pad_token_id": None},
                   {"model_type": "glm4", "pad_token_id": None},
                   {"model_type": "ministral3"}, {"model_type": "arcee", "mlp_bias": True},
                   {"model_type": "hunyuan_v1_dense", "head_dim": 16}, {"model_type": "gemma", "head_dim": 16},
                   {"model_type": "olmo2", "pad_token_id": None}, {"model_type": "exaone4"},
                   {"model_type": "olmo3", "pad_token_id": None},
                   {"model_type": "qwen3_moe", "num_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 40,
                    "mlp_only_layers": [1]},
                   {"model_type": "mixtral", "num_local_experts": 3},
                   {"model_type": "olmoe", "num_experts": 5, "num_experts_per_tok": 2, "pad_token_id": None},
                   {"model_type": "qwen2_moe", "num_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 40,
                    "shared_expert_intermediate_size": 48, "mlp_only_layers": [1]},
                   {"model_type": "granitemoe", "num_local_experts": 3},
                   {"model_type": "granitemoeshared", "num_local_experts": 3, "shared_intermediate_size": 24}):
        initialised(config)
    for seed in range(first, first + count):
        compare(seed, tmp)
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
