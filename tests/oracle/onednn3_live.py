# SPDX-License-Identifier: Apache-2.0
"""The files that know oneDNN compile against its 3.x C API too (Debian 12 has 2.x): PyTorch's wheel
brings the headers."""
import importlib.util
import pathlib
import re
import subprocess

include = pathlib.Path(importlib.util.find_spec("torch").origin).parent / "include"
version = (include / "oneapi/dnnl/dnnl_version.h").read_text()
major, minor = (re.search(rf"define DNNL_VERSION_{part} (\d+)", version)[1] for part in ("MAJOR", "MINOR"))
for source in ("lib/ops/gemm.c", "tests/unit/bench_gemm.c"):
    name = f"{source} compiles against oneDNN {major}.{minor}"
    r = subprocess.run(["cc", "-std=c11", "-D_GNU_SOURCE", "-fopenmp", "-fsyntax-only", "-Wall", "-Wextra",
                        "-Werror", "-isystem", include, "-Ilib", source], capture_output=True, text=True)
    good = int(major) >= 3 and r.returncode == 0
    print(f"ok {name}" if good else f"not ok {name}: {(r.stderr.strip().splitlines() or ['not 3.x'])[0]}", flush=True)
