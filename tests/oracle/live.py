# SPDX-License-Identifier: Apache-2.0
"""What the live comparisons that run PyTorch have in common: a folder, commands, and how a check is told."""
import os
import subprocess
import tempfile
import warnings
from pathlib import Path

import torch
import transformers

warnings.filterwarnings("ignore")
transformers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()
torch.set_num_threads(2)
tmp = Path(tempfile.mkdtemp(dir=os.environ.get("TEST_TMP")))
failures = []


def check(name, good, why=""):
    if not good:
        failures.append(name)
    print(f"ok {name}" if good else f"not ok {name}: {why}", flush=True)


def run(*command):
    """What a command that must succeed prints."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: exit {done.returncode}: {done.stderr.strip()[-400:]}")
    return done.stdout
