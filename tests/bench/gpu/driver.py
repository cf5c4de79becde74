# SPDX-License-Identifier: Apache-2.0
"""Runs the groups, each in a process of its own under a time cap. PyTorch is imported once, while gemm runs, and forked."""
import glob, importlib.util, os, signal, subprocess, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
OUT = os.environ["OUT"]
TOTAL = float(os.environ.get("TOTAL", 410))
START = time.time()
TINY, CPU = "--tiny" in sys.argv, "cpu" in sys.argv
ONLY = [a[7:] for a in sys.argv if a.startswith("--only=")]
current, plain = None, False


def say(name, text):
    print(text, flush=True)
    with open(f"{OUT}/{name}.txt", "a") as f:
        f.write(text + "\n")


def left():
    return TOTAL - (time.time() - START)


def wheels():
    """folder of each library in the nvidia wheels"""
    spec = importlib.util.find_spec("nvidia")
    found = {}
    for root in spec.submodule_search_locations if spec else []:
        for stem in ("libcublasLt", "libcudart", "libnccl", "libcudnn", "libcudnn_engines_precompiled", "libnvrtc"):
            for f in sorted(glob.glob(f"{root}/**/{stem}.so*", recursive=True)):
                found.setdefault(stem, f)
    return found


def libraries():
    found = wheels()
    for stem, path in found.items():
        say("info", f"library {stem}: {path} ({os.path.getsize(path) / 1e6:.0f} MB)")
    for pattern in ("/usr/local/cuda*/lib*/libcublasLt.so*", "/usr/local/cuda*/targets/*/lib/libcublasLt.so*",
                    "/usr/local/cuda*/lib*/libcudart.so*", "/usr/lib/x86_64-linux-gnu/libnccl.so*"):
        for f in glob.glob(pattern):
            say("info", f"library {f}")
    from importlib import metadata
    names = sorted(f"{d.metadata['Name']}=={d.version}" for d in metadata.distributions()
                   if (d.metadata["Name"] or "").lower().startswith(("nvidia", "torch", "transformers", "triton", "numpy", "accelerate", "flash", "liger")))
    say("info", "packages " + " ".join(dict.fromkeys(names)))
    return found


def gemm(found):
    folders = list(dict.fromkeys(os.path.dirname(p) for p in found.values()))
    env = dict(os.environ)
    env["LD_LIBRARY_PATH"] = os.environ.get("GEMM_LIBS") or ":".join(folders + [env.get("LD_LIBRARY_PATH", "")]).strip(":")
    env["FOLDERS"] = " ".join(folders)
    budget = min(60, left() - 20)
    script = f"""
set -o pipefail
cap={budget + 15:.0f}
b={HERE}/gemm
chmod +x $b 2>/dev/null
if LD_LIBRARY_PATH=$LD_LIBRARY_PATH ldd $b 2>&1 | grep -q 'not found' || ! [ -x $b ]; then
    echo "gemm: binary does not load, building here"; ldd $b
    b=/tmp/base_gemm; l=; i=
    for f in $FOLDERS; do l="$l -L$f -Xlinker -rpath=$f"; i="$i -I$f/../include"; done
    timeout 60 nvcc -O2 -std=c++17 -arch=sm_90 -cudart none $i $l -o $b {HERE}/gemm.cu -l:libcublasLt.so.13 -l:libcudart.so.13
fi
timeout -k 2 $cap $b {budget:.0f} {'tiny' if TINY else ''}
rc=$?
[ $rc = 0 ] || echo "gemm: ended with $rc"
"""
    return subprocess.Popen(["bash", "-c", f"{{ {script} }} 2>&1 | tee -a {OUT}/gemm.txt"], env=env, start_new_session=True)


def stop(pid):
    for sig, wait in ((signal.SIGTERM, 1.0), (signal.SIGKILL, 5.0)):
        try:
            os.killpg(pid, sig)
        except ProcessLookupError:
            return
        end = time.time() + wait
        while time.time() < end:
            try:
                if os.waitpid(pid, os.WNOHANG)[0]:
                    break
            except ChildProcessError:
                break
            time.sleep(0.05)


def fresh_if_spoilt(label, cap):
    """A CUDA driver that the parent has already started does not work in a fork: then go on as a new program."""
    if CPU and not os.environ.get("FORCE_EXEC"):
        return
    import torch
    try:
        torch.cuda.init()
        torch.empty(1, device="cuda")
    except Exception as e:
        print(f"{label}: fork without CUDA ({type(e).__name__}: {str(e)[:120]}), starting python anew", flush=True)
        options = [a for a in sys.argv[1:] if not a.startswith("--only=")] + (["--plain"] if plain else [])
        os.execv(sys.executable, [sys.executable, os.path.abspath(__file__), f"--child={label}", f"--cap={cap}"] + options)


def forked(group, label, cap, work):
    """work(say, deadline) in a child; ended at the cap"""
    global current, plain
    cap = min(cap, left())
    if cap < 8:
        say(group, f"-- {label}: skipped, {left():.0f} s left")
        return
    say(group, f"-- {label}: begins at {time.time() - START:.0f} s ({time.strftime('%T')}), cap {cap:.0f} s")
    t = time.time()
    pid = os.fork()
    if pid == 0:
        rc = 1
        try:
            os.setpgid(0, 0)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            fresh_if_spoilt(label, cap)
            if plain:
                import torch
                torch.cuda.memory._set_allocator_settings("expandable_segments:False")
            work(lambda text: say(group, text), time.time() + cap)
            rc = 0
        except BaseException as e:
            import traceback
            say(group, f"{label}: FAILED {type(e).__name__}: {str(e)[:400]}")
            os.makedirs(OUT, exist_ok=True)
            with open(f"{OUT}/errors.txt", "a") as f:
                f.write(f"== {label}\n{traceback.format_exc()}\n")
        finally:
            sys.stdout.flush()
            os._exit(rc)
    try:
        os.setpgid(pid, pid)
    except OSError:
        pass
    current = pid
    ended = status = 0
    while time.time() - t < cap:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            break
        time.sleep(0.02)
    if not ended:
        say(group, f"{label}: stopped at its cap of {cap:.0f} s")
    stop(pid)  # compile workers too
    current = None
    if label == "versions" and (not ended or status):
        plain = True
        say(group, "expandable segments off from here on")
    say(group, f"-- {label}: {time.time() - t:.1f} s")


def quit_now(*_):
    if current:
        stop(current)
    os._exit(3)


def groups(bench):
    d = "cpu" if CPU else "cuda"
    return [
        ("info", "versions", 40, lambda s, e: bench.versions(s, d)),
        ("elementwise", "elementwise", 30, lambda s, e: bench.elementwise(s, e, d, TINY)),
        ("attention", "attention", 40, lambda s, e: bench.attention(s, e, d, TINY)),
        ("torch", "0.5B", 55, lambda s, e: bench.train(s, e, d, TINY, "0.5B", [(8, 0), (16, 0), (32, 0)], 8192)),
        ("torch", "7B", 80, lambda s, e: bench.train(s, e, d, TINY, "7B", [(1, 0), (2, 0), (4, 1)], 4096)),
        ("torch", "1.5B", 45, lambda s, e: bench.train(s, e, d, TINY, "1.5B", [(4, 0), (8, 0), (16, 0)], 0)),
        ("torch", "3B", 50, lambda s, e: bench.train(s, e, d, TINY, "3B", [(2, 0), (4, 0), (8, 0)], 0)),
        ("torch", "A3B", 60, lambda s, e: bench.train(s, e, d, TINY, "A3B", [(4, 0), (8, 0), (16, 0)], 0)),
        ("compile", "compile 0.5B", 110, lambda s, e: bench.compiled(s, e, d, TINY, "0.5B", [16, 8])),
        ("compile", "compile 1.5B", 100, lambda s, e: bench.compiled(s, e, d, TINY, "1.5B", [8, 4])),
    ]


def child(label, cap):
    import bench
    for group, name, _, work in groups(bench):
        if name != label:
            continue
        if "--plain" in sys.argv:
            bench.torch.cuda.memory._set_allocator_settings("expandable_segments:False")
        try:
            work(lambda text: say(group, text), time.time() + cap)
        except BaseException as e:
            import traceback
            say(group, f"{label}: FAILED {type(e).__name__}: {str(e)[:400]}")
            with open(f"{OUT}/errors.txt", "a") as f:
                f.write(f"== {label}\n{traceback.format_exc()}\n")
            sys.stdout.flush()
            os._exit(1)
        sys.stdout.flush()
        os._exit(0)


def main():
    signal.signal(signal.SIGTERM, quit_now)
    g = None
    try:
        found = libraries()
        if not ONLY or "gemm" in ONLY:
            g = gemm(found)
    except Exception as e:
        say("info", f"libraries/gemm FAILED to start: {e!r}")
    t = time.time()
    import bench  # imports torch and transformers; must not touch the device here
    say("info", f"import of torch and transformers {time.time() - t:.1f} s")
    if g:
        try:
            g.wait(timeout=150)
        except subprocess.TimeoutExpired:
            say("gemm", "gemm: stopped by the driver")
        try:
            os.killpg(g.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    for group, label, cap, work in groups(bench):
        if not ONLY or group in ONLY or label in ONLY:
            forked(group, label, cap, work)
    say("info", f"all groups: {time.time() - START:.0f} s")


if any(a.startswith("--child=") for a in sys.argv):
    child(next(a[8:] for a in sys.argv if a.startswith("--child=")), float(next(a[6:] for a in sys.argv if a.startswith("--cap="))))
else:
    main()
