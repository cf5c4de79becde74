# SPDX-License-Identifier: Apache-2.0
"""Golden values of torch.optim.AdamW and torch.optim.SGD in double: tests/golden/train/update.json.

usage: make_update_golden.py OUTPUT_DIR

Weights and gradients are tiny_hash's numbers (tests/tiny.h); a case has what the optimizer keeps
after the first and after the last of its steps.
"""
import sys

import numpy as np
import torch
from make_train_golden import hashes, write

N, STEPS = 33, 6
ADAMW = [dict(lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1),
         dict(lr=3e-3, betas=(0.0, 0.5), eps=1e-3, weight_decay=0.0)]
SGD = [dict(lr=1e-1), dict(lr=1e-1, weight_decay=0.2), dict(lr=1e-1, momentum=0.9),
       dict(lr=1e-1, momentum=0.9, dampening=0.5, weight_decay=0.2),
       dict(lr=1e-1, momentum=0.75, nesterov=True, weight_decay=0.2)]


def uniform(name):
    return torch.from_numpy(((hashes(name, np.arange(N)) >> np.uint32(8)).astype(np.int64) - (1 << 23))
                            / float(1 << 24))


def kept(opt, p):
    state = opt.state[p]
    out = {"p": p.tolist()}
    for name, key in (("m", "exp_avg"), ("v", "exp_avg_sq"), ("m", "momentum_buffer")):
        if state.get(key) is not None:
            out[name] = state[key].tolist()
    return out


def case(name, make, options, max_norm):
    p = torch.nn.Parameter(uniform("p"))
    opt, out = make([p], **options), {}
    for k in range(STEPS):
        p.grad = uniform(f"g{k}")
        if max_norm:
            torch.nn.utils.clip_grad_norm_([p], max_norm)
        opt.step()
        if k == 0:
            out["first"] = kept(opt, p)
    out["last"] = kept(opt, p)
    return {"optimizer": name, "max_norm": max_norm, "options": options, **out}


def main():
    cases = [case(name, make, o, norm) for norm in (0.0, 0.5)
             for name, make, all_of in (("adamw", torch.optim.AdamW, ADAMW), ("sgd", torch.optim.SGD, SGD))
             for o in all_of]
    for c in cases:
        c["options"] = {k: list(v) if isinstance(v, tuple) else v for k, v in c["options"].items()}
    write(f"{sys.argv[1]}/update.json", {"made_by": "tests/oracle/make_update_golden.py", "n": N,
                                         "steps": STEPS, "cases": cases}, 15)


if __name__ == "__main__":
    main()
