# SPDX-License-Identifier: Apache-2.0
"""PyTorch and transformers figures: elementwise, attention, training steps. Every function prints rows through say()."""
import gc, os, random, statistics, time
import torch
import torch.nn.functional as Fn
import transformers
from transformers.models.qwen2 import Qwen2Config
from transformers.models.qwen2.modeling_qwen2 import Qwen2ForCausalLM, Qwen2RMSNorm
from transformers.models.qwen3_moe import Qwen3MoeConfig
from transformers.models.qwen3_moe.modeling_qwen3_moe import Qwen3MoeForCausalLM

PEAK = 989.4e12
SHAPES = {  # hidden, inter, layers, heads, kv heads, vocab, tied
    "0.5B": (896, 4864, 24, 14, 2, 151936, True),
    "1.5B": (1536, 8960, 28, 12, 2, 151936, True),
    "3B": (2048, 11008, 36, 16, 2, 151936, True),
    "7B": (3584, 18944, 28, 28, 4, 152064, False),
    "A3B": (2048, 768, 8, 32, 4, 151936, False),  # Qwen3-30B-A3B with 8 of its 48 layers
}
EXPERTS, EACH = 128, 8


class Clock:
    """milliseconds between start and stop on the device"""

    def __init__(self, device):
        self.cuda = device == "cuda"
        if self.cuda:
            self.a, self.b = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)

    def start(self):
        if self.cuda:
            self.a.record()
        else:
            self.t = time.perf_counter()

    def stop(self):
        if self.cuda:
            self.b.record()
            self.b.synchronize()
            return self.a.elapsed_time(self.b)
        return (time.perf_counter() - self.t) * 1e3


def timed(device, f, tiny, least=60.0):
    """median ms of f, after warm-ups"""
    c = Clock(device)
    for _ in range(1 if tiny else 3):
        f()
    c.start()
    f()
    once = c.stop()
    n = 2 if tiny else max(5, min(200, int(least / max(once, 1e-3))))
    times = []
    for _ in range(n):
        c.start()
        f()
        times.append(c.stop())
    return statistics.median(times)


def out_of_memory(e):
    return isinstance(e, torch.OutOfMemoryError) or "out of memory" in str(e).lower()


def clean(device):
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()


def versions(say, device):
    say(f"torch {torch.__version__} cuda {torch.version.cuda} cudnn {torch.backends.cudnn.version()} transformers {transformers.__version__}")
    if device == "cuda":
        p = torch.cuda.get_device_properties(0)
        say(f"device {p.name}, {p.multi_processor_count} SMs, {p.total_memory / 1e9:.2f} GB, L2 {p.L2_cache_size / 1e6:.0f} MB; "
            f"free {torch.cuda.mem_get_info()[0] / 1e9:.2f} GB; nccl {torch.cuda.nccl.version()}")
    x = torch.randn(64, 64, device=device)  # expandable segments work here?
    say(f"allocation ok {float((x @ x).abs().mean()):.3f}, allocator {os.environ.get('PYTORCH_CUDA_ALLOC_CONF')}")


# ---- elementwise ----

def elementwise(say, deadline, device, tiny):
    try:
        rate = copy_rate(say, device, tiny)
    except Exception as e:
        say(f"copy: FAILED {type(e).__name__}: {str(e)[:200]}")
        rate = 2750.0
    clean(device)
    for f in (norms, swiglu, rope, cross_entropy):
        try:
            f(say, device, tiny, rate)
        except Exception as e:
            say(f"{f.__name__}: FAILED {type(e).__name__}: {str(e)[:200]}")
        clean(device)


def copy_rate(say, device, tiny):
    best = 0
    for gib in ((0.001,) if tiny else (0.25, 1, 4)):
        n = int(gib * 2**18) * 4096 if not tiny else 1 << 20
        a, b = torch.empty(n, dtype=torch.uint8, device=device).random_(), torch.empty(n, dtype=torch.uint8, device=device)
        ms = timed(device, lambda: b.copy_(a), tiny)
        say(f"copy {gib} GiB device to device: {ms:.3f} ms, {2 * n / ms / 1e6:.0f} GB/s (read + write)")
        best = max(best, 2 * n / ms / 1e6)
        a32 = a.view(torch.float32)
        if gib >= 1 or tiny:
            ms = timed(device, lambda: torch.add(a32, 1.0, out=b.view(torch.float32)), tiny)
            say(f"add  {gib} GiB kernel, read + write: {ms:.3f} ms, {2 * n / ms / 1e6:.0f} GB/s")
            ms = timed(device, lambda: b.zero_(), tiny)
            say(f"fill {gib} GiB, write only: {ms:.3f} ms, {n / ms / 1e6:.0f} GB/s")
    return best


def row(say, name, ms, nbytes, rate):
    say(f"{name:46s} {ms:8.3f} ms {nbytes / ms / 1e6:6.0f} GB/s of least bytes ({nbytes / 1e6:.0f} MB), {100 * nbytes / ms / 1e6 / rate:3.0f} % of copy")


def forward_backward(say, name, f, inputs, grad, fwd_bytes, bwd_bytes, device, tiny, rate):
    with torch.no_grad():
        ms = timed(device, f, tiny)
    row(say, name + " forward", ms, fwd_bytes, rate)
    y = f()
    ms = timed(device, lambda: torch.autograd.grad(y, inputs, grad, retain_graph=True), tiny)
    row(say, name + " backward", ms, bwd_bytes, rate)


def tokens_hidden(tiny):
    return (64, 64, 128, 512) if tiny else (8192, 3584, 18944, 152064)


def norms(say, device, tiny, rate):
    T, H, _, _ = tokens_hidden(tiny)
    x = torch.randn(T, H, device=device, dtype=torch.bfloat16, requires_grad=True)
    dy = torch.randn_like(x)
    m = Qwen2RMSNorm(H).to(device, torch.bfloat16)
    b = 2 * T * H
    forward_backward(say, "RMSNorm transformers", lambda: m(x), (x, m.weight), dy, 2 * b, 3 * b, device, tiny, rate)
    forward_backward(say, "RMSNorm torch.rms_norm", lambda: Fn.rms_norm(x, (H,), m.weight, 1e-6), (x, m.weight), dy, 2 * b, 3 * b, device, tiny, rate)
    r = torch.randn_like(x)
    with torch.no_grad():
        row(say, "residual add bf16", timed(device, lambda: x + r, tiny), 3 * b, rate)


def swiglu(say, device, tiny, rate):
    T, _, I, _ = tokens_hidden(tiny)
    g = torch.randn(T, I, device=device, dtype=torch.bfloat16, requires_grad=True)
    u = torch.randn(T, I, device=device, dtype=torch.bfloat16, requires_grad=True)
    dy = torch.randn(T, I, device=device, dtype=torch.bfloat16)
    b = 2 * T * I
    forward_backward(say, "SwiGLU silu(g)*u", lambda: Fn.silu(g) * u, (g, u), dy, 3 * b, 5 * b, device, tiny, rate)


def rope(say, device, tiny, rate):
    from transformers.models.qwen2.modeling_qwen2 import apply_rotary_pos_emb
    B, S, D = (1, 64, 16) if tiny else (8, 1024, 128)
    q = torch.randn(B, S, 28, D, device=device, dtype=torch.bfloat16).transpose(1, 2)
    k = torch.randn(B, S, 4, D, device=device, dtype=torch.bfloat16).transpose(1, 2)
    c = torch.randn(B, S, D, device=device, dtype=torch.bfloat16)
    row(say, "RoPE transformers forward", timed(device, lambda: apply_rotary_pos_emb(q, k, c, c), tiny), 4 * (q.numel() + k.numel()), rate)


def cross_entropy(say, device, tiny, rate):
    T, _, _, V = tokens_hidden(tiny)
    z = torch.randn(T, V, device=device, dtype=torch.bfloat16, requires_grad=True)
    y = torch.randint(0, V, (T,), device=device)
    b = 2 * T * V
    forward_backward(say, "cross-entropy of logits.float()", lambda: Fn.cross_entropy(z.float(), y), (z,), None, b, 2 * b, device, tiny, rate)


# ---- attention ----

def lengths(total, seed):
    """documents of ~ 350 tokens, 32 to 1400"""
    r = random.Random(seed)
    out = []
    while sum(out) < total:
        out.append(min(max(32, int(r.lognormvariate(5.6, 0.7))), 1400, total - sum(out)))
    return out


def attention(say, deadline, device, tiny):
    from torch.nn.attention import SDPBackend
    shapes = [("7B", 28, 4, 128), ("0.5B", 14, 2, 64), ("1.5B", 12, 2, 128)]
    backends = [("cudnn", SDPBackend.CUDNN_ATTENTION), ("flash", SDPBackend.FLASH_ATTENTION)]
    if device == "cpu":
        backends = [("math", SDPBackend.MATH)]
    for batch, length in ((8, 1024), (1, 8192)):
        for model, h, kv, d in shapes:
            for name, backend in backends + ([("default", None)] if batch == 8 else []):
                if time.time() > deadline - 3:
                    return say("attention: out of time")
                guarded(say, f"sdpa {name} {model} {batch} x {length}",
                        lambda: dense(say, device, tiny, name, backend, model, h, kv, d, 1 if tiny else batch, length // 32 if tiny else length))
                clean(device)
    for model, h, kv, d in shapes:
        for what, docs in (("8 x 1024", [1024] * 8), ("1 x 8192", [8192]), ("~350-token documents", lengths(8192, 1)), ("32768: ~350-token documents", lengths(32768, 2))):
            if time.time() > deadline - 3:
                return say("attention: out of time")
            if device == "cpu":
                say(f"varlen {model} {what}: {len(docs)} documents, not on cpu")
                continue
            guarded(say, f"varlen {model} {what}", lambda: packed_attention(say, device, tiny, model, h, kv, d, what, docs))
            clean(device)


def guarded(say, what, f):
    try:
        f()
    except Exception as e:
        say(f"{what}: FAILED {type(e).__name__}: {str(e)[:300]}")


def report(say, name, work, fwd, bwd, note=""):
    say(f"{name:52s} fwd {fwd:7.3f} ms {work / fwd * 1e-9:6.1f} TF   bwd {bwd:7.3f} ms {2.5 * work / bwd * 1e-9:6.1f} TF   fwd+bwd {3.5 * work / (fwd + bwd) * 1e-9:6.1f} TF {note}")


def dense(say, device, tiny, name, backend, model, h, kv, d, B, S):
    import contextlib
    from torch.nn.attention import sdpa_kernel
    make = lambda n: torch.randn(B, S, n, d, device=device, dtype=torch.bfloat16).transpose(1, 2).requires_grad_()
    q, k, v = make(h), make(kv), make(kv)
    note = "gqa"
    with sdpa_kernel(backend) if backend is not None else contextlib.nullcontext():
        f = lambda: Fn.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        try:
            o = f()
        except RuntimeError:
            note = "kv heads repeated"
            k, v = make(h), make(h)
            f = lambda: Fn.scaled_dot_product_attention(q, k, v, is_causal=True)
            o = f()
        do = torch.randn_like(o)
        fwd = timed(device, f, tiny, 40)
        bwd = timed(device, lambda: torch.autograd.grad(o, (q, k, v), do, retain_graph=True), tiny, 60)
    report(say, f"sdpa {name} {model} ({h}/{kv} heads, d {d}) {B} x {S}", 2.0 * B * S * S * h * d, fwd, bwd, note)


def packed_attention(say, device, tiny, model, h, kv, d, what, docs):
    from torch.nn.attention.varlen import varlen_attn
    T, longest = sum(docs), max(docs)
    cu = torch.tensor([0] + docs, device=device).cumsum(0).to(torch.int32)
    make = lambda n: torch.randn(T, n, d, device=device, dtype=torch.bfloat16, requires_grad=True)
    q, k, v = make(h), make(kv), make(kv)
    note = "gqa"
    f = lambda: varlen_attn(q, k, v, cu, cu, longest, longest, window_size=(-1, 0))
    try:
        o = f()
        torch.autograd.grad(o, (q, k, v), torch.ones_like(o), retain_graph=True)
    except RuntimeError:
        note = "kv heads repeated"
        k, v = make(h), make(h)
        f = lambda: varlen_attn(q, k, v, cu, cu, longest, longest, window_size=(-1, 0))
        o = f()
    do = torch.randn_like(o)
    fwd = timed(device, f, tiny, 40)
    bwd = timed(device, lambda: torch.autograd.grad(o, (q, k, v), do, retain_graph=True), tiny, 60)
    report(say, f"varlen flash {model} {what} ({len(docs)})", 2.0 * sum(n * n for n in docs) * h * d, fwd, bwd, note)


# ---- training steps ----

def build(name, device, tiny):
    H, I, L, heads, kv, V, tied = SHAPES[name]
    if tiny:
        H, I, L, V = heads * 8, 64, 2, 512
    shape = dict(vocab_size=V, hidden_size=H, intermediate_size=I, num_hidden_layers=L, num_attention_heads=heads,
                 num_key_value_heads=kv, max_position_embeddings=32768, tie_word_embeddings=tied, use_cache=False,
                 rope_parameters={"rope_type": "default", "rope_theta": 1e6}, rms_norm_eps=1e-6)
    kind, cfg = Qwen2ForCausalLM, Qwen2Config
    if name == "A3B":
        kind, cfg = Qwen3MoeForCausalLM, Qwen3MoeConfig
        shape.update(num_experts=EXPERTS, num_experts_per_tok=EACH, moe_intermediate_size=I, norm_topk_prob=True, head_dim=H // heads if tiny else 128)
    with torch.device(device):
        model = kind._from_config(cfg(**shape), attn_implementation="sdpa", dtype=torch.bfloat16)
    model.train()
    assert all(p.dtype == torch.bfloat16 and p.device.type == device for p in model.parameters())
    total = sum(p.numel() for p in model.parameters())
    active = total - (0 if tied else V * H)  # products a token takes part in: the head once, no embedding table
    if name == "A3B":
        active -= L * 3 * H * I * (EXPERTS - EACH)
    return model, total, active, L, heads * 128 if name == "A3B" else H


class Run:
    def __init__(self, say, name, device, tiny):
        self.say, self.name, self.device, self.tiny = say, name, device, tiny
        t = time.time()
        self.model, self.total, self.active, self.layers, self.hidden = build(name, device, tiny)
        self.call = self.model
        self.seq, self.step_tokens = (32, 2048) if tiny else (1024, 65536)
        self.params = list(self.model.parameters())
        self.opt = torch.optim.AdamW(self.params, lr=1e-5, betas=(0.9, 0.95), weight_decay=0.0, fused=True)
        self.vocab = self.model.config.vocab_size
        say(f"torch {name}: {self.total / 1e9:.3f} B parameters ({self.active / 1e9:.3f} B in products), {self.flop(self.seq) / 1e9:.2f} GFLOP/token at {self.seq}, "
            f"built in {time.time() - t:.1f} s, attention {self.model.config._attn_implementation}")

    def flop(self, seq):
        return 6.0 * self.active + 6.0 * self.layers * self.hidden * seq

    def ids(self, rows, cols):
        return torch.randint(0, self.vocab, (rows, cols), device=self.device)

    def micro(self, ids, items, **more):
        loss = self.call(input_ids=ids, labels=ids, num_items_in_batch=items, use_cache=False, **more).loss
        loss.backward()
        return loss.detach()

    def update(self):
        norm = torch.nn.utils.clip_grad_norm_(self.params, 1.0)
        self.opt.step()
        self.opt.zero_grad(set_to_none=True)
        return norm

    def step(self, rows, data):
        items = torch.tensor(self.step_tokens, device=self.device)
        loss = sum(self.micro(ids, items) for ids in data)
        norm = self.update()
        return float(loss), float(norm)

    def checkpoint(self, on):
        if on:
            self.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        else:
            self.model.gradient_checkpointing_disable()

    def peak(self):
        if self.device != "cuda":
            return "no device memory"
        s = torch.cuda.memory_stats()
        return f"peak {torch.cuda.max_memory_allocated() / 1e9:.1f} GB (reserved {torch.cuda.max_memory_reserved() / 1e9:.1f}, retries {s['num_alloc_retries']})"

    def reset(self):
        clean(self.device)
        if self.device == "cuda":
            torch.cuda.reset_peak_memory_stats()

    def probe(self, rows, ckpt, runs):
        """ms of a micro-batch of rows, its data as all others'; None where it does not fit"""
        self.reset()
        c, items = Clock(self.device), torch.tensor(self.step_tokens, device=self.device)
        try:
            ids = self.ids(rows, self.seq)
            t = time.time()
            self.micro(ids, items)
            c.start()
            for _ in range(runs):
                self.micro(ids, items)
            ms = c.stop() / runs
        except RuntimeError as e:
            if not out_of_memory(e):
                raise
            ms = None
        tag = f"torch {self.name} micro-batch {rows} x {self.seq}{' checkpointing' if ckpt else ''}"
        if ms is None:
            self.opt.zero_grad(set_to_none=True)
            self.say(f"{tag}: does not fit")
        else:
            self.say(f"{tag}: {ms:.1f} ms, {rows * self.seq / ms * 1e3:.0f} tok/s without update, {self.peak()}, first took {time.time() - t - ms * runs / 1e3:.1f} s")
        self.reset()
        return ms

    def steps(self, rows, label, deadline, warm=1, count=2):
        n = max(1, self.step_tokens // (rows * self.seq))
        c, rates = Clock(self.device), []
        self.reset()
        for i in range(warm + count):
            data = [self.ids(rows, self.seq) for _ in range(n)]
            c.start()
            loss, norm = self.step(rows, data)
            ms = c.stop()
            rate = n * rows * self.seq / ms * 1e3
            self.say(f"torch {self.name} {label} step {i + 1}{' (warm-up)' if i < warm else ''}: {ms:.1f} ms, {rate:.0f} tok/s, loss {loss:.3f}, norm {norm:.3f}, {self.peak()}")
            if i >= warm:
                rates.append(rate)
            if time.time() + 1.2 * ms / 1e3 > deadline and rates:
                break
        mean = len(rates) / sum(1 / r for r in rates)
        f = self.flop(self.seq)
        self.say(f"RESULT torch {self.name} {label}, {rows} x {self.seq} x {n}: {mean:.0f} tok/s, {f * mean / 1e12:.1f} TF, MFU {100 * f * mean / PEAK:.1f} %, {self.peak()}")
        return mean

    def update_time(self):
        """clipping and the optimizer alone"""
        for p in self.params:
            p.grad = torch.zeros_like(p)
        c, times = Clock(self.device), []
        for _ in range(3):
            c.start()
            torch.nn.utils.clip_grad_norm_(self.params, 1.0)
            a = c.stop()
            c.start()
            self.opt.step()
            times.append((a, c.stop()))
        a, b = times[-1]
        self.opt.zero_grad(set_to_none=True)
        self.say(f"torch {self.name} clipping {a:.2f} ms, AdamW {b:.2f} ms ({14e-6 * self.total / b:.0f} GB/s of 14 bytes a parameter)")

    def packed(self, tokens, ckpt, runs=3):
        """a row of documents whose positions restart; transformers makes a block mask"""
        if self.tiny:
            tokens = 64
        docs = [20, 44] if self.tiny else lengths(tokens, 3)
        pos = torch.cat([torch.arange(n) for n in docs])[None].to(self.device)
        ids, items = self.ids(1, tokens), torch.tensor(tokens, device=self.device)
        c = Clock(self.device)
        self.reset()
        self.checkpoint(ckpt)
        try:
            self.micro(ids, items, position_ids=pos)
            c.start()
            for _ in range(runs):
                self.micro(ids, items, position_ids=pos)
            ms = c.stop() / runs
            self.say(f"RESULT torch {self.name} packed row of {tokens} ({len(docs)} documents, block mask){' checkpointing' if ckpt else ''}: {ms:.1f} ms, {tokens / ms * 1e3:.0f} tok/s without update, {self.peak()}")
        except RuntimeError as e:
            self.say(f"torch {self.name} packed row of {tokens}: {'does not fit' if out_of_memory(e) else repr(e)[:300]}")
        self.checkpoint(False)
        self.opt.zero_grad(set_to_none=True)


def train(say, deadline, device, tiny, name, candidates, packed):
    r = Run(say, name, device, tiny)
    r.update_time()
    best = (0, None)
    state = False
    full = set()
    for rows, ckpt in candidates:
        if ckpt in full:
            continue
        if ckpt != state:
            r.checkpoint(ckpt)
            state = ckpt
        ms = r.probe(rows, ckpt, 1 if name == "7B" else 2)
        if ms is None:
            full.add(ckpt)
            continue
        rate = rows * r.seq / ms
        if rate > best[0] * 1.003:
            best = (rate, (rows, ckpt))
        if time.time() + 25 > deadline and best[1]:
            break
    if best[1] is None:
        return say(f"RESULT torch {name}: nothing fits")
    rows, ckpt = best[1]
    r.opt.zero_grad(set_to_none=True)
    r.checkpoint(ckpt)
    r.steps(rows, f"eager{' checkpointing' if ckpt else ''}", deadline)
    if packed and time.time() < deadline - 6:
        r.packed(packed, name == "7B")


def compiled(say, deadline, device, tiny, name, candidates):
    r = Run(say, name, device, tiny)
    r.update_time()
    for rows in candidates:
        torch._dynamo.reset()
        r.call = torch.compile(r.model, dynamic=False)
        t = time.time()
        ms = r.probe(rows, False, 2)
        say(f"compile {name} {rows} x {r.seq}: {time.time() - t:.1f} s with compilation")
        if ms is not None:
            r.opt.zero_grad(set_to_none=True)
            return r.steps(rows, "compiled", deadline)
    say(f"RESULT compile {name}: nothing fits")
